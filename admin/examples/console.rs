//! Serves the console over a gateway made of memory, so that it can be looked at: `cargo run -p admin --example console`.
//!
//! The address is the first argument (127.0.0.1:9901 when absent); `--hostile` fills every text with markup.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a demonstration may stop")]

#[path = "../tests/fakes/mod.rs"]
mod fakes;

use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use admin::views::*;
use fakes::{World, records};
use learner::capacity::PerClass;
use learner::capacity::record::HistoryPoint;
use policies::{DecisionRecord, Outcome};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const STEP_S: i64 = 2;
const MARKUP: &str = "<img src=x onerror=\"document.title='OWNED'\"><script>document.title='OWNED'</script>";

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = arguments.iter().find(|text| !text.starts_with("--")).map_or("127.0.0.1:9901", |text| text);
    let listener = tokio::net::TcpListener::bind(address).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let world = World::new();
    let hostile = arguments.iter().any(|text| text == "--hostile");
    let mut show = Show { world: world.clone(), dice: StdRng::seed_from_u64(7), count: 0, hostile };
    show.furnish(now_ms());
    println!("console at {origin}");
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            tick.tick().await;
            show.play(now_ms());
        }
    });
    axum::serve(listener, admin::router(world.state(&origin))).await
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or_default()
}

/// Makes the traffic of a busy evening: reads in waves, a probe now and then, a flood every few minutes.
struct Show {
    world: Arc<World>,
    dice: StdRng,
    count: u64,
    hostile: bool,
}

impl Show {
    fn furnish(&mut self, now: i64) {
        self.world.now_ms.store(now, Ordering::SeqCst);
        self.world.tokens_end_s.store(now / 1000 + 8 * 3600, Ordering::SeqCst);
        let mut figures = self.world.figures.lock().unwrap();
        figures.started_at_ms = now - 7_200_000;
        figures.version = "0.1.0".to_owned();
        figures.step_s = STEP_S as u32;
        drop(figures);
        let first = (now / 1000 / STEP_S) * STEP_S * 1000 - 300_000;
        for step in 0..150 {
            self.point(first + step * STEP_S * 1000);
        }
        for back in (0..120).rev() {
            self.decide(now - back * 700);
        }
        self.pools(now);
        for back in (1..300).rev() {
            self.tick_pools(now - back * 3000);
        }
        self.cases(now);
        self.things(now);
    }

    fn play(&mut self, now: i64) {
        self.world.now_ms.store(now, Ordering::SeqCst);
        for _ in 0..self.dice.gen_range(0..3) {
            self.decide(now);
        }
        let newest = self.world.figures.lock().unwrap().points.last().map_or(0, |point| point.at_ms);
        if now - newest >= STEP_S * 1000 {
            self.point(newest + STEP_S * 1000);
        }
        self.tick_pools(now);
    }

    /// 0 in calm, up to 1 in a flood.
    fn flood(at_ms: i64) -> f64 {
        let phase = (at_ms / 1000 % 240) as f64;
        if (150.0..190.0).contains(&phase) { ((phase - 150.0) / 40.0 * TAU / 2.0).sin() } else { 0.0 }
    }

