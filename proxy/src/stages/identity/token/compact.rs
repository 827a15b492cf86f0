//! The compact serialisation of a signed token (RFC 7515 7.1), read strictly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::Algorithm;
use crate::strict_json;

/// Longest `kid` read, bytes.
const KID_BYTES_MAX: usize = 256;
/// Longest signature of an accepted algorithm, bytes: RSA with 8,192 bits.
const SIGNATURE_BYTES_MAX: usize = 1024;

/// Why a text is not a signed token that could be accepted.
#[derive(Debug, thiserror::Error)]
pub enum CompactFault {
    /// Over the issuer's or the general bound.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// Not three parts.
    #[error("{0} parts instead of three")]
    Parts(usize),
    /// A part is not base64url without padding, in its only spelling.
    #[error("{0} is not base64url without padding")]
    Base64(&'static str),
    /// A part is not a strict JSON object.
    #[error("{0}: {1}")]
    Json(&'static str, String),
    /// The header names something that is not accepted.
    #[error("header: {0}")]
    Header(&'static str),
}

/// A signed text taken apart; nothing in it is verified yet.
#[derive(Debug)]
pub struct Jws<'a> {
    /// The header members that matter.
    pub header: Header,
    /// All members, for the one kind of token that is verified with a key it brings itself.
    pub members: Map<String, Value>,
    /// The payload's bytes, whatever they are.
    pub payload: Vec<u8>,
    /// What was signed: header and payload as they were sent.
    pub signed: &'a [u8],
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

/// A token taken apart: one whose payload is a set of claims (RFC 7519).
#[derive(Debug)]
pub struct Compact<'a> {
    /// The header members that matter.
    pub header: Header,
    /// All claims.
    pub claims: Map<String, Value>,
    /// What was signed: header and payload as they were sent.
    pub signed: &'a [u8],
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

/// The protected header. Members that could bring a key (`jku`, `jwk`, `x5u`, `x5c`) are not even kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// Signature algorithm.
    pub algorithm: Algorithm,
    /// Media type, lower case and without `application/`.
    pub media_type: Option<String>,
    /// Which key.
    pub kid: Option<String>,
}

/// Takes a token of at most `bytes_max` bytes apart.
///
/// # Errors
/// See [`CompactFault`].
pub fn parse_compact(token: &str, bytes_max: usize) -> Result<Compact<'_>, CompactFault> {
    parse_jws(token, bytes_max)?.with_claims()
}

impl<'a> Jws<'a> {
    /// The same with its payload read as claims.
    ///
    /// # Errors
    /// [`CompactFault::Json`].
    pub fn with_claims(self) -> Result<Compact<'a>, CompactFault> {
        let Jws { header, payload, signed, signature, .. } = self;
        Ok(Compact { header, claims: claims_of(&payload)?, signed, signature })
    }
}

/// The header alone of a token of at most `bytes_max` bytes.
///
/// # Errors
/// See [`CompactFault`].
pub fn parse_header(token: &str, bytes_max: usize) -> Result<Header, CompactFault> {
    if token.len() > bytes_max {
        return Err(CompactFault::TooLong(bytes_max));
    }
    let header = token.split('.').next().unwrap_or_default();
    read_header(&object(&decode(header, "header")?, "header")?)
}

/// The claims in a payload's bytes.
///
/// # Errors
/// [`CompactFault::Json`].
pub fn claims_of(payload: &[u8]) -> Result<Map<String, Value>, CompactFault> {
    object(payload, "payload")
}

/// Takes a compact JWS of at most `bytes_max` bytes apart.
///
/// # Errors
/// See [`CompactFault`].
pub fn parse_jws(token: &str, bytes_max: usize) -> Result<Jws<'_>, CompactFault> {
    if token.len() > bytes_max {
        return Err(CompactFault::TooLong(bytes_max));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(CompactFault::Parts(token.split('.').count()));
    };
    let header_bytes = decode(header, "header")?;
    let members = object(&header_bytes, "header")?;
    let header_read = read_header(&members)?;
    let payload_bytes = decode(payload, "payload")?;
    if signature.is_empty() || signature.len() > SIGNATURE_BYTES_MAX * 4 / 3 + 4 {
        return Err(CompactFault::Base64("signature"));
    }
    let signature = decode(signature, "signature")?;
    let signed_len = header.len() + 1 + payload.len();
    let signed = token.as_bytes().get(..signed_len).unwrap_or_default();
    Ok(Jws { header: header_read, members, payload: payload_bytes, signed, signature })
}

/// The engine refuses padding, foreign characters, and left-over bits that are not zero, so one value has one spelling.
fn decode(part: &str, name: &'static str) -> Result<Vec<u8>, CompactFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| CompactFault::Base64(name))
}

/// No member twice, no deep nesting: two readers that disagree on a duplicate is how a claim is smuggled past a check.
fn object(bytes: &[u8], name: &'static str) -> Result<Map<String, Value>, CompactFault> {
    match strict_json::parse(bytes, strict_json::Bounds::default()) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(CompactFault::Json(name, "not an object".into())),
        Err(problem) => Err(CompactFault::Json(name, problem)),
    }
}

