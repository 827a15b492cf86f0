//! Access tokens that are dead before their time, and whoever wants to hear of it at once.

use tokio::sync::broadcast;

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
}

impl Revocations {
    pub(super) fn open(
        db: &sled::Db,
        listeners: Option<broadcast::Sender<Revoked>>,
    ) -> Result<Self, IdpError> {
        Ok(Self { tree: db.open_tree("idp_revocations")?, listeners })
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
            // An error means that nobody listens.
            let _ = listeners.send(revoked);
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
