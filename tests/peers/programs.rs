//! Programs with access tokens that the provider signed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::Program;
use tokio::task::JoinHandle;

use crate::gateway::{Setting, World};
use crate::provider::{ELSEWHERE, PROGRAM, SCOPE, SITE, key};
use crate::soon;

pub async fn bring_their_own_tokens() {
    let world = World::start(Setting::default()).await;
    let token = world.provider.token(SITE, SCOPE).await;
    let program = world.program(&token);
    let answer = program.get("/accounts").await.unwrap();
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, PROGRAM), "{answer:?}");
    let answer = program.get("/payments").await.unwrap();
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "a scope that it was not granted: {answer:?}");
    assert!(answer.header("www-authenticate").contains("insufficient_scope"), "{answer:?}");
    for (wrong, reason) in [
        (world.provider.token(ELSEWHERE, SCOPE).await, "token.audience"),
        (with_kid(&token, "unknown"), "token.signature"),
    ] {
        let answer = world.program(&wrong).get("/accounts").await.unwrap();
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (StatusCode::UNAUTHORIZED, reason),
            "{answer:?}"
        );
    }
}

pub async fn name_keys_that_do_not_exist() {
    // Only what is asked for is fetched.
    let world = World::start(Setting { jwks_refresh_s: 86_400, ..Setting::default() }).await;
    let token = world.provider.token(SITE, SCOPE).await;
    let read = world.program(&token).get("/accounts").await.unwrap();
    assert_eq!(read.status, StatusCode::OK, "{read:?}");
    let before = world.provider.counted().await.of("GET /jwks");
    // Waves that leave one address its fair share of the application's capacity.
    for wave in 0..5 {
        let flood = (0..40).map(|n| {
            let program = world.program(&with_kid(&token, &format!("key-{wave}-{n}")));
            async move { program.get("/accounts").await.unwrap() }
        });
        for answer in join_all(flood).await {
            assert_eq!(answer.reason(), "token.signature", "{answer:?}");
        }
    }
    assert_eq!(world.provider.counted().await.of("GET /jwks"), before + 1);
}

pub async fn outlive_a_rotation_of_keys() {
    let mut world = World::start(Setting { jwks_refresh_s: 10, ..Setting::default() }).await;
    let (old, new) = (world.key.clone(), key("second"));
    let by_old = world.provider.token(SITE, SCOPE).await;
    let load_of_old = Load::start(&world, &by_old).await;

    world.provider.restart(&[&new, &old]);
    let by_new = world.provider.token(SITE, SCOPE).await;
    assert_eq!(header(&by_new)["kid"], "second");
    let load_of_new = Load::start(&world, &by_new).await;
    // The first fetch was for the new key; the next is the background's.
    soon("keys are fetched again", async || world.provider.counted().await.of("GET /jwks") >= 2).await;
    load_of_old.goes_on().await;
    assert_eq!(load_of_old.end().await, Vec::<String>::new(), "refused while its key was published");

    world.provider.restart(&[&new]);
    let old_program = world.program(&by_old);
    soon("a withdrawn key is not believed", async || {
        let answer = old_program.get("/accounts").await.unwrap();
        assert!(answer.status == StatusCode::OK || answer.reason() == "token.signature", "{answer:?}");
        answer.status == StatusCode::UNAUTHORIZED
    })
    .await;
    load_of_new.goes_on().await;
    assert_eq!(load_of_new.end().await, Vec::<String>::new(), "refused while its key was published");
}

/// Programs that ask again and again with one token.
struct Load {
    state: Arc<State>,
    coming: Vec<JoinHandle<Vec<String>>>,
}

#[derive(Default)]
struct State {
    answered: AtomicU64,
    enough: AtomicBool,
}

impl Load {
    /// Starts it, and waits until it is under way.
    async fn start(world: &World, token: &str) -> Self {
        let state = Arc::<State>::default();
        let come = |_| tokio::spawn(Arc::clone(&state).come_on(world.program(token)));
        let load = Self { coming: (0..4).map(come).collect(), state };
        load.goes_on().await;
        load
    }

    /// Waits until some more were answered.
    async fn goes_on(&self) {
        let answered = || self.state.answered.load(Ordering::Relaxed);
        let before = answered();
        soon("the load goes on", async || answered() >= before + 40).await;
    }

    /// Ends it; answers everything that was not served.
    async fn end(self) -> Vec<String> {
        self.state.enough.store(true, Ordering::Relaxed);
        join_all(self.coming).await.into_iter().flat_map(Result::unwrap).collect()
    }
}

impl State {
    async fn come_on(self: Arc<Self>, program: Program) -> Vec<String> {
        let mut refused = Vec::new();
        while !self.enough.load(Ordering::Relaxed) {
            let answer = program.get("/accounts").await.unwrap();
            if answer.status != StatusCode::OK {
                refused.push(format!("{answer:?}"));
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        refused
    }
}

/// The token's header.
fn header(token: &str) -> Value {
    let part = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The same token, said to be signed by another key.
fn with_kid(token: &str, kid: &str) -> String {
    let mut header = header(token);
    header["kid"] = json!(kid);
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}
