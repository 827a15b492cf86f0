//! ID tokens (OpenID Connect Core 3.1.3.7) and logout tokens (Back-Channel Logout 2.6), verified with the same keys and
//! the same strictness as access tokens.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::super::bearer::{Signed, TokenFault, check_dates, check_signature, issuer_of};
use super::super::keys::IssuerKeys;
use super::super::token::Algorithm;
use super::super::token::claims::{ClaimFault, Claims, required};
use super::super::token::compact::{Compact, CompactFault, parse_compact};
use super::secret::same;
use crate::refusal::Reason;

const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Longest token read, bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What an ID token says of a person.
#[derive(Clone, Debug)]
pub struct Person {
    pub subject: String,
    pub acr: Option<String>,
    pub auth_time: Option<i64>,
    pub sid: Option<String>,
    pub roles: Vec<String>,
}

/// Whom a logout token logs out.
#[derive(Clone, Debug)]
pub struct LoggedOut {
    pub jti: String,
    pub subject: Option<String>,
    pub sid: Option<String>,
    pub issued_at: i64,
    pub expires_at: i64,
}

/// What an ID token must say besides being the issuer's own.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub client_id: &'a str,
    /// At a refresh there is none to expect.
    pub nonce: Option<&'a str>,
    /// The access token that came along.
    pub access_token: &'a SecretString,
}

/// Verifies an ID token that came straight from the token endpoint.
pub async fn verify_id_token(
    token: &str,
    issuer: &Arc<IssuerKeys>,
    expected: Expected<'_>,
    now_ms: i64,
) -> Result<Person, TokenFault> {
    let signed = signed(token, issuer, &["jwt"], now_ms).await?;
    let map = &signed.compact.claims;
    let claims = Claims(map);
    check_audience(claims, expected.client_id)?;
    let dates = check_dates(claims, &issuer.config, now_ms)?;
    required(dates.iat, "iat")?;
    let nonce = claims.identifier("nonce")?;
    let fits = match (expected.nonce, nonce) {
        (Some(wanted), Some(got)) => same(wanted.as_bytes(), got.as_bytes()),
        (Some(_), None) => false,
        (None, _) => true,
    };
    if !fits {
        return Err(TokenFault::new(Reason::TokenClaims, "nonce is not the one of this log-in"));
    }
    if let Some(text) = claims.identifier("at_hash")? {
        let hash = at_hash(expected.access_token, signed.compact.header.algorithm);
        if !same(text.as_bytes(), hash.as_bytes()) {
            return Err(TokenFault::new(Reason::TokenClaims, "at_hash is another access token's"));
        }
    }
    Ok(Person {
        subject: required(claims.identifier("sub")?, "sub")?.to_owned(),
        acr: claims.identifier("acr")?.map(str::to_owned),
        auth_time: claims.date("auth_time")?,
        sid: claims.identifier("sid")?.map(str::to_owned),
        roles: claims.list("roles")?,
    })
}

/// The left half of the access token's hash, by the hash of the ID token's own algorithm (OpenID Connect Core 3.1.3.6);
/// Ed25519's is SHA-512 (RFC 8032 5.1).
fn at_hash(access_token: &SecretString, algorithm: Algorithm) -> String {
    let by = match algorithm {
        Algorithm::Es256 | Algorithm::Ps256 | Algorithm::Rs256 => &SHA256,
        Algorithm::Es384 => &SHA384,
        Algorithm::EdDsa => &SHA512,
    };
    let hash = digest(by, access_token.expose_secret().as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..hash.as_ref().len() / 2).unwrap_or_default())
}

/// Reads a logout token; pure, so that it can be fuzzed. Nothing is verified yet.
///
/// # Errors
/// `token.malformed` or `token.header`.
pub fn parse_logout_token(token: &str) -> Result<Compact<'_>, TokenFault> {
    let compact = parse_compact(token, TOKEN_BYTES_MAX)?;
    let event = compact.claims.get("events").and_then(|e| e.get(LOGOUT_EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(TokenFault::new(Reason::TokenClaims, "events does not say back-channel logout"));
    }
    // An ID token must never pass as a logout token (Back-Channel Logout 2.4).
    if compact.claims.contains_key("nonce") {
        return Err(TokenFault::new(Reason::TokenClaims, "a logout token has no nonce"));
    }
    Ok(compact)
}

/// Verifies a logout token; replay is the caller's to check, by `jti`.
pub async fn verify_logout_token(
    token: &str,
    issuer: &Arc<IssuerKeys>,
    client_id: &str,
    now_ms: i64,
) -> Result<LoggedOut, TokenFault> {
    parse_logout_token(token)?;
    let signed = signed(token, issuer, &["logout+jwt", "jwt"], now_ms).await?;
    let claims = Claims(&signed.compact.claims);
    check_audience(claims, client_id)?;
    let dates = check_dates(claims, &issuer.config, now_ms)?;
    let subject = claims.identifier("sub")?.map(str::to_owned);
    let sid = claims.identifier("sid")?.map(str::to_owned);
    if subject.is_none() && sid.is_none() {
        return Err(ClaimFault::Missing("sub or sid".into()).into());
    }
    Ok(LoggedOut {
        jti: required(claims.identifier("jti")?, "jti")?.to_owned(),
        subject,
        sid,
        issued_at: required(dates.iat, "iat")?,
        expires_at: dates.exp,
    })
}

async fn signed<'a>(
    token: &'a str,
    issuer: &Arc<IssuerKeys>,
    types: &[&str],
    now_ms: i64,
) -> Result<Signed<'a>, TokenFault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(CompactFault::TooLong(TOKEN_BYTES_MAX).into());
    }
    let compact = parse_compact(token, TOKEN_BYTES_MAX)?;
    if compact.header.media_type.as_deref().is_some_and(|typ| !types.contains(&typ)) {
        return Err(TokenFault::new(Reason::TokenHeader, "another kind of token by its typ"));
    }
    let issuer = issuer_of(&compact, std::slice::from_ref(issuer))?;
    let keys = match issuer.accepts(compact.header.algorithm) {
        true => issuer.find_surely(compact.header.kid.as_deref(), now_ms).await,
        false => issuer.keys(now_ms),
    };
    check_signature(compact, issuer, keys)
}

/// `aud` names this client; with several audiences `azp` must, too.
fn check_audience(claims: Claims<'_>, client_id: &str) -> Result<(), TokenFault> {
    let audiences = required(claims.audiences()?, "aud")?;
    let azp = claims.identifier("azp")?;
    let ours = audiences.contains(&client_id) && azp.is_none_or(|azp| azp == client_id);
    if ours && (audiences.len() == 1 || azp.is_some()) {
        Ok(())
    } else {
        Err(TokenFault::new(Reason::TokenAudience, "aud or azp does not name the gateway's client"))
    }
}
