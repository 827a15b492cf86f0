//! DPoP proofs (RFC 9449) for one request with one token, most of them signed by the key that they carry: `"{jwk}"` is it.

use std::sync::LazyLock;

use super::{HOUSE, NOW_S, SITE, oracle};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use proxy::stages::identity::dpop::{Expected, Target, prove};
use sha2::{Digest, Sha256};
use url::Url;

const TOKEN: &str = "the.access.token";

static TARGET: LazyLock<Target> =
    LazyLock::new(|| Target::of(&SITE.parse().expect("an address"), "/accounts").expect("a target"));

/// Whether what was made of the data is accepted.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let text = text.replace("\"{jwk}\"", &HOUSE.holder.jwk().to_string());
    let Some((proof, signed)) = HOUSE.token(&HOUSE.holder, text.as_bytes()) else { return false };
    let expected = Expected {
        method: "GET",
        target: &TARGET,
        token: TOKEN,
        nonces: None,
        age_max_ms: 60_000,
        now_ms: NOW_S * 1000,
    };
    let Ok(proved) = prove(&proof, &expected) else { return false };
    let (header, claims) = signed.expect("a proof that nobody signed");
    assert!(oracle::plainly_signed(&header), "{header}");
    assert_eq!(oracle::media_type(&header).as_deref(), Some("dpop+jwt"), "{header}");
    let own = HOUSE.holder.jwk();
    assert!(["kty", "crv", "x", "y"].iter().all(|name| header["jwk"][name] == own[name]), "{header}");
    assert!(header["jwk"]["d"].is_null(), "{header}");
    // RFC 7638, by hand.
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, own["x"], own["y"]);
    assert_eq!(proved.thumbprint[..], Sha256::digest(canonical)[..]);
    assert_eq!(claims["htm"], "GET", "{claims}");
    let htu = Url::parse(claims["htu"].as_str().expect("htu")).expect("htu");
    assert_eq!(
        (htu.scheme(), htu.host_str(), htu.port_or_known_default()),
        ("https", Some("bank.test"), Some(443)),
        "{claims}"
    );
    assert_eq!(percent_decode_str(htu.path()).collect::<Vec<u8>>(), b"/accounts", "{claims}");
    assert_eq!(claims["ath"], *URL_SAFE_NO_PAD.encode(Sha256::digest(TOKEN)), "{claims}");
    assert!(oracle::text(&claims, "jti").is_some(), "{claims}");
    let since = claims["iat"].as_f64().expect("iat") - NOW_S as f64;
    assert!((-61.0..=61.0).contains(&since), "{claims}");
    true
}
