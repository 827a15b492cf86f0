//! What every request shares: the configuration in force, and the stateful parts behind the stages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use learner::anomaly::AnomalyScorer;
use learner::behaviour::Profiles;
use learner::fraud::FraudScorer;
use parking_lot::RwLock;
use policies::evidence::Scored;
use policies::ports::{Clock, HotStore};
use policies::record::Course;
use policies::{DecisionRecord, Name, Outcome, Policy, Pseudonymizer};

use super::journey::Journey;
use super::pool::Pool;
use crate::audit::{AuditLog, Completion, Entry};
use crate::config::{Config, Routed};
use crate::figures::{Finished, LiveWindow};
use crate::metrics::{Metrics, RouteMetrics};
use crate::refusal::Reason;
use crate::rule_hits::RuleHits;
use crate::stages::identity::IdentityStage;
use crate::stages::limits::{AddressLimit, KeyHash, Keyed};
use crate::stages::transfer::{Customers, Repeats};
use crate::stores::{Cases, Spent};

/// Everything behind the stages; one for the life of the process.
pub struct Core {
    live: RwLock<Arc<Live>>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Identities.
    pub identity: Arc<IdentityStage>,
    /// Sessions and replay memory.
    pub hot: Arc<dyn HotStore>,
    /// The decision log.
    pub log: AuditLog,
    /// Review cases.
    pub cases: Arc<Cases>,
    /// Behaviour profiles.
    pub profiles: Arc<Profiles>,
    /// Recognises repeats of transfers.
    pub repeats: Repeats,
    /// Authorisations for one payment that were spent.
    pub spent: Spent,
    /// Makes the profiles' keys.
    pub customers: Customers,
    /// Makes the records' pseudonyms.
    pub pseudonyms: Pseudonymizer,
    /// Upstream pools, by position of their application.
    pub pools: Vec<Pool>,
    /// The address limit.
    pub addresses: AddressLimit,
    /// Log-ins that an address may begin.
    pub logins: AddressLimit,
    /// Keys of limits and fair shares.
    pub keys: KeyHash,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Figures of the last minutes, for the console.
    pub window: LiveWindow,
    /// Names that every request needs.
    pub names: Names,
    /// When the process started: the steady clock of the limits.
    pub started: Instant,
    /// The same on the wall clock, Unix milliseconds.
    pub started_ms: i64,
    open: AtomicU64,
}

/// Names shared by all requests.
pub struct Names {
    /// `-`.
    pub none: Name,
    methods: Vec<(http::Method, Name)>,
}

impl Default for Names {
    fn default() -> Self {
        let methods = [
            http::Method::GET,
            http::Method::POST,
            http::Method::HEAD,
            http::Method::PUT,
            http::Method::DELETE,
            http::Method::PATCH,
            http::Method::OPTIONS,
        ];
        Self { none: "-".into(), methods: methods.map(|m| (m.clone(), m.as_str().into())).to_vec() }
    }
}

impl Names {
    /// The name of `method`.
    pub fn method(&self, method: &http::Method) -> Name {
        let known = self.methods.iter().find(|(m, _)| m == method);
        known.map_or_else(|| method.as_str().into(), |(_, name)| name.clone())
    }
}

/// What a reload replaces, as one: a request sees one of these from start to end.
pub struct Live {
    /// The checked configuration.
    pub config: Config,
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// Models.
    pub models: Arc<Scorers>,
    /// Handles and limits, by position of application and route.
    pub apps: Vec<LiveApplication>,
    /// How often each rule matched since this came into force.
    pub hits: RuleHits,
}

/// The models in force.
#[derive(Default)]
pub struct Scorers {
    /// Fraud of transfers.
    pub fraud: Option<FraudScorer>,
    /// Its name in records.
    pub fraud_name: Option<Name>,
    /// Anomaly of requests.
    pub anomaly: Option<AnomalyScorer>,
    /// Its name in records.
    pub anomaly_name: Option<Name>,
    /// When they were loaded, Unix milliseconds.
    pub loaded_ms: i64,
}

/// An application's limits and metric handles.
pub struct LiveApplication {
    /// Limit for each customer.
    pub customer: Option<Keyed>,
    /// Limit for each client.
    pub client: Option<Keyed>,
    /// By route.
    pub routes: Vec<LiveRoute>,
}

