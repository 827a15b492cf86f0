//! Journeys over real sockets: the demo in its own process, people, programs, staff and attackers in front of it.
//!
//! One demo serves all journeys of [`journeys_through_the_demo`] at once; none depends on another: each has customers of
//! its own, or only reads. What must kill, restart or reconfigure a process has a test and a demo of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod api;
mod attacks;
mod audit;
mod flood;
mod fraud;
#[cfg(target_os = "linux")]
mod full_disk;
mod kill;
mod metrics;
mod panics;
mod person;
mod record;
mod repeats;
mod revocation;
mod run;
mod smuggling;
mod streams;
mod tls;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tests::RunningDemo;
use tests::demo::Addresses;

type Journey = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Longest wait for what the gateway does beside the request, such as writing its record.
const SOON: Duration = Duration::from_secs(20);

/// Asks again until `found` has an answer.
async fn soon<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = found().await {
            return value;
        }
        assert!(began.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn journeys(at: &Addresses, data: &Path) -> Vec<(&'static str, Journey)> {
    let at = || at.clone();
    vec![
        ("a program banks over REST", Box::pin(api::a_program_banks(at()))),
        ("a program cannot see or spend another's money", Box::pin(api::others_stay_out_of_reach(at()))),
        ("a new customer registers and logs in", Box::pin(api::a_new_customer(at()))),
        ("a person banks in a browser", Box::pin(person::banks_in_a_browser(at()))),
        ("a person steps up and comes back to the form", Box::pin(person::steps_up(at()))),
        ("a stranger's page cannot use the session", Box::pin(person::is_lured_by_another_site(at()))),
        ("a fraudulent-looking transfer is held, released, spent", Box::pin(fraud::held_and_released(at()))),
        ("a rejected transfer stays held", Box::pin(fraud::held_and_rejected(at()))),
        ("attacks are refused by name", Box::pin(attacks::are_refused(at()))),
        ("bad tokens are refused by name", Box::pin(attacks::bad_tokens(at()))),
        ("forged identity headers change nothing", Box::pin(attacks::forged_headers(at()))),
        ("smuggled requests get one answer", Box::pin(smuggling::gets_one_answer(at()))),
        ("a flood is throttled, others go on", Box::pin(flood::is_throttled(at()))),
        ("every answer names its decision", Box::pin(record::every_answer_has_one(at()))),
        ("what cannot be read is answered and recorded", Box::pin(record::unreadable_heads_have_one(at()))),
        ("a decision can be read and understood", Box::pin(record::can_be_read(at()))),
        ("a revoked customer is out at once", Box::pin(revocation::is_immediate(at()))),
        ("a withdrawn consent ends at once", Box::pin(revocation::of_consent(at(), data.to_owned()))),
        ("a reused refresh token ends its family", Box::pin(revocation::of_a_reused_refresh_token(at()))),
        ("a token revoked by its client ends", Box::pin(revocation::at_the_identity_provider(at()))),
        ("a transfer told again is answered again", Box::pin(repeats::are_answered_again(at()))),
        ("of transfers that race one moves money", Box::pin(repeats::race_for_one(at()))),
        ("alerts and dashboard name metrics that are there", Box::pin(metrics::are_there(at()))),
        ("a WebSocket passes through", Box::pin(streams::web_socket(at()))),
        ("open streams end when they are revoked", Box::pin(streams::end_when_revoked(at()))),
        ("an event stream delivers entries", Box::pin(streams::events(at()))),
    ]
}

#[test]
fn journeys_through_the_demo() {
    let demo = RunningDemo::start(&[]).unwrap();
    let failed = runtime().block_on(async {
        let began = Instant::now();
        let running: Vec<_> = journeys(&demo.at, &demo.data())
            .into_iter()
            .map(|(name, way)| (name, tokio::spawn(way)))
            .collect();
        let mut failed = Vec::new();
        for (name, task) in running {
            let ended = task.await;
            println!(
                "{:>6.1} s  {}  {name}",
                began.elapsed().as_secs_f64(),
                if ended.is_ok() { "ok    " } else { "FAILED" }
            );
            if ended.is_err() {
                failed.push(name);
            }
        }
        failed
    });
    assert!(failed.is_empty(), "failed: {failed:#?}\nthe demo logged:\n{}", demo.log());
    audit::the_log_is_sound_until_touched(&demo.data());
    demo.end().unwrap();
}

#[test]
fn acknowledged_transfers_survive_a_kill() {
    runtime().block_on(kill::acknowledged_transfers_survive());
}

#[test]
fn the_gateway_reloads_upgrades_and_ends() {
    runtime().block_on(run::reloads_upgrades_and_ends());
}

#[test]
fn http2_over_tls_is_the_same_journey() {
    runtime().block_on(tls::is_the_same_journey());
}

#[test]
fn a_stage_that_panics_ends_its_own_request() {
    runtime().block_on(panics::end_their_own_request());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_stops_money_and_nothing_else() {
    runtime().block_on(full_disk::stops_money_and_nothing_else());
}