    fn point(&mut self, at_ms: i64) {
        let wave = 1.0 + 0.22 * (at_ms as f64 / 41_000.0).sin() + 0.08 * (at_ms as f64 / 7_300.0).sin();
        let flood = Self::flood(at_ms);
        let mut some = |mean: f64| (mean * self.dice.gen_range(0.85..1.15)).round() as u64;
        let requests = OutcomeCounts {
            allow: some(236.0 * wave),
            observe: some(7.0 * wave),
            throttle: some(3.0 + 190.0 * flood),
            step_up: some(4.2),
            hold: some(1.6),
            deny: some(9.0 + 34.0 * flood),
        };
        let (p50, p99) = (some(1_900.0 * (1.0 + 0.5 * flood)), some(13_800.0 * (1.0 + 1.6 * flood)));
        let shed = some(60.0 * flood);
        let mut figures = self.world.figures.lock().unwrap();
        figures.points.push(FigurePoint { at_ms, requests, shed, p50_us: Some(p50), p99_us: Some(p99) });
        let old = figures.points.len().saturating_sub(150);
        figures.points.drain(..old);
        figures.at_ms = at_ms;
        figures.latency = Latency { p50_us: Some(p50), p90_us: Some(p50 * 3), p99_us: Some(p99) };
        figures.anomaly_bins = (0..20)
            .map(|bin| {
                (9_000.0 * (-(f64::from(bin) - 4.0).powi(2) / 14.0).exp()) as u64
                    + if bin > 17 { 210 } else { 4 }
            })
            .collect();
        figures.fraud_bins = (0..20)
            .map(|bin| (2_600.0 * (-f64::from(bin) / 1.3).exp()) as u64 + if bin > 16 { 9 } else { 2 })
            .collect();
        figures.reasons = [
            ("limit.address", 2_140),
            ("token.expired", 611),
            ("inspection.sqli", 377),
            ("auth.age", 240),
            ("fraud.score", 131),
            ("inspection.traversal", 96),
            ("capacity.shed", 40),
        ]
        .into_iter()
        .map(|(code, count)| ReasonCount {
            code: if self.hostile { MARKUP.into() } else { code.into() },
            count,
        })
        .collect();
        figures.degraded = if self.hostile { vec![MARKUP.to_owned()] } else { Vec::new() };
        figures.cases_open =
            self.world.cases.lock().unwrap().iter().filter(|case| case.status == CaseStatus::Open).count()
                as u64;
        figures.audit_lag_ms = 4;
    }

    fn decide(&mut self, at_ms: i64) {
        self.count += 1;
        let id = format!("01K{:08X}{:06X}", at_ms / 1000, self.count);
        let customer = self.dice.gen_range(1..60);
        let mut record = match self.dice.gen_range(0..100) {
            0..=50 => records::read(&id, at_ms, customer),
            51..=68 => records::transfer(&id, at_ms, customer, self.dice.gen_range(500..48_000)),
            69..=72 => DecisionRecord {
                outcome: Outcome::Observe,
                reasons: vec![records::reason(
                    "anomaly.high",
                    "mark-strange",
                    Outcome::Observe,
                    "Unusual request",
                )],
                ..records::read(&id, at_ms, customer)
            },
            73..=83 => records::throttled(&id, at_ms),
            84..=88 => records::stepped_up(&id, at_ms, customer),
            89..=91 => records::held(&id, at_ms, customer, "C-2041"),
            92..=95 => records::injection(&id, at_ms),
            _ => records::expired(&id, at_ms),
        };
        record.duration_us = (record.duration_us as f64 * self.dice.gen_range(0.6..1.9)) as u64;
        if let Some(score) = record.anomaly.as_mut().and_then(|score| score.value.as_mut()) {
            *score = (*score + self.dice.gen_range(-0.15..0.003)).clamp(0.0, 1.0);
        }
        if self.hostile {
            deface(&mut record);
        }
        self.world.decide(record);
    }

    fn pools(&mut self, now: i64) {
        *self.world.pools.lock().unwrap() = vec![records::pool("bank", now, 64.0, 34)];
    }

    fn tick_pools(&mut self, now: i64) {
        let flood = Self::flood(now);
        let mut pools = self.world.pools.lock().unwrap();
        for pool in pools.iter_mut() {
            let used =
                (34.0 + 22.0 * flood + 4.0 * (now as f64 / 9_000.0).sin() + self.dice.gen_range(-2.0..2.0))
                    as u32;
            pool.limit = 64.0 + 6.0 * (now as f64 / 60_000.0).sin();
            pool.in_flight = used;
            for (at, share) in [0.15, 0.56, 0.24, 0.05].into_iter().enumerate() {
                let class = &mut pool.classes.0[at];
                class.in_flight = (f64::from(used) * share) as u16;
                class.admitted_total += [2, 26, 6, 1][at];
                class.shed_total += if at == 3 { (18.0 * flood) as u64 } else { 0 };
            }
            if flood == 0.0 {
                pool.state = "latency near base, demand as usual".to_owned();
                pool.action = "Keep the limit, keep the split".to_owned();
                pool.reason =
                    "Latency is at its usual level and no class waits, so nothing needs to move.".to_owned();
            } else {
                pool.action = "Keep the limit, squeeze suspicious".to_owned();
                pool.reason = format!(
                    "Suspicious demand is {:.0} times usual while latency is normal, so its share shrinks and the limit stays.",
                    2.0 + 8.0 * flood
                );
            }
            if self.hostile {
                pool.action = MARKUP.to_owned();
                pool.reason = MARKUP.to_owned();
            }
            pool.q_values = vec![
                q_values("limit", "keep"),
                q_values("split", if flood == 0.0 { "keep" } else { "squeeze suspicious" }),
            ];
            pool.history.push(HistoryPoint {
                at_ms: now,
                limit: pool.limit,
                in_flight: used,
                queued: 0,
                split: pool.split,
                admitted: PerClass([2, 26, 6, 1]),
                shed: PerClass([0, 0, 0, (18.0 * flood) as u32]),
                reward: Some(0.94 - 0.2 * flood),
                fallback: false,
            });
            let old = pool.history.len().saturating_sub(300);
            pool.history.drain(..old);
        }
    }

