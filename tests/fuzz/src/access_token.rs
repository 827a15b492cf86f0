//! Access tokens (RFC 9068), most of them signed by their issuer.

use super::{AUDIENCE, HOUSE, oracle, request};
use http::Method;

/// Whether what was made of the data is accepted.
pub fn run(data: &[u8]) -> bool {
    let Some((token, signed)) = HOUSE.token(&HOUSE.signer, data) else { return false };
    let field = format!("Bearer {token}");
    let Some(parts) = request(Method::GET, "/", &[("authorization", field.as_bytes())]) else { return false };
    let Some(identity) = HOUSE.identify(&parts) else { return false };
    let (header, claims) = signed.expect("a token that the issuer did not sign");
    assert!(oracle::plainly_signed(&header), "{header}");
    assert_eq!(oracle::media_type(&header).as_deref(), Some("at+jwt"), "{header}");
    assert_eq!(claims["iss"], *HOUSE.issuer, "{claims}");
    assert!(oracle::is_for(&claims, AUDIENCE), "{claims}");
    assert!(oracle::from_now(&claims, "exp").is_some_and(|left| left > 0), "{claims}");
    assert!(oracle::from_now(&claims, "iat").is_some_and(|since| since <= 10), "{claims}");
    assert!(
        claims["nbf"].is_null() || oracle::from_now(&claims, "nbf").is_some_and(|since| since <= 10),
        "{claims}"
    );
    assert_eq!(oracle::text(&claims, "sub"), Some(&*identity.subject), "{claims}");
    assert_eq!(oracle::text(&claims, "client_id"), Some(&*identity.client_id), "{claims}");
    assert!(oracle::text(&claims, "jti").is_some(), "{claims}");
    assert!(claims["cnf"].is_null(), "bound, and sent by whoever holds it: {claims}");
    true
}
