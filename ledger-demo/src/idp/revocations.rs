//! Access tokens that are dead before their time, and whoever wants to hear of it at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;

use super::announce::Registration;
use super::errors::IdpError;
use super::grants::LiveToken;

/// Something that a resource server must stop accepting now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// One access token, which would have lived until `expires_ms` (unix milliseconds).
    Token {
        /// Its `jti`.
        jti: String,
        /// When it would have expired.
        expires_ms: i64,
    },
    /// All tokens and browser sessions with this `sid`.
    Session {
        /// The `sid` of ID and access tokens.
        sid: String,
        /// Whose session it was.
        subject: String,
    },
}

/// Revoked `jti`s with the time they may be forgotten, kept in the store's tree `idp_revocations`.
pub(super) struct Revocations {
    tree: sled::Tree,
    listeners: Option<broadcast::Sender<Revoked>>,
    announcer: Option<Registration>,
    /// How many listeners were told of.
    count: AtomicU64,
}

/// Longest wait for the gateway while a person or a client waits for the answer.
const ANNOUNCED_MAX: Duration = Duration::from_secs(2);

impl Revocations {
    pub(super) fn open(
        db: &sled::Db,
        listeners: Option<broadcast::Sender<Revoked>>,
        announcer: Option<Registration>,
        now_ms: i64,
    ) -> Result<Self, IdpError> {
        let tree = db.open_tree("idp_revocations")?;
        let opened = Self { tree, listeners, announcer, count: AtomicU64::new(0) };
        opened.forget_expired(now_ms)?;
        // A crash may have come between the store and the listeners.
        for entry in &opened.tree {
            let (jti, bytes) = entry?;
            if let (Ok(jti), Ok(bytes)) = (String::from_utf8(jti.to_vec()), bytes.as_ref().try_into()) {
                opened.tell(Revoked::Token { jti, expires_ms: i64::from_be_bytes(bytes) });
            }
        }
        Ok(opened)
    }

    /// Revokes access tokens; once this returns it survives a crash, and listeners have been told.
    pub(super) fn revoke(&self, tokens: Vec<LiveToken>) -> Result<(), IdpError> {
        if tokens.is_empty() {
            return Ok(());
        }
        for token in &tokens {
            self.tree.insert(&token.jti, &token.expires_ms.to_be_bytes())?;
        }
        self.tree.flush()?;
        for LiveToken { jti, expires_ms } in tokens {
            self.tell(Revoked::Token { jti, expires_ms });
        }
        Ok(())
    }

    pub(super) fn tell(&self, revoked: Revoked) {
        if let Some(listeners) = &self.listeners {
            self.count.fetch_add(1, Ordering::AcqRel);
            // An error means that nobody listens.
            let _ = listeners.send(revoked);
        }
    }

    /// Waits until the gateway has heard of all that was told so far, within a bound.
    pub(super) async fn announced(&self) {
        let Some(announcer) = &self.announcer else { return };
        let count = self.count.load(Ordering::Acquire);
        let mut told = announcer.told.clone();
        if tokio::time::timeout(ANNOUNCED_MAX, told.wait_for(|told| *told >= count)).await.is_err() {
            tracing::warn!("answered before the gateway heard of a revocation");
        }
    }

    pub(super) fn contains(&self, jti: &str) -> Result<bool, IdpError> {
        Ok(self.tree.contains_key(jti)?)
    }

    /// Forgets tokens that have expired by themselves.
    pub(super) fn forget_expired(&self, now_ms: i64) -> Result<(), IdpError> {
        for entry in &self.tree {
            let (jti, bytes) = entry?;
            let expired = bytes.as_ref().try_into().map_or(true, |bytes| i64::from_be_bytes(bytes) <= now_ms);
            if expired {
                self.tree.remove(jti)?;
            }
        }
        Ok(())
    }
}
