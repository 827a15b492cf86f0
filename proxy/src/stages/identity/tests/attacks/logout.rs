//! `logout.yaml`: logout tokens, by which anybody could be logged out.

use super::super::browser::{Answer, Browser};
use super::super::session::id_token::verify_logout_token;
use super::token::{Good, Token, Words};
use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    token: Token,
    #[serde(default = "body")]
    body: String,
    #[serde(default = "form")]
    media: String,
    /// A logout token that was accepted before.
    seen: Option<Token>,
    #[serde(default)]
    later_ms: i64,
    /// `ok`, a reason code, or what is said of the request.
    expect: String,
}

fn body() -> String {
    "logout_token={token}".into()
}

fn form() -> String {
    "application/x-www-form-urlencoded".into()
}

#[tokio::test]
async fn nobody_is_logged_out_but_by_the_issuer() {
    let mut tally = Tally::default();
    for case in cases::<Case>("logout") {
        let house = House::new().await;
        let words = Words::default().with("iss", &house.issuer.url);
        let header = json!({ "alg": "ES256", "kid": "es", "typ": "logout+jwt" });
        let good = Good { header, claims: house.logout_claims(NOW_MS), signer: "es" };
        let mut browser = Browser::new(&house);
        browser.log_in().await;
        if let Some(seen) = &case.seen {
            let token = seen.made(&house.issuer, &good, &words);
            let sent = format!("logout_token={token}");
            assert_eq!(
                answer(&house, &case.name, &token, &sent, &form(), NOW_MS).await,
                "ok",
                "{}",
                case.name
            );
            assert_eq!(browser.get("/").await.err(), Some(Reason::SessionEnded), "{}", case.name);
            // The next second, and another log-in to the issuer.
            browser.now_ms += 1000;
            let asked = browser.begin("/.gatehouse/login").await;
            let again = Answer { id_token: json!({ "sid": "s2" }), ..Answer::default() };
            browser.complete(&asked, again).await.unwrap();
        }
        let token = case.token.made(&house.issuer, &good, &words);
        let body = words.with("token", &token).fill(&case.body);
        let now_ms = NOW_MS + case.later_ms;
        let first = answer(&house, &case.name, &token, &body, &case.media, now_ms).await;
        browser.now_ms = browser.now_ms.max(now_ms);
        if browser.get("/").await.is_ok() == (first == "ok") {
            tally.fail(&case.name, format!("{first}, but the session says otherwise"));
        }
        let again = answer(&house, &case.name, &token, &body, &case.media, now_ms).await;
        if case.expect == "ok" {
            tally.expect(&case.name, "ok, used before", &[&format!("{first}, {again}")]);
        } else {
            tally.expect(&case.name, &case.expect, &[&first, &again]);
        }
    }
    tally.close();
}

/// What the issuer is told; where the token is not valid, why.
async fn answer(house: &House, name: &str, token: &str, body: &str, media: &str, now_ms: i64) -> String {
    let parts = request("POST", "/.gatehouse/backchannel-logout", &[("content-type", media)]);
    let sent = Bytes::copy_from_slice(body.as_bytes());
    let response = match house.stage.owned(At::Bank as usize, &parts, sent, now_ms).await {
        Ok(response) => response.unwrap(),
        Err(refusal) => return code(&refusal, name, &[token]),
    };
    silent(&String::from_utf8_lossy(response.body()), name, &[token]);
    if response.status() == 200 {
        return "ok".into();
    }
    assert_eq!(response.status(), 400, "{name}");
    let said: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(said["error"], "invalid_request", "{name}");
    match said["error_description"].as_str().unwrap() {
        "not a form" => "no form".into(),
        "no logout_token, or more than one" => "no token".into(),
        "the logout token was used before" => "used before".into(),
        _ => {
            let fault =
                verify_logout_token(token, &house.stage.issuers[0], "gateway", now_ms).await.unwrap_err();
            silent(&fault.inside, name, &[token]);
            fault.reason.row().code.into()
        }
    }
}
