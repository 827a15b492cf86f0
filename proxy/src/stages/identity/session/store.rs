//! Sessions at rest and in the process.
//!
//! At rest a session is sealed with a key that only its browser's cookie gives, under a hash of that cookie: whoever
//! reads the store can neither use a session nor see its refresh token. In the process it is found by one hash and one
//! table look-up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policies::Name;
use policies::facts::{Credential, Identity};
use policies::ports::{HotStore, Space, StoreError};
use serde::{Deserialize, Serialize};

use super::super::bounded::BoundedMap;
use super::super::revocation::{Checked, Revocations};
use super::secret::Secret;

/// A session is read again from the store this often, so that what another gateway ended ends here too.
const RELOAD_MS: i64 = 15_000;
/// A session's use is written down at most this often, and at least four times in its idle time.
const SAVE_MS: i64 = 60_000;

/// What is kept of a session.
#[derive(Clone, Serialize, Deserialize)]
pub struct Kept {
    pub app: String,
    pub issuer: String,
    pub subject: String,
    pub client_id: String,
    pub scopes: Vec<String>,
    pub roles: Vec<String>,
    pub acr: Option<String>,
    pub auth_time: Option<i64>,
    pub sid: Option<String>,
    pub begun_ms: i64,
    pub used_ms: i64,
    pub idle_ms: i64,
    pub ends_ms: i64,
    /// When the access token expires; without a refresh token it does not matter.
    pub granted_until_ms: Option<i64>,
    /// How long after that it may go on while the issuer cannot be reached.
    pub grace_ms: i64,
    pub refresh_token: Option<String>,
    /// For the issuer's log-out page.
    pub id_token: Option<String>,
}

/// A session in the process.
pub struct Session {
    pub(super) kept: Kept,
    pub(super) identity: Arc<Identity>,
    used_ms: AtomicI64,
    saved_ms: AtomicI64,
    loaded_ms: i64,
    /// Not before this moment is a refresh tried again that could not reach the issuer.
    pub(super) refresh_after_ms: AtomicI64,
    checked: Checked,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("subject", &self.kept.subject).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(kept: Kept, key: &[u8; 32], issuer: Name, now_ms: i64) -> Self {
        let identity = Arc::new(Identity {
            issuer,
            subject: kept.subject.clone(),
            client_id: kept.client_id.clone(),
            scopes: kept.scopes.clone(),
            roles: kept.roles.clone(),
            acr: kept.acr.clone(),
            auth_time: kept.auth_time,
            issued_at: kept.begun_ms.div_euclid(1000),
            expires_at: kept.ends_ms.div_euclid(1000),
            token_id: Some(handle(key)),
            session_id: kept.sid.clone(),
            credential: Credential::Session,
            authorization_details: None,
        });
        Self {
            identity,
            used_ms: AtomicI64::new(kept.used_ms),
            saved_ms: AtomicI64::new(kept.used_ms),
            loaded_ms: now_ms,
            refresh_after_ms: AtomicI64::new(i64::MIN),
            checked: Checked::default(),
            kept,
        }
    }

    /// Who it belongs to.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The application it is for.
    pub fn app(&self) -> &str {
        &self.kept.app
    }

    /// When it was last used, Unix milliseconds.
    pub fn used_ms(&self) -> i64 {
        self.used_ms.load(Ordering::Relaxed)
    }

    /// When it ends if it is not used, Unix milliseconds.
    pub fn idle_until_ms(&self) -> i64 {
        self.used_ms.load(Ordering::Relaxed).saturating_add(self.kept.idle_ms).min(self.kept.ends_ms)
    }

    pub(in super::super) fn is_over(&self, revocations: &Revocations, now_ms: i64) -> bool {
        now_ms >= self.idle_until_ms() || revocations.is_revoked_since(&self.identity, &self.checked)
    }

    pub(super) fn refresh_due(&self, now_ms: i64) -> bool {
        self.kept.refresh_token.is_some()
            && self.kept.granted_until_ms.is_some_and(|until| now_ms >= until)
            && now_ms >= self.refresh_after_ms.load(Ordering::Relaxed)
    }

    /// Whether it may not be used before a refresh succeeds.
    pub(super) fn overdue(&self, now_ms: i64) -> bool {
        self.kept.refresh_token.is_some()
            && self
                .kept
                .granted_until_ms
                .is_some_and(|until| now_ms >= until.saturating_add(self.kept.grace_ms))
    }

    fn save_due(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.saved_ms.load(Ordering::Relaxed)) >= self.save_interval_ms()
    }

    fn save_interval_ms(&self) -> i64 {
        SAVE_MS.min(self.kept.idle_ms / 4)
    }

    fn needs_nothing(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.loaded_ms) < RELOAD_MS
            && !self.refresh_due(now_ms)
            && !self.overdue(now_ms)
            && !self.save_due(now_ms)
    }
}

/// The public name of a session, for revocation and the admin API; the cookie cannot be had from it.
fn handle(key: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(key.get(..16).unwrap_or_default())
}

/// How a session was found in the process.
pub enum Cached {
    /// Alive, and nothing has to be done for it.
    Ready(Arc<Session>),
    /// Alive, but due to be read again, refreshed or written down.
    Due(Arc<Session>),
    /// Over.
    Over,
    /// Not in the process.
    Unknown,
}

