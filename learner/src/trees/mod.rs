//! Decision trees: what an artifact keeps and the gateway scores with, how they are fitted, and what they say for a row.
//!
//! [`Trees`] is the one served form of every kind of tree model: boosted trees ([`boosted`]), random forests
//! ([`forest`]) and single trees ([`tree`]). [`isolation`] is a baseline for anomaly detection.

mod binning;
pub mod boosted;
mod document;
mod examples;
mod explain;
pub mod forest;
mod grow;
mod histogram;
pub mod isolation;
#[cfg(test)]
mod made;
mod model;
mod shap;
pub mod tree;

pub use document::{Document, TreeDocument, TreesError};
pub use examples::{Examples, FitError};
pub(crate) use examples::{sample, shares, within};
pub use model::{Link, Trees};

/// Boosted trees are at most this deep, so that a score's time is bounded.
pub const BOOSTED_DEPTH_MAX: usize = 6;
/// At most this many boosted trees.
pub const BOOSTED_TREES_MAX: usize = 100;
/// Trees whose mean is taken are at most this deep.
pub const MEAN_DEPTH_MAX: usize = 16;
/// At most this many trees whose mean is taken.
pub const MEAN_TREES_MAX: usize = 500;
/// At most this many nodes in all trees together.
pub const NODES_MAX: usize = 200_000;
/// At most this many features: a node keeps its feature in 15 bits.
pub const WIDTH_MAX: usize = 1 << 15;