    fn cases(&mut self, now: i64) {
        let decision = self
            .world
            .decisions
            .lock()
            .unwrap()
            .iter()
            .rev()
            .find(|(_, r)| r.outcome == Outcome::Hold)
            .map(|(_, r)| r.id.clone())
            .unwrap_or_default();
        let mut cases = vec![
            records::case("C-2041", &decision, now - 95_000, CaseStatus::Open, 920_000),
            records::case("C-2040", &decision, now - 1_260_000, CaseStatus::Open, 148_050),
            records::case("C-2038", &decision, now - 4_000_000, CaseStatus::Open, 2_400_000),
            records::case("C-2037", &decision, now - 9_000_000, CaseStatus::Released, 61_000),
            records::case("C-2031", &decision, now - 19_000_000, CaseStatus::Rejected, 1_999_900),
        ];
        cases[1].reasons = vec!["Three payees were paid for the first time within one hour.".to_owned()];
        cases[1].fraud = Some(0.71);
        if self.hostile {
            for case in &mut cases {
                case.reasons = vec![MARKUP.to_owned()];
                case.note = Some(MARKUP.to_owned());
                case.currency = MARKUP.to_owned();
            }
        }
        *self.world.cases.lock().unwrap() = cases;
    }

    fn things(&mut self, now: i64) {
        let text = |plain: &str| if self.hostile { MARKUP.to_owned() } else { plain.to_owned() };
        let model = |name: &str, kind: &str, metrics: &[(&str, f64)], threshold| LoadedModel {
            name: text(name),
            version: "2026-11-01".to_owned(),
            kind: text(kind),
            hash: "b1946ac92492d2347c6235b4d2611184".repeat(2),
            schema_hash: "6f5902ac237024bdd0c176cb93063dc4".repeat(2),
            loaded_at_ms: now - 7_200_000,
            trained_on: Some("simulated customers, 90 days, seed 1".to_owned()),
            metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            thresholds: [("review".to_owned(), threshold)].into(),
            life: None,
        };
        *self.world.models.lock().unwrap() = vec![
            model(
                "fraud",
                "logistic regression",
                &[("auprc", 0.873), ("precision", 0.842), ("recall", 0.801), ("f1", 0.821)],
                0.62,
            ),
            model("anomaly", "autoencoder", &[("auroc", 0.981), ("auprc", 0.902)], 0.97),
            model("capacity", "q-learning", &[("goodput", 0.875), ("episodes", 1800.0)], 0.0),
        ];
        let rule = |id: &str, description: &str, when: &str, outcome, mode: &str, hits| RuleHits {
            id: text(id),
            description: text(description),
            when: text(when),
            outcome,
            mode: mode.to_owned(),
            routes: vec!["transfers".to_owned()],
            hits,
            failures: 0,
            last_hit_ms: (hits > 0).then_some(now - 14_000),
        };
        let rules = vec![
            rule(
                "refuse-injection",
                "Lexical findings of high confidence",
                "inspection.sqli >= 0.9 || inspection.xss >= 0.9",
                Outcome::Deny,
                "enforce",
                377,
            ),
            rule(
                "hold-likely-fraud",
                "Transfers that the fraud model finds likely",
                "fraud.score >= thresholds.review && amount_minor > 50000",
                Outcome::Hold,
                "enforce",
                131,
            ),
            rule(
                "fresh-login-for-large",
                "Large first payments need a fresh login",
                "behaviour.new_payee && amount_minor > 100000 && auth.age_s > 300",
                Outcome::StepUp,
                "enforce",
                240,
            ),
            rule(
                "mark-strange",
                "Unusual requests are marked",
                "anomaly.score >= 0.97",
                Outcome::Observe,
                "enforce",
                1_204,
            ),
            rule(
                "mule-fan-in",
                "Many customers begin to pay one payee",
                "behaviour.payee_fan_in_1d > 8",
                Outcome::Deny,
                "shadow",
                12,
            ),
            rule(
                "night-pause",
                "Nothing large at night",
                "hour < 5 && amount_minor > 500000",
                Outcome::Hold,
                "off",
                0,
            ),
        ];
        let document: String = rules
            .iter()
            .map(|rule| format!("[[rules]]\nid = \"{}\"\ndescription = \"{}\"\nwhen = '{}'\noutcome = \"{}\"\nmode = \"{}\"\nroutes = [\"transfers\"]\n\n", rule.id, rule.description, rule.when, rule.outcome.name(), rule.mode))
            .collect();
        let summary = |version: &str, active| PolicySummary {
            version: version.to_owned(),
            hash: "3f8a61b09c".repeat(6),
            active,
            loaded_at_ms: now - 7_200_000,
            rules: 6,
        };
        *self.world.policies.lock().unwrap() = vec![
            PolicyDocument { summary: summary("7", true), text: document.clone(), rule_hits: rules.clone() },
            PolicyDocument { summary: summary("6", false), text: document, rule_hits: rules },
        ];
        *self.world.sessions.lock().unwrap() = (0..23)
            .map(|n| CustomerSession {
                handle: records::pseudonym(n + 4_000).0,
                app: text("bank"),
                subject: records::pseudonym(n),
                acr: Some(text("urn:gatehouse:mfa")),
                created_at_ms: now - 400_000 * (n as i64 + 1),
                last_seen_ms: now - 9_000 * (n as i64),
                expires_at_ms: now + 3_600_000,
            })
            .collect();
        let limit = |name: &str, scope: &str, per_second, burst, keys, exceeded_total| Limit {
            name: text(name),
            scope: scope.to_owned(),
            per_second,
            burst,
            keys,
            keys_max: 200_000,
            exceeded_total,
        };
        *self.world.limits.lock().unwrap() = vec![
            limit("address", "address", 50.0, 100, 1_204, 2_140),
            limit("customer", "customer", 10.0, 30, 58, 21),
            limit("transfers", "route", 0.5, 5, 58, 9),
        ];
    }
}

