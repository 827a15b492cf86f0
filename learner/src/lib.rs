//! Features, models, training, evaluation and inline scoring of Gatehouse.
//!
//! Serving reads top to bottom: [`profiles`] knows a customer's behaviour, [`features`] turn an event into numbers,
//! [`fraud`], [`anomaly`] and [`lexical`] score them. Training ([`simulate`], [`train`], [`evaluate`], [`report`]) uses
//! the very same features and hands its models over as an [`artifact`].

pub mod anomaly;
pub mod artifact;
pub mod evaluate;
pub mod features;
pub mod fraud;
pub mod lexical;
pub mod profiles;
pub mod report;
pub mod score;
pub mod simulate;
pub mod train;
