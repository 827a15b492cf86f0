//! Access tokens that are JWTs (RFC 9068, read with the practice of RFC 8725).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policies::facts::{Credential, Identity};
use serde_json::{Map, Value};

use super::config::{IssuerConfig, TokenType};
use super::keys::{IssuerKeys, KeySet, KeyUnavailable, VerifyingKey};
use super::token::claims::{ClaimFault, Claims, required};
use super::token::compact::{Compact, CompactFault, Header, parse_compact, parse_header, parse_jws};
use crate::refusal::Reason;

/// Seconds after which a client may ask again when an issuer cannot be reached.
pub const RETRY_AFTER_S: u64 = 30;

/// Why a token is refused: the row of the table, and what the log reads.
#[derive(Debug)]
pub struct TokenFault {
    /// The row.
    pub reason: Reason,
    /// For the log; never the token itself.
    pub inside: String,
}

impl TokenFault {
    /// A fault of this row.
    pub fn new(reason: Reason, inside: impl Into<String>) -> Self {
        Self { reason, inside: inside.into() }
    }
}

impl From<CompactFault> for TokenFault {
    fn from(fault: CompactFault) -> Self {
        let reason = match fault {
            CompactFault::Header(_) => Reason::TokenHeader,
            _ => Reason::TokenMalformed,
        };
        Self::new(reason, fault.to_string())
    }
}

impl From<ClaimFault> for TokenFault {
    fn from(fault: ClaimFault) -> Self {
        Self::new(Reason::TokenClaims, fault.to_string())
    }
}

impl From<KeyUnavailable> for TokenFault {
    fn from(fault: KeyUnavailable) -> Self {
        Self::new(Reason::IssuerUnavailable, fault.to_string())
    }
}

/// A token whose issuer and signature are proved; its claims are not judged yet.
#[derive(Debug)]
pub struct Signed<'a> {
    /// The token's parts.
    pub compact: Compact<'a>,
    /// Who signed it.
    pub issuer: Arc<IssuerKeys>,
    /// With which key.
    pub key: Arc<VerifyingKey>,
}

/// What a token is bound to: SHA-256 of a client certificate (RFC 8705 3.1), or the thumbprint of a key (RFC 9449 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `x5t#S256`.
    Certificate([u8; 32]),
    /// `jkt`.
    Key([u8; 32]),
}

/// What the sender of a token proved beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proved {
    /// By the Bearer scheme: the connection's client certificate, if it has one.
    Certificate(Option<[u8; 32]>),
    /// By the DPoP scheme: a key.
    Key([u8; 32]),
}

impl Proved {
    /// Whether a token bound like this may be used. One that is bound to nothing is for the Bearer scheme alone.
    pub fn satisfies(self, bound_to: Option<Binding>) -> bool {
        match (self, bound_to) {
            (Self::Certificate(_), None) => true,
            (Self::Certificate(proved), Some(Binding::Certificate(bound))) => proved == Some(bound),
            (Self::Key(proved), Some(Binding::Key(bound))) => proved == bound,
            (Self::Certificate(_), Some(Binding::Key(_)))
            | (Self::Key(_), None | Some(Binding::Certificate(_))) => false,
        }
    }
}

/// What one token must satisfy.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The issuers it may be from.
    pub issuers: &'a [Arc<IssuerKeys>],
    /// The resource it must be meant for.
    pub audience: &'a str,
    /// What its sender proved beside it.
    pub proved: Proved,
}

/// A verified token.
#[derive(Debug)]
pub struct Verified {
    /// Whom it is for.
    pub identity: Identity,
    /// What verified it.
    pub key: Arc<VerifyingKey>,
    /// Without what it is worth nothing.
    pub bound_to: Option<Binding>,
}

/// Waits for the key that a token names, where its issuer has to be asked for it. Whatever else is wrong with the token
/// [`verify`] will say.
///
/// # Errors
/// `identity.issuer_unavailable`: no key of the issuer may be used.
pub async fn await_key(token: &str, issuers: &[Arc<IssuerKeys>], now_ms: i64) -> Result<(), TokenFault> {
    // Where all of the application's issuers know the key, as its only one does, the claims need not be read for it.
    let Ok(header) = parse_header(token, bytes_max(issuers)) else { return Ok(()) };
    let kid = header.kid.as_deref();
    if issuers.iter().all(|issuer| issuer.knows(kid, now_ms)) {
        return Ok(());
    }
    let Ok(compact) = parse_compact(token, bytes_max(issuers)) else { return Ok(()) };
    match shaped(compact, token.len(), issuers) {
        Ok((_, issuer)) if issuer.accepts(header.algorithm) => issuer.find(kid, now_ms).await?,
        _ => return Ok(()),
    };
    Ok(())
}

