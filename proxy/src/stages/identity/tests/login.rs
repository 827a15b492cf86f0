//! Logging in, staying logged in, stepping up and logging out. What attackers try stands in `tests/cases/identity/login.yaml`
//! and `sessions.yaml`.

use std::sync::atomic::Ordering;

use policies::ports::Space;

use super::browser::{Answer, Browser, location};
use super::fake_issuer::Mood;
use super::*;

#[tokio::test]
async fn a_log_in_ends_in_a_session_that_is_found_without_waiting() {
    for offers_par in [true, false] {
        let house = House::unprimed(FakeIssuer::start_with(offers_par).await).await;
        house.stage.prime(NOW_MS).await;
        let mut browser = Browser::new(&house);
        let asked = browser.begin("/.gatehouse/login?return_to=/accounts?x=1").await;
        assert_eq!(asked["scope"], "openid read pay");
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["redirect_uri"], "https://bank.example/.gatehouse/callback");
        assert_eq!(asked["resource"], AUDIENCE);
        let response = browser.complete(&asked, Answer::default()).await.unwrap();
        assert_eq!(location(&response), "https://bank.example/accounts?x=1");
        let form = house.issuer.last_form();
        assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        assert!(form["code_verifier"].len() >= 43 && !form.contains_key("client_secret"));
        let identity = browser.get("/").await.unwrap();
        assert_eq!((&*identity.subject, identity.has_scope("pay")), ("alice", true));
        assert_eq!(identity.roles, ["teller"]);
        let recognised = house.stage.recognise(0, &browser.parts("GET", "/", &[]), &PEER, NOW_MS).unwrap();
        assert!(Arc::ptr_eq(recognised.identity(), &identity));
        // The cookie of one application is nothing at another.
        let (requirement, parts) = (Requirement::default(), browser.parts("GET", "/", &[]));
        let elsewhere = house.stage.identify(1, &requirement, &parts, &PEER, NOW_MS).await;
        assert_eq!(known(elsewhere), Err(Reason::SessionEnded));
    }
}

#[tokio::test]
async fn offline_access_comes_with_consent() {
    for (offers_par, session, prompt) in [
        (true, json!({}), None),
        (true, json!({ "scopes": ["read", "offline_access"] }), Some("consent")),
        (false, json!({ "scopes": ["read", "offline_access"] }), Some("consent")),
        (true, json!({ "scopes": ["read", "offline_access"], "prompt_consent": false }), None),
        (true, json!({ "prompt_consent": true }), Some("consent")),
    ] {
        let house = House::with_session(FakeIssuer::start_with(offers_par).await, session.clone()).await;
        let mut browser = Browser::new(&house);
        let asked = browser.begin("/.gatehouse/login").await;
        assert_eq!(asked.get("prompt").map(String::as_str), prompt, "{session}");
        browser.complete(&asked, Answer::default()).await.unwrap();
        // The session after a step-up needs a refresh token as well.
        let asked = browser.begin("/.gatehouse/step-up").await;
        assert_eq!(asked.get("prompt").map(String::as_str), prompt, "{session}");
        assert_eq!(asked["max_age"], "0", "whatever else is asked");
    }
}

#[tokio::test]
async fn a_state_belongs_to_one_browser_and_one_use() {
    let house = House::new().await;
    let (mut victim, mut thief) = (Browser::new(&house), Browser::new(&house));
    let asked = victim.begin("/.gatehouse/login?return_to=/mine").await;
    // The thief knows state and code; without the victim's cookie it is only sent to log in itself.
    let response = thief.complete(&asked, Answer::default()).await.unwrap();
    assert!(
        location(&response).starts_with("https://bank.example/.gatehouse/login?"),
        "{}",
        location(&response)
    );
    assert!(thief.cookies.is_empty() && house.issuer.token_calls() == 0);
    // It is not sent round for ever.
    let again = thief.begin("/.gatehouse/login?return_to=/mine&again=1").await;
    thief.cookies.clear();
    let refused = thief.complete(&again, Answer::default()).await;
    assert_eq!(refused.err().map(|r| r.reason), Some(Reason::LoginFailed));
    // The victim's own log-in was not used up, and works once.
    house.issuer.grants.lock().clear();
    victim.complete(&asked, Answer::default()).await.unwrap();
    let replayed = victim.complete(&asked, Answer::default()).await;
    assert_eq!(replayed.err().map(|r| r.reason), Some(Reason::LoginFailed));
    // A log-in that takes too long is over.
    let slow = victim.begin("/.gatehouse/login").await;
    victim.now_ms += 600_000;
    let late = victim.complete(&slow, Answer::default()).await;
    assert_eq!(late.err().map(|r| r.reason), Some(Reason::LoginFailed));
}

