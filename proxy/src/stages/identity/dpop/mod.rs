//! Proofs of possession for access tokens (RFC 9449): that the sender of a token holds the key it is bound to.
//!
//! [`prove`] is pure: everything that section 4.3 asks of a proof except that it was not seen before, which the caller
//! settles with the replay memory by [`Proof::replay_key`].

mod nonce;
mod share;
mod target;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use http::request::Parts;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::keys::Jwk;
use super::token::Algorithm;
use super::token::claims::{Claims, required};
use super::token::compact::{Jws, claims_of, parse_jws};

pub use nonce::Nonces;
pub use share::Shares;
pub use target::Target;

/// The field of a proof.
pub const PROOF: HeaderName = HeaderName::from_static("dpop");
/// The field of a nonce that the next proof must carry (RFC 9449 8.1).
pub const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// What proofs may be signed with; what the challenges say.
pub const ALGORITHMS: [Algorithm; 3] = [Algorithm::Es256, Algorithm::Ps256, Algorithm::EdDsa];

/// Longest proof read, bytes: an RSA key of 8,192 bits, its signature and the claims.
const PROOF_BYTES_MAX: usize = 8 * 1024;
/// How far ahead of ours a client's clock may run, milliseconds.
const CLOCK_AHEAD_MS: i64 = 10_000;

/// How much longer a proof is remembered than it is accepted, milliseconds: more than the time between a request's entry,
/// when the proof's age is judged, and its being remembered.
const MARGIN_MS: i64 = 120_000;

/// How long a proof is remembered at most, milliseconds, where it may be `age_max_ms` old.
const fn remembered_ms(age_max_ms: i64) -> i64 {
    age_max_ms.saturating_add(CLOCK_AHEAD_MS).saturating_add(MARGIN_MS)
}

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofFault {
    /// `invalid_dpop_proof`; says what is wrong.
    #[error("{0}")]
    Invalid(String),
    /// `use_dpop_nonce`: there is none, or it is not a current one of ours.
    #[error("the proof carries no current nonce")]
    Nonce,
}

fn invalid(what: impl Into<String>) -> ProofFault {
    ProofFault::Invalid(what.into())
}

/// What a proof must be of.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The request's address as the client sees it.
    pub target: &'a Target,
    /// The access token that stands beside the proof.
    pub token: &'a str,
    /// The nonces of which one must be in it; `None`: none is asked for.
    pub nonces: Option<&'a Nonces>,
    /// How old it may be, milliseconds.
    pub age_max_ms: i64,
    /// The time, Unix milliseconds.
    pub now_ms: i64,
}

/// A proof that holds, if it was not seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// SHA-256 thumbprint (RFC 7638) of the key that signed it.
    pub thumbprint: [u8; 32],
    /// What must not be seen twice: SHA-256 over the thumbprint and `jti`. The same `jti` under another key is another.
    pub replay_key: [u8; 32],
    /// Until when it has to be remembered, Unix milliseconds.
    pub expires_ms: i64,
}

/// The one proof of a request.
///
/// # Errors
/// [`ProofFault::Invalid`] where there is none, or more than one.
pub fn presented(parts: &Parts) -> Result<&str, ProofFault> {
    let mut fields = parts.headers.get_all(&PROOF).iter();
    match (fields.next().map(|field| field.to_str()), fields.next()) {
        (Some(Ok(proof)), None) => Ok(proof),
        (Some(_), Some(_)) => Err(invalid("more than one DPoP field")),
        (Some(Err(_)), None) => Err(invalid("the DPoP field is not ASCII")),
        (None, _) => Err(invalid("no DPoP field")),
    }
}

