//! The gateway's client authentication at issuers: `private_key_jwt` (RFC 7523, OpenID Connect Core 9), signed ES256.

use serde_json::json;

use super::session::Secret;
use super::signing::SigningKey;

/// A client assertion lives this long, seconds.
const ASSERTION_S: i64 = 60;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Form parameters that prove who `client_id` is, good for one request to `issuer`; `None` only when the system has no
/// randomness. `aud` is the issuer, not the endpoint: an assertion for a list of audiences could be replayed by one of
/// them.
pub fn client_assertion(
    key: &SigningKey,
    client_id: &str,
    issuer: &str,
    now_ms: i64,
) -> Option<[(&'static str, String); 2]> {
    let now_s = now_ms.div_euclid(1000);
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": issuer, "jti": Secret::random()?.expose(),
        "iat": now_s, "exp": now_s.saturating_add(ASSERTION_S),
    });
    let assertion = key.sign("JWT", &claims)?;
    Some([("client_assertion_type", ASSERTION_TYPE.to_owned()), ("client_assertion", assertion)])
}
