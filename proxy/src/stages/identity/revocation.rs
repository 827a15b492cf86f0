//! What was revoked before its time: a token by `jti`, a log-in by `sid`, or everything of a subject.
//!
//! The set lives in memory and is asked on every request; the record store makes it survive a restart. A revocation is in
//! force the moment [`Revocations::revoke`] has changed the set, before the store has answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::RwLock;
use policies::Name;
use policies::facts::Identity;
use policies::ports::{RecordStore, Space, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Entries read from the store at a time.
const PAGE: usize = 500;

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", content = "value", rename_all = "snake_case")]
pub enum Target {
    /// One token (`jti`), or one session of the gateway by its handle.
    Token(String),
    /// Everything that came of one log-in at the issuer (`sid`).
    Session(String),
    /// Everything of one person (`sub`) issued at or before `issued_before_s`, Unix seconds.
    Subject(String),
}

/// A revocation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The issuer whose identifier it is.
    pub issuer: String,
    /// What is revoked.
    #[serde(flatten)]
    pub target: Target,
    /// Only what was issued at or before this moment, Unix seconds; matters for subjects, who may log in again.
    pub issued_before_s: i64,
    /// When nothing that it could stop is alive any more, Unix milliseconds.
    pub expires_ms: i64,
}

/// Up to which change of the set an identity is known not to be revoked.
#[derive(Debug, Default)]
pub struct Checked(AtomicU64);

#[derive(Clone, Copy, Debug)]
struct Until {
    issued_before_s: i64,
    expires_ms: i64,
}

#[derive(Debug, Default)]
struct OfIssuer {
    tokens: HashMap<String, Until>,
    sessions: HashMap<String, Until>,
    subjects: HashMap<String, Until>,
}

impl OfIssuer {
    fn map(&mut self, target: &Target) -> (&mut HashMap<String, Until>, String) {
        match target {
            Target::Token(value) => (&mut self.tokens, value.clone()),
            Target::Session(value) => (&mut self.sessions, value.clone()),
            Target::Subject(value) => (&mut self.subjects, value.clone()),
        }
    }

    fn len(&self) -> usize {
        self.tokens.len() + self.sessions.len() + self.subjects.len()
    }

    fn covers(&self, identity: &Identity) -> bool {
        let hit = |map: &HashMap<String, Until>, value: Option<&str>| {
            value.and_then(|v| map.get(v)).is_some_and(|until| identity.issued_at <= until.issued_before_s)
        };
        hit(&self.tokens, identity.token_id.as_deref())
            || hit(&self.sessions, identity.session_id.as_deref())
            || hit(&self.subjects, Some(&identity.subject))
    }
}

/// The revocations in force.
pub struct Revocations {
    by_issuer: RwLock<HashMap<Name, OfIssuer>>,
    changes: watch::Sender<u64>,
    generation: AtomicU64,
    store: Arc<dyn RecordStore>,
    capacity: usize,
}

impl Revocations {
    /// An empty set over `store`, of at most `capacity` entries.
    pub fn new(store: Arc<dyn RecordStore>, capacity: usize) -> Self {
        Self {
            by_issuer: RwLock::default(),
            changes: watch::channel(1).0,
            generation: AtomicU64::new(1),
            store,
            capacity,
        }
    }

    /// Reads what the store has; called at the start, before any request.
    ///
    /// # Errors
    /// The store's, or [`StoreError::Damaged`] for an entry that cannot be read: a revocation is never skipped.
    pub async fn load(&self, now_ms: i64) -> Result<usize, StoreError> {
        let mut after: Option<Vec<u8>> = None;
        let mut loaded = 0;
        loop {
            let page = self.store.list(Space::Revocations, after.as_deref(), PAGE).await?;
            for (key, value) in &page {
                let read: Revocation =
                    serde_json::from_slice(value).map_err(|e| StoreError::Damaged(e.to_string()))?;
                if read.expires_ms <= now_ms {
                    self.store.remove(Space::Revocations, key).await?;
                } else {
                    self.enforce(&read)?;
                    loaded += 1;
                }
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
                _ => return Ok(loaded),
            }
        }
    }

