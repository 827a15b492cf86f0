//! The review queue, shown from the cases alone.

use std::sync::Arc;

use admin::ports::{Answer, Cases, PortError};
use admin::views::{Case, CasePage, CaseQuery, CaseStatus, Judgement, Ruling};
use policies::Outcome;
use policies::record::Pseudonym;

use super::Ports;
use crate::audit::{CaseEvent, Entry};
use crate::stores::{self, CaseError, CaseState, RulingKind};

/// A held transfer is looked at within a day or not at all.
const OPEN_FOR_MS: i64 = 24 * 3600 * 1000;

impl Cases for Ports {
    fn page(&self, query: CaseQuery) -> Answer<'_, CasePage> {
        Box::pin(page(&self.core.cases, query, self.core.clock.now_ms()))
    }

    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Case>> {
        Box::pin(async move {
            let case = self.core.cases.get(id).await.map_err(port_error)?;
            Ok(case.map(|case| shown(case, self.core.clock.now_ms())))
        })
    }

    fn judge<'a>(&'a self, id: &'a str, judgement: Judgement) -> Answer<'a, Case> {
        Box::pin(async move {
            let before = self.core.cases.get(id).await.map_err(port_error)?.ok_or(PortError::NotFound)?;
            if revision(before.state) != judgement.revision {
                return Err(PortError::Conflict);
            }
            if judgement.at_ms >= before.opened_ms.saturating_add(OPEN_FOR_MS) {
                return Err(PortError::Refused(
                    "the case is older than a day; the customer has to ask again".to_owned(),
                ));
            }
            let kind = match judgement.ruling {
                Ruling::Release => RulingKind::Release,
                Ruling::Reject => RulingKind::Reject,
            };
            let note = judgement.note.unwrap_or_default();
            let verdict = self.core.cases.verdict(id, kind, &judgement.by, &note, judgement.at_ms).await;
            let case = verdict.map_err(port_error)?;
            let change = if kind == RulingKind::Release { "released" } else { "rejected" };
            let by = judgement.by;
            let event = CaseEvent { case: case.id.clone(), change: change.to_owned(), by: by.clone() };
            self.core
                .log
                .submit_durable(Entry::Case(event))
                .await
                .map_err(|e| PortError::Unavailable(e.to_string()))?;
            if let Some(fraud) = judgement.fraud {
                let (lifecycle, decision) = (Arc::clone(&self.core.lifecycle), case.held.decision.clone());
                let at_ms = judgement.at_ms;
                let labelled =
                    tokio::task::spawn_blocking(move || lifecycle.judged(&decision, fraud, &by, at_ms));
                labelled.await.map_err(|e| PortError::Unavailable(e.to_string()))?;
            }
            Ok(shown(case, self.core.clock.now_ms()))
        })
    }
}

async fn page(cases: &stores::Cases, query: CaseQuery, now_ms: i64) -> Result<CasePage, PortError> {
    let state = match query.status {
        None => None,
        Some(CaseStatus::Open | CaseStatus::Expired) => Some(CaseState::Open),
        Some(CaseStatus::Released) => Some(CaseState::Released),
        Some(CaseStatus::Rejected) => Some(CaseState::Rejected),
        Some(CaseStatus::Spent) => Some(CaseState::Spent),
    };
    let page = cases.list(state, query.after.as_deref(), query.limit).await.map_err(port_error)?;
    let cases = page.cases.into_iter().map(|case| shown(case, now_ms));
    let wanted = cases.filter(|case| query.status.is_none_or(|status| status == case.status));
    Ok(CasePage { cases: wanted.collect(), next: page.next })
}

fn shown(case: stores::Case, now_ms: i64) -> Case {
    let expires_at_ms = case.opened_ms.saturating_add(OPEN_FOR_MS);
    let status = match case.state {
        CaseState::Open if now_ms >= expires_at_ms => CaseStatus::Expired,
        CaseState::Open => CaseStatus::Open,
        CaseState::Released => CaseStatus::Released,
        CaseState::Rejected => CaseStatus::Rejected,
        CaseState::Spent => CaseStatus::Spent,
    };
    let unknown = || Pseudonym(String::new());
    let held = case.held;
    let mut reasons = held.sentences;
    let holding = held.reasons.iter().filter(|r| r.outcome == Outcome::Hold);
    reasons.extend(holding.map(|r| format!("rule {}", r.source)));
    Case {
        revision: revision(case.state),
        id: case.id,
        decision_id: held.decision,
        status,
        opened_at_ms: case.opened_ms,
        expires_at_ms,
        route: held.route.map_or_else(|| "-".to_owned(), |route| route.to_string()),
        subject: held.customer,
        from: held.from.unwrap_or_else(unknown),
        to: held.payee,
        amount_minor: held.amount_minor,
        currency: held.currency,
        fraud: held.fraud,
        reasons,
        judged_by: case.ruling.as_ref().map(|r| r.by.clone()),
        judged_at_ms: case.ruling.as_ref().map(|r| r.at_ms),
        note: case.ruling.map(|r| r.note).filter(|n| !n.is_empty()),
    }
}

