//! What Gatehouse decides, and why.
//!
//! Facts say what a request is, evidence is what the stages found, a policy is a document of rules, and a verdict is an
//! outcome with ordered reasons. Everything here is pure: no I/O, no async, no wall clock. What the rest of the gateway
//! must provide (stores, clocks) stands in [`ports`] as traits.
#![deny(clippy::indexing_slicing)]

#[cfg(test)]
mod cel_agrees;
pub mod chain;
pub mod compile;
pub mod document;
pub mod evidence;
pub mod expression;
pub mod facts;
pub mod name;
pub mod outcome;
pub mod policy;
pub mod ports;
mod probes;
pub mod pseudonym;
pub mod record;
pub mod variables;
pub mod verdict;

pub use document::DocumentError;
pub use evidence::Evidence;
pub use facts::Facts;
pub use name::Name;
pub use outcome::Outcome;
pub use policy::Policy;
pub use pseudonym::Pseudonymizer;
pub use record::DecisionRecord;
pub use verdict::{Reason, Verdict};
