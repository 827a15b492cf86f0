//! The review queue. What a case does not keep itself is read from the decision that opened it.

use admin::ports::{Answer, Cases, PortError};
use admin::views::{Case, CasePage, CaseQuery, CaseStatus, Judgement, Ruling};
use policies::ports::DecisionReader;
use policies::record::Pseudonym;
use policies::{DecisionRecord, Outcome};

use super::Ports;
use crate::audit::{CaseEvent, Entry};
use crate::stores::{self, CaseError, CaseState, RulingKind};

/// A held transfer is looked at within a day or not at all.
const OPEN_FOR_MS: i64 = 24 * 3600 * 1000;

impl Cases for Ports {
    fn page(&self, query: CaseQuery) -> Answer<'_, CasePage> {
        Box::pin(async move {
            let state = match query.status {
                None => None,
                Some(CaseStatus::Open | CaseStatus::Expired) => Some(CaseState::Open),
                Some(CaseStatus::Released) => Some(CaseState::Released),
                Some(CaseStatus::Rejected) => Some(CaseState::Rejected),
                Some(CaseStatus::Spent) => Some(CaseState::Spent),
            };
            let page =
                self.core.cases.list(state, query.after.as_deref(), query.limit).await.map_err(port_error)?;
            let mut cases = Vec::with_capacity(page.cases.len());
            for case in page.cases {
                let shown = self.shown(case).await;
                if query.status.is_none_or(|wanted| wanted == shown.status) {
                    cases.push(shown);
                }
            }
            Ok(CasePage { cases, next: page.next })
        })
    }

    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Case>> {
        Box::pin(async move {
            match self.core.cases.get(id).await.map_err(port_error)? {
                None => Ok(None),
                Some(case) => Ok(Some(self.shown(case).await)),
            }
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
            let event = CaseEvent { case: case.id.clone(), change: change.to_owned(), by: judgement.by };
            self.core
                .log
                .submit_durable(Entry::Case(event))
                .await
                .map_err(|e| PortError::Unavailable(e.to_string()))?;
            Ok(self.shown(case).await)
        })
    }
}

impl Ports {
    async fn shown(&self, case: stores::Case) -> Case {
        let decision = self.core.log.get(&case.held.decision).await.ok().flatten().map(|(_, record)| record);
        shown(case, decision.as_ref(), self.core.clock.now_ms())
    }
}

fn shown(case: stores::Case, decision: Option<&DecisionRecord>, now_ms: i64) -> Case {
    let expires_at_ms = case.opened_ms.saturating_add(OPEN_FOR_MS);
    let status = match case.state {
        CaseState::Open if now_ms >= expires_at_ms => CaseStatus::Expired,
        CaseState::Open => CaseStatus::Open,
        CaseState::Released => CaseStatus::Released,
        CaseState::Rejected => CaseStatus::Rejected,
        CaseState::Spent => CaseStatus::Spent,
    };
    let unknown = || Pseudonym(String::new());
    let transfer = decision.and_then(|d| d.transfer.as_ref());
    let mut reasons: Vec<String> =
        decision.and_then(|d| d.fraud.as_ref()).map(|f| f.sentences.clone()).unwrap_or_default();
    let holding = case.held.reasons.iter().filter(|r| r.outcome == Outcome::Hold);
    reasons.extend(holding.map(|r| format!("rule {}", r.source)));
    Case {
        revision: revision(case.state),
        id: case.id,
        decision_id: case.held.decision,
        status,
        opened_at_ms: case.opened_ms,
        expires_at_ms,
        route: decision.map_or_else(|| "-".to_owned(), |d| d.route.to_string()),
        subject: case.held.customer,
        from: transfer.map_or_else(unknown, |t| t.from.clone()),
        to: case.held.payee,
        amount_minor: case.held.amount_minor,
        currency: case.held.currency,
        fraud: decision.and_then(|d| d.fraud.as_ref()).and_then(|f| f.value),
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
