//! Federated training over mutual TLS: sockets, certificates, deadlines and the decision log around the protocol of
//! [`learner::federate`], which knows none of them.

mod certificates;
mod coordinator;
mod frames;
mod party;

pub use certificates::Certificates;
pub use coordinator::{Enrolment, coordinate};
pub use party::{Joining, TookPart, take_part};

use std::time::Duration;

/// From an accepted connection to the first word.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// The first word lists the features' names.
const HELLO_BYTES_MAX: usize = 1 << 20;
/// Connections that have not said their first word yet.
const NEWCOMERS_MAX: usize = 64;
