//! Figures, capacity, policies, limits and configuration.

use admin::ports::{Answer, Capacity, ConfigView, Figures, Limits, PolicyDocuments, PortError};
use admin::views::{Limit, LiveFigures, PolicyDocument, PolicySummary, RuleHits};
use learner::capacity::{Mode, PoolSnapshot};

use super::{Ports, ready};
use crate::figures::STEP_S;
use crate::observe;
use crate::stages::limits::Rate;
use crate::stores::CaseState;

impl Figures for Ports {
    fn live(&self) -> Answer<'_, LiveFigures> {
        Box::pin(async move {
            let core = &self.core;
            let now_ms = core.clock.now_ms();
            let shown = core.window.shown(now_ms);
            let open = core.cases.list(Some(CaseState::Open), None, 200).await;
            let cases_open = open.map_err(|e| PortError::Unavailable(e.to_string()))?.cases.len() as u64;
            Ok(LiveFigures {
                at_ms: now_ms,
                started_at_ms: core.started_ms,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                step_s: STEP_S,
                points: shown.points,
                latency: shown.latency,
                anomaly_bins: shown.anomaly_bins,
                fraud_bins: shown.fraud_bins,
                reasons: shown.reasons,
                cases_open,
                audit_lag_ms: u64::try_from(core.log.counters().lag_ms(now_ms)).unwrap_or_default(),
                degraded: observe::degraded(core),
            })
        })
    }
}

impl Capacity for Ports {
    fn pools(&self) -> Answer<'_, Vec<PoolSnapshot>> {
        ready(Ok(self.core.pools.iter().map(|pool| pool.admission.snapshot()).collect()))
    }

    fn set_mode<'a>(&'a self, pool: &'a str, mode: Mode) -> Answer<'a, ()> {
        let Some(found) = self.core.pools.iter().find(|p| p.name == pool) else {
            return ready(Err(PortError::NotFound));
        };
        ready(if found.admission.set_mode(mode) {
            Ok(())
        } else {
            Err(PortError::Refused("this pool's controller has no modes".to_owned()))
        })
    }
}

impl PolicyDocuments for Ports {
    fn list(&self) -> Answer<'_, Vec<PolicySummary>> {
        ready(Ok(vec![self.policy_summary()]))
    }

    fn get<'a>(&'a self, version: &'a str) -> Answer<'a, Option<PolicyDocument>> {
        let live = self.core.live();
        let policy = &live.policy;
        if version != &**policy.version() && version != &**policy.hash() {
            return ready(Ok(None));
        }
        let rule_hits = policy.rules().iter().map(|rule| {
            let hits = live.hits.of(&rule.id);
            RuleHits {
                id: rule.id.to_string(),
                description: rule.description.to_string(),
                when: rule.when.to_string(),
                outcome: rule.outcome,
                mode: format!("{:?}", rule.mode).to_lowercase(),
                routes: rule.routes.iter().map(ToString::to_string).collect(),
                hits: hits.count,
                failures: 0,
                last_hit_ms: (hits.count > 0).then_some(hits.last_ms),
            }
        });
        let document = PolicyDocument {
            summary: self.policy_summary(),
            text: policy.text().to_owned(),
            rule_hits: rule_hits.collect(),
        };
        ready(Ok(Some(document)))
    }
}

impl Ports {
    fn policy_summary(&self) -> PolicySummary {
        let live = self.core.live();
        PolicySummary {
            version: live.policy.version().to_string(),
            hash: live.policy.hash().to_string(),
            active: true,
            loaded_at_ms: live.models.loaded_ms,
            rules: u32::try_from(live.policy.rules().len()).unwrap_or(u32::MAX),
        }
    }
}

impl Limits for Ports {
    fn list(&self) -> Answer<'_, Vec<Limit>> {
        let live = self.core.live();
        let limits = &live.config.limits;
        let address = Limit {
            exceeded_total: self.core.metrics.refusals_of("limit.address"),
            keys: self.core.addresses.len() as u64,
            keys_max: limits.addresses_max as u64,
            ..limit("address", "address", limits.address)
        };
        let mut list = vec![address];
        for (app, live_app) in live.config.applications.iter().zip(live.apps.iter()) {
            for (scope, rate, keyed) in
                [("customer", app.customer, &live_app.customer), ("client", app.client, &live_app.client)]
            {
                if let (Some(rate), Some(keyed)) = (rate, keyed) {
                    list.push(Limit {
                        keys: keyed.len() as u64,
                        keys_max: keyed.keys_max() as u64,
                        exceeded_total: keyed.exceeded(),
                        ..limit(&format!("{} {scope}", app.name), scope, rate)
                    });
                }
            }
            for (route, live_route) in app.routes.iter().zip(&live_app.routes) {
                if let (Some(rate), Some(keyed)) = (route.rate, &live_route.limit) {
                    list.push(Limit {
                        keys: keyed.len() as u64,
                        keys_max: 1,
                        exceeded_total: keyed.exceeded(),
                        ..limit(&format!("{} {}", app.name, route.name), "route", rate)
                    });
                }
            }
        }
        ready(Ok(list))
    }
}

fn limit(name: &str, scope: &str, rate: Rate) -> Limit {
    Limit {
        name: name.to_owned(),
        scope: scope.to_owned(),
        per_second: f64::from(rate.per_second.get()),
        burst: rate.burst.get(),
        keys: 0,
        keys_max: 0,
        exceeded_total: 0,
    }
}

impl ConfigView for Ports {
    /// Keys and certificates are named by file only, so what is in force holds no secret; their paths are left out.
    fn redacted(&self) -> Answer<'_, serde_json::Value> {
        let live = self.core.live();
        let config = &live.config;
        let applications: Vec<serde_json::Value> = config
            .applications
            .iter()
            .map(|app| {
                let routes: Vec<serde_json::Value> = app
                    .routes
                    .iter()
                    .map(|route| {
                        serde_json::json!({
                            "name": route.name,
                            "methods": route.methods.iter().map(ToString::to_string).collect::<Vec<_>>(),
                            "class": route.class.name(),
                            "access": format!("{:?}", route.requirement.access).to_lowercase(),
                            "scopes": route.requirement.scopes,
                            "body_bytes_max": route.body_bytes_max,
                            "inspected": route.inspect,
                            "moves_money": route.transfer.is_some() && !route.score_only,
                        })
                    })
                    .collect();
                serde_json::json!({
                    "name": app.name,
                    "hosts": app.hosts,
                    "peers": app.upstream.peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "controller": app.capacity.controller.name(),
                    "routes": routes,
                })
            })
            .collect();
        let issuers: Vec<String> = config.issuers.iter().map(|i| i.issuer.clone()).collect();
        ready(Ok(serde_json::json!({
            "listeners": config.listeners.iter().map(|l| serde_json::json!({
                "address": l.address.to_string(), "tls": l.tls.is_some(),
            })).collect::<Vec<_>>(),
            "threads": config.server.threads,
            "grace_s": config.server.grace.as_secs(),
            "issuers": issuers,
            "applications": applications,
            "keys": "***",
        })))
    }
}
