//! Metrics: handles are made once and kept, because a look-up by labels costs more than counting.

use learner::capacity::Class;
use policies::Outcome;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::front::CAUSES;
use crate::models::metrics::ModelMetrics;
use crate::refusal::Reason;

/// The stages whose time is measured, in order.
pub const STAGES: [&str; 7] =
    ["admission", "normalize", "identity", "limits", "inspection", "transfer", "decision"];

/// Every metric of the gateway.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    stages: Vec<Histogram>,
    unrouted: RouteMetrics,
    refusals: IntCounterVec,
    /// Anomaly scores given.
    pub anomaly_score: Histogram,
    /// Fraud scores given.
    pub fraud_score: Histogram,
    /// Scores that could not be given, by model.
    pub score_unavailable: IntCounterVec,
    /// Permits held, by pool and class.
    pub capacity_permits: IntGaugeVec,
    /// Threshold in force, by pool and class.
    pub capacity_limit: IntGaugeVec,
    /// 1 for the controller that decides in a pool, by pool and controller.
    pub capacity_controller: IntGaugeVec,
    /// Whether a pool's fall-back decides in place of its controller, by pool.
    pub capacity_fallback: IntGaugeVec,
    /// Learnt capacity tables that could not be restored at the start.
    pub capacity_tables_refused: IntCounter,
    /// Shed requests by class.
    pub shed: IntCounterVec,
    /// Age of each issuer's keys.
    pub jwks_age: IntGaugeVec,
    /// Fetches of each issuer's keys, by result.
    pub jwks_fetches: IntGaugeVec,
    /// Whether an issuer's tokens can be verified.
    pub issuer_usable: IntGaugeVec,
    /// An issuer's keys in use, by algorithm. No `kid` is ever a label: an issuer that rotates has new ones without end. The
    /// admin API has the list.
    pub issuer_keys: IntGaugeVec,
    /// Since when the oldest and the youngest of them have been in use.
    pub issuer_key_age: IntGaugeVec,
    /// Records not yet on disk, as seconds.
    pub audit_lag: prometheus::Gauge,
    /// The decision log's own counters: entries, failed writes, dropped and refused entries.
    pub audit_log: IntGaugeVec,
    /// Whether the last write of the decision log failed.
    pub audit_failing: IntGauge,
    /// Verified-token memory.
    pub remembered_tokens: IntGaugeVec,
    /// Introspection of opaque tokens, by issuer.
    pub introspection: IntGaugeVec,
    /// Healthy peers by application.
    pub upstream_healthy: IntGaugeVec,
    /// Open client connections.
    pub connections: IntGauge,
    /// Connections that carried no HTTP, by cause.
    pub connections_refused: IntCounterVec,
    /// What the HTTP/2 layer ended by itself, by scope and error code.
    pub http2_resets: IntCounterVec,
    /// Stages that panicked.
    pub panics: IntCounter,
    /// Policy rules that failed at run time.
    pub rule_failures: IntCounter,
    /// Reloads by result.
    pub reloads: IntCounterVec,
    /// The models' life.
    pub models: ModelMetrics,
}

/// Counters of one route, by outcome.
#[derive(Clone)]
pub struct RouteMetrics {
    by_outcome: [IntCounter; Outcome::ALL.len()],
    duration: Histogram,
}

impl RouteMetrics {
    /// Counts one request that ended.
    pub fn count(&self, outcome: Outcome, seconds: f64) {
        if let Some(counter) = self.by_outcome.get(outcome as usize) {
            counter.inc();
        }
        self.duration.observe(seconds);
    }
}

/// Request durations: half a millisecond to ten seconds.
const DURATION_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Stage durations: a microsecond to 50 ms.
const STAGE_BUCKETS: &[f64] = &[1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.05];
/// Scores, finer where thresholds lie.
const SCORE_BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0];

