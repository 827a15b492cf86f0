//! Where a browser goes on after a log-in: a path of the application, never another site.

use percent_encoding::percent_decode_str;
use url::Url;

/// Longest path and query that is carried through a log-in, bytes.
const BYTES_MAX: usize = 2048;
/// How often a value is decoded to look for what hides in it.
const DECODED_MAX: usize = 3;

/// A path with an optional query that every browser reads as being on the same host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPath(String);

impl LocalPath {
    /// The start page.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Accepts `/path?query`; refuses `//host`, `/\host`, schemes, control characters, dot segments, the gateway's own
    /// paths, and each of these percent-encoded up to three times.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > BYTES_MAX {
            return None;
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let mut form = text.to_owned();
        for _ in 0..DECODED_MAX {
            if !is_local(&form) {
                return None;
            }
            let path = form.split(['?', '#']).next().unwrap_or_default();
            let decoded = percent_decode_str(path).decode_utf8().ok()?.into_owned();
            if decoded == path {
                break;
            }
            form = decoded;
        }
        is_local(&form).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole address on the application's host; the start page should the two not fit, which cannot happen.
    pub fn on(&self, external_url: &Url) -> Url {
        match external_url.join(&self.0) {
            Ok(url) if url.origin() == external_url.origin() => url,
            _ => external_url.clone(),
        }
    }
}

fn is_local(text: &str) -> bool {
    let plain = !text.contains(|c: char| c.is_control() || c == '\\');
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let own = path.get(..11).is_some_and(|head| head.eq_ignore_ascii_case("/.gatehouse"));
    let dots = path.split('/').any(|segment| segment == "." || segment == "..");
    plain && text.starts_with('/') && !path.contains("//") && !own && !dots
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_sites_are_never_returned_to() {
        for (text, local) in [
            ("/", true),
            ("/accounts", true),
            ("/accounts/7?from=2024-01-01&x=%2F", true),
            ("/a?next=//evil.example", true),
            ("/caf%20e", true),
            ("/caf%C3%A9", true),
            ("//evil.example", false),
            ("///evil.example", false),
            ("/\\evil.example", false),
            ("\\\\evil.example", false),
            ("/\t/evil.example", false),
            ("/\r\nLocation: //evil", false),
            ("/ /evil", false),
            ("https://evil.example", false),
            ("https:evil.example", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("evil.example", false),
            ("", false),
            ("?x=1", false),
            ("@evil.example", false),
            ("/%2Fevil.example", false),
            ("/%5Cevil.example", false),
            ("/%09/evil.example", false),
            ("/%252Fevil.example", false),
            ("/%25252Fevil.example", false),
            ("/%0d%0aX: y", false),
            ("/.//evil.example", false),
            ("/..//evil.example", false),
            ("/a/../.gatehouse/logout", false),
            ("/a/%2e%2e/b", false),
            ("/.gatehouse/logout", false),
            ("/.Gatehouse/login", false),
            ("/%2egatehouse/logout", false),
            ("/%ff", false),
            ("/\u{2f}\u{2f}evil", false),
            ("/\u{ff0f}evil", false),
        ] {
            assert_eq!(LocalPath::parse(text).is_some(), local, "{text:?}");
        }
        assert!(LocalPath::parse(&format!("/{}", "a".repeat(5000))).is_none());
    }

    proptest! {
        #[test]
        fn what_is_accepted_stays_on_the_host(text in "[/\\\\.:@?#%a-z0-9 \t25cf]{0,24}") {
            let base = Url::parse("https://bank.example").unwrap();
            if let Some(path) = LocalPath::parse(&text) {
                let joined = base.join(path.as_str()).unwrap();
                prop_assert_eq!(joined.origin(), base.origin());
                prop_assert!(!joined.path().starts_with("//"));
            }
        }
    }
}
