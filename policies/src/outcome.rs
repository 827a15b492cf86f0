//! The lattice of outcomes.

use serde::{Deserialize, Serialize};

/// What happens to a request, from mildest to strictest; the strictest matched outcome wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Forwarded.
    Allow,
    /// Forwarded and marked for whoever watches.
    Observe,
    /// 429 with Retry-After.
    Throttle,
    /// The customer must authenticate again, stronger or fresher (RFC 9470).
    StepUp,
    /// The transfer waits for a person's review: 202 with a case.
    Hold,
    /// Refused.
    Deny,
}

impl Outcome {
    /// Every outcome, mildest first.
    pub const ALL: [Self; 6] =
        [Self::Allow, Self::Observe, Self::Throttle, Self::StepUp, Self::Hold, Self::Deny];

    /// The name used in documents, records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Observe => "observe",
            Self::Throttle => "throttle",
            Self::StepUp => "step_up",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }

    /// Whether the request goes on to the upstream.
    pub fn forwards(self) -> bool {
        self <= Self::Observe
    }
}
