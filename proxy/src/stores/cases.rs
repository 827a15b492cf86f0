//! Review cases: transfers that wait for a person.
//!
//! A case changes by compare-and-set only, so that two reviewers never both decide it and a release is never spent twice.
//! A release is also listed under what it is for, so that it is found by the customer's next attempt; that list is a
//! hint, and the case itself says whether the release is there to be spent.

use std::sync::Arc;

use policies::Name;
use policies::ports::{RecordStore, Space, StoreError};
use policies::record::Pseudonym;
use policies::verdict::Reason;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A transfer that waits, waited, or was let through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Sorts the newest first.
    pub id: String,
    /// Unix milliseconds.
    pub opened_ms: i64,
    /// What was held.
    #[serde(flatten)]
    pub held: NewCase,
    /// How it stands.
    pub state: CaseState,
    /// What a reviewer decided.
    pub ruling: Option<Ruling>,
    /// Decision in which the release was spent, and when.
    pub spent: Option<(String, i64)>,
}

/// What is held, and what a reviewer is shown of it: a list of cases must not have to look for the decisions in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewCase {
    /// The decision that held it.
    pub decision: String,
    /// Who wants to pay.
    pub customer: Pseudonym,
    /// Whom.
    pub payee: Pseudonym,
    /// Minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Keyed hash of the idempotency key, where one was sent; the release is then for that key alone.
    pub key: Option<Pseudonym>,
    /// Why it was held.
    pub reasons: Vec<Reason>,
    /// The paying account. This and what follows is not in cases of earlier versions.
    #[serde(default)]
    pub from: Option<Pseudonym>,
    /// Name of the request's route.
    #[serde(default)]
    pub route: Option<Name>,
    /// Fraud probability, where there was one.
    #[serde(default)]
    pub fraud: Option<f64>,
    /// What speaks for fraud, in sentences.
    #[serde(default)]
    pub sentences: Vec<String>,
}

/// How a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseState {
    /// Waits for a reviewer.
    Open,
    /// A reviewer lets it through, once.
    Released,
    /// A reviewer does not.
    Rejected,
    /// It was let through.
    Spent,
}

/// What a reviewer may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RulingKind {
    /// Let it through.
    Release,
    /// Do not.
    Reject,
}

/// A reviewer's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// Which.
    pub kind: RulingKind,
    /// The reviewer's subject.
    pub by: String,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// Why, in the reviewer's words.
    pub note: String,
}

/// What a release is looked for by: all of it must be as it was held.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    /// Who pays.
    pub customer: &'a Pseudonym,
    /// Whom.
    pub payee: &'a Pseudonym,
    /// Minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: &'a str,
    /// Keyed hash of the idempotency key of this attempt.
    pub key: Option<&'a Pseudonym>,
}

/// A page of cases, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct CasePage {
    /// The cases.
    pub cases: Vec<Case>,
    /// Ask for cases after this id next; `None` at the end.
    pub next: Option<String>,
}

/// Why a case could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// No such case.
    #[error("there is no such case")]
    Unknown,
    /// It was decided before.
    #[error("the case was decided already: it is {0:?}")]
    Decided(CaseState),
    /// Over a bound.
    #[error("the note is longer than {NOTE_BYTES_MAX} bytes")]
    NoteTooLong,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Longest note of a reviewer, bytes.
pub const NOTE_BYTES_MAX: usize = 2_000;
/// Most releases of the very same transfer that are looked at.
const RELEASES_MAX: usize = 16;
/// Most cases that one page looks at, whether they match or not.
const PAGE_SCAN_MAX: usize = 1_000;

/// The review queue.
#[derive(Clone)]
pub struct Cases {
    records: Arc<dyn RecordStore>,
    /// A release not used within this time is void.
    release_valid_ms: i64,
}

impl Cases {
    /// Over a store of records; a release is void `release_valid_ms` after it was given.
    pub fn new(records: Arc<dyn RecordStore>, release_valid_ms: i64) -> Self {
        Self { records, release_valid_ms }
    }

