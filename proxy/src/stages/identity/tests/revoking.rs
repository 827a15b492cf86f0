//! Revocation, by the bank and by the issuer.

use policies::ports::{RecordStore, Space};

use super::browser::Browser;
use super::*;

fn revocation(house: &House, target: Target, issued_before_s: i64) -> Revocation {
    Revocation { issuer: house.issuer.url.clone(), target, issued_before_s, expires_ms: NOW_MS + 3_600_000 }
}

#[tokio::test]
async fn what_is_revoked_is_refused_at_the_next_request_although_remembered() {
    for (target, before, hit) in [
        (Target::Token("t1".into()), i64::MAX, true),
        (Target::Session("s1".into()), i64::MAX, true),
        (Target::Subject("alice".into()), NOW_S, true),
        (Target::Subject("alice".into()), NOW_S - 10, true),
        (Target::Subject("alice".into()), NOW_S - 11, false),
        (Target::Token("t2".into()), i64::MAX, false),
        (Target::Session("alice".into()), i64::MAX, false),
    ] {
        let house = House::new().await;
        let token = house.token(json!({}));
        let identity = house.bearer(&token, NOW_MS).await.unwrap();
        let parts = request("GET", "/", &[("authorization", &format!("Bearer {token}"))]);
        assert!(house.stage.recognise(0, &parts, &PEER, NOW_MS).is_some());
        let mut watch = house.stage.revocations().watch();
        watch.mark_unchanged();
        house.stage.revocations().revoke(&revocation(&house, target.clone(), before)).await.unwrap();
        assert!(watch.has_changed().unwrap());
        assert_eq!(house.stage.revocations().is_revoked(&identity), hit, "{target:?}");
        assert_eq!(house.stage.recognise(0, &parts, &PEER, NOW_MS).is_none(), hit, "{target:?}");
        let expected = if hit { Some(Reason::TokenRevoked) } else { None };
        assert_eq!(house.bearer(&token, NOW_MS).await.err(), expected, "{target:?}");
        // Another gateway with the same records, or this one after a restart.
        let second =
            House::with_stores(Arc::clone(&house.issuer), house.hot.clone(), house.records.clone()).await;
        second.stage.prime(NOW_MS).await;
        assert_eq!(second.bearer(&token, NOW_MS).await.err(), expected, "{target:?} after a restart");
    }
}

#[tokio::test]
async fn another_issuers_revocation_hits_nobody_here() {
    let house = House::new().await;
    let mut foreign = revocation(&house, Target::Subject("alice".into()), i64::MAX);
    foreign.issuer = "https://other.example".into();
    house.stage.revocations().revoke(&foreign).await.unwrap();
    assert!(house.bearer(&house.token(json!({})), NOW_MS).await.is_ok());
}

#[tokio::test]
async fn sessions_are_revoked_like_tokens() {
    for target in [
        Target::Session("s1".into()),
        Target::Subject("alice".into()),
        Target::Token(String::new()), // the session's own handle
    ] {
        let house = House::new().await;
        let mut browser = Browser::new(&house);
        browser.log_in().await;
        let identity = browser.get("/").await.unwrap();
        let target = match target {
            Target::Token(_) => Target::Token(identity.token_id.clone().unwrap()),
            other => other,
        };
        house.stage.revocations().revoke(&revocation(&house, target.clone(), i64::MAX)).await.unwrap();
        assert_eq!(browser.get("/").await.err(), Some(Reason::SessionEnded), "{target:?}");
    }
}

#[tokio::test]
async fn revocations_expire_never_get_milder_and_are_bounded() {
    let house = House::new().await;
    let revocations = house.stage.revocations();
    revocations.revoke(&revocation(&house, Target::Subject("alice".into()), NOW_S)).await.unwrap();
    let mut milder = revocation(&house, Target::Subject("alice".into()), 0);
    milder.expires_ms = NOW_MS + 1;
    revocations.revoke(&milder).await.unwrap();
    assert_eq!(house.bearer(&house.token(json!({})), NOW_MS).await.err(), Some(Reason::TokenRevoked));
    revocations.sweep(NOW_MS + 3_599_999).await.unwrap();
    assert_eq!(revocations.len(), 1);
    revocations.sweep(NOW_MS + 3_600_000).await.unwrap();
    assert!(revocations.is_empty());
    let left = house.records.list(Space::Revocations, None, 10).await.unwrap();
    assert!(left.is_empty());
    let small = Revocations::new(house.records.clone(), 2);
    for (n, fits) in [(1, true), (2, true), (3, false)] {
        let one = revocation(&house, Target::Token(format!("{n}")), i64::MAX);
        assert_eq!(small.enforce(&one).is_ok(), fits, "{n}");
    }
}

#[tokio::test]
async fn the_issuer_logs_people_out_behind_the_browsers_back() {
    let house = House::new().await;
    let mut browser = Browser::new(&house);
    browser.log_in().await;
    let api = house.token(json!({}));
    assert!(house.bearer(&api, NOW_MS).await.is_ok());
    house.log_out_by_issuer("s1", NOW_MS).await;
    assert_eq!(browser.get("/").await.err(), Some(Reason::SessionEnded));
    assert_eq!(
        house.bearer(&api, NOW_MS).await.err(),
        Some(Reason::TokenRevoked),
        "tokens of the same log-in"
    );
}

