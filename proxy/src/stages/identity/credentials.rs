//! Which credential a request presents: exactly one, by exactly one method, or none.

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;

/// Name of the session cookie. The `__Host-` prefix makes browsers insist on Secure, Path=/ and no Domain, so that no
/// neighbouring host can set it (RFC 6265bis 4.1.3.2).
pub const SESSION_COOKIE: &str = "__Host-gatehouse";
/// Name of the cookie that ties log-ins under way to a browser.
pub const LOGIN_COOKIE: &str = "__Host-gatehouse-login";

/// What a request brought along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// No credential.
    Nothing,
    /// `Authorization: Bearer`.
    Bearer(&'a str),
    /// `Authorization: DPoP`.
    Dpop(&'a str),
    /// The gateway's session cookie.
    Session(&'a str),
}

/// Why the credentials cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialFault {
    /// Two credentials or two methods (RFC 6750 2).
    #[error("{0}")]
    Ambiguous(&'static str),
    /// An `Authorization` field that carries no token.
    #[error("{0}")]
    Malformed(&'static str),
}

/// Finds the credential of a request.
///
/// # Errors
/// See [`CredentialFault`].
pub fn presented(parts: &Parts) -> Result<Presented<'_>, CredentialFault> {
    let mut fields = parts.headers.get_all(AUTHORIZATION).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(CredentialFault::Ambiguous("more than one Authorization field"));
    }
    let cookie = cookie(parts, SESSION_COOKIE)?;
    if has_query_token(parts.uri.query().unwrap_or_default()) {
        return Err(CredentialFault::Ambiguous("token in the query"));
    }
    match (field, cookie) {
        (None, None) => Ok(Presented::Nothing),
        (None, Some(cookie)) => Ok(Presented::Session(cookie)),
        (Some(_), Some(_)) => Err(CredentialFault::Ambiguous("an Authorization field and a session cookie")),
        (Some(field), None) => parse_authorization(field.as_bytes()),
    }
}

/// Reads an `Authorization` value: scheme, one space, one token of RFC 9110 11.2's `token68` characters.
///
/// # Errors
/// [`CredentialFault::Malformed`] for everything else, schemes that are not offered included.
pub fn parse_authorization(value: &[u8]) -> Result<Presented<'_>, CredentialFault> {
    let text = std::str::from_utf8(value).map_err(|_| CredentialFault::Malformed("not ASCII"))?;
    let Some((scheme, token)) = text.split_once(' ') else {
        return Err(CredentialFault::Malformed("no token after the scheme"));
    };
    let stem = token.trim_end_matches('=');
    // Without branches: a token is several hundred bytes, and its bytes are looked at many at a time.
    let token68 = |b: u8| {
        (b | 0x20).wrapping_sub(b'a') < 26
            || b.wrapping_sub(b'-') <= b'9' - b'-'
            || matches!(b, b'_' | b'~' | b'+')
    };
    if stem.is_empty() || !stem.bytes().fold(true, |sound, b| sound & token68(b)) {
        return Err(CredentialFault::Malformed("not a token"));
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(Presented::Bearer(token))
    } else if scheme.eq_ignore_ascii_case("dpop") {
        Ok(Presented::Dpop(token))
    } else {
        Err(CredentialFault::Malformed("a scheme that is not offered"))
    }
}

/// The value of a cookie, which may stand once.
///
/// # Errors
/// [`CredentialFault::Ambiguous`] when it stands twice.
pub fn cookie<'a>(parts: &'a Parts, name: &str) -> Result<Option<&'a str>, CredentialFault> {
    let mut found = None;
    for field in parts.headers.get_all(COOKIE) {
        for value in field.as_bytes().split(|&b| b == b';').filter_map(|pair| parse_cookie(pair, name)) {
            // What is no text is no value of ours, but it stands there.
            if found.replace(std::str::from_utf8(value).unwrap_or_default()).is_some() {
                return Err(CredentialFault::Ambiguous("the session cookie stands twice"));
            }
        }
    }
    Ok(found)
}

/// The value in one `name=value` pair; `None` for other names.
pub fn parse_cookie<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let bare = |bytes: &'a [u8]| bytes.trim_ascii();
    let at = pair.iter().position(|&b| b == b'=')?;
    let (key, value) = pair.split_at_checked(at)?;
    (bare(key) == name.as_bytes()).then(|| bare(value.get(1..).unwrap_or_default()))
}

