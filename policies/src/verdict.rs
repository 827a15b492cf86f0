//! An outcome and the reasons for it.

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::outcome::Outcome;

/// Why an outcome was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable code such as `fraud.score` or `inspection.sqli`.
    pub code: Name,
    /// The rule or stage it came from.
    pub source: Name,
    /// What this reason alone asks for.
    pub outcome: Outcome,
    /// Among reasons of one outcome the highest precedence leads.
    pub precedence: u16,
    /// A sentence for the person at the other end; nothing internal.
    pub message: Name,
}

/// What is done with a request, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The strictest outcome of all reasons.
    pub outcome: Outcome,
    /// Enforced reasons, leading one first.
    pub reasons: Vec<Reason>,
    /// What rules in shadow would have said; they never change the outcome.
    pub shadow: Vec<Reason>,
    /// Rules that could not be evaluated and asked for their `on_error` outcome instead.
    #[serde(default)]
    pub failures: u16,
}

impl Verdict {
    /// Joins reasons: the strictest outcome wins, ties go to the highest precedence, then to the code.
    pub fn from_reasons(mut reasons: Vec<Reason>, shadow: Vec<Reason>) -> Self {
        reasons.sort_by(|a, b| {
            b.outcome.cmp(&a.outcome).then(b.precedence.cmp(&a.precedence)).then(a.code.cmp(&b.code))
        });
        let outcome = reasons.first().map_or(Outcome::Allow, |r| r.outcome);
        Self { outcome, reasons, shadow, failures: 0 }
    }

    /// The reason that leads.
    pub fn leading(&self) -> Option<&Reason> {
        self.reasons.first()
    }
}