/// Verifies an access token completely, with the keys that are held: it waits for nothing.
///
/// # Errors
/// The first thing that is wrong with it; see [`TokenFault`].
pub fn verify(token: &str, expected: Expected<'_>, now_ms: i64) -> Result<Verified, TokenFault> {
    let jws = parse_jws(token, bytes_max(expected.issuers))?;
    // Whoever has one issuer need not read what that did not sign.
    let early = match expected.issuers {
        [only] => Some(signing_key(&jws.header, jws.signed, &jws.signature, only, only.keys(now_ms))?),
        _ => None,
    };
    let (compact, issuer) = shaped(jws.with_claims()?, token.len(), expected.issuers)?;
    let signed = match early {
        Some(key) => Signed { compact, issuer, key },
        None => {
            let keys = issuer.keys(now_ms);
            check_signature(compact, issuer, keys)?
        }
    };
    let mut identity = check_claims(&signed, expected.audience, now_ms)?;
    let bound_to = check_binding(&signed.compact.claims, expected.proved)?;
    match bound_to {
        None => {}
        Some(Binding::Certificate(_)) => identity.credential = Credential::MtlsBound,
        Some(Binding::Key(_)) => identity.credential = Credential::Dpop,
    }
    Ok(Verified { identity, key: signed.key, bound_to })
}

fn bytes_max(issuers: &[Arc<IssuerKeys>]) -> usize {
    issuers.iter().map(|i| i.config.token_bytes_max).max().unwrap_or_default()
}

/// A token of this length that has the shape of an access token of one of these issuers, whoever made it.
fn shaped<'a>(
    compact: Compact<'a>,
    length: usize,
    issuers: &[Arc<IssuerKeys>],
) -> Result<(Compact<'a>, Arc<IssuerKeys>), TokenFault> {
    let issuer = issuer_of(&compact, issuers)?;
    if length > issuer.config.token_bytes_max {
        return Err(CompactFault::TooLong(issuer.config.token_bytes_max).into());
    }
    check_type(&compact, issuer.config.token_type)?;
    Ok((compact, issuer))
}

/// The issuer that a token claims, if it is one of these, byte for byte.
///
/// # Errors
/// `token.issuer`, or `token.claims` where there is none.
pub fn issuer_of(compact: &Compact<'_>, issuers: &[Arc<IssuerKeys>]) -> Result<Arc<IssuerKeys>, TokenFault> {
    let claimed = match compact.claims.get("iss") {
        Some(Value::String(text)) => text,
        _ => return Err(ClaimFault::Missing("iss".into()).into()),
    };
    let known = issuers.iter().find(|i| i.config.issuer == *claimed).cloned();
    known.ok_or_else(|| TokenFault::new(Reason::TokenIssuer, "iss is not an issuer of this application"))
}

/// Checks that an accepted algorithm and one of the issuer's `keys` made the signature.
///
/// # Errors
/// `token.header`, `token.signature` or `identity.issuer_unavailable`.
pub fn check_signature(
    compact: Compact<'_>,
    issuer: Arc<IssuerKeys>,
    keys: Result<Arc<KeySet>, KeyUnavailable>,
) -> Result<Signed<'_>, TokenFault> {
    let key = signing_key(&compact.header, compact.signed, &compact.signature, &issuer, keys)?;
    Ok(Signed { compact, issuer, key })
}

/// The one of the issuer's `keys` that made the signature.
fn signing_key(
    header: &Header,
    signed: &[u8],
    signature: &[u8],
    issuer: &IssuerKeys,
    keys: Result<Arc<KeySet>, KeyUnavailable>,
) -> Result<Arc<VerifyingKey>, TokenFault> {
    if !issuer.accepts(header.algorithm) {
        return Err(TokenFault::new(Reason::TokenHeader, "alg is not accepted from this issuer"));
    }
    let set = keys?;
    let mut tried = 0;
    let key = set
        .candidates(header.kid.as_deref(), header.algorithm)
        .inspect(|_| tried += 1)
        .find(|key| key.verifies(signed, signature))
        .cloned();
    let inside = if tried == 0 { "no key fits kid and alg" } else { "signature does not verify" };
    key.ok_or_else(|| TokenFault::new(Reason::TokenSignature, inside))
}

/// RFC 9068 2.1. An ID token, a logout token or a DPoP proof is no access token, whoever signed it.
fn check_type(compact: &Compact<'_>, token_type: TokenType) -> Result<(), TokenFault> {
    let media_type = compact.header.media_type.as_deref();
    let accepted = match token_type {
        TokenType::Strict => media_type == Some("at+jwt"),
        TokenType::Lenient => matches!(media_type, None | Some("jwt" | "at+jwt")),
    };
    let id_token = ["nonce", "at_hash", "c_hash"].iter().any(|c| compact.claims.contains_key(*c));
    if !accepted || compact.claims.contains_key("events") || (token_type == TokenType::Lenient && id_token) {
        return Err(TokenFault::new(Reason::TokenHeader, "not an access token by its typ or claims"));
    }
    Ok(())
}