/// Puts markup wherever a record holds text that somebody outside could have shaped.
fn deface(record: &mut DecisionRecord) {
    record.app = MARKUP.into();
    record.route = MARKUP.into();
    record.method = MARKUP.into();
    record.source.0 = MARKUP.to_owned();
    if let Some(identity) = &mut record.identity {
        identity.client_id = MARKUP.to_owned();
        identity.subject.0 = MARKUP.to_owned();
        identity.acr = Some(MARKUP.to_owned());
    }
    if let Some(transfer) = &mut record.transfer {
        transfer.currency = MARKUP.to_owned();
    }
    for reason in record.reasons.iter_mut().chain(&mut record.shadow) {
        (reason.code, reason.source, reason.message) = (MARKUP.into(), MARKUP.into(), MARKUP.into());
    }
    for finding in &mut record.inspection {
        finding.location = MARKUP.to_owned();
        finding.why = MARKUP.to_owned();
    }
    for score in record.fraud.iter_mut().chain(&mut record.anomaly) {
        score.model = Some(MARKUP.into());
        score.sentences = vec![MARKUP.to_owned()];
        for contribution in &mut score.contributions {
            contribution.feature = MARKUP.into();
        }
    }
}

fn q_values(table: &str, chosen: &str) -> learner::capacity::ActionValues {
    learner::capacity::ActionValues {
        table: table.to_owned(),
        chosen: chosen.to_owned(),
        visits: 4_120,
        values: Vec::new(),
    }
}