impl Metrics {
    /// All metrics, registered.
    ///
    /// # Errors
    /// A name registered twice: a defect that the first start shows.
    pub fn new() -> prometheus::Result<Self> {
        let r = Registry::new();
        let durations = histograms(
            &r,
            "gatehouse_request_duration_seconds",
            "Entry to last byte",
            &["app", "route"],
            DURATION_BUCKETS,
        )?;
        let by_stage = histograms(
            &r,
            "gatehouse_stage_duration_seconds",
            "Time in a stage, of one request in sixteen",
            &["stage"],
            STAGE_BUCKETS,
        )?;
        let refusals = counters(&r, "gatehouse_refusals_total", "Requests refused by a stage", &["reason"])?;
        for reason in Reason::ALL {
            refusals.with_label_values(&[reason.row().code]);
        }
        let score_unavailable =
            counters(&r, "gatehouse_score_unavailable_total", "Scores that could not be given", &["model"])?;
        let shed = counters(&r, "gatehouse_shed_total", "Requests without a permit", &["class"])?;
        let reloads = counters(&r, "gatehouse_reloads_total", "Configuration reloads", &["result"])?;
        // An alert sees a counter grow only if it was there before.
        for (counter, labels) in [
            (&score_unavailable, &["fraud", "anomaly"][..]),
            (&shed, &Class::ALL.map(Class::name)),
            (&reloads, &["ok", "refused"]),
        ] {
            for label in labels {
                counter.with_label_values(&[label]);
            }
        }
        let requests =
            counters(&r, "gatehouse_requests_total", "Requests that ended", &["app", "route", "outcome"])?;
        let connections_refused = counters(
            &r,
            "gatehouse_connections_refused_total",
            "Connections that ended before HTTP: over a bound, too slow, without TLS or PROXY header",
            &["cause"],
        )?;
        // What has not happened yet is zero, and not unknown.
        for cause in CAUSES {
            connections_refused.with_label_values(&[cause]);
        }
        Ok(Self {
            unrouted: route_metrics(&requests, &durations, "-", "-"),
            requests,
            durations,
            stages: STAGES.iter().map(|s| by_stage.with_label_values(&[s])).collect(),
            refusals,
            anomaly_score: histogram(&r, "gatehouse_anomaly_score", "Anomaly scores given", SCORE_BUCKETS)?,
            fraud_score: histogram(&r, "gatehouse_fraud_score", "Fraud scores given", SCORE_BUCKETS)?,
            score_unavailable,
            capacity_permits: gauges(&r, "gatehouse_capacity_permits", "Permits held", &["pool", "class"])?,
            capacity_limit: gauges(&r, "gatehouse_capacity_limit", "Threshold in force", &["pool", "class"])?,
            capacity_controller: gauges(
                &r,
                "gatehouse_capacity_controller",
                "Controller in force",
                &["pool", "controller"],
            )?,
            capacity_fallback: gauges(
                &r,
                "gatehouse_capacity_fallback",
                "Whether the fall-back decides",
                &["pool"],
            )?,
            capacity_tables_refused: register(
                &r,
                IntCounter::new(
                    "gatehouse_capacity_tables_refused_total",
                    "Learnt capacity tables not restored",
                )?,
            )?,
            shed,
            jwks_age: gauges(&r, "gatehouse_jwks_age_seconds", "Age of an issuer's keys", &["issuer"])?,
            jwks_fetches: gauges(
                &r,
                "gatehouse_jwks_fetches",
                "Fetches of an issuer's keys",
                &["issuer", "result"],
            )?,
            issuer_usable: gauges(
                &r,
                "gatehouse_issuer_usable",
                "Whether tokens can be verified",
                &["issuer"],
            )?,
            issuer_keys: gauges(&r, "gatehouse_issuer_keys", "Keys in use", &["issuer", "algorithm"])?,
            issuer_key_age: gauges(
                &r,
                "gatehouse_issuer_key_age_seconds",
                "Time since the gateway first saw the oldest and the youngest key in use; -1: none",
                &["issuer", "which"],
            )?,
            audit_lag: register(
                &r,
                prometheus::Gauge::new(
                    "gatehouse_audit_lag_seconds",
                    "Age of the oldest record not on disk",
                )?,
            )?,
            audit_log: gauges(&r, "gatehouse_audit_log", "The decision log's counters", &["what"])?,
            audit_failing: register(
                &r,
                IntGauge::new("gatehouse_audit_failing", "Whether the decision log cannot be written")?,
            )?,
            remembered_tokens: gauges(
                &r,
                "gatehouse_remembered_tokens",
                "Verified-token memory: held, hits, misses",
                &["what"],
            )?,
            introspection: gauges(
                &r,
                "gatehouse_introspection",
                "Opaque tokens: held, refused, hits, misses, calls, failures, shed, failing",
                &["issuer", "what"],
            )?,
            upstream_healthy: gauges(&r, "gatehouse_upstream_healthy", "Healthy peers", &["app"])?,
            connections: register(&r, IntGauge::new("gatehouse_connections", "Open client connections")?)?,
            connections_refused,
            http2_resets: counters(
                &r,
                "gatehouse_http2_resets_total",
                "Requests, streams and connections that the HTTP/2 layer ended with an error",
                &["scope", "code"],
            )?,
            panics: register(
                &r,
                IntCounter::new("gatehouse_stage_panics_total", "Requests ended by a defect")?,
            )?,
            rule_failures: register(
                &r,
                IntCounter::new("gatehouse_rule_failures_total", "Rules that failed at run time")?,
            )?,
            reloads,
            models: ModelMetrics::new(&r)?,
            registry: r,
        })
    }

    /// Handles of one route.
    pub fn route(&self, app: &str, route: &str) -> RouteMetrics {
        route_metrics(&self.requests, &self.durations, app, route)
    }

    /// Counts a request that ended before a route was known.
    pub fn unrouted(&self, outcome: Outcome, seconds: f64) {
        self.unrouted.count(outcome, seconds);
    }

    /// Notes the time a request spent in the stage at `position` of [`STAGES`].
    pub fn stage(&self, position: usize, seconds: f64) {
        if let Some(histogram) = self.stages.get(position) {
            histogram.observe(seconds);
        }
    }

    /// Counts a refusal; codes come from the table and from rules, so their number is bounded.
    pub fn refused(&self, code: &str) {
        self.refusals.with_label_values(&[code]).inc();
    }

    /// Requests refused for `code` so far.
    pub fn refusals_of(&self, code: &str) -> u64 {
        self.refusals.with_label_values(&[code]).get()
    }

    /// Everything, in the text format that scrapers read.
    ///
    /// # Errors
    /// A metric that cannot be encoded.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}

fn route_metrics(requests: &IntCounterVec, durations: &HistogramVec, app: &str, route: &str) -> RouteMetrics {
    RouteMetrics {
        by_outcome: Outcome::ALL.map(|o| requests.with_label_values(&[app, route, o.name()])),
        duration: durations.with_label_values(&[app, route]),
    }
}

fn register<M: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: M,
) -> prometheus::Result<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(r: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    register(r, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(r: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    register(r, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn histogram(r: &Registry, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
    register(r, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
}

fn histograms(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> prometheus::Result<HistogramVec> {
    register(r, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
}
