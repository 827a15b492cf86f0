//! The `WWW-Authenticate` field of each refusal (RFC 6750 3, RFC 9449 7.1, RFC 9470 3).

use std::fmt::Write as _;

use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;

use super::config::Requirement;
use crate::refusal::{Reason, Refusal};

/// Said beside every Bearer challenge: the other scheme, and what it may be signed with.
const DPOP: &str = r#"DPoP algs="ES256 PS256 EdDSA""#;

/// A refusal for want of any credential: the schemes alone, no error code (RFC 6750 3.1).
pub fn missing() -> Refusal {
    with(Refusal::new(Reason::TokenMissing, "no credential"), format!("Bearer, {DPOP}"))
}

/// A refusal of a credential that was presented.
pub fn refused(reason: Reason, inside: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    let row = reason.row();
    let refusal = Refusal::new(reason, inside);
    let error = match row.status {
        400 => "invalid_request",
        401 => "invalid_token",
        _ => return refusal,
    };
    with(refusal, format!(r#"Bearer error="{error}", error_description="{}", {DPOP}"#, row.title))
}

/// A refusal for want of scope.
pub fn scope(requirement: &Requirement) -> Refusal {
    let scopes = requirement.scopes.join(" ");
    let inside = format!("needs {scopes}");
    let value = format!(r#"Bearer error="insufficient_scope", scope="{}", {DPOP}"#, quoted(&scopes));
    with(Refusal::new(Reason::ScopeInsufficient, inside), value)
}

/// A refusal for want of a stronger or fresher log-in.
pub fn step_up(acr_values: &[String], max_age_s: Option<i64>) -> Refusal {
    let mut value = r#"Bearer error="insufficient_user_authentication""#.to_owned();
    let title = Reason::StepUpNeeded.row().title;
    let _ = write!(value, r#", error_description="{title}""#);
    if !acr_values.is_empty() {
        let _ = write!(value, r#", acr_values="{}""#, quoted(&acr_values.join(" ")));
    }
    if let Some(seconds) = max_age_s {
        let _ = write!(value, r#", max_age="{seconds}""#);
    }
    let _ = write!(value, ", {DPOP}");
    with(Refusal::new(Reason::StepUpNeeded, "acr or auth_time do not suffice"), value)
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
                refused(Reason::TokenExpired, ""),
                401,
                format!(
                    r#"Bearer error="invalid_token", error_description="The access token has expired", {dpop}"#
                ),
            ),
            (scope(&needs), 403, format!(r#"Bearer error="insufficient_scope", scope="a:read b", {dpop}"#)),
            (
                step_up(&words(&["urn:x", "y\""]), Some(0)),
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