#[tokio::test]
async fn tabs_share_one_cookie_and_do_not_break_each_other() {
    let house = House::new().await;
    let mut browser = Browser::new(&house);
    let mut log_ins = Vec::new();
    for tab in 0..20 {
        log_ins.push((tab, browser.begin(&format!("/.gatehouse/login?return_to=/tab{tab}")).await));
        assert_eq!(browser.cookies.len(), 1, "cookies pile up");
    }
    let mut old = None;
    for (tab, asked) in log_ins {
        let response = browser.complete(&asked, Answer::default()).await.unwrap();
        assert_eq!(location(&response), format!("https://bank.example/tab{tab}"));
        let current = browser.cookies[SESSION_COOKIE].clone();
        assert_ne!(old.replace(current.clone()), Some(current), "a log-in makes a new session");
        assert!(browser.get("/").await.is_ok());
    }
}

#[tokio::test]
async fn a_planted_session_is_worth_nothing_after_the_log_in() {
    let house = House::new().await;
    let (mut attacker, mut victim) = (Browser::new(&house), Browser::new(&house));
    let planted = attacker.log_in().await;
    victim.cookies.insert(SESSION_COOKIE.into(), planted.clone());
    let asked = victim.begin("/.gatehouse/login").await;
    victim.complete(&asked, Answer { id_token: json!({ "sub": "bob" }), ..Answer::default() }).await.unwrap();
    assert_ne!(victim.cookies[SESSION_COOKIE], planted);
    assert_eq!(victim.get("/").await.unwrap().subject, "bob");
    assert_eq!(attacker.get("/").await.err(), Some(Reason::SessionEnded), "the planted session lives on");
    // An invented cookie never becomes a session.
    let mut inventive = Browser::new(&house);
    inventive.cookies.insert(SESSION_COOKIE.into(), "A".repeat(32));
    inventive.log_in().await;
    assert_ne!(inventive.cookies[SESSION_COOKIE], "A".repeat(32));
}

#[tokio::test]
async fn sessions_end_when_idle_and_at_last() {
    let house = House::new().await;
    let mut browser = Browser::new(&house);
    let asked = browser.begin("/.gatehouse/login").await;
    let forever = Answer { response: json!({ "refresh_token": null }), ..Answer::default() };
    browser.complete(&asked, forever).await.unwrap();
    // Used every ten minutes it lives for its eight hours.
    while browser.now_ms < NOW_MS + 28_800_000 - 600_000 {
        browser.now_ms += 600_000;
        assert!(browser.get("/").await.is_ok(), "after {} s", (browser.now_ms - NOW_MS) / 1000);
    }
    browser.now_ms = NOW_MS + 28_799_999;
    assert!(browser.get("/").await.is_ok());
    browser.now_ms += 1;
    assert_eq!(browser.get("/").await.err(), Some(Reason::SessionEnded));
    // Unused it ends after fifteen minutes, to the millisecond.
    for (pause_ms, alive) in [(899_999, true), (900_000, false)] {
        let mut browser = Browser::new(&house);
        let asked = browser.begin("/.gatehouse/login").await;
        let forever = Answer { response: json!({ "refresh_token": null }), ..Answer::default() };
        browser.complete(&asked, forever).await.unwrap();
        browser.now_ms += pause_ms;
        assert_eq!(browser.get("/").await.is_ok(), alive, "{pause_ms}");
    }
}