/// A case only ever moves on from state to state.
fn revision(state: CaseState) -> u64 {
    match state {
        CaseState::Open => 1,
        CaseState::Released | CaseState::Rejected => 2,
        CaseState::Spent => 3,
    }
}

fn port_error(error: CaseError) -> PortError {
    match error {
        CaseError::Unknown => PortError::NotFound,
        CaseError::Decided(_) => PortError::Conflict,
        CaseError::NoteTooLong => PortError::Refused(error.to_string()),
        CaseError::Store(_) => PortError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use policies::Reason;
    use policies::ports::{Answer, Entry, RecordStore, Space};

    use super::*;
    use crate::stores::{Bounds, MemoryRecords, NewCase};

    const OPENED_MS: i64 = 1_790_000_000_000;

    /// Counts how often something is read.
    struct Counting {
        records: MemoryRecords,
        reads: AtomicUsize,
    }

    impl Counting {
        fn new() -> Arc<Self> {
            let records = MemoryRecords::new(Bounds::default());
            Arc::new(Self { records, reads: AtomicUsize::new(0) })
        }
    }

    impl RecordStore for Counting {
        fn get<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, Option<Vec<u8>>> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.records.get(space, key)
        }

        fn compare_and_set<'a>(
            &'a self,
            space: Space,
            key: &'a [u8],
            expected: Option<&'a [u8]>,
            value: &'a [u8],
        ) -> Answer<'a, bool> {
            self.records.compare_and_set(space, key, expected, value)
        }

        fn list<'a>(&'a self, space: Space, after: Option<&'a [u8]>, limit: usize) -> Answer<'a, Vec<Entry>> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.records.list(space, after, limit)
        }

        fn remove<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, ()> {
            self.records.remove(space, key)
        }
    }

    fn held(number: i64) -> NewCase {
        let reason = |source: &str, outcome| Reason {
            code: "fraud.score".into(),
            source: source.into(),
            outcome,
            precedence: 1,
            message: "It waits.".into(),
        };
        NewCase {
            decision: format!("d{number}"),
            customer: Pseudonym("alice".to_owned()),
            payee: Pseudonym("mallory".to_owned()),
            amount_minor: number,
            currency: "EUR".to_owned(),
            key: None,
            reasons: vec![reason("hold-large", Outcome::Hold), reason("watch-all", Outcome::Observe)],
            from: Some(Pseudonym("alice-current".to_owned())),
            route: Some("api-transfers".into()),
            fraud: Some(0.75),
            sentences: vec!["It is 40 times the usual amount.".to_owned()],
        }
    }

    #[tokio::test]
    async fn a_page_of_cases_is_one_look_into_the_store_and_none_into_the_log() {
        let store = Counting::new();
        let cases = stores::Cases::new(store.clone(), OPEN_FOR_MS);
        for number in 1..=50 {
            cases.open(held(number), OPENED_MS + number).await.unwrap();
        }
        let query = CaseQuery { status: Some(CaseStatus::Open), after: None, limit: 50 };
        // The log is not within reach here: all that is shown comes from the store.
        let page = page(&cases, query, OPENED_MS + 60).await.unwrap();
        assert_eq!(store.reads.load(Ordering::Relaxed), 1);
        assert_eq!(page.cases.len(), 50);
        let newest = page.cases.first().unwrap();
        assert_eq!((newest.amount_minor, newest.fraud, &*newest.route), (50, Some(0.75), "api-transfers"));
        assert_eq!((&*newest.from.0, &*newest.to.0), ("alice-current", "mallory"));
        assert_eq!(newest.reasons, ["It is 40 times the usual amount.", "rule hold-large"]);
    }

    #[tokio::test]
    async fn a_case_of_an_earlier_version_is_shown_with_what_it_kept() {
        let store = Counting::new();
        let kept = serde_json::json!({
            "id": "0", "opened_ms": OPENED_MS, "decision": "d1", "customer": "alice", "payee": "mallory",
            "amount_minor": 900, "currency": "EUR", "key": null, "reasons": [],
            "state": "open", "ruling": null, "spent": null,
        });
        let kept = kept.to_string();
        assert!(store.compare_and_set(Space::Cases, b"case/0", None, kept.as_bytes()).await.unwrap());
        let cases = stores::Cases::new(store, OPEN_FOR_MS);
        let page = page(&cases, CaseQuery { limit: 9, ..CaseQuery::default() }, OPENED_MS).await.unwrap();
        let [case] = page.cases.as_slice() else { panic!("{page:?}") };
        assert_eq!((case.amount_minor, case.fraud, &*case.route), (900, None, "-"));
        assert_eq!((&*case.subject.0, &*case.from.0, case.status), ("alice", "", CaseStatus::Open));
        let released = cases.verdict("0", RulingKind::Release, "ana", "", OPENED_MS).await.unwrap();
        assert_eq!(released.state, CaseState::Released);
    }
}
