//! The console's two cookies. `__Host-` binds them to this host, over TLS or loopback alone, for every path.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::refusal::Refusal;

const SESSION: &str = "__Host-gatehouse-console";
const LOGIN: &str = "__Host-gatehouse-console-login";
const COOKIE_BYTES_MAX: usize = 256;
/// How long a login may take at the identity provider, seconds.
const LOGIN_MAX_AGE_S: u32 = 600;

/// The session cookie's value; none when it was sent twice.
pub fn session(headers: &HeaderMap) -> Option<&str> {
    only(headers, SESSION)
}

/// The login cookie's value; none when it was sent twice.
pub fn login(headers: &HeaderMap) -> Option<&str> {
    only(headers, LOGIN)
}

/// Sets the session cookie. `Strict`: the console's page loads without it, and the page's own calls carry it.
pub fn set_session(value: &str) -> Result<HeaderValue, Refusal> {
    cookie(SESSION, value, "SameSite=Strict")
}

/// Takes the session cookie away.
pub fn clear_session() -> HeaderValue {
    HeaderValue::from_static(
        "__Host-gatehouse-console=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0",
    )
}

/// Sets the login cookie. `Lax`: it must come back with the identity provider's redirect.
pub fn set_login(value: &str) -> Result<HeaderValue, Refusal> {
    cookie(LOGIN, value, &format!("SameSite=Lax; Max-Age={LOGIN_MAX_AGE_S}"))
}

/// Takes the login cookie away.
pub fn clear_login() -> HeaderValue {
    HeaderValue::from_static(
        "__Host-gatehouse-console-login=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0",
    )
}

fn cookie(name: &str, value: &str, attributes: &str) -> Result<HeaderValue, Refusal> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if value.is_empty() || value.len() > COOKIE_BYTES_MAX || !value.bytes().all(fits) {
        return Err(Refusal::Internal("cookie value out of form"));
    }
    HeaderValue::from_str(&format!("{name}={value}; Path=/; Secure; HttpOnly; {attributes}"))
        .map_err(|_| Refusal::Internal("cookie value out of form"))
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() && value.len() <= COOKIE_BYTES_MAX => Some(value),
        _ => None,
    }
}