    /// Opens a case. The same decision opens it once: asked again, it answers the case that is there.
    ///
    /// # Errors
    /// [`CaseError::Store`].
    pub async fn open(&self, held: NewCase, now_ms: i64) -> Result<Case, CaseError> {
        let id = case_id(&held.decision, now_ms);
        let case = Case { id, opened_ms: now_ms, held, state: CaseState::Open, ruling: None, spent: None };
        let key = case_key(&case.id);
        if self.records.compare_and_set(Space::Cases, &key, None, &encode(&case)?).await? {
            return Ok(case);
        }
        self.get(&case.id).await?.ok_or(CaseError::Unknown)
    }

    /// One case.
    ///
    /// # Errors
    /// [`CaseError::Store`].
    pub async fn get(&self, id: &str) -> Result<Option<Case>, CaseError> {
        Ok(self.read(id).await?.map(|(case, _)| case))
    }

    /// Up to `limit` (1..=200) cases, newest first, after case `after`, in one state or all.
    ///
    /// # Errors
    /// [`CaseError::Store`].
    pub async fn list(
        &self,
        state: Option<CaseState>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<CasePage, CaseError> {
        let limit = limit.clamp(1, 200);
        let mut cases = Vec::new();
        let mut after = case_key(after.unwrap_or_default());
        for _ in 0..PAGE_SCAN_MAX.div_ceil(limit) {
            let entries = self.records.list(Space::Cases, Some(&after), limit).await?;
            let mut ended = entries.len() < limit;
            for (key, value) in entries {
                if !key.starts_with(CASE_PREFIX) {
                    ended = true;
                    break;
                }
                after = key;
                let case = decode(&value)?;
                if state.is_none_or(|state| case.state == state) {
                    cases.push(case);
                }
                if cases.len() == limit {
                    let next = cases.last().map(|case| case.id.clone());
                    return Ok(CasePage { cases, next });
                }
            }
            if ended {
                return Ok(CasePage { cases, next: None });
            }
        }
        let next = after.strip_prefix(CASE_PREFIX).map(|id| String::from_utf8_lossy(id).into_owned());
        Ok(CasePage { cases, next })
    }

    /// Decides an open case, once.
    ///
    /// # Errors
    /// [`CaseError::Decided`] if somebody was earlier.
    pub async fn verdict(
        &self,
        id: &str,
        kind: RulingKind,
        by: &str,
        note: &str,
        now_ms: i64,
    ) -> Result<Case, CaseError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(CaseError::NoteTooLong);
        }
        let (mut case, before) = self.read(id).await?.ok_or(CaseError::Unknown)?;
        if case.state != CaseState::Open {
            return Err(CaseError::Decided(case.state));
        }
        case.ruling = Some(Ruling { kind, by: by.into(), at_ms: now_ms, note: note.into() });
        case.state = match kind {
            RulingKind::Release => CaseState::Released,
            RulingKind::Reject => CaseState::Rejected,
        };
        if kind == RulingKind::Release {
            // Before the case itself: a hint without a release is harmless, a release without a hint is never found.
            let hint = [release_prefix(&case.held.as_release()), id.as_bytes().to_vec()].concat();
            self.records.compare_and_set(Space::Cases, &hint, None, &[]).await?;
        }
        self.change(&case, &before).await
    }

    /// A release for exactly this transfer that is there to be spent; the oldest if there are several.
    ///
    /// # Errors
    /// [`CaseError::Store`].
    pub async fn find_release(&self, wanted: &Release<'_>, now_ms: i64) -> Result<Option<String>, CaseError> {
        let prefix = release_prefix(wanted);
        let hints = self.records.list(Space::Cases, Some(&prefix), RELEASES_MAX).await?;
        let mut found = None;
        for (key, _) in hints {
            let Some(id) = key.strip_prefix(prefix.as_slice()) else { break };
            let id = String::from_utf8_lossy(id);
            let case = self.get(&id).await?;
            if case.is_some_and(|case| self.is_spendable(&case, wanted, now_ms)) {
                found = Some(id.into_owned());
            }
        }
        Ok(found)
    }

    /// Spends the release of case `id` for `decision`; false if it was spent before, is void, or never was. Called before
    /// the transfer is forwarded: if forwarding fails then, the customer asks for another review rather than pays twice.
    ///
    /// # Errors
    /// [`CaseError::Store`].
    pub async fn spend(&self, id: &str, decision: &str, now_ms: i64) -> Result<bool, CaseError> {
        let Some((mut case, before)) = self.read(id).await? else { return Ok(false) };
        if !self.is_valid(&case, now_ms) {
            return Ok(false);
        }
        case.state = CaseState::Spent;
        case.spent = Some((decision.into(), now_ms));
        match self.change(&case, &before).await {
            Ok(case) => {
                let hint = [release_prefix(&case.held.as_release()), id.as_bytes().to_vec()].concat();
                self.records.remove(Space::Cases, &hint).await?;
                Ok(true)
            }
            Err(CaseError::Decided(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Finds and spends a release in one step; answers its case. At most one caller gets it.
    ///
    /// # Errors
    /// [`CaseError::Store`].
    pub async fn spend_release(
        &self,
        wanted: &Release<'_>,
        decision: &str,
        now_ms: i64,
    ) -> Result<Option<String>, CaseError> {
        while let Some(id) = self.find_release(wanted, now_ms).await? {
            if self.spend(&id, decision, now_ms).await? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn is_valid(&self, case: &Case, now_ms: i64) -> bool {
        let given_ms = case.ruling.as_ref().map(|ruling| ruling.at_ms);
        case.state == CaseState::Released
            && given_ms.is_some_and(|at| now_ms.saturating_sub(at) < self.release_valid_ms)
    }

    fn is_spendable(&self, case: &Case, wanted: &Release<'_>, now_ms: i64) -> bool {
        let held = &case.held;
        self.is_valid(case, now_ms)
            && held.customer == *wanted.customer
            && held.payee == *wanted.payee
            && held.amount_minor == wanted.amount_minor
            && held.currency == wanted.currency
            && held.key.as_ref().is_none_or(|key| Some(key) == wanted.key)
    }

    async fn read(&self, id: &str) -> Result<Option<(Case, Vec<u8>)>, CaseError> {
        match self.records.get(Space::Cases, &case_key(id)).await? {
            Some(stored) => Ok(Some((decode(&stored)?, stored))),
            None => Ok(None),
        }
    }

    async fn change(&self, case: &Case, before: &[u8]) -> Result<Case, CaseError> {
        let key = case_key(&case.id);
        if self.records.compare_and_set(Space::Cases, &key, Some(before), &encode(case)?).await? {
            return Ok(case.clone());
        }
        let now = self.get(&case.id).await?.ok_or(CaseError::Unknown)?;
        Err(CaseError::Decided(now.state))
    }
}

impl NewCase {
    pub(super) fn as_release(&self) -> Release<'_> {
        Release {
            customer: &self.customer,
            payee: &self.payee,
            amount_minor: self.amount_minor,
            currency: &self.currency,
            key: self.key.as_ref(),
        }
    }
}

const CASE_PREFIX: &[u8] = b"case/";

/// Newest first in key order: the time counts down.
fn case_id(decision: &str, now_ms: i64) -> String {
    let descending = i64::MAX.saturating_sub(now_ms.max(0));
    let digest = Sha256::digest(decision.as_bytes());
    let own = digest.iter().take(6).fold(0_u64, |n, byte| (n << 8) | u64::from(*byte));
    format!("{descending:016x}{own:012x}")
}

fn case_key(id: &str) -> Vec<u8> {
    [CASE_PREFIX, id.as_bytes()].concat()
}

/// The idempotency key is left out: a case without one is released for any.
fn release_prefix(wanted: &Release<'_>) -> Vec<u8> {
    let mut hasher = Sha256::new();
    for part in [&*wanted.customer.0, &wanted.payee.0, wanted.currency] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(wanted.amount_minor.to_be_bytes());
    [b"release/", hasher.finalize().as_slice(), b"/"].concat()
}

fn encode(case: &Case) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(case).map_err(|error| StoreError::Damaged(format!("case: {error}")))
}

fn decode(stored: &[u8]) -> Result<Case, StoreError> {
    serde_json::from_slice(stored).map_err(|error| StoreError::Damaged(format!("case: {error}")))
}
