//! The gateway at its edges, in front of an upstream that notes every byte: what is refused with which reason, what the
//! upstream is sent, and what of its answer the client sees.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod bounds;
mod capacity;
mod corpus;
mod gateway;
mod http2;
mod issuer_faults;
mod keys_under_load;
mod learning;
mod linking;
mod possession;
mod terminators;
mod tunnels;
mod upstream;
mod waiting;

use gateway::Edge;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn with_a_gateway<F: Future<Output = ()>>(test: impl FnOnce(Edge) -> F) {
    runtime().block_on(async { test(Edge::start().await).await });
}

#[test]
fn everything_from_outside_has_a_bound() {
    with_a_gateway(bounds::are_kept);
}

#[test]
fn the_upstream_hears_nothing_that_only_the_gateway_may_say() {
    with_a_gateway(answers::nothing_forged_gets_through);
}

#[test]
fn requests_are_told_apart_and_targets_read_one_way() {
    with_a_gateway(answers::targets_and_versions);
}

#[test]
fn a_broken_upstream_shows_nothing_of_itself() {
    with_a_gateway(answers::broken_upstreams);
}

#[test]
fn broken_http2_reaches_nobody_and_is_counted() {
    with_a_gateway(http2::broken_requests);
}

#[test]
fn streams_opened_and_reset_in_crowds_hinder_nobody_else() {
    with_a_gateway(http2::crowds);
}

#[test]
fn an_http2_connection_has_a_deadline_for_its_first_request() {
    with_a_gateway(http2::silence);
}

#[test]
fn what_the_capacity_learner_learnt_survives_a_restart() {
    runtime().block_on(capacity::survives_a_restart());
}

#[test]
fn a_capacity_table_that_does_not_fit_is_refused_by_name() {
    runtime().block_on(capacity::is_refused_by_name());
}

#[test]
fn a_model_lives_from_recorded_transfers_to_promotion_and_rollback() {
    runtime().block_on(learning::goes_round());
}

#[test]
fn a_token_granted_for_one_payment_makes_that_payment_once() {
    runtime().block_on(linking::one_payment_once());
}

#[test]
fn a_bound_token_needs_a_proof_with_a_current_nonce() {
    runtime().block_on(possession::carries_a_current_nonce());
}

#[test]
fn only_trusted_peers_speak_for_others() {
    runtime().block_on(terminators::say_who_the_client_is());
}

#[test]
fn noise_behind_a_terminator_does_not_lock_it_out() {
    runtime().block_on(terminators::do_not_pay_for_noise());
}

#[test]
fn connections_without_tls_end_and_handshakes_have_a_rate() {
    runtime().block_on(terminators::are_no_tls());
}

#[test]
fn trust_that_a_reload_takes_away_is_gone_at_once() {
    runtime().block_on(terminators::are_trusted_no_more());
}

#[test]
fn connections_are_counted_for_clients_and_not_for_balancers() {
    runtime().block_on(terminators::count_for_their_clients());
}

#[test]
fn a_token_bound_to_a_certificate_needs_it() {
    runtime().block_on(terminators::show_certificates());
}

#[test]
fn key_sets_that_are_no_use_leave_the_old_keys() {
    runtime().block_on(issuer_faults::leave_the_old_keys());
}

#[test]
fn issuers_that_fail_at_the_start_hold_up_nobody_else() {
    runtime().block_on(issuer_faults::at_the_start_hold_up_nobody_else());
}

#[test]
fn waiting_for_an_issuer_holds_no_capacity() {
    runtime().block_on(waiting::for_an_issuer_holds_no_capacity());
}

#[test]
fn log_ins_are_shared_and_nobody_is_listened_to_for_nothing() {
    runtime().block_on(waiting::for_log_ins_is_shared());
}

#[test]
fn keys_rotate_under_load_without_one_wrong_answer() {
    runtime().block_on(keys_under_load::rotate_without_one_wrong_answer());
}

#[test]
fn made_up_keys_cost_their_issuer_one_fetch_a_minute() {
    runtime().block_on(keys_under_load::made_up_cost_one_fetch());
}

#[test]
fn a_web_socket_is_not_closed_behind_its_101() {
    with_a_gateway(tunnels::web_sockets_stay_open);
}

#[test]
fn what_was_accepted_before_the_end_is_answered() {
    with_a_gateway(tunnels::accepted_before_the_end);
}

#[test]
fn bytes_behind_an_upgrade_are_a_tunnels_or_nobodys() {
    with_a_gateway(tunnels::early_bytes);
}

#[test]
fn open_streams_end_with_their_token() {
    runtime().block_on(tunnels::end_with_their_token());
}

#[test]
#[ignore = "needs the public corpora: set GATEHOUSE_DATA"]
fn labelled_framing_cases_get_one_answer() {
    with_a_gateway(corpus::is_read_one_way);
}
