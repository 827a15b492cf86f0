//! What people granted to clients: each grant with its current refresh token and its live access tokens.
//!
//! A refresh token is `<grant>.<secret>`; only the secret's hash is kept, and it is replaced at every use. Any other secret
//! for a grant that exists is an old one used again: somebody has a copy, so the whole grant ends (RFC 9700, 4.14.2).

use std::collections::BTreeSet;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::errors::{ErrorCode, IdpError, OAuthError};
use super::secret::{digest_base64url, random_token, same};

/// Access tokens of one grant that may live at once; a further one displaces the oldest.
const LIVE_TOKENS_MAX: usize = 32;

/// A grant, kept in the store's tree `idp_grants` under its id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) id: String,
    pub(super) client_id: String,
    pub(super) subject: String,
    pub(super) sid: String,
    pub(super) scopes: BTreeSet<String>,
    pub(super) resource: String,
    pub(super) acr: String,
    pub(super) auth_time_ms: i64,
    /// Outlives the session in which it was given.
    pub(super) offline: bool,
    pub(super) expires_ms: i64,
    /// Hash of the current refresh token's secret.
    pub(super) refresh: Option<String>,
    pub(super) live: Vec<LiveToken>,
}

/// An access token that has not expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LiveToken {
    pub(super) jti: String,
    pub(super) expires_ms: i64,
}

/// What came of using a refresh token.
pub(super) enum Renewal {
    /// A new refresh token; `displaced` access tokens are to be revoked.
    Renewed { grant: Grant, refresh_token: String, displaced: Vec<LiveToken> },
    /// An old token was used again: this grant is gone and its access tokens are to be revoked.
    Reused(Grant),
}

pub(super) struct Grants {
    tree: sled::Tree,
    /// Makes reading and writing one grant atomic.
    writing: Mutex<()>,
}

impl Grants {
    pub(super) fn open(db: &sled::Db) -> Result<Self, IdpError> {
        Ok(Self { tree: db.open_tree("idp_grants")?, writing: Mutex::new(()) })
    }

    /// Keeps a new grant, with a refresh token if `renewable`.
    pub(super) fn add(&self, mut grant: Grant, renewable: bool) -> Result<Option<String>, IdpError> {
        let refresh_token = renewable.then(|| new_refresh_token(&mut grant)).transpose()?;
        let _writing = self.writing.lock();
        self.write(&grant)?;
        Ok(refresh_token)
    }

    /// Uses a refresh token of `client_id`, if `accept` agrees, for the access token `next`.
    pub(super) fn renew(
        &self,
        refresh_token: &str,
        client_id: &str,
        next: LiveToken,
        now_ms: i64,
        accept: impl FnOnce(&Grant) -> Result<(), OAuthError>,
    ) -> Result<Renewal, OAuthError> {
        const REFUSED: OAuthError =
            OAuthError::new(ErrorCode::InvalidGrant, "the refresh token is not valid");
        let (id, secret) = refresh_token.split_once('.').ok_or(REFUSED)?;
        let _writing = self.writing.lock();
        let mut grant = self.read(id)?.ok_or(REFUSED)?;
        if grant.client_id != client_id || grant.expires_ms <= now_ms {
            return Err(REFUSED);
        }
        let current = grant.refresh.as_deref().ok_or(REFUSED)?;
        if !same(current, &digest_base64url(secret)) {
            self.remove(id)?;
            return Ok(Renewal::Reused(grant));
        }
        accept(&grant)?;
        grant.live.retain(|token| token.expires_ms > now_ms);
        let surplus = (grant.live.len() + 1).saturating_sub(LIVE_TOKENS_MAX);
        let displaced = grant.live.drain(..surplus).collect();
        grant.live.push(next);
        let refresh_token = new_refresh_token(&mut grant)?;
        self.write(&grant)?;
        Ok(Renewal::Renewed { grant, refresh_token, displaced })
    }

    /// The live grant whose current refresh token this is.
    pub(super) fn by_refresh_token(
        &self,
        refresh_token: &str,
        now_ms: i64,
    ) -> Result<Option<Grant>, IdpError> {
        let Some((id, secret)) = refresh_token.split_once('.') else {
            return Ok(None);
        };
        let current = |grant: &Grant| {
            let known = grant.refresh.as_deref().unwrap_or_default();
            grant.expires_ms > now_ms && same(known, &digest_base64url(secret))
        };
        Ok(self.read(id)?.filter(current))
    }

    /// Ends one grant and returns it.
    pub(super) fn end(&self, id: &str) -> Result<Option<Grant>, IdpError> {
        let _writing = self.writing.lock();
        let grant = self.read(id)?;
        if grant.is_some() {
            self.remove(id)?;
        }
        Ok(grant)
    }

    /// Ends all grants that `fits` chooses and returns them.
    pub(super) fn end_where(&self, fits: impl Fn(&Grant) -> bool) -> Result<Vec<Grant>, IdpError> {
        let _writing = self.writing.lock();
        let mut ended = Vec::new();
        for entry in &self.tree {
            let (id, bytes) = entry?;
            let grant: Grant = serde_json::from_slice(&bytes)?;
            if fits(&grant) {
                self.tree.remove(id)?;
                ended.push(grant);
            }
        }
        self.tree.flush()?;
        Ok(ended)
    }

    fn read(&self, id: &str) -> Result<Option<Grant>, IdpError> {
        Ok(self.tree.get(id)?.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
    }

    fn write(&self, grant: &Grant) -> Result<(), IdpError> {
        self.tree.insert(&grant.id, serde_json::to_vec(grant)?)?;
        self.tree.flush()?;
        Ok(())
    }

    fn remove(&self, id: &str) -> Result<(), IdpError> {
        self.tree.remove(id)?;
        self.tree.flush()?;
        Ok(())
    }
}

fn new_refresh_token(grant: &mut Grant) -> Result<String, IdpError> {
    let secret = random_token()?;
    grant.refresh = Some(digest_base64url(&secret));
    Ok(format!("{}.{secret}", grant.id))
}
