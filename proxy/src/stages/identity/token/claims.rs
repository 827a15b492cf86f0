//! The claims of an access token, an ID token or a logout token, each read with one type only.

use serde_json::{Map, Value};

/// 9999-12-31: a later date is a mistake or an attempt to overflow somebody.
const DATE_MAX_S: i64 = 253_402_300_799;
/// Most entries read from a list of audiences, scopes or roles.
const LIST_MAX: usize = 128;
/// Longest identifier (`sub`, `client_id`, `jti`, `sid`, `acr`), bytes.
const IDENTIFIER_BYTES_MAX: usize = 255;

/// A claim is missing or of a wrong type; names the claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimFault {
    /// Not there.
    #[error("{0} is missing")]
    Missing(String),
    /// There, but not of the type that its specification says, or beyond a bound.
    #[error("{0} has a wrong type or size")]
    Type(&'static str),
}

/// Reads claims by name and type.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a>(pub &'a Map<String, Value>);

impl<'a> Claims<'a> {
    /// A string of 1..=255 bytes without control characters.
    ///
    /// # Errors
    /// [`ClaimFault::Type`] for anything else that is there.
    pub fn identifier(self, name: &'static str) -> Result<Option<&'a str>, ClaimFault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text))
                if !text.is_empty()
                    && text.len() <= IDENTIFIER_BYTES_MAX
                    && !text.chars().any(char::is_control) =>
            {
                Ok(Some(text))
            }
            Some(_) => Err(ClaimFault::Type(name)),
        }
    }

    /// A date as whole seconds since 1970. Fractions, exponents and strings are refused: readers differ on them.
    ///
    /// # Errors
    /// [`ClaimFault::Type`] for anything else that is there.
    pub fn date(self, name: &'static str) -> Result<Option<i64>, ClaimFault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(seconds) if (0..=DATE_MAX_S).contains(&seconds) => Ok(Some(seconds)),
                _ => Err(ClaimFault::Type(name)),
            },
        }
    }

    /// `aud`: one string or a list of strings (RFC 7519 4.1.3).
    ///
    /// # Errors
    /// [`ClaimFault::Type`] for anything else that is there.
    pub fn audiences(self) -> Result<Option<Vec<&'a str>>, ClaimFault> {
        match self.0.get("aud") {
            None => Ok(None),
            Some(Value::String(one)) => Ok(Some(vec![one])),
            Some(Value::Array(many)) => strings(many, "aud").map(Some),
            Some(_) => Err(ClaimFault::Type("aud")),
        }
    }

    /// `scope`: words parted by single spaces (RFC 6749 3.3).
    ///
    /// # Errors
    /// [`ClaimFault::Type`] for anything else that is there.
    pub fn scopes(self) -> Result<Vec<String>, ClaimFault> {
        match self.0.get("scope") {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => scope_words(text).ok_or(ClaimFault::Type("scope")),
            Some(_) => Err(ClaimFault::Type("scope")),
        }
    }

    /// A list of strings; not there: empty.
    ///
    /// # Errors
    /// [`ClaimFault::Type`] for anything else that is there.
    pub fn list(self, name: &'static str) -> Result<Vec<String>, ClaimFault> {
        match self.0.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(many)) => Ok(strings(many, name)?.into_iter().map(str::to_owned).collect()),
            Some(_) => Err(ClaimFault::Type(name)),
        }
    }
}

/// Turns "not there" into a fault.
///
/// # Errors
/// [`ClaimFault::Missing`].
pub fn required<T>(found: Option<T>, name: &'static str) -> Result<T, ClaimFault> {
    found.ok_or_else(|| ClaimFault::Missing(name.to_owned()))
}

/// The words of a `scope` text; `None` if it breaks RFC 6749 3.3 or has too many.
pub fn scope_words(text: &str) -> Option<Vec<String>> {
    let fits = |b: u8| (0x20..=0x7e).contains(&b) && b != b'"' && b != b'\\';
    if !text.bytes().all(fits) {
        return None;
    }
    let words: Vec<String> = text.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
    (words.len() <= LIST_MAX).then_some(words)
}

fn strings<'a>(many: &'a [Value], name: &'static str) -> Result<Vec<&'a str>, ClaimFault> {
    if many.len() > LIST_MAX {
        return Err(ClaimFault::Type(name));
    }
    many.iter().map(|v| v.as_str().ok_or(ClaimFault::Type(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn dates_are_whole_seconds() {
        for (value, read) in [
            (json!(1_700_000_000), Ok(Some(1_700_000_000))),
            (json!(0), Ok(Some(0))),
            (json!(1.5), Err(ClaimFault::Type("exp"))),
            (json!(1_700_000_000.0), Err(ClaimFault::Type("exp"))),
            (json!("1700000000"), Err(ClaimFault::Type("exp"))),
            (json!(-1), Err(ClaimFault::Type("exp"))),
            (json!(u64::MAX), Err(ClaimFault::Type("exp"))),
            (json!(i64::MAX), Err(ClaimFault::Type("exp"))),
            (json!(null), Err(ClaimFault::Type("exp"))),
            (json!([1]), Err(ClaimFault::Type("exp"))),
        ] {
            let map = claims(json!({ "exp": value }));
            assert_eq!(Claims(&map).date("exp"), read, "{map:?}");
        }
    }

    #[test]
    fn audiences_are_strings() {
        for (value, count) in [
            (json!("a"), Some(1)),
            (json!(["a", "b"]), Some(2)),
            (json!([]), Some(0)),
            (json!(["a", 1]), None),
            (json!({ "a": 1 }), None),
            (json!(7), None),
            (json!(vec!["a"; 1000]), None),
        ] {
            let map = claims(json!({ "aud": value }));
            assert_eq!(Claims(&map).audiences().ok().flatten().map(|l| l.len()), count, "{map:?}");
        }
    }

    #[test]
    fn identifiers_and_scopes_are_bounded() {
        let map = claims(json!({ "sub": "a\u{0}b", "jti": "", "sid": "x".repeat(256), "acr": 1 }));
        for name in ["sub", "jti", "sid", "acr"] {
            assert!(Claims(&map).identifier(name).is_err(), "{name}");
        }
        assert_eq!(scope_words("a  b").map(|w| w.len()), Some(2));
        assert_eq!(scope_words("a\"b"), None);
        assert_eq!(scope_words("a\r\nb"), None);
        assert_eq!(scope_words(&"a ".repeat(1000)), None);
    }
}
