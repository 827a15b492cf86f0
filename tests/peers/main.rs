//! The gateway's identity before a provider that nobody here wrote: npm's `oidc-provider`, which is certified by the
//! OpenID Foundation, in `tests/peers/oidc-provider/` with a configuration of ours.
//!
//! Every test has a provider, a gateway and an upstream of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod app;
mod gateway;
mod opaque;
mod people;
mod possession;
mod programs;
mod provider;
mod step_up;
mod upstream;

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
    run(step_up::asks_the_person_again());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn a_rule_sends_a_person_to_the_provider_and_back_to_the_same_transfer() {
    run(step_up::returns_to_the_same_transfer());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn a_rule_challenges_an_app_which_gets_a_better_token() {
    run(step_up::challenges_an_app());
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
fn an_opaque_token_is_asked_about_once_and_others_are_refused() {
    run(opaque::are_asked_about_once());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn a_revoked_opaque_token_is_refused_when_its_answer_has_had_its_time() {
    run(opaque::are_refused_once_revoked());
}

#[test]
#[ignore = "needs npm ci in tests/peers/oidc-provider"]
fn a_bound_opaque_token_needs_a_fresh_proof() {
    run(opaque::are_bound_to_a_key());
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
