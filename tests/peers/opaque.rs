//! Opaque access tokens: the gateway asks the provider about them (RFC 7662), as a client with `private_key_jwt`.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::app::{Wish, access_token, tokens};
use crate::gateway::{Setting, World};
use crate::possession;
use crate::provider::{OPAQUE, OPAQUE_ELSEWHERE, SCOPE, SITE};

/// An answer is believed for so long where that is waited for.
const SHORT_S: u32 = 1;

async fn questions(world: &World) -> u64 {
    world.provider.counted().await.of("POST /token/introspection")
}

pub async fn are_asked_about_once() {
    let world = World::start(Setting { audience: OPAQUE, ..Setting::default() }).await;
    let mut ada = world.person();
    let token = access_token(&world, &mut ada, "ada", Wish { resource: OPAQUE, ..Wish::default() }).await;
    assert!(!token.contains('.'), "no JWT");
    let program = world.program(&token);
    for _ in 0..2 {
        for answer in join_all((0..50).map(|_| program.get("/accounts"))).await {
            let answer = answer.unwrap();
            assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "ada"), "{answer:?}");
        }
    }
    assert_eq!(questions(&world).await, 1);
    let answer = program.get("/payments").await.unwrap();
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "a scope that it was not granted: {answer:?}");

    let elsewhere = Wish { resource: OPAQUE_ELSEWHERE, ..Wish::default() };
    let elsewhere = access_token(&world, &mut ada, "ada", elsewhere).await;
    // With consent the app gets a refresh token, which is opaque and active too.
    let offline = Wish { resource: OPAQUE, more: &[("prompt", "consent")], ..Wish::default() };
    let offline = tokens(&world, &mut ada, "ada", offline).await;
    let jwt = world.provider.token(SITE, SCOPE).await;
    for (token, reason, asked, what) in [
        ("a-token-that-nobody-gave", "token.inactive", 1, "garbage"),
        (&*elsewhere, "token.audience", 1, "for another resource"),
        (offline["refresh_token"].as_str().unwrap(), "token.audience", 1, "no access token"),
        (&*jwt, "token.audience", 0, "a JWT, which nobody is asked about"),
    ] {
        let before = questions(&world).await;
        for _ in 0..2 {
            let answer = world.program(token).get("/accounts").await.unwrap();
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {answer:?}");
            assert_eq!(answer.reason(), reason, "{what}: {answer:?}");
            assert!(answer.header("www-authenticate").contains("invalid_token"), "{what}: {answer:?}");
        }
        assert_eq!(questions(&world).await - before, asked, "{what}");
    }
}

pub async fn are_refused_once_revoked() {
    let world = World::start(Setting { audience: OPAQUE, cache_s: SHORT_S, ..Setting::default() }).await;
    let mut ada = world.person();
    let token = access_token(&world, &mut ada, "ada", Wish { resource: OPAQUE, ..Wish::default() }).await;
    let program = world.program(&token);
    let answer = program.get("/accounts").await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    world.provider.revoke(&token).await;
    tokio::time::sleep(Duration::from_secs(SHORT_S.into())).await;
    let answer = program.get("/accounts").await.unwrap();
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (StatusCode::UNAUTHORIZED, "token.inactive"),
        "{answer:?}"
    );
}

pub async fn are_bound_to_a_key() {
    let world = World::start(Setting { audience: OPAQUE, ..Setting::default() }).await;
    let mut ada = world.person();
    possession::proves(&world, "ada", async |proof| {
        let wish = Wish { resource: OPAQUE, proof: Some(proof), ..Wish::default() };
        access_token(&world, &mut ada, "ada", wish).await
    })
    .await;
    assert_eq!(questions(&world).await, 1, "the key is the proof's, whatever is remembered of the token");
}
