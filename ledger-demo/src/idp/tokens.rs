//! The claims of the tokens we sign: access tokens (RFC 9068), ID tokens and logout tokens (OpenID Connect).

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How long access and ID tokens live.
pub const TOKEN_LIFETIME_MS: i64 = 5 * 60 * 1000;
const LOGOUT_TOKEN_LIFETIME_S: i64 = 120;

pub(super) const ACCESS_TOKEN_TYPE: &str = "at+jwt";
pub(super) const ID_TOKEN_TYPE: &str = "JWT";
pub(super) const LOGOUT_TOKEN_TYPE: &str = "logout+jwt";
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Claims of an access token. Times are unix seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AccessClaims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: String,
    pub(super) client_id: String,
    pub(super) scope: String,
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<String>,
    /// Staff roles, for the admin API and the bank's own pages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<String>,
}

/// Claims of an ID token. Times are unix seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct IdClaims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: String,
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) auth_time: i64,
    pub(super) acr: String,
    pub(super) sid: String,
    pub(super) at_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// As in the access token given with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<String>,
}

/// Claims of a logout token (OpenID Connect Back-Channel Logout 2.4).
pub(super) fn logout_claims(
    issuer: &str,
    audience: &str,
    subject: &str,
    sid: &str,
    jti: &str,
    now_ms: i64,
) -> Value {
    let now_s = now_ms / 1000;
    json!({
        "iss": issuer, "aud": audience, "sub": subject, "sid": sid, "jti": jti,
        "iat": now_s, "exp": now_s.saturating_add(LOGOUT_TOKEN_LIFETIME_S), "events": { LOGOUT_EVENT: {} },
    })
}

/// `at_hash` (OpenID Connect Core 3.1.3.6) for ES256.
pub(super) fn at_hash(access_token: &str) -> String {
    let digest = Sha256::digest(access_token.as_bytes());
    let (left, _) = digest.split_at(digest.len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

/// Scopes as one claim.
pub(super) fn scope_text(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
