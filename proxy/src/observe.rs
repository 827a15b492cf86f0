//! The observe listener: is it alive, is it ready, what does it measure. No login, read only, meant for scrapers.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use learner::capacity::{CONTROLLERS, Class};

use crate::gateway::Core;
use crate::metrics::Metrics;
use crate::stages::identity::IssuerStatus;

/// `/livez`, `/readyz`, `/metrics`.
pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(core)
}

/// What keeps the gateway from doing all of its work, in sentences; empty when ready.
pub fn degraded(core: &Core) -> Vec<String> {
    let now_ms = core.clock.now_ms();
    let mut found = issuers_out_of_reach(core, now_ms);
    found.extend(core.identity.introspection().into_iter().filter_map(|i| {
        Some(format!("issuer {}: its opaque tokens cannot be checked ({})", i.issuer, i.last_error?))
    }));
    for pool in &core.pools {
        let (all, well) = pool.health();
        if well < all {
            found.push(format!("application {}: {well} of {all} servers are well", pool.name));
        }
    }
    if log_fails(core) {
        found.push("the decision log cannot be written: money-moving requests are refused".to_owned());
    }
    let live = core.live();
    if live.models.fraud.is_none() {
        found.push("no fraud model is loaded: transfers are judged by rules alone".to_owned());
    }
    if core.lifecycle.falls_back() {
        found.push("the promoted fraud model is broken: an earlier one serves".to_owned());
    }
    found.extend(core.lifecycle.hindrance().map(|said| format!("the fraud model cannot learn: {said}")));
    found.extend(core.lifecycle.refused().into_iter().map(|said| format!("model store: {said}")));
    if live.models.anomaly.is_none() {
        found.push(
            "no anomaly model is loaded: requests are judged by rules and lexical checks alone".to_owned(),
        );
    }
    found
}

fn issuers_out_of_reach(core: &Core, now_ms: i64) -> Vec<String> {
    let down = core.identity.issuers(now_ms).into_iter().filter(|i| !i.usable);
    down.map(|i| {
        let why = i.last_error.unwrap_or_else(|| "no keys yet".to_owned());
        format!("issuer {}: its tokens cannot be verified ({why})", i.issuer)
    })
    .collect()
}

fn log_fails(core: &Core) -> bool {
    core.log.counters().failing.get() != 0
}

/// 200 when requests can be served; what is degraded is said in either case.
async fn readyz(State(core): State<Arc<Core>>) -> Response {
    let found = degraded(&core);
    let issuers_down = !issuers_out_of_reach(&core, core.clock.now_ms()).is_empty();
    let log_down = log_fails(&core);
    let all_down = !core.pools.is_empty() && core.pools.iter().all(|p| p.health().1 == 0);
    let ready = !(issuers_down || log_down || all_down);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = if ready { "ready\n".to_owned() } else { "not ready\n".to_owned() };
    for line in found {
        text.push_str(&line);
        text.push('\n');
    }
    (status, text).into_response()
}

async fn metrics(State(core): State<Arc<Core>>) -> Response {
    refresh(&core);
    match core.metrics.text() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn key_inventory(metrics: &Metrics, issuer: &IssuerStatus) {
    let name = &*issuer.issuer;
    metrics.jwks_age.with_label_values(&[name]).set(issuer.keys_age_s.unwrap_or(-1));
    metrics.issuer_usable.with_label_values(&[name]).set(i64::from(issuer.usable));
    let succeeded = issuer.fetches.saturating_sub(issuer.failures);
    for (result, count) in [("ok", succeeded), ("failed", issuer.failures)] {
        let gauge = metrics.jwks_fetches.with_label_values(&[name, result]);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    for algorithm in &issuer.algorithms {
        let count = issuer.keys.iter().filter(|key| key.algorithm == *algorithm).count();
        let gauge = metrics.issuer_keys.with_label_values(&[name, algorithm]);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    let ages = || issuer.keys.iter().map(|key| key.age_s);
    for (which, age) in [("oldest", ages().max()), ("youngest", ages().min())] {
        metrics.issuer_key_age.with_label_values(&[name, which]).set(age.unwrap_or(-1));
    }
}

/// Gauges that mirror what other parts count themselves.
fn refresh(core: &Core) {
    let metrics = &core.metrics;
    for pool in &core.pools {
        let figures = pool.admission.figures();
        for class in Class::ALL {
            let figure = figures.get(class);
            let labels = [pool.name.as_str(), class.name()];
            metrics.capacity_permits.with_label_values(&labels).set(i64::from(figure.in_flight));
            metrics.capacity_limit.with_label_values(&labels).set(i64::from(figure.threshold));
        }
        let (controller, fallback) = pool.admission.controller();
        for name in CONTROLLERS {
            let labels = [pool.name.as_str(), name];
            metrics.capacity_controller.with_label_values(&labels).set(i64::from(name == controller));
        }
        metrics.capacity_fallback.with_label_values(&[&pool.name]).set(i64::from(fallback));
        let well = i64::try_from(pool.health().1).unwrap_or(i64::MAX);
        metrics.upstream_healthy.with_label_values(&[&pool.name]).set(well);
    }
    let now_ms = core.clock.now_ms();
    for issuer in core.identity.issuers(now_ms) {
        key_inventory(metrics, &issuer);
    }
    let memory = core.identity.memory();
    for (what, count) in [("held", memory.entries as u64), ("hits", memory.hits), ("misses", memory.misses)] {
        metrics.remembered_tokens.with_label_values(&[what]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    for issuer in core.identity.introspection() {
        let (active, refused) = issuer.held;
        for (what, count) in [
            ("held", active as u64),
            ("refused", refused as u64),
            ("hits", issuer.hits),
            ("misses", issuer.misses),
            ("calls", issuer.calls),
            ("failures", issuer.failures),
            ("shed", issuer.shed),
            ("failing", u64::from(issuer.last_error.is_some())),
        ] {
            let gauge = metrics.introspection.with_label_values(&[&*issuer.issuer, what]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
    let log = core.log.counters();
    metrics.audit_failing.set(i64::from(log_fails(core)));
    metrics.audit_lag.set(log.lag_ms(now_ms) as f64 / 1000.0);
    for (what, figure) in [
        ("failed", &log.failed),
        ("dropped", &log.dropped),
        ("refused", &log.refused),
        ("entries", &log.entries),
    ] {
        metrics.audit_log.with_label_values(&[what]).set(i64::try_from(figure.get()).unwrap_or(i64::MAX));
    }
}