#[tokio::test]
async fn a_log_out_that_could_not_be_kept_may_be_sent_again() {
    let hot = Arc::new(MemoryHot::new(StoreBounds::default()));
    let records = Arc::new(MemoryRecords::new(StoreBounds { entries_max: 1, ..StoreBounds::default() }));
    let fake = FakeIssuer::start().await;
    let house = House::with_stores(Arc::clone(&fake), hot.clone(), records.clone()).await;
    house.stage.prime(NOW_MS).await;
    assert!(records.compare_and_set(Space::Revocations, b"full", None, b"").await.unwrap());
    let failed = house.told_to_log_out("s1", NOW_MS).await;
    assert_eq!(failed.err().map(|refusal| refusal.reason), Some(Reason::StoreUnavailable));
    records.remove(Space::Revocations, b"full").await.unwrap();
    house.log_out_by_issuer("s1", NOW_MS).await;
    // It is kept over a restart.
    let second = House::with_stores(fake, hot, records).await;
    second.stage.prime(NOW_MS).await;
    assert_eq!(second.bearer(&second.token(json!({})), NOW_MS).await.err(), Some(Reason::TokenRevoked));
}

/// Runs on from a moment of the tests' calendar.
pub(super) struct From(pub i64, pub std::time::Instant);

impl Clock for From {
    fn now_ms(&self) -> i64 {
        self.0 + i64::try_from(self.1.elapsed().as_millis()).unwrap()
    }
}

#[tokio::test]
async fn what_stays_open_ends_with_what_opened_it() {
    let house = House::new().await;
    let clock = |at_ms| From(at_ms, std::time::Instant::now());
    let token = house.token(json!({}));
    let bearer = request("GET", "/", &[("authorization", &format!("Bearer {token}"))]);
    let identity = house.bearer(&token, NOW_MS).await.unwrap();
    let opened = house.stage.opened(0, &bearer, &identity);
    let expires_ms = identity.expires_at * 1000;
    assert_eq!(house.stage.ended(&opened, &clock(expires_ms - 30)).await, Reason::TokenExpired);

    let mut browser = Browser::new(&house);
    browser.log_in().await;
    let found = browser.get("/").await.unwrap();
    let session = house.stage.opened(0, &browser.parts("GET", "/", &[]), &found);
    assert_eq!(house.stage.ended(&session, &clock(found.expires_at * 1000)).await, Reason::SessionEnded);

    // Whoever waits is told at once, and of the own credential alone.
    let now = clock(NOW_MS);
    let mut waiting = std::pin::pin!(house.stage.ended(&opened, &now));
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    let other = revocation(&house, Target::Token("another".into()), i64::MAX);
    house.stage.revocations().revoke(&other).await.unwrap();
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    house
        .stage
        .revocations()
        .revoke(&revocation(&house, Target::Token("t1".into()), i64::MAX))
        .await
        .unwrap();
    assert_eq!(waiting.await, Reason::TokenRevoked);
}

#[tokio::test]
async fn what_ends_between_the_two_looks_of_one_request_is_refused() {
    let house = House::new().await;
    let token = house.token(json!({}));
    house.bearer(&token, NOW_MS).await.unwrap();
    let parts = request("GET", "/", &[("authorization", &format!("Bearer {token}"))]);
    let requirement = Requirement::default();
    let again = |recognised, now_ms| house.stage.judge(recognised, 0, &requirement, &parts, &PEER, now_ms);
    let look = || house.stage.recognise(0, &parts, &PEER, NOW_MS);
    assert!(again(look(), NOW_MS).await.is_ok());
    assert!(again(None, NOW_MS).await.is_ok());
    let expired = again(look(), NOW_MS + 86_400_000).await.err().unwrap();
    assert_eq!(expired.reason, Reason::TokenExpired);
    house.bearer(&token, NOW_MS).await.unwrap();
    let recognised = look();
    assert!(recognised.is_some());
    let target = Target::Token("t1".into());
    house.stage.revocations().revoke(&revocation(&house, target, i64::MAX)).await.unwrap();
    assert_eq!(again(recognised, NOW_MS).await.err().unwrap().reason, Reason::TokenRevoked);
}

#[tokio::test]
async fn a_log_out_by_a_key_that_nobody_may_ask_about_yet_can_be_sent_again() {
    let house = House::new().await;
    let told = async |kid: &str, now_ms: i64| {
        let header = json!({ "alg": "ES256", "kid": kid, "typ": "logout+jwt" });
        let token = house.issuer.sign("es-other", &header, &house.logout_claims(now_ms));
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let parts = request("POST", "/.gatehouse/backchannel-logout", &form);
        let answer = house.stage.owned(0, &parts, format!("logout_token={token}").into(), now_ms).await;
        answer.map(|answer| answer.unwrap().status().as_u16()).map_err(|refusal| refusal.reason)
    };
    // Somebody's made-up key has the minute's fetch, which says that it is nobody's.
    assert_eq!(told("made-up", NOW_MS).await, Ok(400));
    assert_eq!(told("new", NOW_MS).await, Err(Reason::IssuerUnavailable));
    assert_eq!(told("new", NOW_MS + 60_000).await, Ok(400));
}

#[tokio::test]
async fn those_who_log_out_do_not_wait_behind_those_who_log_in() {
    let house = House::new().await;
    let mut browser = Browser::new(&house);
    browser.log_in().await;
    let own = &house.stage.apps[0].as_ref().unwrap().own;
    let held = own.try_acquire_many(own.available_permits().try_into().unwrap()).unwrap();
    let login = request("GET", "/.gatehouse/login", &[]);
    let shed = house.stage.owned(0, &login, Bytes::new(), NOW_MS).await;
    assert_eq!(shed.err().map(|refusal| refusal.reason), Some(Reason::Shed));
    house.log_out_by_issuer("s1", NOW_MS).await;
    assert_eq!(browser.get("/").await.err(), Some(Reason::SessionEnded));
    drop(held);
    browser.log_in().await;
}
