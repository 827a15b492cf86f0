//! Features, models, training, evaluation and inline scoring; capacity control and its simulator.

pub mod capacity;
