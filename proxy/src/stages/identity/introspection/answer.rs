//! What an issuer says of a token (RFC 7662 2.2), read strictly.

use std::sync::Arc;

use policies::facts::{Credential, Identity};
use serde_json::{Map, Value};

use super::super::bearer::{Dates, TokenFault, check_dates, read_identity};
use super::super::keys::IssuerKeys;
use super::super::token::claims::Claims;
use crate::refusal::Reason;
use crate::strict_json;

/// Why there is no active token in an answer.
#[derive(Debug)]
pub enum AnswerFault {
    /// It is no introspection answer: nothing is known of the token.
    Unreadable(String),
    /// It says, or implies, that the token is worth nothing.
    Refused(TokenFault),
}

impl<F: Into<TokenFault>> From<F> for AnswerFault {
    fn from(fault: F) -> Self {
        Self::Refused(fault.into())
    }
}

/// A token that its issuer says is active, as far as it does not depend on the request.
#[derive(Debug)]
pub struct Answer {
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// `cnf` and nothing else, for the one check of bindings.
    pub binding: Map<String, Value>,
    /// `aud`.
    audiences: Option<Vec<String>>,
    /// Whether it is said to be an access token.
    access_token: bool,
}

impl Answer {
    /// RFC 7662 leaves `aud` out at will. What names neither an audience nor a type may as well be a refresh token.
    ///
    /// # Errors
    /// `token.audience`.
    pub fn check_audience(&self, audience: &str, required: bool) -> Result<(), TokenFault> {
        let inside = match &self.audiences {
            Some(list) if list.iter().any(|one| one == audience) => return Ok(()),
            Some(_) => "aud does not name this resource",
            None if required => "the answer names no aud",
            None if self.access_token => return Ok(()),
            None => "the answer names neither aud nor token_type",
        };
        Err(TokenFault::new(Reason::TokenAudience, inside))
    }
}

/// Reads an answer of `issuer`.
///
/// # Errors
/// See [`AnswerFault`].
pub fn read(body: &[u8], issuer: &IssuerKeys, now_ms: i64) -> Result<Answer, AnswerFault> {
    let unreadable = |problem: &str| AnswerFault::Unreadable(problem.to_owned());
    let map = match strict_json::parse(body, strict_json::Bounds::default()) {
        Ok(Value::Object(map)) => map,
        Ok(_) => return Err(unreadable("the answer is no JSON object")),
        Err(problem) => return Err(AnswerFault::Unreadable(problem)),
    };
    match map.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => {
            return Err(TokenFault::new(Reason::TokenInactive, "not active").into());
        }
        _ => return Err(unreadable("active is neither true nor false")),
    }
    let claims = Claims(&map);
    if map.get("iss").is_some_and(|iss| iss.as_str() != Some(&issuer.config.issuer)) {
        return Err(TokenFault::new(Reason::TokenIssuer, "the answer names another issuer").into());
    }
    let access_token = check_type(claims)?;
    let dates: Dates = check_dates(claims, &issuer.config, now_ms)?;
    let identity = Identity { credential: credential(&map), ..read_identity(claims, issuer, dates)? };
    Ok(Answer {
        identity: Arc::new(identity),
        audiences: claims.audiences()?.map(|list| list.into_iter().map(str::to_owned).collect()),
        access_token,
        binding: map.into_iter().filter(|(name, _)| name == "cnf").collect(),
    })
}

/// Whether the answer says that this is an access token; one of another kind is refused. `token_use` is not of the
/// standard, but some providers tell refresh tokens apart by it alone.
fn check_type(claims: Claims<'_>) -> Result<bool, TokenFault> {
    if claims.identifier("token_use")?.is_some_and(|kind| kind != "access_token") {
        return Err(TokenFault::new(Reason::TokenHeader, "token_use is not access_token"));
    }
    let Some(kind) = claims.identifier("token_type")? else { return Ok(false) };
    if kind.eq_ignore_ascii_case("bearer") {
        return Ok(true);
    }
    // RFC 9449 6.2. Without the key's thumbprint nothing could be proved.
    let proof = claims.0.get("cnf").and_then(|cnf| cnf.get("jkt")).is_some();
    match kind.eq_ignore_ascii_case("dpop") {
        true if proof => Ok(true),
        true => Err(TokenFault::new(Reason::TokenBinding, "a DPoP token without cnf.jkt")),
        false => Err(TokenFault::new(Reason::TokenHeader, "token_type is neither Bearer nor DPoP")),
    }
}

/// By what an identity is known, once its binding was checked.
fn credential(claims: &Map<String, Value>) -> Credential {
    let bound_by = |name| claims.get("cnf").is_some_and(|cnf| cnf.get(name).is_some());
    if bound_by("x5t#S256") {
        Credential::MtlsBound
    } else if bound_by("jkt") {
        Credential::Dpop
    } else {
        Credential::Introspected
    }
}
