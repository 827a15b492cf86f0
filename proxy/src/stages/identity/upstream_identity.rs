//! The identity token for upstreams: who the request is for, signed by the gateway, so that an upstream need not trust
//! its network.

use std::sync::Arc;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use policies::facts::Identity;
use serde::Serialize;
use serde_json::{Value, json};

use super::bounded::BoundedMap;
use super::signing::SigningKey;
use crate::stages::upstream::encoded;

/// A token lives this long, seconds.
const LIFETIME_S: i64 = 60;
/// A token is used again for this long, milliseconds: signing costs as much as the rest of a request.
const REUSE_MS: i64 = 30_000;

/// The gateway's signing keys.
#[derive(Debug)]
pub struct GatewayKeys {
    current: SigningKey,
    published: Vec<Value>,
}

impl GatewayKeys {
    /// Signs with `current` and publishes the `others` beside it: the next key before it is used, the last one until
    /// what it signed has expired.
    pub fn new(current: SigningKey, others: &[SigningKey]) -> Self {
        let published = std::iter::once(&current).chain(others).map(SigningKey::public_jwk).collect();
        Self { current, published }
    }

    /// The key set that upstreams fetch.
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.published })
    }
}

/// Mints identity tokens.
#[derive(Debug)]
pub struct Mint {
    keys: GatewayKeys,
    issuer: String,
    minted: BoundedMap<(usize, usize), Arc<Minted>>,
}

#[derive(Debug)]
struct Minted {
    /// Held so that its address, which is the key, is not given to another identity meanwhile.
    identity: Arc<Identity>,
    at_ms: i64,
    vouched: Arc<Vouched>,
}

/// What the gateway vouches for: header values that tell an upstream who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// The signed token.
    pub token: HeaderValue,
    /// The subject, percent-encoded, for upstreams that trust their network.
    pub subject: HeaderValue,
    /// The scopes, percent-encoded, between spaces.
    pub scopes: HeaderValue,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    client_id: &'a str,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    roles: &'a [String],
    /// Subjects are unique per issuer only.
    sub_issuer: &'a str,
}

impl Mint {
    /// A mint that calls itself `issuer`, with room for `capacity` tokens.
    pub fn new(keys: GatewayKeys, issuer: String, capacity: usize) -> Self {
        Self { keys, issuer, minted: BoundedMap::new(capacity) }
    }

    /// The key set that upstreams fetch.
    pub fn jwks(&self) -> Value {
        self.keys.jwks()
    }

    /// An identity, vouched for to an application with this audience; `None` only when the system has no randomness.
    pub fn vouch(
        &self,
        app: usize,
        audience: &str,
        identity: &Arc<Identity>,
        now_ms: i64,
    ) -> Option<Arc<Vouched>> {
        let key = (app, Arc::as_ptr(identity).addr());
        if let Some(minted) = self.minted.get(&key) {
            let young = (0..REUSE_MS).contains(&now_ms.saturating_sub(minted.at_ms));
            if young && Arc::ptr_eq(&minted.identity, identity) {
                return Some(Arc::clone(&minted.vouched));
            }
        }
        let scopes: Vec<String> = identity.scopes.iter().map(|scope| encoded(scope)).collect();
        let vouched = Arc::new(Vouched {
            token: self.sign(audience, identity, now_ms)?,
            subject: HeaderValue::try_from(encoded(&identity.subject)).ok()?,
            scopes: HeaderValue::try_from(scopes.join(" ")).ok()?,
        });
        let minted = Minted { identity: Arc::clone(identity), at_ms: now_ms, vouched: Arc::clone(&vouched) };
        self.minted.insert(key, Arc::new(minted));
        Some(vouched)
    }

    /// Forgets tokens that are too old to be used again, and with them the identities they hold.
    pub fn sweep(&self, now_ms: i64) {
        self.minted.retain(|_, minted| now_ms.saturating_sub(minted.at_ms) < REUSE_MS);
    }

    fn sign(&self, audience: &str, identity: &Identity, now_ms: i64) -> Option<HeaderValue> {
        let now_s = now_ms.div_euclid(1000);
        let mut jti = [0; 12];
        rand::fill(&mut jti).ok()?;
        let claims = Claims {
            iss: &self.issuer,
            sub: &identity.subject,
            aud: audience,
            iat: now_s,
            exp: now_s.saturating_add(LIFETIME_S),
            jti: URL_SAFE_NO_PAD.encode(jti),
            client_id: &identity.client_id,
            scope: identity.scopes.join(" "),
            acr: identity.acr.as_deref(),
            auth_time: identity.auth_time,
            sid: identity.session_id.as_deref(),
            roles: &identity.roles,
            sub_issuer: &identity.issuer,
        };
        let mut token = HeaderValue::try_from(self.keys.current.sign("JWT", &claims)?).ok()?;
        token.set_sensitive(true);
        Some(token)
    }
}
