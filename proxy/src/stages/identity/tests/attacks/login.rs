//! `login.yaml`: callbacks, and what the issuer answers to their codes.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Map;

use super::super::browser::{Browser, location};
use super::token::{Good, Token, Words};
use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default = "root")]
    return_to: String,
    /// Where an accepted log-in goes on.
    #[serde(default = "root")]
    lands: String,
    #[serde(default)]
    step_up: bool,
    #[serde(default)]
    id_token: Token,
    /// Put over the token endpoint's answer.
    #[serde(default)]
    response: Map<String, Value>,
    /// Put over the callback's parameters.
    #[serde(default)]
    callback: Map<String, Value>,
    /// The whole query of the callback.
    query: Option<String>,
    #[serde(default)]
    later_ms: i64,
    /// What the log must say.
    #[serde(default)]
    because: String,
    /// `ok` or a reason code.
    expect: String,
}

fn root() -> String {
    "/".into()
}

#[tokio::test]
async fn nobody_logs_in_but_by_the_good_answer() {
    let house = House::new().await;
    let mut tally = Tally::default();
    for case in cases::<Case>("login") {
        let mut browser = Browser::new(&house);
        if case.step_up {
            browser.log_in().await;
        }
        let action = if case.step_up { "step-up" } else { "login" };
        let asked = browser.begin(&format!("/.gatehouse/{action}?return_to={}", case.return_to)).await;
        browser.now_ms += case.later_ms;
        let words = Words::default()
            .with("iss", &house.issuer.url)
            .with("state", &asked["state"])
            .with("STATE", asked["state"].to_uppercase())
            .with("at_hash", at_hash(&SHA256))
            .with("at_hash_512", at_hash(&SHA512));
        let id_token = granted(&house, &case, &asked["nonce"], browser.now_ms, &words);
        let callback = format!("/.gatehouse/callback?{}", query(&case, &words));
        let secrets = [&*id_token, &asked["state"], &asked["nonce"], &asked["code_challenge"]];
        let before = browser.cookies.get(SESSION_COOKIE).cloned();
        let first = answer(&mut browser, &case, &callback, &secrets, true).await;
        let begun = browser.cookies.get(SESSION_COOKIE).cloned();
        assert_eq!(begun != before, first == "ok", "{}: {first}, and the cookie", case.name);
        if case.expect == "ok" {
            tally.expect(&case.name, "ok", &[&first]);
        } else {
            let again = answer(&mut browser, &case, &callback, &secrets, false).await;
            tally.expect(&case.name, &case.expect, &[&first, &again]);
        }
    }
    tally.close();
}

/// Puts the token endpoint's answer in place.
fn granted(house: &House, case: &Case, nonce: &str, now_ms: i64, words: &Words) -> String {
    let mut claims = house.id_claims(Some(nonce), now_ms);
    if case.step_up {
        claims["acr"] = json!("strong");
    }
    let good = Good { header: json!({ "alg": "ES256", "kid": "es" }), claims, signer: "es" };
    let id_token = case.id_token.made(&house.issuer, &good, words);
    house.issuer.grants.lock().clear();
    house.grant(Some(nonce), now_ms, json!({}), json!({ "id_token": id_token }));
    if let Some(response) = house.issuer.grants.lock().last_mut() {
        words.change(response, &case.response);
    }
    id_token
}

fn query(case: &Case, words: &Words) -> String {
    if let Some(query) = &case.query {
        return words.fill(query);
    }
    let mut parameters = words.fill_value(&json!({ "code": "c1", "state": "{state}", "iss": "{iss}" }));
    words.change(&mut parameters, &case.callback);
    let pairs = parameters.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The left half of the hash of the access token that the fake issuer gives (OpenID Connect Core 3.1.3.6).
fn at_hash(algorithm: &'static Algorithm) -> String {
    let hash = digest(algorithm, b"opaque");
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..hash.as_ref().len() / 2])
}

async fn answer(
    browser: &mut Browser<'_>,
    case: &Case,
    callback: &str,
    secrets: &[&str],
    first: bool,
) -> String {
    match browser.own("GET", callback, &[("sec-fetch-site", "cross-site")], "").await {
        Ok(response) => {
            assert_eq!(response.status(), 303, "{}: the code would be sent on", case.name);
            assert_eq!(location(&response), format!("https://bank.example{}", case.lands), "{}", case.name);
            "ok".into()
        }
        Err(refusal) => {
            let because = !first || refusal.inside.contains(&case.because);
            assert!(because, "{}: refused because {}", case.name, refusal.inside);
            assert!(!refusal.inside.contains(['\r', '\n']), "{}: a line in the log", case.name);
            code(&refusal, &case.name, secrets)
        }
    }
}
