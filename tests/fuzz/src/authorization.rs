//! The `Authorization` fields of a request, a line each; `{good}` is a good token. Whatever else they are, nobody is let in
//! but by one field with a scheme and that token.

use std::sync::LazyLock;

use super::{AUDIENCE, HOUSE, NOW_S, request};
use http::Method;
use serde_json::json;

static GOOD: LazyLock<String> = LazyLock::new(|| {
    let claims = json!({
        "iss": HOUSE.issuer, "aud": AUDIENCE, "sub": "ada", "client_id": "app", "jti": "1",
        "iat": NOW_S - 10, "exp": NOW_S + 300,
    });
    HOUSE.signer.sign(r#"{"alg":"ES256","typ":"at+jwt"}"#, &claims.to_string())
});

/// Whether what was made of the data is accepted.
pub fn run(data: &[u8]) -> bool {
    let fields: Vec<Vec<u8>> = data
        .split(|&b| b == b'\n')
        .take(4)
        .map(|line| match std::str::from_utf8(line) {
            Ok(text) => text.replace("{good}", &GOOD).into_bytes(),
            Err(_) => line.to_vec(),
        })
        .collect();
    let named: Vec<(&str, &[u8])> = fields.iter().map(|field| ("authorization", field.as_slice())).collect();
    let Some(parts) = request(Method::GET, "/", &named) else { return false };
    if HOUSE.identify(&parts).is_none() {
        return false;
    }
    let [(_, field)] = named.as_slice() else { panic!("several fields let somebody in") };
    let (scheme, token) = field.split_at(7);
    assert!(scheme.eq_ignore_ascii_case(b"bearer ") && token == GOOD.as_bytes(), "{field:?}");
    true
}