    /// Revokes at once, then makes it durable.
    ///
    /// # Errors
    /// [`StoreError::Full`] when the set is; the store's own errors, after which it holds until the next restart.
    pub async fn revoke(&self, revocation: &Revocation) -> Result<(), StoreError> {
        self.enforce(revocation)?;
        let key = store_key(revocation);
        loop {
            let old = self.store.get(Space::Revocations, &key).await?;
            let mut kept = revocation.clone();
            if let Some(Ok(older)) = old.as_deref().map(serde_json::from_slice::<Revocation>) {
                kept.issued_before_s = kept.issued_before_s.max(older.issued_before_s);
                kept.expires_ms = kept.expires_ms.max(older.expires_ms);
            }
            let value = serde_json::to_vec(&kept).map_err(|e| StoreError::Damaged(e.to_string()))?;
            if self.store.compare_and_set(Space::Revocations, &key, old.as_deref(), &value).await? {
                return Ok(());
            }
        }
    }

    /// Revokes in this process alone: for what the stores no longer know anyway, such as a session logged out.
    ///
    /// # Errors
    /// [`StoreError::Full`].
    pub fn enforce(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let mut sets = self.by_issuer.write();
        if sets.values().map(OfIssuer::len).sum::<usize>() >= self.capacity {
            return Err(StoreError::Full);
        }
        let (map, value) = sets.entry(revocation.issuer.as_str().into()).or_default().map(&revocation.target);
        let entry = map.entry(value).or_insert(Until { issued_before_s: i64::MIN, expires_ms: i64::MIN });
        // Never milder than what stood there before.
        entry.issued_before_s = entry.issued_before_s.max(revocation.issued_before_s);
        entry.expires_ms = entry.expires_ms.max(revocation.expires_ms);
        drop(sets);
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.changes.send_replace(generation);
        Ok(())
    }

    /// Whether an identity is revoked.
    pub fn is_revoked(&self, identity: &Identity) -> bool {
        self.by_issuer.read().get(&identity.issuer).is_some_and(|set| set.covers(identity))
    }

    /// The same at the cost of one load while nothing has changed since the last time.
    pub fn is_revoked_since(&self, identity: &Identity, checked: &Checked) -> bool {
        // Read before the set is asked: a change in between raises it again and is seen next time.
        let now = self.generation.load(Ordering::Acquire);
        if checked.0.load(Ordering::Relaxed) == now {
            return false;
        }
        let revoked = self.is_revoked(identity);
        if !revoked {
            checked.0.store(now, Ordering::Relaxed);
        }
        revoked
    }

    /// Tells of every change, so that what is open longer than a request can ask [`Self::is_revoked`] again.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Drops what has served its time.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self, now_ms: i64) -> Result<(), StoreError> {
        for set in self.by_issuer.write().values_mut() {
            for map in [&mut set.tokens, &mut set.sessions, &mut set.subjects] {
                map.retain(|_, until| until.expires_ms > now_ms);
            }
        }
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.store.list(Space::Revocations, after.as_deref(), PAGE).await?;
            for (key, value) in &page {
                let over = serde_json::from_slice::<Revocation>(value).is_ok_and(|r| r.expires_ms <= now_ms);
                if over {
                    self.store.remove(Space::Revocations, key).await?;
                }
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Revocations in force.
    pub fn len(&self) -> usize {
        self.by_issuer.read().values().map(OfIssuer::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn store_key(revocation: &Revocation) -> Vec<u8> {
    let named = serde_json::to_vec(&(&revocation.issuer, &revocation.target)).unwrap_or_default();
    digest(&SHA256, &named).as_ref().to_vec()
}
