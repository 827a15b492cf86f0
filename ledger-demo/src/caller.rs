//! Who is calling: the identity that the gateway signs for every request it lets through.
//!
//! `Gatehouse-Identity` is a JWT (ES256) made out to this bank and good for a minute. Nothing else that a request says about
//! its caller counts, so whoever reaches the bank past the gateway is nobody.

mod claims;
mod keys;

use std::sync::Arc;

use http::HeaderMap;
use jsonwebtoken::DecodingKey;
use url::Url;

use crate::Clock;
use crate::ledger::CustomerId;
use keys::{FetchedKeys, KeySource};

/// The header that carries the identity.
pub const IDENTITY_HEADER: &str = "gatehouse-identity";
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Somebody who is logged in, on the gateway's proven word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The customer: the immutable username.
    pub subject: CustomerId,
    /// What the caller may do: OAuth scopes.
    pub scopes: Vec<String>,
    /// The client that acts for the customer, when the gateway says it.
    pub client_id: Option<String>,
    /// How the customer was authenticated, when the gateway says it.
    pub acr: Option<String>,
    /// The session at the gateway, when there is one.
    pub session_id: Option<String>,
    /// Staff roles; empty for customers.
    pub roles: Vec<String>,
    /// When this identity ends, unix milliseconds. The gateway makes one for each request and closes streams itself.
    pub expires_ms: i64,
}

impl Caller {
    /// Whether the caller may do what `scope` stands for.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }
}

/// Why there is no caller. The text is for the log; the client hears only that it is not identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    /// No identity was sent.
    #[error("no identity")]
    Missing,
    /// The identity does not hold; the text says which check failed.
    #[error("bad identity: {0}")]
    Rejected(&'static str),
    /// The gateway's keys cannot be had.
    #[error("the gateway's keys are out of reach")]
    KeysUnavailable,
}

/// Proves the gateway's word. Cheap to clone; clones share the keys.
#[derive(Clone)]
pub struct CallerVerifier(Arc<Inner>);

struct Inner {
    issuer: String,
    audience: String,
    clock: Clock,
    keys: KeySource,
}

/// A verifier that cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the client for the gateway's keys cannot be built: {0}")]
pub struct VerifierError(String);

impl CallerVerifier {
    /// Takes identities that the gateway at `gateway_url` signs for `audience`, with its keys from `/.gatehouse/jwks.json`.
    /// The issuer is `gateway_url` without a slash at its end.
    ///
    /// # Errors
    /// [`VerifierError`] when the URL cannot be extended or TLS cannot be set up.
    pub fn fetching(
        gateway_url: &Url,
        audience: impl Into<String>,
        clock: Clock,
    ) -> Result<Self, VerifierError> {
        let issuer = gateway_url.as_str().trim_end_matches('/').to_owned();
        let keys_url = Url::parse(&format!("{issuer}/.gatehouse/jwks.json"))
            .map_err(|e| VerifierError(e.to_string()))?;
        let keys = KeySource::Fetched(FetchedKeys::new(keys_url).map_err(|e| VerifierError(e.to_string()))?);
        Ok(Self(Arc::new(Inner { issuer, audience: audience.into(), clock, keys })))
    }

    /// Takes identities signed by `issuer` for `audience` with one of these keys, by key id.
    #[must_use]
    pub fn with_keys(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        keys: impl IntoIterator<Item = (String, DecodingKey)>,
        clock: Clock,
    ) -> Self {
        let keys = KeySource::Fixed(keys.into_iter().map(|(kid, key)| (kid, Arc::new(key))).collect());
        Self(Arc::new(Inner { issuer: issuer.into(), audience: audience.into(), clock, keys }))
    }

    /// The caller of a request with these headers.
    ///
    /// # Errors
    /// [`Unidentified`]; never falls back to anything else that the headers say.
    pub async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Unidentified> {
        let mut sent = headers.get_all(IDENTITY_HEADER).into_iter();
        let token = match (sent.next(), sent.next()) {
            (None, _) => return Err(Unidentified::Missing),
            (Some(_), Some(_)) => return Err(Unidentified::Rejected("sent more than once")),
            (Some(token), None) => token.to_str().map_err(|_| Unidentified::Rejected("not text"))?,
        };
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Unidentified::Rejected("too long"));
        }
        let kid = claims::key_id(token)?;
        let now_ms = (self.0.clock)();
        let key = self.0.keys.key(&kid, now_ms).await?;
        claims::verify(token, &key, &self.0.issuer, &self.0.audience, now_ms)
    }
}

#[cfg(test)]
mod tests;
