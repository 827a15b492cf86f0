//! `Cookie` fields, a line each. No session is open, so that nobody is let in; and a value is found only where the name
//! stands once.

use super::{HOUSE, request};
use bytes::Bytes;
use http::Method;
use proxy::stages::identity::credentials::cookie;
use proxy::stages::identity::{LOGIN_COOKIE, SESSION_COOKIE};

/// Whether a session cookie is found.
pub fn run(data: &[u8]) -> bool {
    let fields: Vec<(&str, &[u8])> =
        data.split(|&b| b == b'\n').take(4).map(|line| ("cookie", line)).collect();
    let Some(parts) = request(Method::GET, "/", &fields) else { return false };
    assert!(HOUSE.identify(&parts).is_none());
    for name in [SESSION_COOKIE, LOGIN_COOKIE] {
        let Ok(found) = cookie(&parts, name) else { continue };
        let pairs = fields.iter().flat_map(|(_, field)| field.split(|&b| b == b';'));
        let named: Vec<&[u8]> = pairs
            .filter_map(|pair| {
                let at = pair.iter().position(|&b| b == b'=')?;
                let (key, value) = pair.split_at(at);
                (key.trim_ascii() == name.as_bytes()).then(|| value[1..].trim_ascii())
            })
            .collect();
        match found {
            // What is no text is read as nothing.
            Some("") => assert_eq!(named.len(), 1, "{name}"),
            Some(value) => assert_eq!(named, [value.as_bytes()], "{name}"),
            None => assert!(named.is_empty(), "{name} is overlooked"),
        }
    }
    for path in ["callback?state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&code=c", "session", "form", "logout"] {
        let own = request(Method::GET, &format!("/.gatehouse/{path}"), &fields);
        let answer = own.and_then(|parts| HOUSE.own(&parts, Bytes::new()));
        let set = answer.iter().flat_map(|answer| answer.headers().get_all("set-cookie"));
        for value in set {
            // Only taken away, never given.
            let text = value.to_str().expect("ASCII");
            assert!(text.contains("Max-Age=0"), "{path} sets {text}");
        }
    }
    matches!(cookie(&parts, SESSION_COOKIE), Ok(Some(_)))
}
