//! How calls come to stand in the audit trail.

use std::sync::{Mutex, PoisonError};

use axum::http::request::Parts;

use crate::access::Operator;
use crate::answer::hex;
use crate::views::{AdminCall, Phase, Via};

/// Refused calls recorded in a burst, and a second after it. Who may do nothing must not be able to fill the trail.
const REFUSALS_BURST: f64 = 100.0;
const REFUSALS_PER_SECOND: f64 = 5.0;
const PATH_BYTES_MAX: usize = 256;

/// The entry of a call that just came in.
pub(crate) fn entry(parts: &Parts, route: &str, now_ms: i64) -> AdminCall {
    let mut path: String = parts.uri.path().chars().filter(|c| !c.is_control()).collect();
    while path.len() > PATH_BYTES_MAX {
        path.pop();
    }
    let method: String = parts.method.as_str().chars().take(16).collect();
    AdminCall { path, ..entry_of(&method, route, now_ms) }
}

/// The entry of a call whose path is its route.
pub(crate) fn entry_of(method: &str, route: &str, now_ms: i64) -> AdminCall {
    AdminCall {
        id: hex(&rand::random::<[u8; 16]>(), 16),
        phase: Phase::Intent,
        at_ms: now_ms,
        subject: None,
        roles: Vec::new(),
        via: Via::Nobody,
        method: method.to_owned(),
        route: route.to_owned(),
        path: route.to_owned(),
        detail: None,
        status: 0,
        reason: None,
        unrecorded: 0,
    }
}

/// Says who made the call.
pub(crate) fn name_caller(call: &mut AdminCall, operator: &Operator, via: Via) {
    call.subject = Some(operator.subject.clone());
    call.roles = operator.roles.iter().copied().collect();
    call.via = via;
}

/// Decides which refused calls of nobody get an entry, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct RefusalBudget(Mutex<Budget>);

#[derive(Debug)]
struct Budget {
    left: f64,
    at_ms: i64,
    unrecorded: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: REFUSALS_BURST, at_ms: i64::MIN, unrecorded: 0 }
    }
}

impl RefusalBudget {
    /// `Some(n)`: record this one, and that `n` before it were not. `None`: it was only counted.
    pub fn spend(&self, now_ms: i64) -> Option<u64> {
        let mut budget = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed_ms = now_ms.saturating_sub(budget.at_ms).max(0);
        budget.left = (budget.left + elapsed_ms as f64 / 1000.0 * REFUSALS_PER_SECOND).min(REFUSALS_BURST);
        budget.at_ms = now_ms;
        if budget.left < 1.0 {
            budget.unrecorded = budget.unrecorded.saturating_add(1);
            return None;
        }
        budget.left -= 1.0;
        Some(std::mem::take(&mut budget.unrecorded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refused_calls_is_counted_not_recorded() {
        let budget = RefusalBudget::default();
        let recorded = (0..10_000).filter(|_| budget.spend(1_000).is_some()).count();
        assert_eq!(recorded, 100);
        assert_eq!(budget.spend(1_200), Some(9_900), "the next entry says how many had none");
        assert_eq!(budget.spend(1_200), None);
        assert_eq!(budget.spend(500), None, "a clock that jumps back gives nothing");
    }
}
