//! The life of a fraud model in service: what its recorded vectors turned out to be, how far they have drifted from what
//! it was trained on, and whether a challenger would do better.
//!
//! Pure functions: the time is handed in, nothing is read or written. The gateway keeps the records and acts on this.

#![deny(clippy::indexing_slicing)]

mod calibration;
mod challenger;
mod compare;
mod drift;
mod join;
mod model;
pub(crate) mod written;

pub use calibration::CalibrationDrift;
pub use challenger::{Challenge, Challenger, train};
pub use compare::{Comparison, Figures, Pair, Standing, compare};
pub use drift::{Baseline, Bins, Drift, FeatureDrift, ROWS_MIN, Window, psi};
pub use join::{Answer, Joined, JudgedVector, LabelledVector, Periods, answer, join, periods};
pub use model::Model;
