//! One token: its header, its signature, its claims.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::{Caller, Unidentified};
use crate::ledger::CustomerId;

/// How far the gateway's clock may be from ours.
const CLOCK_SKEW_S: i64 = 5;
/// An identity is good for a minute; one that claims to live much longer is not the gateway's.
const LIFETIME_S_MAX: i64 = 300;
/// Longest key id, in bytes.
const KEY_ID_BYTES_MAX: usize = 128;
/// Most scopes or roles.
const LIST_MAX: usize = 64;

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
    #[serde(default)]
    scope: String,
    client_id: Option<String>,
    acr: Option<String>,
    sid: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
}

/// The id of the key that the token says it is signed with, from a header that may be trusted no further than to look it up.
pub(super) fn key_id(token: &str) -> Result<String, Unidentified> {
    let header =
        jsonwebtoken::decode_header(token).map_err(|_| Unidentified::Rejected("no readable header"))?;
    if header.alg != Algorithm::ES256 {
        return Err(Unidentified::Rejected("not ES256"));
    }
    // RFC 7515, section 4.1.11: extensions that must be understood, and none is.
    if header.crit.is_some() {
        return Err(Unidentified::Rejected("critical extension"));
    }
    header
        .kid
        .filter(|kid| !kid.is_empty() && kid.len() <= KEY_ID_BYTES_MAX)
        .ok_or(Unidentified::Rejected("no usable key id"))
}

/// Checks signature, issuer, audience and times; gives the caller.
pub(super) fn verify(
    token: &str,
    key: &DecodingKey,
    issuer: &str,
    audience: &str,
    now_ms: i64,
) -> Result<Caller, Unidentified> {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // The times are checked below, by the clock that was handed in.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let claims = jsonwebtoken::decode::<Claims>(token, key, &validation)
        .map_err(|_| Unidentified::Rejected("signature, issuer, audience or claims"))?
        .claims;
    let now_s = now_ms.div_euclid(1_000);
    if claims.exp <= now_s.saturating_sub(CLOCK_SKEW_S) {
        return Err(Unidentified::Rejected("expired"));
    }
    if claims.exp > now_s.saturating_add(LIFETIME_S_MAX) {
        return Err(Unidentified::Rejected("lives too long"));
    }
    let starts_s = claims.iat.into_iter().chain(claims.nbf).max();
    if starts_s.is_some_and(|starts_s| starts_s > now_s.saturating_add(CLOCK_SKEW_S)) {
        return Err(Unidentified::Rejected("from the future"));
    }
    let scopes: Vec<String> =
        claims.scope.split_ascii_whitespace().take(LIST_MAX + 1).map(str::to_owned).collect();
    if scopes.len() > LIST_MAX || claims.roles.len() > LIST_MAX {
        return Err(Unidentified::Rejected("too many scopes or roles"));
    }
    Ok(Caller {
        subject: CustomerId::new(claims.sub).map_err(|_| Unidentified::Rejected("not a customer"))?,
        scopes,
        client_id: claims.client_id,
        acr: claims.acr,
        session_id: claims.sid,
        roles: claims.roles,
        expires_ms: claims.exp.saturating_mul(1_000),
    })
}
