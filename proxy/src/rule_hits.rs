//! How often each rule matched: what an operator tunes by.

use std::collections::HashMap;

use parking_lot::Mutex;
use policies::{Name, Verdict};

/// Hits by rule id; touched only by requests that matched a rule.
#[derive(Default)]
pub struct RuleHits(Mutex<HashMap<Name, Hits>>);

/// One rule's hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Requests it matched, enforced or in shadow.
    pub count: u64,
    /// When it last matched, Unix milliseconds.
    pub last_ms: i64,
}

impl RuleHits {
    /// Counts the rules behind a verdict. Stages' own reasons are counted under the stage's name.
    pub fn count(&self, verdict: &Verdict, at_ms: i64) {
        if verdict.reasons.is_empty() && verdict.shadow.is_empty() {
            return;
        }
        let mut hits = self.0.lock();
        for reason in verdict.reasons.iter().chain(&verdict.shadow) {
            let hit = hits.entry(reason.source.clone()).or_default();
            hit.count += 1;
            hit.last_ms = at_ms;
        }
    }

    /// The hits of one rule.
    pub fn of(&self, rule: &Name) -> Hits {
        self.0.lock().get(rule).copied().unwrap_or_default()
    }
}
