//! How clients prove who they are: `private_key_jwt` (RFC 7523, OpenID Connect Core 9) or, for public clients, not at all.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::Idp;
use super::clients::{Authentication, Client};
use super::errors::{ErrorCode, OAuthError};
use super::params::Params;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_BYTES_MAX: usize = 4096;
/// Longest time an assertion may still live; its `jti` is remembered as long.
pub(super) const ASSERTION_LIFETIME_MS: i64 = 5 * 60 * 1000;
const CLOCK_SKEW_S: i64 = 10;
const JTI_BYTES_MAX: usize = 256;

const REFUSED: OAuthError = OAuthError::new(ErrorCode::InvalidClient, "client authentication failed");

#[derive(Deserialize)]
struct AssertionClaims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
    jti: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    /// Exactly one audience: an assertion for several receivers could be replayed by one of them.
    fn only(&self) -> Option<&str> {
        match self {
            Self::One(audience) => Some(audience),
            Self::Several(audiences) => match audiences.as_slice() {
                [audience] => Some(audience),
                _ => None,
            },
        }
    }
}

/// The client that sent `params` to `endpoint` (its absolute address), authenticated as it is registered.
pub(super) fn authenticate<'a>(
    idp: &'a Idp,
    params: &Params,
    endpoint: &str,
) -> Result<&'a Client, OAuthError> {
    let claimed = params.get("client_id");
    if params.get("client_secret").is_some() {
        return Err(REFUSED);
    }
    let Some(assertion) = params.get("client_assertion") else {
        let client = claimed.and_then(|id| idp.clients.get(id)).ok_or(REFUSED)?;
        return match client.authentication {
            Authentication::Public => Ok(client),
            Authentication::PrivateKeyJwt { .. } => Err(REFUSED),
        };
    };
    if params.get("client_assertion_type") != Some(ASSERTION_TYPE) || assertion.len() > ASSERTION_BYTES_MAX {
        return Err(REFUSED);
    }
    let issuer = unverified_issuer(assertion).ok_or(REFUSED)?;
    if claimed.is_some_and(|id| id != issuer) {
        return Err(REFUSED);
    }
    let client = idp.clients.get(&issuer).ok_or(REFUSED)?;
    let Authentication::PrivateKeyJwt { key, kid } = &client.authentication else {
        return Err(REFUSED);
    };
    let claims = verify(assertion, key, kid.as_deref()).ok_or(REFUSED)?;
    let now_ms = idp.now_ms();
    let for_us = claims.aud.only().is_some_and(|audience| {
        audience == idp.issuer() || audience == endpoint || audience == idp.endpoint("/token")
    });
    if claims.iss != client.id || claims.sub != client.id || !for_us || !is_current(&claims, now_ms / 1000) {
        return Err(REFUSED);
    }
    // Remembered only now: nobody without the client's key can fill the memory.
    let replay_key = format!("{} {}", client.id, claims.jti);
    if claims.jti.is_empty()
        || claims.jti.len() > JTI_BYTES_MAX
        || !idp.assertions.insert_new(&replay_key, (), now_ms)
    {
        return Err(REFUSED);
    }
    Ok(client)
}

fn verify(assertion: &str, key: &DecodingKey, kid: Option<&str>) -> Option<AssertionClaims> {
    let header = jsonwebtoken::decode_header(assertion).ok()?;
    let typ = header.typ.as_deref().unwrap_or("JWT");
    let typ_fits = typ.eq_ignore_ascii_case("JWT") || typ == "client-authentication+jwt";
    let kid_fits = header.kid.is_none() || kid.is_none() || header.kid.as_deref() == kid;
    if !typ_fits || !kid_fits || header.crit.is_some() {
        return None;
    }
    Some(jsonwebtoken::decode(assertion, key, &signature_only()).ok()?.claims)
}

fn is_current(claims: &AssertionClaims, now_s: i64) -> bool {
    let latest_s = now_s.saturating_add(CLOCK_SKEW_S);
    claims.exp > now_s
        && claims.exp <= now_s.saturating_add(ASSERTION_LIFETIME_MS / 1000)
        && claims.iat.is_none_or(|iat| iat <= latest_s)
        && claims.nbf.is_none_or(|nbf| nbf <= latest_s)
}

/// Checks the ES256 signature; times and audience are ours to check, against the clock we were handed.
pub(super) fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

/// Whose key to check the assertion with; nothing else is believed before it is checked.
fn unverified_issuer(assertion: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    let payload = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Issuer>(&payload).ok().map(|claims| claims.iss)
}
