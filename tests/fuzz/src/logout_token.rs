//! Log-out tokens (OpenID Connect Back-Channel Logout), most of them signed by their issuer, as the gateway is sent them.

use super::{CLIENT, HOUSE, oracle, request};
use bytes::Bytes;
use http::Method;
use url::form_urlencoded;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Whether what was made of the data is accepted.
pub fn run(data: &[u8]) -> bool {
    let Some((token, signed)) = HOUSE.token(&HOUSE.signer, data) else { return false };
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &token).finish();
    let fields: [(&str, &[u8]); 1] = [("content-type", b"application/x-www-form-urlencoded")];
    let send = || {
        let parts = request(Method::POST, "/.gatehouse/backchannel-logout", &fields)?;
        HOUSE.own(&parts, Bytes::from(form.clone()))
    };
    if send().is_none_or(|answer| answer.status() != 200) {
        return false;
    }
    let (header, claims) = signed.expect("a token that the issuer did not sign");
    assert!(oracle::plainly_signed(&header), "{header}");
    let media_type = oracle::media_type(&header);
    assert!(matches!(media_type.as_deref(), None | Some("logout+jwt" | "jwt")), "{header}");
    assert_eq!(claims["iss"], *HOUSE.issuer, "{claims}");
    assert!(oracle::is_for(&claims, CLIENT), "{claims}");
    assert!(claims["azp"].is_null() || claims["azp"] == CLIENT, "{claims}");
    assert!(claims["events"][EVENT].is_object(), "{claims}");
    assert!(claims["nonce"].is_null(), "{claims}");
    assert!(oracle::text(&claims, "sub").or(oracle::text(&claims, "sid")).is_some(), "{claims}");
    assert!(oracle::text(&claims, "jti").is_some(), "{claims}");
    assert!(oracle::from_now(&claims, "exp").is_some_and(|left| left > 0), "{claims}");
    assert!(oracle::from_now(&claims, "iat").is_some_and(|since| since <= 10), "{claims}");
    assert!(send().is_some_and(|answer| answer.status() == 400), "taken twice: {claims}");
    true
}
