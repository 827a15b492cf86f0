//! Cross-site request forgery: a cookie proves who the browser belongs to, not that its owner meant the request.

use http::header::{ORIGIN, UPGRADE};
use http::request::Parts;
use http::{HeaderName, Method};
use url::Url;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// An application's external origin (RFC 6454 6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// The origin of an external URL.
    pub fn of(url: &Url) -> Self {
        Self(url.origin().ascii_serialization())
    }
}

/// Whether a request may change something, or opens a WebSocket, which cookies accompany from any site.
pub fn is_unsafe(parts: &Parts) -> bool {
    !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS)
        || parts.headers.contains_key(UPGRADE)
}

/// Whether the browser says that a page of the application itself, or its user directly, made the request.
///
/// `Sec-Fetch-Site` cannot be set by pages and is believed first. Without it `Origin` must be the application's own. A
/// request with neither is not from a browser of this decade and is refused.
pub fn same_origin(parts: &Parts, own: &Origin) -> bool {
    let Some(origin) = single(parts, &ORIGIN) else { return false };
    let Some(site) = single(parts, &SEC_FETCH_SITE) else { return false };
    match site {
        // A page that sends no referrer posts to its own origin with `Origin: null`.
        Some("same-origin") => origin.is_none_or(|o| o == own.0 || o == "null"),
        Some("none") => origin.is_none_or(|o| o == own.0),
        Some(_) => false,
        None => origin == Some(own.0.as_str()),
    }
}

/// A field that may stand once: `None` if it stands twice or is unreadable, `Some(None)` if it is not there.
fn single<'a>(parts: &'a Parts, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = parts.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(Some),
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_applications_own_pages_may_write() {
        let own = Origin::of(&Url::parse("https://bank.example/").unwrap());
        for (fields, allowed) in [
            (vec![("origin", "https://bank.example")], true),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "none")], true),
            (vec![("sec-fetch-site", "same-origin"), ("origin", "https://bank.example")], true),
            (vec![("sec-fetch-site", "same-origin"), ("origin", "null")], true),
            (vec![], false),
            (vec![("origin", "null")], false),
            (vec![("sec-fetch-site", "none"), ("origin", "null")], false),
            (vec![("origin", "https://bank.example.evil")], false),
            (vec![("origin", "http://bank.example")], false),
            (vec![("origin", "https://bank.example:8443")], false),
            (vec![("origin", "https://www.bank.example")], false),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "cross-site"), ("origin", "https://bank.example")], false),
            (vec![("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], false),
            (vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")], false),
            (vec![("origin", "https://bank.example"), ("origin", "https://evil.example")], false),
            (vec![("referer", "https://bank.example/")], false),
        ] {
            let mut builder = http::Request::builder();
            for (name, value) in &fields {
                builder = builder.header(*name, *value);
            }
            let parts = builder.body(()).unwrap().into_parts().0;
            assert_eq!(same_origin(&parts, &own), allowed, "{fields:?}");
        }
    }
}
