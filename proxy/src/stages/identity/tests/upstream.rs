//! What upstreams are told, and what routes ask for.

use std::time::Instant;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::*;

async fn published(house: &House) -> JwkSet {
    let parts = request("GET", "/.gatehouse/jwks.json", &[]);
    let response = house.stage.owned(0, &parts, Bytes::new(), NOW_MS).await.unwrap().unwrap();
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn upstreams_can_check_who_a_request_is_for() {
    let house = House::new().await;
    let identity = house.bearer(&house.token(json!({ "roles": ["teller"] })), NOW_MS).await.unwrap();
    let value = house.stage.upstream_identity(0, &identity, NOW_MS).unwrap();
    let set = published(&house).await;
    assert_eq!(set.keys.len(), 2, "the next key is published before it signs");
    let header = jsonwebtoken::decode_header(value.token.as_bytes()).unwrap();
    let key = DecodingKey::from_jwk(set.find(header.kid.as_deref().unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.set_audience(&["urn:test:upstream"]);
    validation.set_issuer(&["https://bank.example"]);
    let claims = jsonwebtoken::decode::<Value>(value.token.as_bytes(), &key, &validation).unwrap().claims;
    for (name, wanted) in [
        ("sub", json!("alice")),
        ("client_id", json!("app")),
        ("scope", json!("read pay")),
        ("acr", json!("normal")),
        ("sid", json!("s1")),
        ("roles", json!(["teller"])),
        ("iat", json!(NOW_S)),
        ("exp", json!(NOW_S + 60)),
    ] {
        assert_eq!(claims[name], wanted, "{name}");
    }
}

#[tokio::test]
async fn a_token_for_the_upstream_is_used_again_for_half_its_life() {
    let house = House::new().await;
    let alice = house.bearer(&house.token(json!({})), NOW_MS).await.unwrap();
    let bob = house.bearer(&house.token(json!({ "sub": "bob" })), NOW_MS).await.unwrap();
    let first = house.stage.upstream_identity(0, &alice, NOW_MS).unwrap();
    assert_ne!(house.stage.upstream_identity(0, &bob, NOW_MS).unwrap(), first);
    assert_eq!(house.stage.upstream_identity(0, &alice, NOW_MS + 29_999).unwrap(), first);
    assert_ne!(house.stage.upstream_identity(0, &alice, NOW_MS + 30_000).unwrap(), first);
    assert!(house.stage.upstream_identity(2, &alice, NOW_MS).is_err(), "an application without identities");
}

#[tokio::test]
async fn routes_get_what_they_ask_for() {
    let house = House::new().await;
    let token = house.token(json!({}));
    let bearer = request("GET", "/", &[("authorization", &format!("Bearer {token}"))]);
    let bad = request("GET", "/", &[("authorization", "Bearer x.y.z")]);
    let nobody = request("GET", "/", &[]);
    let ended = request("GET", "/", &[("cookie", "__Host-gatehouse=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]);
    let words = |list: &[&str]| list.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
    let access = |access| Requirement { access, ..Requirement::default() };
    let scopes = |list| Requirement { scopes: words(list), ..Requirement::default() };
    let acr = |list| Requirement { acr_values: words(list), ..Requirement::default() };
    let age = |seconds| Requirement { max_auth_age_s: Some(seconds), ..Requirement::default() };
    for (what, requirement, parts, result) in [
        ("public", access(Access::Public), &bad, Ok(false)),
        ("optional, nobody", access(Access::Optional), &nobody, Ok(false)),
        ("optional, somebody", access(Access::Optional), &bearer, Ok(true)),
        ("optional, bad token", access(Access::Optional), &bad, Err(Reason::TokenMalformed)),
        ("optional, session over", access(Access::Optional), &ended, Ok(false)),
        ("required, session over", access(Access::Required), &ended, Err(Reason::SessionEnded)),
        ("required, nobody", access(Access::Required), &nobody, Err(Reason::TokenMissing)),
        ("scopes", scopes(&["pay", "read"]), &bearer, Ok(true)),
        ("one scope missing", scopes(&["pay", "admin"]), &bearer, Err(Reason::ScopeInsufficient)),
        ("part of a scope", scopes(&["pa"]), &bearer, Err(Reason::ScopeInsufficient)),
        ("acr", acr(&["strong", "normal"]), &bearer, Ok(true)),
        ("weak acr", acr(&["strong"]), &bearer, Err(Reason::StepUpNeeded)),
        ("fresh", age(60), &bearer, Ok(true)),
        ("old", age(59), &bearer, Err(Reason::StepUpNeeded)),
    ] {
        let got = house.stage.identify(0, &requirement, parts, &PEER, NOW_MS).await;
        let got = got.map(|a| matches!(a, Authentication::Known(_))).map_err(|r| r.reason);
        assert_eq!(got, result, "{what}");
    }
}

#[tokio::test]
async fn a_token_bound_to_a_certificate_needs_it_every_time() {
    let house = House::new().await;
    let cert = [7; 32];
    let thumbprint = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, cert);
    let bound = house.token(json!({ "cnf": { "x5t#S256": thumbprint } }));
    let twice = house.token(json!({ "cnf": { "x5t#S256": thumbprint, "jkt": "x" } }));
    let peer = |client_cert_sha256| Peer { client_cert_sha256 };
    for (what, token, peer, result) in [
        ("none", &bound, peer(None), Err(Reason::TokenBinding)),
        ("another", &bound, peer(Some([8; 32])), Err(Reason::TokenBinding)),
        ("its own", &bound, peer(Some(cert)), Ok(policies::facts::Credential::MtlsBound)),
        ("its own again", &bound, peer(Some(cert)), Ok(policies::facts::Credential::MtlsBound)),
        ("another although remembered", &bound, peer(Some([8; 32])), Err(Reason::TokenBinding)),
        ("none although remembered", &bound, peer(None), Err(Reason::TokenBinding)),
        ("bound in two ways", &twice, peer(Some(cert)), Err(Reason::TokenBinding)),
    ] {
        let parts = request("GET", "/", &[("authorization", &format!("Bearer {token}"))]);
        let got = known(house.stage.identify(0, &Requirement::default(), &parts, &peer, NOW_MS).await);
        assert_eq!(got.as_ref().map(|i| i.credential).map_err(|r| *r), result, "{what}");
        assert_eq!(house.stage.recognise(0, &parts, &peer, NOW_MS).is_some(), result.is_ok(), "{what}");
    }
}

/// Not a benchmark, which needs a quiet machine and a release build, but no regression by a factor goes unnoticed.
#[tokio::test]
async fn remembered_tokens_and_sessions_are_cheap() {
    let house = House::new().await;
    let token = house.token(json!({}));
    let bearer = request("GET", "/", &[("authorization", &format!("Bearer {token}"))]);
    let mut browser = browser::Browser::new(&house);
    browser.log_in().await;
    let session = browser.parts("GET", "/", &[]);
    house.bearer(&token, NOW_MS).await.unwrap();
    for (what, parts) in [("token", &bearer), ("session", &session)] {
        const ROUNDS: u32 = 20_000;
        let began = Instant::now();
        for _ in 0..ROUNDS {
            assert!(house.stage.recognise(0, parts, &PEER, NOW_MS).is_some());
        }
        let each = began.elapsed() / ROUNDS;
        println!("{what} of {} bytes recognised in {each:?}", token.len());
        assert!(each < Duration::from_micros(200), "{what}: {each:?}");
    }
}

#[tokio::test]
async fn an_application_for_programs_alone_says_what_a_step_up_asks_for() {
    let house = House::new().await;
    let parts = request("GET", "/", &[("authorization", "Bearer a.b.c")]);
    let refusal = house.stage.step_up_challenge(1, &parts);
    let (_, challenge) = refusal.headers.iter().find(|(name, _)| name == "www-authenticate").unwrap();
    let challenge = challenge.to_str().unwrap();
    assert!(challenge.contains(r#"acr_values="strong stronger""#), "{challenge}");
    assert!(challenge.contains("insufficient_user_authentication"), "{challenge}");
}