fn read_header(members: &Map<String, Value>) -> Result<Header, CompactFault> {
    // RFC 7515 4.1.11: an extension that is not understood refuses the token, and none is understood here.
    // `b64` (RFC 7797) changes what is signed and is refused even where `crit` does not list it.
    for (name, problem) in [
        ("crit", "critical extensions are not understood"),
        ("b64", "unencoded payloads are not understood"),
        ("enc", "encrypted tokens are not understood"),
        ("zip", "compressed tokens are not understood"),
        ("cty", "nested tokens are not understood"),
    ] {
        if members.contains_key(name) {
            return Err(CompactFault::Header(problem));
        }
    }
    let algorithm = match members.get("alg") {
        Some(Value::String(name)) => {
            Algorithm::from_name(name).ok_or(CompactFault::Header("alg is not accepted"))?
        }
        _ => return Err(CompactFault::Header("alg is missing or no string")),
    };
    let media_type = match members.get("typ") {
        None => None,
        Some(Value::String(name)) => {
            let lower = name.to_ascii_lowercase();
            Some(lower.strip_prefix("application/").map(str::to_owned).unwrap_or(lower))
        }
        Some(_) => return Err(CompactFault::Header("typ is no string")),
    };
    let kid = match members.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid.clone()),
        Some(_) => return Err(CompactFault::Header("kid is no string or too long")),
    };
    Ok(Header { algorithm, media_type, kid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(header: &str, claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part(claims), part("signature"))
    }

    #[test]
    fn headers_that_are_read_and_those_that_are_refused() {
        for (header, readable) in [
            (r#"{"alg":"ES256"}"#, true),
            (r#"{"alg":"EdDSA","kid":"1","typ":"application/AT+jwt"}"#, true),
            (r#"{"alg":"ES256","jku":"https://evil","jwk":{"kty":"EC"},"x5c":["a"],"x5u":"u"}"#, true),
            (r#"{"alg":"none"}"#, false),
            (r#"{"alg":"None"}"#, false),
            (r#"{"alg":"nOnE"}"#, false),
            (r#"{"alg":""}"#, false),
            (r#"{"alg":"es256"}"#, false),
            (r#"{"alg":"HS256"}"#, false),
            (r#"{"alg":["ES256"]}"#, false),
            (r#"{"alg":null}"#, false),
            (r#"{"typ":"JWT"}"#, false),
            (r#"{"alg":"ES256","alg":"none"}"#, false),
            (r#"{"alg":"ES256","crit":["exp"],"exp":1}"#, false),
            (r#"{"alg":"ES256","crit":[]}"#, false),
            (r#"{"alg":"ES256","b64":true}"#, false),
            (r#"{"alg":"ES256","typ":7}"#, false),
            (r#"{"alg":"ES256","kid":7}"#, false),
            (r#"{"alg":"ES256","cty":"JWT"}"#, false),
            (r#"{"alg":"ES256","zip":"DEF"}"#, false),
        ] {
            assert_eq!(parse_compact(&token(header, "{}"), 4096).is_ok(), readable, "{header}");
        }
    }

    #[test]
    fn one_value_has_one_spelling() {
        let good = token(r#"{"alg":"ES256"}"#, "{}");
        let parsed = parse_compact(&good, 4096).unwrap();
        assert_eq!(parsed.signature, b"signature");
        assert_eq!(parsed.signed, good.rsplit_once('.').unwrap().0.as_bytes());
        for bad in [
            format!("{good}="),
            format!("{good}."),
            format!(".{good}"),
            format!(" {good}"),
            format!("{good}\n"),
            good.replacen('.', "..", 1),
            good.replace('J', "+"),
            format!("{}.", good.rsplit_once('.').unwrap().0),
            // "e30" is {}; the last character carries two bits that must be zero.
            token(r#"{"alg":"ES256"}"#, "{}").replace("e30", "e31"),
        ] {
            assert!(parse_compact(&bad, 4096).is_err(), "{bad}");
        }
        assert!(matches!(parse_compact(&good, good.len() - 1), Err(CompactFault::TooLong(_))));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,200}") {
            let _ = parse_compact(&text, 4096);
        }

        #[test]
        fn a_changed_byte_never_reads_as_the_same_token(at in 0usize..60, byte in 0x21u8..0x7f) {
            let good = token(r#"{"alg":"ES256","kid":"k"}"#, r#"{"sub":"a"}"#);
            let mut bytes = good.clone().into_bytes();
            let at = at % bytes.len();
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            let changed = String::from_utf8(bytes).unwrap();
            if let Ok(read) = parse_compact(&changed, 4096) {
                let first = parse_compact(&good, 4096).unwrap();
                prop_assert!(read.signed != first.signed || read.signature != first.signature);
            }
        }
    }
}
