//! The address of a request, as `htu` names it (RFC 9449 4.2): without query and fragment, compared after the
//! normalisations of RFC 3986 6.2.2 and 6.2.3.

use url::{Host, Url};

/// A normalised address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    scheme: String,
    host: Host<String>,
    port: Option<u16>,
    path: String,
}

impl Target {
    /// Reads `htu`; its query and fragment are ignored (RFC 9449 4.3, item 9). `None`: not an address of an HTTP request.
    pub fn parse(address: &str) -> Option<Self> {
        // The parser forgives what is no URI (RFC 3986 2), and folds letters of other scripts into ours.
        if !address.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return None;
        }
        let url = Url::parse(address).ok()?;
        let sound = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && address.get(url.scheme().len()..)?.starts_with("://");
        if sound { Self::of(&url, url.path()) } else { None }
    }

    /// The address of `path` at the origin of `external_url`.
    pub fn of(external_url: &Url, path: &str) -> Option<Self> {
        Some(Self {
            scheme: external_url.scheme().to_owned(),
            host: external_url.host()?.to_owned(),
            port: external_url.port_or_known_default(),
            path: normalised(path),
        })
    }
}

/// Percent-encoding in one spelling: unreserved characters stand for themselves, others in upper-case hexadecimal.
fn normalised(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok().zip(Some(digits))) {
            Some((byte, _)) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                out.push(char::from(byte));
                rest = after.get(2..).unwrap_or_default();
            }
            Some((_, digits)) => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    if out.is_empty() { "/".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_address_are_the_same_and_others_are_not() {
        let external = Url::parse("https://bank.example").unwrap();
        let target = Target::of(&external, "/api/a%2db/~c").unwrap();
        for (address, same) in [
            ("https://bank.example/api/a-b/~c", true),
            ("https://bank.example:443/api/a-b/~c", true),
            ("HTTPS://BANK.Example/api/a%2Db/%7Ec", true),
            ("https://bank.example/api/a-b/~c?x=1#y", true),
            ("https://bank.example/api/./a-b/~c", true),
            ("http://bank.example/api/a-b/~c", false),
            ("https://bank.example:8443/api/a-b/~c", false),
            ("https://bank.example/api/a-b/~c/", false),
            ("https://bank.example/api/a-B/~c", false),
            ("https://bank.example/api/a%252db/~c", false),
            ("https://user@bank.example/api/a-b/~c", false),
            ("https://bank.example.evil/api/a-b/~c", false),
            ("https:bank.example/api/a-b/~c", false),
            ("https:\\\\bank.example/api/a-b/~c", false),
            ("https://\u{ff42}ank.example/api/a-b/~c", false),
            (" https://bank.example/api/a-b/~c", false),
            ("https://bank.example/api/a-b/~c\n", false),
            ("/api/a-b/~c", false),
            ("", false),
        ] {
            assert_eq!(Target::parse(address).as_ref() == Some(&target), same, "{address}");
        }
        assert_eq!(Target::parse("https://bank.example"), Target::of(&external, "/"));
        assert_ne!(Target::of(&external, "/a%2fb"), Target::of(&external, "/a/b"));
        assert_eq!(Target::of(&external, "/a%2fb"), Target::of(&external, "/a%2Fb"));
    }

    proptest! {
        #[test]
        fn any_address_is_answered(address in "\\PC{0,80}") {
            let _ = Target::parse(&address);
        }
    }
}
