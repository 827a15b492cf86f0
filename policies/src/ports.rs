//! What the decision needs from outside, as traits: stores and clocks. Backends live in the proxy; every backend of a
//! trait passes the same conformance suite.

use std::future::Future;
use std::pin::Pin;

use crate::record::DecisionRecord;

/// A store's answer, boxed so that the traits stay object-safe and one binary takes any backend.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why a store could not answer. The caller decides what then: money and identity fail closed, reads degrade.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Out of reach or failing; says which backend and what it said.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// What was stored cannot be read.
    #[error("stored value is damaged: {0}")]
    Damaged(String),
    /// The bound of the table is reached.
    #[error("store is full")]
    Full,
}

/// Wall clock, Unix milliseconds; handed in so that tests set the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now_ms(&self) -> i64;
}

/// Hot state that may be lost: sessions, replay memory, counters. Keys and values are bytes, every entry expires.
pub trait HotStore: Send + Sync {
    /// The value, unless it expired by `now_ms`.
    fn get<'a>(&'a self, space: Space, key: &'a [u8], now_ms: i64) -> Answer<'a, Option<Vec<u8>>>;
    /// Stores until `expires_ms`, over any older value.
    fn put<'a>(&'a self, space: Space, key: &'a [u8], value: &'a [u8], expires_ms: i64) -> Answer<'a, ()>;
    /// Stores only if there is no live entry; says whether it did. The primitive under replay protection.
    fn insert<'a>(
        &'a self,
        space: Space,
        key: &'a [u8],
        value: &'a [u8],
        now_ms: i64,
        expires_ms: i64,
    ) -> Answer<'a, bool>;
    /// Removes and returns a live entry: at most one caller gets it. The primitive under one-time codes.
    fn take<'a>(&'a self, space: Space, key: &'a [u8], now_ms: i64) -> Answer<'a, Option<Vec<u8>>>;
    /// Removes.
    fn remove<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, ()>;
    /// Drops what expired by `now_ms`; returns how many.
    fn sweep(&self, now_ms: i64) -> Answer<'_, u64>;
}

/// Records that may not be lost: policies, cases, revocations, labels. A write is durable when it is answered.
pub trait RecordStore: Send + Sync {
    /// The value.
    fn get<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, Option<Vec<u8>>>;
    /// Replaces `expected` (`None`: must not exist) by `value`; says whether it did.
    fn compare_and_set<'a>(
        &'a self,
        space: Space,
        key: &'a [u8],
        expected: Option<&'a [u8]>,
        value: &'a [u8],
    ) -> Answer<'a, bool>;
    /// Up to `limit` entries with keys strictly after `after` (`None`: from the start), in key order.
    fn list<'a>(&'a self, space: Space, after: Option<&'a [u8]>, limit: usize) -> Answer<'a, Vec<Entry>>;
    /// Removes.
    fn remove<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, ()>;
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Name spaces of the stores; a key of one never meets a key of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Browser sessions.
    Sessions,
    /// Log-ins under way (`state`).
    Logins,
    /// DPoP proofs seen.
    Proofs,
    /// Logout tokens used.
    LogoutTokens,
    /// Transfers that the application took or that wait for review, by what a repeat is recognised by.
    Repeats,
    /// Revoked token ids, sessions and subjects.
    Revocations,
    /// Authorisations for one payment that were spent.
    Authorisations,
    /// Review cases.
    Cases,
    /// Policy documents.
    Policies,
    /// Labels of decisions.
    Labels,
}

impl Space {
    /// Stable name, used as table or key prefix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Logins => "logins",
            Self::Proofs => "proofs",
            Self::LogoutTokens => "logout_tokens",
            Self::Authorisations => "authorisations",
            Self::Repeats => "repeats",
            Self::Revocations => "revocations",
            Self::Cases => "cases",
            Self::Policies => "policies",
            Self::Labels => "labels",
        }
    }
}

/// What a reader of decisions may ask for; all given conditions hold together.
#[derive(Clone, Debug, Default)]
pub struct DecisionQuery {
    /// Only this outcome.
    pub outcome: Option<crate::Outcome>,
    /// Only this route.
    pub route: Option<String>,
    /// Only reasons with this code.
    pub reason: Option<String>,
    /// Older than this position (a page's `next`).
    pub before: Option<u64>,
    /// At most this many, 1..=200.
    pub limit: usize,
}

/// A page of decisions, newest first.
#[derive(Clone, Debug)]
pub struct DecisionPage {
    /// Position in the log and record.
    pub decisions: Vec<(u64, DecisionRecord)>,
    /// Ask for this `before` next; `None` at the end.
    pub next: Option<u64>,
}

/// Reading side of the decision log.
pub trait DecisionReader: Send + Sync {
    /// One page.
    fn page(&self, query: DecisionQuery) -> Answer<'_, DecisionPage>;
    /// One decision by its id.
    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Option<(u64, DecisionRecord)>>;
}
