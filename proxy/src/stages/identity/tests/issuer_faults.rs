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
    let forged: Vec<String> = (0..3_000)
        .map(|n| {
            let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": format!("k{n}") });
            house.issuer.sign("es-other", &header, &good_claims(&house.issuer.url))
        })
        .collect();
    let flood = |now_ms: i64| {
        let (house, forged) = (&house, &forged);
        async move {
            for chunk in forged.chunks(200) {
                let all = chunk.iter().map(|token| house.bearer(token, now_ms));
                for result in futures_util::future::join_all(all).await {
                    assert_eq!(result.err(), Some(Reason::TokenSignature));
                }
            }
        }
    };
    flood(NOW_MS).await;
    assert_eq!(house.issuer.jwks_fetches() - before, 1);
    flood(NOW_MS + 59_999).await;
    assert_eq!(house.issuer.jwks_fetches() - before, 1);
    flood(NOW_MS + 60_000).await;
    assert_eq!(house.issuer.jwks_fetches() - before, 2);
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
