//! Answers that are still believed: active tokens in one table, refused ones in another, so that a flood of tokens that
//! nobody gave pushes out only its own kind.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::super::bearer::TokenFault;
use super::super::bounded::BoundedMap;
use super::super::revocation::Checked;
use super::answer::Answer;
use super::denied::Denied;
use crate::refusal::Reason;

/// A refusal is believed for at most this long, milliseconds: a token may be asked about before all of the issuer's
/// servers know it.
const REFUSED_MS: i64 = 10_000;

/// SHA-256 of a token.
pub type Key = [u8; 32];

/// The key under which everything about a token is kept.
pub fn key(token: &str) -> Key {
    Sha256::digest(token).into()
}

/// A token that was active when its issuer was last asked.
#[derive(Debug)]
pub struct Active {
    /// What the issuer said.
    pub answer: Answer,
    /// Up to which revocation it was looked at.
    pub checked: Checked,
    /// Until when the answer is believed.
    until_ms: i64,
}

impl Active {
    /// Whether `exp` is still to come.
    pub fn alive(&self, now_ms: i64) -> bool {
        now_ms < self.answer.identity.expires_at.saturating_mul(1000)
    }

    /// The same, for whoever presents it.
    ///
    /// # Errors
    /// `token.expired`.
    pub fn check_alive(&self, now_ms: i64) -> Result<(), TokenFault> {
        let expired = || TokenFault::new(Reason::TokenExpired, "exp has passed");
        self.alive(now_ms).then_some(()).ok_or_else(expired)
    }
}

/// What is known of a token.
pub enum Known {
    /// Active, and that is still believed.
    Active(Arc<Active>),
    /// Refused a moment ago.
    Refused(Denied),
    /// It was active, and its issuer must be asked again.
    Stale,
    /// Never seen, or forgotten.
    Nothing,
}

/// The two tables of one issuer.
#[derive(Debug)]
pub struct Held {
    active: BoundedMap<Key, Arc<Active>>,
    refused: BoundedMap<Key, (Denied, i64)>,
    believed_ms: i64,
}

impl Held {
    /// Tables of about `capacity` entries each, whose answers are believed for `cache_s` seconds.
    pub fn new(capacity: usize, cache_s: i64) -> Self {
        Self {
            active: BoundedMap::new(capacity),
            refused: BoundedMap::new(capacity),
            believed_ms: cache_s.saturating_mul(1000),
        }
    }

    /// What is known of a token now.
    pub fn find(&self, key: &Key, now_ms: i64) -> Known {
        let active = self.active.get(key).filter(|active| active.alive(now_ms));
        match active {
            Some(active) if now_ms < active.until_ms => return Known::Active(active),
            Some(_) => return Known::Stale,
            None => {}
        }
        match self.refused.get(key) {
            Some((denied, until_ms)) if now_ms < until_ms => Known::Refused(denied),
            _ => Known::Nothing,
        }
    }

    /// Keeps an active token; `asked_ms` is when the question was put.
    pub fn keep(&self, key: Key, answer: Answer, asked_ms: i64) -> Arc<Active> {
        let until_ms = asked_ms.saturating_add(self.believed_ms);
        let active = Arc::new(Active { answer, checked: Checked::default(), until_ms });
        self.refused.remove(&key);
        self.active.insert(key, Arc::clone(&active));
        active
    }

    /// Keeps a refusal, which ends what was believed before.
    pub fn refuse(&self, key: Key, denied: Denied, asked_ms: i64) {
        self.active.remove(&key);
        let until_ms = asked_ms.saturating_add(self.believed_ms.min(REFUSED_MS));
        self.refused.insert(key, (denied, until_ms));
    }

    /// Drops what has had its time. What is active is kept up to its `exp`: asking about it again has its own lane.
    pub fn sweep(&self, now_ms: i64) {
        self.active.retain(|_, active| active.alive(now_ms));
        self.refused.retain(|_, (_, until_ms)| now_ms < *until_ms);
    }

    /// Entries: active, refused.
    pub fn len(&self) -> (usize, usize) {
        (self.active.len(), self.refused.len())
    }
}