#[tokio::test]
async fn a_session_survives_the_process_and_needs_its_cookie_to_be_read() {
    let house = House::new().await;
    let mut browser = Browser::new(&house);
    let cookie = browser.log_in().await;
    let second =
        House::with_stores(Arc::clone(&house.issuer), house.hot.clone(), house.records.clone()).await;
    second.stage.prime(NOW_MS).await;
    let mut after = Browser::new(&second);
    after.cookies.insert(SESSION_COOKIE.into(), cookie.clone());
    assert!(second.stage.recognise(0, &after.parts("GET", "/", &[]), &PEER, NOW_MS).is_none());
    assert_eq!(after.get("/").await.unwrap().subject, "alice");
    assert!(second.stage.recognise(0, &after.parts("GET", "/", &[]), &PEER, NOW_MS).is_some());
    let key = session_key("bank", &cookie).unwrap();
    let stored = house.hot.get(Space::Sessions, &key, NOW_MS).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&stored);
    assert!(!text.contains("alice") && !text.contains("\"r1\""), "sessions are stored in clear");
}

#[tokio::test]
async fn fifty_requests_cost_one_refresh() {
    let house = House::new().await;
    let mut browser = Browser::new(&house);
    browser.log_in().await;
    let calls = house.issuer.token_calls();
    browser.now_ms += 300_000;
    *house.issuer.token_mood.lock() = Mood::Slow(Duration::from_millis(100));
    house.grant(None, browser.now_ms, json!({}), json!({ "refresh_token": "r2", "scope": "openid read" }));
    let browser = &browser;
    let all = futures_util::future::join_all((0..50).map(|_| browser.get("/"))).await;
    assert!(all.iter().all(|result| result.as_ref().is_ok_and(|i| !i.has_scope("pay"))), "{all:?}");
    assert_eq!(house.issuer.token_calls() - calls, 1);
    assert_eq!(house.issuer.last_form()["refresh_token"], "r1");
    // The next refresh uses what the last one gave.
    let mut browser = Browser {
        now_ms: browser.now_ms + 300_000,
        cookies: browser.cookies.clone(),
        ..Browser::new(&house)
    };
    house.grant(None, browser.now_ms, json!({}), json!({ "refresh_token": "r3" }));
    assert!(browser.get("/").await.is_ok());
    assert_eq!(house.issuer.last_form()["refresh_token"], "r2");
    // Somebody else's ID token ends the session.
    browser.now_ms += 300_000;
    house.grant(None, browser.now_ms, json!({ "sub": "mallory" }), json!({}));
    assert_eq!(browser.get("/").await.err(), Some(Reason::SessionEnded));
}

#[tokio::test]
async fn the_issuer_is_waited_for_before_capacity_is_taken() {
    let house = House::new().await;
    let mut browser = Browser::new(&house);
    browser.log_in().await;
    let parts = browser.parts("GET", "/", &[]);
    let stage = &house.stage;
    let consulted = async |access, now_ms| {
        let requirement = Requirement { access, ..Requirement::default() };
        let found = stage.recognise(0, &parts, &PEER, now_ms);
        stage.consult(found, 0, &requirement, &parts, &PEER, now_ms).await.unwrap()
    };
    let calls = house.issuer.token_calls();
    let found = consulted(Access::Required, browser.now_ms).await;
    assert!(matches!(found, Some(Recognised::Session(_))), "nothing is due: {found:?}");

    browser.now_ms += 300_000;
    let found = consulted(Access::Public, browser.now_ms).await;
    assert!(matches!(found, Some(Recognised::Due(_))), "a public route needs no session: {found:?}");
    assert_eq!(house.issuer.token_calls(), calls);
    house.grant(None, browser.now_ms, json!({}), json!({ "refresh_token": "r2" }));
    let found = consulted(Access::Required, browser.now_ms).await;
    assert!(matches!(found, Some(Recognised::Session(_))), "{found:?}");
    assert!(browser.get("/").await.is_ok());
    assert_eq!(house.issuer.token_calls() - calls, 1, "the issuer is asked once");

    browser.now_ms += 300_000;
    let found = consulted(Access::Required, browser.now_ms).await;
    assert!(found.is_none(), "the issuer has ended it: {found:?}");
    assert_eq!(browser.get("/").await.err(), Some(Reason::SessionEnded));
}

