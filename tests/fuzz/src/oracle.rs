//! What must be true of whatever is accepted, by another reading than the gateway's.

use serde_json::{Value, json};

use super::NOW_S;

/// A claim that is a string with something in it.
pub fn text<'a>(claims: &'a Value, name: &str) -> Option<&'a str> {
    claims[name].as_str().filter(|text| !text.is_empty())
}

/// A date, as whole seconds before or after now.
pub fn from_now(claims: &Value, name: &str) -> Option<i64> {
    claims[name].as_i64().map(|date| date - NOW_S)
}

/// `typ` without the media type's family (RFC 7515 4.1.9), in lower case.
pub fn media_type(header: &Value) -> Option<String> {
    let typ = header["typ"].as_str()?.to_ascii_lowercase();
    Some(typ.strip_prefix("application/").unwrap_or(&typ).to_owned())
}

/// `aud` is `wanted`, or a list that has it.
pub fn is_for(claims: &Value, wanted: &str) -> bool {
    match &claims["aud"] {
        Value::Array(list) => list.iter().any(|one| one == wanted),
        one => one == wanted,
    }
}

/// Signed with ES256, with nothing critical that somebody might not understand.
pub fn plainly_signed(header: &Value) -> bool {
    header["alg"] == "ES256" && header["crit"].is_null() && header["b64"] != json!(false)
}
