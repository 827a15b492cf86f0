//! The provider's own cookies: HttpOnly, SameSite=Lax, and on https with the `__Host-` prefix that pins them to this host.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Longest cookie value that is looked at.
const VALUE_BYTES_MAX: usize = 128;

/// Who is logged in; new at every log-in.
pub(super) const SESSION: &str = "idp_session";
/// Which browser began a log-in: its forms are accepted from nowhere else.
pub(super) const BROWSER: &str = "idp_browser";
/// This browser has logged in with a name before.
pub(super) const DEVICE: &str = "idp_device";

const DEVICE_LIFETIME_S: i64 = 30 * 24 * 3600;

/// Reads and writes cookies for an issuer on http or https.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cookies {
    pub(super) secure: bool,
}

impl Cookies {
    /// The cookie's value; none when it came twice, for then one of them was planted.
    pub(super) fn read(self, headers: &HeaderMap, name: &str) -> Option<String> {
        let wanted = self.name(name);
        let mut values = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|header| header.to_str().ok())
            .flat_map(|header| header.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == wanted)
            .map(|(_, value)| value);
        let value = values.next()?;
        let alone = values.next().is_none();
        (alone && !value.is_empty() && value.len() <= VALUE_BYTES_MAX).then(|| value.to_owned())
    }

    pub(super) fn write(self, name: &str, value: &str) -> Option<HeaderValue> {
        let lifetime = match name {
            DEVICE => format!("; Max-Age={DEVICE_LIFETIME_S}"),
            _ => String::new(),
        };
        self.header(name, value, &lifetime)
    }

    pub(super) fn clear(self, name: &str) -> Option<HeaderValue> {
        self.header(name, "", "; Max-Age=0")
    }

    fn header(self, name: &str, value: &str, lifetime: &str) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.name(name);
        HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{lifetime}"))
            .ok()
    }

    fn name(self, name: &str) -> String {
        if self.secure { format!("__Host-{name}") } else { name.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_once_or_not_at_all() {
        let plain = Cookies { secure: false };
        let long = format!("idp_session={}", "x".repeat(129));
        for (header, expected) in [
            ("idp_session=abc", Some("abc")),
            ("a=b; idp_session=abc; c=d", Some("abc")),
            ("idp_session=abc; idp_session=abd", None),
            ("idp_session=", None),
            ("xidp_session=abc", None),
            (long.as_str(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_str(header).unwrap());
            assert_eq!(plain.read(&headers, SESSION).as_deref(), expected, "{header}");
        }
    }

    #[test]
    fn on_https_the_cookie_is_pinned_to_the_host() {
        let header = Cookies { secure: true }.write(SESSION, "abc").unwrap();
        assert_eq!(header, "__Host-idp_session=abc; Path=/; HttpOnly; SameSite=Lax; Secure");
    }
}