/// A route's limit and metric handles.
pub struct LiveRoute {
    /// Application and route name.
    pub names: (Name, Name),
    /// Limit of the whole route.
    pub limit: Option<Keyed>,
    /// Counters.
    pub metrics: RouteMetrics,
}

/// Customers, clients and routes that a limit remembers at most.
const LIMITED_KEYS_MAX: usize = 1_000_000;

impl Live {
    /// Puts a configuration, a policy and models into force.
    pub fn new(config: Config, policy: Arc<Policy>, models: Arc<Scorers>, metrics: &Metrics) -> Self {
        let apps = config
            .applications
            .iter()
            .map(|app| LiveApplication {
                customer: app.customer.map(|rate| Keyed::new("customer", rate, LIMITED_KEYS_MAX)),
                client: app.client.map(|rate| Keyed::new("client", rate, LIMITED_KEYS_MAX)),
                routes: app
                    .routes
                    .iter()
                    .map(|route| LiveRoute {
                        names: (app.name.clone(), route.name.clone()),
                        limit: route.rate.map(|rate| Keyed::new("route", rate, 2)),
                        metrics: metrics.route(&app.name, &route.name),
                    })
                    .collect(),
            })
            .collect();
        Self { config, policy, models, apps, hits: RuleHits::default() }
    }

    /// The application of a host and the route of a path in it.
    pub fn route(&self, host: &str, path: &str, method: &http::Method) -> Option<(usize, Routed<'_>)> {
        let (position, app) = self.application(host)?;
        Some((position, app.routes.find(path, method)))
    }

    /// The application of a host.
    pub fn application(&self, host: &str) -> Option<(usize, &crate::config::Application)> {
        self.config.applications.iter().enumerate().find(|(_, app)| app.hosts.iter().any(|h| h == host))
    }

    /// The live part of a route.
    pub fn live_route(&self, app: usize, route: usize) -> Option<&LiveRoute> {
        self.apps.get(app).and_then(|a| a.routes.get(route))
    }

    /// Names of an application and a route.
    pub fn names(&self, app: usize, route: usize) -> Option<(Name, Name)> {
        self.live_route(app, route).map(|r| r.names.clone())
    }

    /// Hour of the day at the bank.
    pub fn local_hour(&self, at_ms: i64) -> u8 {
        let hours =
            at_ms.div_euclid(3_600_000).saturating_add(i64::from(self.config.server.utc_offset_hours));
        u8::try_from(hours.rem_euclid(24)).unwrap_or_default()
    }
}

/// The parts a [`Core`] is made of.
pub struct Parts {
    /// What is in force at the start.
    pub live: Live,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Identities.
    pub identity: Arc<IdentityStage>,
    /// Sessions and replay memory.
    pub hot: Arc<dyn HotStore>,
    /// The decision log.
    pub log: AuditLog,
    /// Review cases.
    pub cases: Arc<Cases>,
    /// Authorisations for one payment that were spent.
    pub spent: Spent,
    /// Behaviour profiles.
    pub profiles: Arc<Profiles>,
    /// Makes the profiles' keys.
    pub customers: Customers,
    /// Makes pseudonyms.
    pub pseudonyms: Pseudonymizer,
    /// Upstream pools.
    pub pools: Vec<Pool>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

impl Core {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let limits = parts.live.config.limits;
        let now_ms = parts.clock.now_ms();
        Arc::new(Self {
            customers: parts.customers,
            repeats: Repeats::new(Arc::clone(&parts.hot), parts.pseudonyms.clone()),
            addresses: AddressLimit::new(limits.address, limits.addresses_max),
            logins: AddressLimit::new(limits.logins, limits.addresses_max),
            live: RwLock::new(Arc::new(parts.live)),
            clock: parts.clock,
            identity: parts.identity,
            hot: parts.hot,
            log: parts.log,
            cases: parts.cases,
            spent: parts.spent,
            profiles: parts.profiles,
            pseudonyms: parts.pseudonyms,
            pools: parts.pools,
            keys: KeyHash::default(),
            metrics: parts.metrics,
            window: LiveWindow::default(),
            names: Names::default(),
            started: Instant::now(),
            started_ms: now_ms,
            open: AtomicU64::new(0),
        })
    }

