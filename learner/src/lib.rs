//! Features, models, training, evaluation and inline scoring of Gatehouse.
//!
//! Serving reads top to bottom: [`profiles`] knows a customer's behaviour, [`features`] turn an event into numbers,
//! [`fraud`], [`anomaly`] and [`lexical`] score them. Training uses the very same features and hands its models over
//! as an [`artifact`].

pub mod anomaly;
pub mod artifact;
pub mod features;
pub mod fraud;
pub mod lexical;
pub mod profiles;
