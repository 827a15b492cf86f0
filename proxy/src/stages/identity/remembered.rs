//! Verified tokens, remembered by their SHA-256 so that the signature is not paid for again.
//!
//! A look-up never parses the token. It accepts only what was fully verified for the same application, has not expired,
//! is not revoked, and was verified with a key that its issuer still publishes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use policies::facts::Identity;
use sha2::{Digest, Sha256};

use super::bearer::{Binding, Proved, Verified};
use super::bounded::BoundedMap;
use super::keys::VerifyingKey;
use super::revocation::{Checked, Revocations};

/// SHA-256 over application and token.
type Key = [u8; 32];

/// The memory.
#[derive(Debug)]
pub struct Remembered {
    entries: BoundedMap<Key, Arc<Remembrance>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// A verified token.
#[derive(Debug)]
pub struct Remembrance {
    identity: Arc<Identity>,
    key: Arc<VerifyingKey>,
    bound_to: Option<Binding>,
    checked: Checked,
}

impl Remembrance {
    /// Whose it is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Whether it has neither expired nor been revoked, and its key is still published.
    pub fn holds(&self, revocations: &Revocations, now_ms: i64) -> bool {
        now_ms < self.identity.expires_at.saturating_mul(1000)
            && !self.key.is_withdrawn()
            && !revocations.is_revoked_since(&self.identity, &self.checked)
    }
}

/// Counts for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStatus {
    /// Tokens held.
    pub entries: usize,
    /// Look-ups answered.
    pub hits: u64,
    /// Look-ups that found nothing usable.
    pub misses: u64,
}

impl Remembered {
    /// A memory of about `capacity` tokens.
    pub fn new(capacity: usize) -> Self {
        Self { entries: BoundedMap::new(capacity), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// A token verified before, if nothing has ended it since and its sender proved what it is bound to.
    pub fn find(
        &self,
        app: usize,
        token: &str,
        proved: Proved,
        revocations: &Revocations,
        now_ms: i64,
    ) -> Option<Arc<Remembrance>> {
        let key = key(app, token);
        let found = self.entries.get(&key).filter(|entry| {
            let holds = entry.holds(revocations, now_ms);
            if !holds {
                self.entries.remove(&key);
            }
            holds && proved.satisfies(entry.bound_to)
        });
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Remembers what was just verified, and shares its identity.
    pub fn keep(&self, app: usize, token: &str, verified: Verified) -> Arc<Identity> {
        let identity = Arc::new(verified.identity);
        let entry = Remembrance {
            identity: Arc::clone(&identity),
            key: verified.key,
            bound_to: verified.bound_to,
            checked: Checked::default(),
        };
        self.entries.insert(key(app, token), Arc::new(entry));
        identity
    }

    /// Drops what has expired.
    pub fn sweep(&self, now_ms: i64) {
        self.entries
            .retain(|_, e| now_ms < e.identity.expires_at.saturating_mul(1000) && !e.key.is_withdrawn());
    }

    /// Counts.
    pub fn status(&self) -> MemoryStatus {
        MemoryStatus {
            entries: self.entries.len(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

fn key(app: usize, token: &str) -> Key {
    Sha256::new().chain_update(app.to_le_bytes()).chain_update(token).finalize().into()
}
