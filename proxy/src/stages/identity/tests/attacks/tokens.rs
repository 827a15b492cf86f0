//! `tokens.yaml` and `requests.yaml`: bearer tokens, and how credentials are brought along.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::token::{Good, Token, Words};
use super::*;

const CERTIFICATE: [u8; 32] = [7; 32];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    app: At,
    #[serde(default)]
    token: Token,
    /// The token was accepted now, and comes again after `later_ms`.
    #[serde(default)]
    accepted_before: bool,
    #[serde(default)]
    later_ms: i64,
    target: Option<String>,
    fields: Option<Fields>,
    /// Whether the connection has a client certificate.
    #[serde(default)]
    certificate: bool,
    /// `ok` or a reason code.
    expect: String,
}

#[tokio::test]
async fn every_token_and_every_request_meets_its_reason() {
    let house = House::new().await;
    let mut tally = Tally::default();
    for case in cases::<Case>("tokens").into_iter().chain(cases("requests")) {
        let certificate = URL_SAFE_NO_PAD.encode(CERTIFICATE);
        let words = Words::default().with("strict", &house.issuer.url).with("cert", certificate);
        let (good, words) = good(&house, case.app, words);
        let token = case.token.made(&house.issuer, &good, &words);
        let words = words.with("token", &token);
        let standard = vec![BTreeMap::from([("authorization".to_owned(), "Bearer {token}".to_owned())])];
        let fields = case.fields.as_ref().unwrap_or(&standard);
        let target = case.target.as_deref().unwrap_or("/");
        let parts = asked("GET", target, fields, |text| words.fill(text));
        if case.accepted_before {
            assert_eq!(answer(&house, &case, &parts, &token, 0).await, "ok", "{}", case.name);
        }
        let first = answer(&house, &case, &parts, &token, case.later_ms).await;
        let again = answer(&house, &case, &parts, &token, case.later_ms).await;
        tally.expect(&case.name, &case.expect, &[&first, &again]);
    }
    tally.close();
}

/// The application's good token.
fn good(house: &House, app: At, words: Words) -> (Good, Words) {
    let url = &house.issuer.url;
    let issuer = if app == At::Api { format!("{url}/lenient") } else { url.clone() };
    let mut claims = good_claims(&issuer);
    if app == At::Api {
        claims["tenant"] = json!("bank");
    }
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "es" });
    (Good { header, claims, signer: "es" }, words.with("iss", issuer))
}

async fn answer(house: &House, case: &Case, parts: &Parts, token: &str, later_ms: i64) -> String {
    let peer = Peer { client_cert_sha256: case.certificate.then_some(CERTIFICATE) };
    let (app, now_ms) = (case.app as usize, NOW_MS + later_ms);
    let recognised = house.stage.recognise(app, parts, &peer, now_ms);
    match house.stage.identify(app, &Requirement::default(), parts, &peer, now_ms).await {
        Ok(Authentication::Known(_)) => "ok".into(),
        Ok(Authentication::Anonymous) => "anonymous".into(),
        Err(refusal) => {
            assert!(recognised.is_none(), "{}: recognised, then refused", case.name);
            code(&refusal, &case.name, &[token])
        }
    }
}
