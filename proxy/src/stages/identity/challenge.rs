//! The `WWW-Authenticate` field of each refusal (RFC 6750 3, RFC 9449 7.1, RFC 9470 3).

use std::borrow::Cow;
use std::fmt::Write as _;

use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;
use policies::facts::Credential;

use super::bearer::Proved;
use super::config::Requirement;
use super::dpop;
use super::token::Algorithm;
use crate::refusal::{Reason, Refusal};

/// The scheme by which a token was presented; the one whose challenge says what was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    Dpop,
}

impl From<Credential> for Scheme {
    fn from(credential: Credential) -> Self {
        if credential == Credential::Dpop { Self::Dpop } else { Self::Bearer }
    }
}

impl From<Proved> for Scheme {
    fn from(proved: Proved) -> Self {
        match proved {
            Proved::Certificate(_) => Self::Bearer,
            Proved::Key(_) => Self::Dpop,
        }
    }
}

/// Both schemes, the parameters at the one that was used.
fn schemes(used: Scheme, parameters: &str) -> String {
    let algorithms = dpop::ALGORITHMS.map(Algorithm::name).join(" ");
    match used {
        Scheme::Bearer => format!(r#"Bearer {parameters}, DPoP algs="{algorithms}""#),
        Scheme::Dpop => format!(r#"Bearer, DPoP {parameters}, algs="{algorithms}""#),
    }
}

/// A refusal for want of any credential: the schemes alone, no error code (RFC 6750 3.1).
pub fn missing() -> Refusal {
    let algorithms = dpop::ALGORITHMS.map(Algorithm::name).join(" ");
    with(Refusal::new(Reason::TokenMissing, "no credential"), format!(r#"Bearer, DPoP algs="{algorithms}""#))
}

/// A refusal of a credential that was presented by `scheme`.
pub fn refused(scheme: Scheme, reason: Reason, inside: impl Into<Cow<'static, str>>) -> Refusal {
    let row = reason.row();
    let refusal = Refusal::new(reason, inside);
    let error = match (reason, row.status) {
        (Reason::DpopProof | Reason::DpopReplayed, _) => "invalid_dpop_proof",
        (Reason::DpopNonce, _) => "use_dpop_nonce",
        (_, 400) => "invalid_request",
        (_, 401) => "invalid_token",
        _ => return refusal,
    };
    with(refusal, schemes(scheme, &format!(r#"error="{error}", error_description="{}""#, row.title)))
}

/// A refusal for want of scope.
pub fn scope(scheme: Scheme, requirement: &Requirement) -> Refusal {
    let scopes = requirement.scopes.join(" ");
    let value = schemes(scheme, &format!(r#"error="insufficient_scope", scope="{}""#, quoted(&scopes)));
    with(Refusal::new(Reason::ScopeInsufficient, format!("needs {scopes}")), value)
}

/// A refusal for want of a stronger or fresher log-in.
pub fn step_up(scheme: Scheme, acr_values: &[String], max_age_s: Option<i64>) -> Refusal {
    let title = Reason::StepUpNeeded.row().title;
    let mut value = format!(r#"error="insufficient_user_authentication", error_description="{title}""#);
    if !acr_values.is_empty() {
        let _ = write!(value, r#", acr_values="{}""#, quoted(&acr_values.join(" ")));
    }
    if let Some(seconds) = max_age_s {
        let _ = write!(value, r#", max_age="{seconds}""#);
    }
    with(Refusal::new(Reason::StepUpNeeded, "acr or auth_time do not suffice"), schemes(scheme, &value))
}

fn with(refusal: Refusal, value: String) -> Refusal {
    match HeaderValue::try_from(value) {
        Ok(value) => refusal.with_header(WWW_AUTHENTICATE, value),
        // Every 401 carries a challenge (RFC 9110 15.5.2), whatever a configured word contained.
        Err(_) => refusal.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
    }
}

/// Configured words never break out of the quotes.
fn quoted(words: &str) -> String {
    words.chars().filter(|c| matches!(c, '\u{20}'..='\u{7e}') && *c != '"' && *c != '\\').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_clients_read() {
        let words = |list: &[&str]| list.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
        let needs = Requirement { scopes: words(&["a:read", "b"]), ..Requirement::default() };
        let dpop = r#"DPoP algs="ES256 PS256 EdDSA""#;
        for (refusal, status, value) in [
            (missing(), 401, format!("Bearer, {dpop}")),
            (
                refused(Scheme::Bearer, Reason::TokenExpired, ""),
                401,
                format!(
                    r#"Bearer error="invalid_token", error_description="The access token has expired", {dpop}"#
                ),
            ),
            (scope(Scheme::Bearer, &needs), 403, format!(r#"Bearer error="insufficient_scope", scope="a:read b", {dpop}"#)),
            (
                refused(Scheme::Dpop, Reason::TokenExpired, ""),
                401,
                "Bearer, DPoP error=\"invalid_token\", error_description=\"The access token has expired\", \
                 algs=\"ES256 PS256 EdDSA\""
                    .to_owned(),
            ),
            (
                refused(Scheme::Dpop, Reason::DpopNonce, ""),
                401,
                "Bearer, DPoP error=\"use_dpop_nonce\", \
                 error_description=\"The proof of possession needs a current nonce\", algs=\"ES256 PS256 EdDSA\""
                    .to_owned(),
            ),
            (
                step_up(Scheme::Bearer, &words(&["urn:x", "y\""]), Some(0)),
                401,
                format!(
                    "Bearer error=\"insufficient_user_authentication\", \
                     error_description=\"A stronger or more recent log-in is needed\", \
                     acr_values=\"urn:x y\", max_age=\"0\", {dpop}"
                ),
            ),
        ] {
            assert_eq!(refusal.reason.row().status, status);
            assert_eq!(refusal.headers, vec![(WWW_AUTHENTICATE, HeaderValue::try_from(value).unwrap())]);
        }
    }
}
