//! Tabular Q-learning over the admission classes.
//!
//! Two small tables. One chooses how much latency an inner gradient limiter tolerates, which is how the limit
//! moves; the other chooses how the limit is split among the classes. Where the tables know too little, or pay
//! less than they used to, the gradient controller's own choices apply: it is the same limiter, so that falling
//! back and returning are smooth.

pub mod actions;
mod agent;
mod artifact;
mod explain;
mod reward;
pub mod signals;
mod table;

pub use super::observation::ClassObservation;
pub use agent::{Learning, QLearning, QSettings};
pub use artifact::{Artifact, ArtifactError, Origin};
pub use table::{Rate, Row, Table};

#[cfg(test)]
mod tests;
