//! Issuers that are slow, broken, hostile, or change their keys.

use super::fake_issuer::Mood;
use super::*;

#[tokio::test]
async fn bad_key_sets_leave_the_old_keys_in_place() {
    let html = "<html>maintenance</html>".to_owned();
    let many = json!({ "keys": vec![json!({ "kty": "oct", "k": "AAAA" }); 10_000] }).to_string();
    let huge = format!(r#"{{"keys":[],"x":"{}"}}"#, "a".repeat(200_000));
    for (what, mood) in [
        ("a page", Mood::Says(200, "text/html", html.clone())),
        ("a page that says it is JSON", Mood::Says(200, "application/json", html)),
        ("an error", Mood::Says(500, "application/json", "{}".into())),
        ("10,000 keys", Mood::Says(200, "application/json", many)),
        ("too large", Mood::Says(200, "application/json", huge)),
        ("no keys", Mood::Says(200, "application/json", r#"{"keys":[]}"#.into())),
        ("without end", Mood::Endless),
        ("redirects", Mood::Loop),
        ("slow", Mood::Slow(Duration::from_secs(10))),
    ] {
        let house = House::new().await;
        *house.issuer.jwks_mood.lock() = mood;
        let began = std::time::Instant::now();
        house.stage.prime(NOW_MS + 1000).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{what}");
        let status = &house.stage.issuers(NOW_MS + 1000)[0];
        assert!(
            status.last_error.is_some() && status.usable && status.keys_age_s == Some(1),
            "{what}: {status:?}"
        );
        assert!(house.bearer(&house.token(json!({})), NOW_MS + 1000).await.is_ok(), "{what}");
    }
}

#[tokio::test]
async fn keys_go_stale_only_after_their_bound_and_then_503() {
    let house = House::new().await;
    *house.issuer.jwks_mood.lock() = Mood::Says(500, "application/json", "{}".into());
    let long = json!({ "exp": NOW_S + 200_000 });
    let fresh_token = house.token(long.clone());
    assert!(house.bearer(&fresh_token, NOW_MS + 86_400_000).await.is_ok(), "the last moment of a day");
    let later = NOW_MS + 86_400_001;
    let refusal = house
        .stage
        .identify(
            0,
            &Requirement::default(),
            &request("GET", "/", &[("authorization", &format!("Bearer {}", house.token(long)))]),
            &PEER,
            later,
        )
        .await
        .err()
        .unwrap();
    assert_eq!((refusal.reason, refusal.retry_after_s.is_some()), (Reason::IssuerUnavailable, true));
    // The issuer comes back.
    *house.issuer.jwks_mood.lock() = Mood::Good;
    house.stage.prime(later + 1000).await;
    assert!(house.bearer(&house.token(json!({ "exp": NOW_S + 200_000 })), later + 1000).await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_found_when_it_comes_up() {
    let house = House::unprimed(FakeIssuer::start().await).await;
    *house.issuer.jwks_mood.lock() = Mood::Says(500, "application/json", "{}".into());
    house.stage.prime(NOW_MS).await;
    let token = house.token(json!({}));
    assert_eq!(house.bearer(&token, NOW_MS).await.err(), Some(Reason::IssuerUnavailable));
    let status = &house.stage.issuers(NOW_MS)[0];
    assert!(!status.usable && status.keys_age_s.is_none());
    let fetches = house.issuer.jwks_fetches();
    for _ in 0..100 {
        assert_eq!(house.bearer(&token, NOW_MS + 10).await.err(), Some(Reason::IssuerUnavailable));
    }
    assert_eq!(house.issuer.jwks_fetches(), fetches, "requests hammer an issuer that is down");
    *house.issuer.jwks_mood.lock() = Mood::Good;
    assert!(house.bearer(&token, NOW_MS + 5_000).await.is_ok());
}

#[tokio::test]
async fn a_flood_of_unknown_kids_costs_one_fetch_a_minute() {
    let house = House::new().await;
    let before = house.issuer.jwks_fetches();
    let claims = good_claims(&house.issuer.url);
    let flood = async |kids: std::ops::Range<usize>, now_ms: i64| {
        for kid in kids {
            let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": format!("k{kid}") });
            let forged = house.issuer.sign("es-other", &header, &claims);
            assert_eq!(house.bearer(&forged, now_ms).await.err(), Some(Reason::TokenSignature));
        }
    };
    // Those that come at the same time share the fetch.
    let at_once = (0..200).map(|kid| flood(kid..kid + 1, NOW_MS));
    futures_util::future::join_all(at_once).await;
    assert_eq!(house.issuer.jwks_fetches() - before, 1);
    flood(200..100_000, NOW_MS + 1).await;
    flood(0..100, NOW_MS + 59_999).await;
    assert_eq!(house.issuer.jwks_fetches() - before, 1);
    flood(0..100, NOW_MS + 60_000).await;
    assert_eq!(house.issuer.jwks_fetches() - before, 2);
    assert_eq!(house.stage.memory().entries, 0, "no refused token is remembered");
}

#[tokio::test]
async fn a_new_key_behind_made_up_ones_is_fetched_when_their_minute_is_over() {
    let house = House::new().await;
    let issuer = &house.stage.issuers[0];
    let by = |signer: &str, kid: &str| {
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid });
        house.issuer.sign(signer, &header, &good_claims(&house.issuer.url))
    };
    let fetches = || house.issuer.jwks_fetches();
    let before = fetches();
    assert!(house.bearer(&by("es", "made-up"), NOW_MS).await.is_err());
    assert_eq!(fetches() - before, 1, "the minute's one fetch");
    assert!(!issuer.due(NOW_MS + 60_000), "nobody has missed a key since");

    house.issuer.published.lock().push(house.issuer.jwk("es-other"));
    let new = by("es-other", "es-other");
    assert_eq!(house.bearer(&new, NOW_MS + 1_000).await.err(), Some(Reason::TokenSignature));
    assert!(!issuer.due(NOW_MS + 59_999));
    assert!(issuer.due(NOW_MS + 60_000), "not five minutes later");
    issuer.refresh(NOW_MS + 60_000).await;
    assert!(house.bearer(&new, NOW_MS + 60_001).await.is_ok());

    // That was the next minute's fetch, not one more.
    assert!(house.bearer(&by("es", "made-up-too"), NOW_MS + 61_000).await.is_err());
    assert_eq!(fetches() - before, 2);
    assert!(!issuer.due(NOW_MS + 119_999) && issuer.due(NOW_MS + 120_000));
}

#[tokio::test]
async fn a_request_is_judged_with_the_keys_that_are_held() {
    let house = House::unprimed(FakeIssuer::start().await).await;
    let token = house.token(json!({}));
    let parts = request("GET", "/", &[("authorization", &format!("Bearer {token}"))]);
    let requirement = Requirement::default();
    let judged = || known_now(house.stage.judge(None, 0, &requirement, &parts, &PEER, NOW_MS));
    assert_eq!(judged().err(), Some(Reason::IssuerUnavailable));
    assert_eq!(house.issuer.jwks_fetches(), 0, "it asks nobody");
    house.stage.consult(None, 0, &requirement, &parts, &PEER, NOW_MS).await.unwrap();
    assert!(judged().is_ok());
}

/// What is known without waiting at all.
fn known_now(judged: impl Future<Output = Result<Authentication, Refusal>>) -> Result<Arc<Identity>, Reason> {
    known(futures_util::FutureExt::now_or_never(judged).expect("it waits"))
}

#[tokio::test]
async fn a_rotation_refuses_nobody() {
    let house = House::new().await;
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "es-other" });
    house.issuer.published.lock().push(house.issuer.jwk("es-other"));
    *house.issuer.jwks_mood.lock() = Mood::Slow(Duration::from_millis(100));
    let before = house.issuer.jwks_fetches();
    let tokens: Vec<String> =
        (0..100).map(|_| house.issuer.sign("es-other", &header, &good_claims(&house.issuer.url))).collect();
    let old = house.token(json!({}));
    let (new, old) = futures_util::future::join(
        futures_util::future::join_all(tokens.iter().map(|t| house.bearer(t, NOW_MS))),
        house.bearer(&old, NOW_MS),
    )
    .await;
    assert!(old.is_ok() && new.iter().all(Result::is_ok));
    assert_eq!(house.issuer.jwks_fetches() - before, 1);
}

#[tokio::test]
async fn a_withdrawn_key_takes_its_remembered_tokens_along() {
    let house = House::new().await;
    let token = house.token(json!({}));
    assert!(house.bearer(&token, NOW_MS).await.is_ok());
    assert!(house.bearer(&token, NOW_MS).await.is_ok());
    assert_eq!(house.stage.memory().hits, 1);
    house.stage.prime(NOW_MS).await;
    assert!(house.bearer(&token, NOW_MS).await.is_ok());
    assert_eq!(house.stage.memory().hits, 2, "a refresh with the same keys forgets nothing");
    house.issuer.published.lock().retain(|jwk| jwk["kid"] != "es");
    house.stage.prime(NOW_MS).await;
    assert_eq!(house.bearer(&token, NOW_MS).await.err(), Some(Reason::TokenSignature));
}

#[tokio::test]
async fn tokens_are_bounded_in_length() {
    let house = House::new().await;
    let padded = |bytes: usize| house.token(json!({ "padding": "a".repeat(bytes) }));
    assert!(house.bearer(&padded(11_000), NOW_MS).await.is_ok());
    let long = padded(13_000);
    assert!(long.len() > 16 * 1024);
    assert_eq!(house.bearer(&long, NOW_MS).await.err(), Some(Reason::TokenMalformed));
}

#[tokio::test]
async fn a_discovery_document_for_another_issuer_is_refused() {
    let house = House::unprimed(FakeIssuer::start().await).await;
    let folder = tempfile::tempdir().unwrap();
    let foreign = issuer(
        raw_issuer(json!({
            "issuer": format!("{}/", house.issuer.url), "algorithms": ALGORITHMS,
        })),
        folder.path(),
    )
    .unwrap();
    let keys = Arc::new(IssuerKeys::new(foreign, false, Outbound::new(OutboundBounds::default()).unwrap()));
    keys.refresh(NOW_MS).await;
    let status = keys.status(NOW_MS);
    assert!(!status.usable && status.last_error.unwrap().contains("another issuer"));
    drop(folder);
}