/// RFC 6750 2.3 and OAuth 2.1: `access_token` in the query leaks into logs, so it is refused rather than read.
fn has_query_token(query: &str) -> bool {
    // The cheap look first: most requests have no query.
    !query.is_empty()
        && query.split('&').any(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            name == "access_token"
                || (name.contains('%')
                    && percent_encoding::percent_decode_str(name).eq("access_token".bytes()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut builder = http::Request::builder().uri(target);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn one_credential_by_one_method() {
        let ambiguous = |text| Err(CredentialFault::Ambiguous(text));
        for (target, fields, result) in [
            ("/", vec![], Ok(Presented::Nothing)),
            ("/", vec![("authorization", "Bearer abc")], Ok(Presented::Bearer("abc"))),
            (
                "/",
                vec![("authorization", "bEARER a.b-c_d~e+f/g==")],
                Ok(Presented::Bearer("a.b-c_d~e+f/g==")),
            ),
            ("/", vec![("authorization", "DPoP abc")], Ok(Presented::Dpop("abc"))),
            ("/", vec![("cookie", "a=b; __Host-gatehouse=xyz; c=d")], Ok(Presented::Session("xyz"))),
            ("/", vec![("cookie", "a=b"), ("cookie", "__Host-gatehouse=xyz")], Ok(Presented::Session("xyz"))),
            ("/", vec![("cookie", "x__Host-gatehouse=xyz; __host-gatehouse=1")], Ok(Presented::Nothing)),
            ("/", vec![("cookie", "__Host-gatehouse-login=xyz")], Ok(Presented::Nothing)),
            (
                "/",
                vec![("authorization", "Bearer a"), ("authorization", "Bearer a")],
                ambiguous("more than one Authorization field"),
            ),
            (
                "/",
                vec![("authorization", "Bearer a"), ("cookie", "__Host-gatehouse=x")],
                ambiguous("an Authorization field and a session cookie"),
            ),
            (
                "/",
                vec![("cookie", "__Host-gatehouse=x; __Host-gatehouse=y")],
                ambiguous("the session cookie stands twice"),
            ),
            ("/?access_token=a", vec![], ambiguous("token in the query")),
            ("/?x=1&access_token=", vec![("authorization", "Bearer a")], ambiguous("token in the query")),
            ("/?access%5Ftoken=a", vec![], ambiguous("token in the query")),
            ("/?%61ccess_token", vec![], ambiguous("token in the query")),
            ("/?my_access_token=a&access_tokens=b", vec![], Ok(Presented::Nothing)),
        ] {
            assert_eq!(presented(&request(target, &fields)), result, "{target} {fields:?}");
        }
    }

    #[test]
    fn a_session_cookie_stands_once_whatever_stands_beside_it() {
        let twice = Err(CredentialFault::Ambiguous("the session cookie stands twice"));
        for (field, result) in [
            (&b"a=\xe4; __Host-gatehouse=x"[..], Ok(Some("x"))),
            (b"a=\xe4; __Host-gatehouse=x; __Host-gatehouse=y", twice),
            (b"__Host-gatehouse=x; __Host-gatehouse=\xe4", twice),
            (b"__Host-gatehouse=\xe4", Ok(Some(""))),
            (b"__Host-gatehouse\xe4=x", Ok(None)),
        ] {
            let mut parts = request("/", &[]);
            parts.headers.insert(COOKIE, http::HeaderValue::from_bytes(field).unwrap());
            assert_eq!(cookie(&parts, SESSION_COOKIE), result, "{field:?}");
        }
    }

    #[test]
    fn authorization_values_without_a_token_are_refused() {
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer  a",
            "Bearer a b",
            "Bearer a,b",
            "Bearer\ta",
            " Bearer a",
            "Basic YTpi",
            "Bearer \u{e4}",
            "Bearer =",
            "Bearer a=b",
            "Bearer \"a\"",
            "Bearer a\u{0}",
            "BearerX a",
            "Token a",
        ] {
            let result = parse_authorization(value.as_bytes());
            assert!(matches!(result, Err(CredentialFault::Malformed(_))), "{value:?} {result:?}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200), pair in "\\PC{0,80}") {
            let _ = parse_authorization(&bytes);
            let _ = parse_cookie(pair.as_bytes(), SESSION_COOKIE);
        }
    }
}