/// All sessions.
pub struct Sessions {
    cache: BoundedMap<[u8; 32], Arc<Session>>,
    store: Arc<dyn HotStore>,
}

impl Sessions {
    /// No sessions in the process yet; `capacity` may be.
    pub fn new(store: Arc<dyn HotStore>, capacity: usize) -> Self {
        Self { cache: BoundedMap::new(capacity), store }
    }

    /// Looks in the process alone, and counts as use.
    pub fn cached(&self, key: &[u8; 32], revocations: &Revocations, now_ms: i64) -> Cached {
        let Some(session) = self.cache.get(key) else { return Cached::Unknown };
        if session.is_over(revocations, now_ms) {
            self.cache.remove(key);
            return Cached::Over;
        }
        session.used_ms.fetch_max(now_ms, Ordering::Relaxed);
        if session.needs_nothing(now_ms) { Cached::Ready(session) } else { Cached::Due(session) }
    }

    /// When a session of this process ends if it is not used from now on; `None` when it is over or not known here. Asking
    /// is no use of it.
    pub fn idle_until_ms(&self, key: &[u8; 32]) -> Option<i64> {
        self.cache.get(key).map(|session| session.idle_until_ms())
    }

    /// Reads a session from the store; `None` when there is none or it is over.
    pub(super) async fn load(
        &self,
        secret: &Secret,
        app: &str,
        issuer: &Name,
        revocations: &Revocations,
        now_ms: i64,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let key = secret.key(app);
        let Some(sealed) = self.store.get(Space::Sessions, &key, now_ms).await? else {
            self.cache.remove(&key);
            return Ok(None);
        };
        let damaged = || StoreError::Damaged("a session cannot be opened".into());
        let plain = secret.open(app, &sealed).ok_or_else(damaged)?;
        let kept: Kept = serde_json::from_slice(&plain).map_err(|_| damaged())?;
        if kept.app != app || kept.issuer != **issuer {
            return Err(damaged());
        }
        let session = Session::new(kept, &key, issuer.clone(), now_ms);
        // What this process knows of its use is newer than what was written down.
        if let Some(older) = self.cache.get(&key) {
            session.used_ms.fetch_max(older.used_ms.load(Ordering::Relaxed), Ordering::Relaxed);
            let after = older.refresh_after_ms.load(Ordering::Relaxed);
            session.refresh_after_ms.store(after, Ordering::Relaxed);
        }
        if session.is_over(revocations, now_ms) {
            self.cache.remove(&key);
            self.store.remove(Space::Sessions, &key).await?;
            return Ok(None);
        }
        session.used_ms.fetch_max(now_ms, Ordering::Relaxed);
        let session = Arc::new(session);
        self.cache.insert(key, Arc::clone(&session));
        Ok(Some(session))
    }

    /// Writes a session down, in the store first.
    pub(super) async fn save(
        &self,
        secret: &Secret,
        mut kept: Kept,
        issuer: &Name,
        now_ms: i64,
    ) -> Result<Arc<Session>, StoreError> {
        kept.used_ms = kept.used_ms.max(now_ms);
        let key = secret.key(&kept.app);
        let unwritable = || StoreError::Unavailable("a session cannot be sealed".into());
        let plain = serde_json::to_vec(&kept).map_err(|_| unwritable())?;
        let sealed = secret.seal(&kept.app, &plain).ok_or_else(unwritable)?;
        let session = Session::new(kept, &key, issuer.clone(), now_ms);
        // A use that is not written down yet must not be cut short by the store's own clock.
        let expires_ms =
            session.idle_until_ms().saturating_add(session.save_interval_ms()).min(session.kept.ends_ms);
        self.store.put(Space::Sessions, &key, &sealed, expires_ms).await?;
        let session = Arc::new(session);
        self.cache.insert(key, Arc::clone(&session));
        Ok(session)
    }

    /// Writes the session's use down if that is due.
    pub(super) async fn save_use(
        &self,
        secret: &Secret,
        session: &Arc<Session>,
        now_ms: i64,
    ) -> Result<Arc<Session>, StoreError> {
        if !session.save_due(now_ms) {
            return Ok(Arc::clone(session));
        }
        let saved = self.save(secret, session.kept.clone(), &session.identity.issuer, now_ms).await?;
        saved.refresh_after_ms.store(session.refresh_after_ms.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(saved)
    }

    /// Ends a session here and in the store.
    pub(super) async fn end(&self, key: &[u8; 32]) -> Result<(), StoreError> {
        self.cache.remove(key);
        self.store.remove(Space::Sessions, key).await
    }

    /// Drops from the process what is over; the store sweeps itself.
    pub fn sweep(&self, now_ms: i64) {
        self.cache.retain(|_, session| now_ms < session.idle_until_ms());
    }

    /// Sessions in the process that are not over.
    pub fn live(&self, now_ms: i64) -> Vec<Arc<Session>> {
        self.cache.values().into_iter().filter(|session| now_ms < session.idle_until_ms()).collect()
    }

    /// Sessions in the process.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether there are none in the process.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn store(&self) -> &dyn HotStore {
        &*self.store
    }
}