/// Checks a proof by RFC 9449 4.3 and 7.1; the numbers are those of its list.
///
/// # Errors
/// The first thing wrong with it; see [`ProofFault`].
pub fn prove(proof: &str, expected: &Expected<'_>) -> Result<Proof, ProofFault> {
    // 2, 4, 5: one compact JWS, of its type, with an algorithm that has two keys.
    let jws = parse_jws(proof, PROOF_BYTES_MAX).map_err(|fault| invalid(fault.to_string()))?;
    if jws.header.media_type.as_deref() != Some("dpop+jwt") {
        return Err(invalid("typ is not dpop+jwt"));
    }
    if !ALGORITHMS.contains(&jws.header.algorithm) {
        return Err(invalid("alg is not accepted in proofs"));
    }
    // 6, 7: signed by the key that it carries, of which it carries the public half.
    let thumbprint = signer(&jws)?;
    let members = claims_of(&jws.payload).map_err(|fault| invalid(fault.to_string()))?;
    // 3, 8 to 11.
    let jti = check_claims(&members, expected)?;
    let issued_ms = check_time(&members, expected)?;
    // 12: made for this token. Whether the token is bound to the key is the token's to say.
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(expected.token));
    if text(&members, "ath")? != hash {
        return Err(invalid("ath is not the access token's hash"));
    }
    let replay_key = Sha256::new().chain_update(thumbprint).chain_update(jti).finalize().into();
    let expires_ms = issued_ms.saturating_add(expected.age_max_ms).saturating_add(MARGIN_MS);
    Ok(Proof { thumbprint, replay_key, expires_ms })
}

/// The thumbprint of the key in the header, if that key signed.
fn signer(jws: &Jws<'_>) -> Result<[u8; 32], ProofFault> {
    let value = jws.members.get("jwk").ok_or_else(|| invalid("no jwk in the header"))?;
    let object = Some(value).filter(|value| value.is_object()).cloned();
    let jwk: Option<Jwk> = object.and_then(|members| serde_json::from_value(members).ok());
    let jwk = jwk.ok_or_else(|| invalid("jwk is not a key"))?;
    let keys = jwk
        .verifying_keys(&[jws.header.algorithm], 0)
        .map_err(|fault| invalid(format!("the key in the header {fault}")))?;
    if !keys.iter().any(|key| key.verifies(jws.signed, &jws.signature)) {
        return Err(invalid("the signature does not verify with the key in the header"));
    }
    jwk.thumbprint().ok_or_else(|| invalid("the key in the header has no thumbprint"))
}

fn text<'a>(members: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, ProofFault> {
    let found = Claims(members).identifier(name).and_then(|value| required(value, name));
    found.map_err(|fault| invalid(fault.to_string()))
}

/// Method, address and nonce; answers `jti`.
fn check_claims<'a>(members: &'a Map<String, Value>, expected: &Expected<'_>) -> Result<&'a str, ProofFault> {
    let jti = text(members, "jti")?;
    if text(members, "htm")? != expected.method {
        return Err(invalid("htm is not the request's method"));
    }
    let Some(Value::String(address)) = members.get("htu") else {
        return Err(invalid("htu is missing or no string"));
    };
    if !Target::parse(address).is_some_and(|target| target == *expected.target) {
        return Err(invalid("htu is not the request's address"));
    }
    if let Some(nonces) = expected.nonces {
        let current = |nonce: &str| nonces.accept(nonce, expected.now_ms);
        match members.get("nonce") {
            Some(Value::String(nonce)) if current(nonce) => {}
            _ => return Err(ProofFault::Nonce),
        }
    }
    Ok(jti)
}

/// `iat` within its window; answers it in milliseconds.
fn check_time(members: &Map<String, Value>, expected: &Expected<'_>) -> Result<i64, ProofFault> {
    let claimed = Claims(members).date("iat").and_then(|date| required(date, "iat"));
    let issued_ms = claimed.map_err(|fault| invalid(fault.to_string()))?.saturating_mul(1000);
    let latest = expected.now_ms.saturating_add(CLOCK_AHEAD_MS);
    let earliest = expected.now_ms.saturating_sub(expected.age_max_ms);
    if (earliest..=latest).contains(&issued_ms) { Ok(issued_ms) } else { Err(invalid("iat is not recent")) }
}