#[tokio::test]
async fn a_refresh_that_is_refused_ends_the_session_and_one_that_fails_does_not_at_once() {
    let house = House::new().await;
    let mut browser = Browser::new(&house);
    browser.log_in().await;
    browser.now_ms += 300_000;
    *house.issuer.token_mood.lock() = Mood::Says(503, "text/html", "<html>".into());
    let before = house.issuer.token_calls();
    assert!(browser.get("/").await.is_ok(), "within its grace");
    assert!(browser.get("/").await.is_ok());
    assert_eq!(house.issuer.token_calls() - before, 1, "the issuer is not asked again at once");
    browser.now_ms += 300_000;
    assert_eq!(browser.get("/").await.err(), Some(Reason::IssuerUnavailable), "after its grace");
    *house.issuer.token_mood.lock() = Mood::Good;
    browser.now_ms += 5_000;
    assert_eq!(browser.get("/").await.err(), Some(Reason::SessionEnded), "invalid_grant");
    assert_eq!(browser.get("/").await.err(), Some(Reason::SessionEnded));
}

#[tokio::test]
async fn a_step_up_is_the_same_person_stronger_and_now() {
    let house = House::new().await;
    let strong =
        Requirement { acr_values: vec!["strong".into()], max_auth_age_s: Some(60), ..Requirement::default() };
    let mut browser = Browser::new(&house);
    browser.log_in().await;
    let parts = browser.parts("GET", "/pay", &[("accept", "text/html")]);
    let refusal = house.stage.identify(0, &strong, &parts, &PEER, NOW_MS).await.err().unwrap();
    assert_eq!(refusal.reason, Reason::StepUpNeeded);
    let challenge = refusal.headers[0].1.to_str().unwrap();
    assert!(
        challenge.contains(r#"acr_values="strong""#) && challenge.contains(r#"max_age="60""#),
        "{challenge}"
    );
    let redirect =
        house.stage.login_redirect(0, &parts, Some(refusal.reason), Outcome::StepUp, None).unwrap();
    let target = location(&redirect).strip_prefix("https://bank.example").unwrap().to_owned();
    assert_eq!(target, "/.gatehouse/step-up?return_to=%2Fpay");
    let before = browser.cookies[SESSION_COOKIE].clone();
    let asked = browser.begin(&target).await;
    assert_eq!((&*asked["acr_values"], &*asked["max_age"]), ("strong", "0"));
    let response = browser
        .complete(&asked, Answer { id_token: json!({ "acr": "strong" }), ..Answer::default() })
        .await
        .unwrap();
    assert_eq!(location(&response), "https://bank.example/pay");
    assert_ne!(browser.cookies[SESSION_COOKIE], before, "a step-up makes a new session");
    let parts = browser.parts("GET", "/pay", &[]);
    assert!(house.stage.identify(0, &strong, &parts, &PEER, NOW_MS + 60_999).await.is_ok());
    let late = house.stage.identify(0, &strong, &parts, &PEER, NOW_MS + 61_000).await;
    assert_eq!(late.err().map(|r| r.reason), Some(Reason::StepUpNeeded));
}

#[tokio::test]
async fn programs_are_challenged_and_people_are_sent_to_log_in() {
    let house = House::new().await;
    let redirect = |method: &str, target: &str, fields: &[(&str, &str)], reason, outcome, back| {
        let response =
            house.stage.login_redirect(0, &request(method, target, fields), Some(reason), outcome, back)?;
        Some(location(&response).strip_prefix("https://bank.example").unwrap().to_owned())
    };
    let login = |path: &str| Some(format!("/.gatehouse/login?return_to={path}"));
    let deny = Outcome::Deny;
    assert_eq!(redirect("GET", "/a?b=c", &[], Reason::TokenMissing, deny, None), login("%2Fa%3Fb%3Dc"));
    assert_eq!(redirect("POST", "/a", &[], Reason::SessionEnded, deny, None), login("%2F"));
    assert_eq!(redirect("GET", "//evil", &[], Reason::TokenMissing, deny, None), login("%2F"));
    assert_eq!(
        redirect("GET", "/a", &[("authorization", "Bearer x")], Reason::TokenMissing, deny, None),
        None
    );
    assert_eq!(redirect("GET", "/a", &[], Reason::TokenAudience, deny, None), None);
    assert_eq!(
        redirect("POST", "/pay", &[], Reason::StepUpNeeded, Outcome::StepUp, Some("/transfer")),
        Some("/.gatehouse/step-up?return_to=%2Ftransfer".into())
    );
    let api =
        house.stage.login_redirect(1, &request("GET", "/", &[]), Some(Reason::TokenMissing), deny, None);
    assert!(api.is_none(), "an API has no log-in");
}

#[tokio::test]
async fn the_session_page_says_who_and_the_log_out_ends_it() {
    let house = House::new().await;
    let mut browser = Browser::new(&house);
    let missing = browser.own("GET", "/.gatehouse/session", &[], "").await;
    assert_eq!(missing.err().map(|r| r.reason), Some(Reason::TokenMissing));
    let cookie = browser.log_in().await;
    let response = browser.own("GET", "/.gatehouse/session", &[], "").await.unwrap();
    let said: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!((&said["subject"], &said["acr"]), (&json!("alice"), &json!("normal")));
    assert!(!said.to_string().contains("r1") && !said.to_string().contains(&cookie));
    let evil = [("sec-fetch-site", "cross-site")];
    for method in ["GET", "POST"] {
        let refused = browser.own(method, "/.gatehouse/logout", &evil, "").await;
        assert_eq!(refused.err().map(|r| r.reason), Some(Reason::CrossSite));
    }
    let identity = browser.get("/").await.unwrap();
    let mut watch = house.stage.revocations().watch();
    let same = [("sec-fetch-site", "same-origin")];
    let response = browser.own("POST", "/.gatehouse/logout", &same, "").await.unwrap();
    let next = Url::parse(location(&response)).unwrap();
    assert_eq!(next.path(), "/end");
    let query: std::collections::HashMap<_, _> = next.query_pairs().into_owned().collect();
    assert_eq!(query["post_logout_redirect_uri"], "https://bank.example/bye");
    assert!(query["id_token_hint"].starts_with("ey"));
    assert!(browser.cookies.is_empty());
    browser.cookies.insert(SESSION_COOKIE.into(), cookie);
    assert_eq!(
        browser.get("/").await.err(),
        Some(Reason::SessionEnded),
        "the cookie still opens the session"
    );
    assert!(
        watch.has_changed().unwrap() && house.stage.revocations().is_revoked(&identity),
        "streams stay open"
    );
    watch.mark_unchanged();
    // Somebody who only logs in again is not hit by it.
    browser.cookies.clear();
    browser.log_in().await;
    assert!(browser.get("/").await.is_ok());
}

#[tokio::test]
async fn log_ins_are_bounded_and_need_their_issuer() {
    let house = House::unprimed(FakeIssuer::start().await).await;
    *house.issuer.jwks_mood.lock() = Mood::Says(500, "application/json", "{}".into());
    let mut browser = Browser::new(&house);
    let refused = browser.own("GET", "/.gatehouse/login", &[], "").await;
    assert_eq!(refused.err().map(|r| r.reason), Some(Reason::IssuerUnavailable));
    assert_eq!(house.issuer.token_calls.load(Ordering::SeqCst), 0);
    for (method, path) in
        [("POST", "login"), ("GET", "backchannel-logout"), ("DELETE", "session"), ("PUT", "jwks.json")]
    {
        let refused = browser.own(method, &format!("/.gatehouse/{path}"), &[], "").await;
        assert_eq!(refused.err().map(|r| r.reason), Some(Reason::MethodNotAllowed), "{method} {path}");
    }
    let parts = request("GET", "/.gatehouse/other", &[]);
    assert!(house.stage.owned(0, &parts, Bytes::new(), NOW_MS).await.unwrap().is_none());
}
