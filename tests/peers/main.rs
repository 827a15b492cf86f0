//! The gateway's identity before a provider that nobody here wrote: npm's `oidc-provider`, which is certified by the
//! OpenID Foundation, in `tests/peers/oidc-provider/` with a configuration of ours.
//!
//! Every test has a provider, a gateway and an upstream of its own. The provider offers introspection and a resource
//! with opaque tokens ([`provider::OPAQUE`]) as well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod gateway;
mod people;
mod possession;
mod programs;
mod provider;

use std::time::{Duration, Instant};

/// Longest wait for what happens in the background; the shortest interval between two fetches of keys is ten seconds.
const SOON: Duration = Duration::from_secs(60);

/// Asks again until it is so.
async fn soon(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn a_person_logs_in_and_out() {
    run(people::log_in_and_out());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn a_step_up_asks_the_person_again() {
    run(people::log_in_again_to_step_up());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn fifty_requests_with_an_expired_token_cost_one_refresh() {
    run(people::refresh_once());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn a_log_out_at_the_provider_ends_the_session_at_once() {
    run(people::are_logged_out_by_the_provider());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn a_provider_that_hangs_takes_no_capacity_from_others() {
    run(people::leave_capacity_to_others_while_they_wait());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn a_session_outlasts_a_provider_that_is_away_but_not_its_no() {
    run(people::stay_while_the_provider_is_away());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn an_access_token_is_for_its_resource_and_scope() {
    run(programs::bring_their_own_tokens());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn a_bound_token_needs_a_fresh_proof() {
    run(possession::is_proved_once());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn unknown_keys_cost_one_fetch() {
    run(programs::name_keys_that_do_not_exist());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn keys_rotate_without_a_wrong_refusal() {
    run(programs::outlive_a_rotation_of_keys());
}
