//! Features, models, training, evaluation and inline scoring of Gatehouse; capacity control and its simulator.
//!
//! Serving reads top to bottom: [`profiles`] knows a customer's behaviour, [`features`] turn an event into numbers,
//! [`fraud`], [`anomaly`] and [`lexical`] score them. Training uses the very same features and hands its models over
//! as an [`artifact`]. [`capacity`] decides how much of an upstream each class of requests may use.

pub mod anomaly;
pub mod artifact;
pub mod capacity;
pub mod features;
pub mod fraud;
pub mod lexical;
pub mod profiles;
