//! Features, models, training, evaluation and inline scoring of Gatehouse; capacity control and its simulator.
//!
//! Serving reads top to bottom: [`behaviour`] knows customers and turns an event into numbers, [`features`] a request;
//! [`fraud`], [`anomaly`] and [`lexical`] score them. [`simulate`] makes events with known labels, [`train`] learns from
//! them with the very same features, [`evaluate`] and [`report`] say how good the result is, and an [`artifact`] carries
//! it over. [`capacity`] decides how much of an upstream each class of requests may use.

pub mod anomaly;
pub mod artifact;
pub mod behaviour;
pub mod capacity;
pub mod evaluate;
pub mod features;
pub mod frame;
pub mod fraud;
pub mod lexical;
pub mod report;
pub mod score;
pub mod simulate;
pub mod svm;
pub mod table;
pub mod train;
pub mod transfer;
pub mod trees;