/// `exp`, `nbf` and `iat` against the time; the skew helps only against clocks that run ahead, never an expired token.
///
/// # Errors
/// `token.expired`, `token.not_yet_valid` or `token.claims`.
pub fn check_dates(claims: Claims<'_>, config: &IssuerConfig, now_ms: i64) -> Result<Dates, TokenFault> {
    let exp = required(claims.date("exp")?, "exp")?;
    let nbf = claims.date("nbf")?;
    let iat = claims.date("iat")?;
    if now_ms >= exp.saturating_mul(1000) {
        return Err(TokenFault::new(Reason::TokenExpired, format!("exp {exp}")));
    }
    for (name, date) in [("nbf", nbf), ("iat", iat)] {
        let latest_ms = now_ms.saturating_add(config.clock_skew_s.saturating_mul(1000));
        if date.is_some_and(|date| date.saturating_mul(1000) > latest_ms) {
            return Err(TokenFault::new(Reason::TokenNotYetValid, format!("{name} is in the future")));
        }
    }
    Ok(Dates { exp, iat })
}

/// The dates of a token that is alive, Unix seconds.
#[derive(Clone, Copy, Debug)]
pub struct Dates {
    /// `exp`.
    pub exp: i64,
    /// `iat`.
    pub iat: Option<i64>,
}

/// What `cnf` binds a token to (RFC 7800 3), if the sender proved that. One that is bound in another way, or in two, is
/// accepted from nobody. `claims` are a JWT's or an introspection answer's.
///
/// # Errors
/// `token.binding`.
pub fn check_binding(claims: &Map<String, Value>, proved: Proved) -> Result<Option<Binding>, TokenFault> {
    let fault = |inside: &'static str| TokenFault::new(Reason::TokenBinding, inside);
    let bound_to = match claims.get("cnf") {
        None => None,
        Some(cnf) => Some(binding(cnf).ok_or_else(|| fault("the token is bound in a way not known here"))?),
    };
    if proved.satisfies(bound_to) {
        return Ok(bound_to);
    }
    Err(fault(match (proved, bound_to) {
        (Proved::Certificate(_), Some(Binding::Key(_))) => {
            "a token bound to a key was sent as a bearer token"
        }
        (_, Some(Binding::Certificate(_))) => "the token is bound to another client certificate",
        (Proved::Key(_), Some(Binding::Key(_))) => "the token is bound to another key",
        (_, None) => "the token is bound to no key",
    }))
}

fn binding(cnf: &Value) -> Option<Binding> {
    let members = cnf.as_object().filter(|members| members.len() == 1)?;
    let (name, value) = members.iter().next()?;
    let hash = <[u8; 32]>::try_from(URL_SAFE_NO_PAD.decode(value.as_str()?).ok()?).ok()?;
    match name.as_str() {
        "x5t#S256" => Some(Binding::Certificate(hash)),
        "jkt" => Some(Binding::Key(hash)),
        _ => None,
    }
}

fn check_claims(signed: &Signed<'_>, audience: &str, now_ms: i64) -> Result<Identity, TokenFault> {
    let config = &signed.issuer.config;
    let map: &Map<String, Value> = &signed.compact.claims;
    let claims = Claims(map);
    let audiences = required(claims.audiences()?, "aud")?;
    if !audiences.contains(&audience) {
        return Err(TokenFault::new(Reason::TokenAudience, "aud does not name this resource"));
    }
    let dates = check_dates(claims, config, now_ms)?;
    required(dates.iat, "iat")?;
    if config.token_type == TokenType::Strict {
        required(claims.identifier("jti")?, "jti")?;
    }
    read_identity(claims, &signed.issuer, dates)
}

/// The identity that the claims of a JWT or of an introspection answer describe. Without `iat` it counts as issued long
/// ago, so that every revocation of its subject covers it.
///
/// # Errors
/// `token.claims`.
pub fn read_identity(claims: Claims<'_>, issuer: &IssuerKeys, dates: Dates) -> Result<Identity, TokenFault> {
    let config = &issuer.config;
    for name in &config.required_claims {
        if claims.0.get(name).is_none_or(Value::is_null) {
            return Err(ClaimFault::Missing(name.clone()).into());
        }
    }
    let subject = required(claims.identifier("sub")?, "sub")?;
    let client_id = match (claims.identifier("client_id")?, config.token_type) {
        (None, TokenType::Lenient) => claims.identifier("azp")?.unwrap_or_default(),
        (client_id, _) => required(client_id, "client_id")?,
    };
    Ok(Identity {
        issuer: issuer.name.clone(),
        subject: subject.to_owned(),
        client_id: client_id.to_owned(),
        scopes: claims.scopes()?,
        roles: claims.list("roles")?,
        acr: claims.identifier("acr")?.map(str::to_owned),
        auth_time: claims.date("auth_time")?,
        issued_at: dates.iat.unwrap_or_default(),
        expires_at: dates.exp,
        token_id: claims.identifier("jti")?.map(str::to_owned),
        session_id: claims.identifier("sid")?.map(str::to_owned),
        credential: Credential::Bearer,
        authorization_details: claims.0.get("authorization_details").cloned(),
    })
}