    /// Requests under way.
    pub fn open_requests(&self) -> u64 {
        self.open.load(Ordering::Acquire)
    }

    /// A request entered.
    pub(super) fn entered(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    /// What is in force now.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read())
    }

    /// Puts something else into force, for requests that enter from now on.
    pub fn replace(&self, live: Live) {
        *self.live.write() = Arc::new(live);
    }

    /// Ends a journey: permit, profiles, metrics, record.
    pub(super) fn settle(&self, journey: &mut Journey) {
        journey.release();
        self.learn(journey);
        self.open.fetch_sub(1, Ordering::AcqRel);
        let elapsed = journey.entered.elapsed();
        let outcome = journey.outcome();
        if let Some(route) = journey.place.and_then(|(a, r)| journey.live.live_route(a, r)) {
            route.metrics.count(outcome, elapsed.as_secs_f64());
        } else {
            self.metrics.unrouted(outcome, elapsed.as_secs_f64());
        }
        let verdict = journey.recorded_verdict();
        if verdict.failures > 0 {
            self.metrics.rule_failures.inc_by(u64::from(verdict.failures));
        }
        if let Some(reason) = verdict.leading().filter(|_| !outcome.forwards()) {
            self.metrics.refused(&reason.code);
        }
        let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.window.count(Finished {
            at_ms: journey.at_ms,
            outcome: Some(outcome),
            duration_us,
            reason: verdict.leading().filter(|_| outcome != Outcome::Allow).map(|r| r.code.clone()),
            shed: journey.refusal.as_ref().is_some_and(|r| r.reason == Reason::Shed),
            anomaly: journey.evidence.anomaly.as_ref().and_then(Scored::value),
            fraud: journey.evidence.fraud.as_ref().and_then(Scored::value),
        });
        journey.live.hits.count(&verdict, journey.at_ms);
        match journey.intent_at {
            None => self.log.submit(self.record(journey, &verdict, duration_us)),
            Some(of) => self.log.submit_entry(Entry::Completion(Completion {
                id: journey.id.clone(),
                of,
                duration_us,
                outcome,
                stage: journey.stage.name().into(),
                status: journey.status,
                upstream_status: journey.upstream_status,
                refused: journey.refusal.as_ref().and_then(|_| verdict.reasons.first().cloned()),
            })),
        }
    }

    /// Behaviour is learned from what the upstream really did.
    fn learn(&self, journey: &Journey) {
        let Some(assessment) = &journey.assessment else { return };
        if journey.route().is_some_and(|r| r.score_only) {
            return;
        }
        assessment.event.seen(|event| {
            self.profiles.attempt(event);
            if journey.upstream_status.is_some_and(super::is_acceptance) {
                self.profiles.accept(event);
            }
        });
    }

    /// The decision record of a journey.
    pub(super) fn record(
        &self,
        journey: &Journey,
        verdict: &policies::Verdict,
        duration_us: u64,
    ) -> DecisionRecord {
        let course = Course {
            id: journey.id.clone(),
            duration_us,
            class: journey.class as u8,
            stage: journey.stage.name().into(),
            status: journey.status,
            upstream_status: journey.upstream_status,
            case: journey.case.clone(),
            repeat_of: journey.repeat.as_ref().map(|repeat| repeat.of.clone()),
        };
        let mut record = DecisionRecord::of(
            &journey.facts(),
            &journey.evidence,
            verdict,
            journey.live.policy.hash(),
            course,
            &self.pseudonyms,
        );
        // An everyday request is recorded without its 38 shape features: they explain nothing that was decided.
        let plain = record.outcome == Outcome::Allow && record.reasons.is_empty();
        let everyday = record.anomaly.as_mut().filter(|a| plain && a.value.is_some_and(|v| v < EVERYDAY));
        if let Some(anomaly) = everyday {
            anomaly.features.clear();
            anomaly.contributions.clear();
        }
        record
    }
}

/// Below this percentile of normal traffic, an allowed request's anomaly is recorded as its score alone.
const EVERYDAY: f64 = 0.99;
