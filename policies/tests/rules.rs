//! Every rule of the shipped policies against the cases in `tests/cases/rules`: each rule fires where it should and stays
//! silent where it should, and the verdict, with all rules together, is the expected one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policies::evidence::{AttackKind, Behaviour, Finding, Score, Scored, Unavailability};
use policies::facts::{Credential, Identity, TransferIntent};
use policies::{Evidence, Facts, Outcome, Policy, document};
use serde::Deserialize;

const NOW_MS: i64 = 1_790_000_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    rule: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Whether the file's rule gives a reason, enforced or in shadow.
    fires: bool,
    outcome: Outcome,
    /// Code of the leading reason; left out where there is none.
    leading: Option<String>,
    #[serde(default = "money_route")]
    route: String,
    #[serde(default = "noon")]
    hour: u8,
    #[serde(default = "yes")]
    identity: bool,
    acr: Option<String>,
    #[serde(default = "an_hour")]
    auth_age_s: i64,
    #[serde(default = "an_hour")]
    session_age_s: i64,
    /// A transfer is asked for where there is one.
    amount_minor: Option<i64>,
    #[serde(default = "somebody")]
    to: String,
    fraud: Option<CaseScore>,
    anomaly: Option<CaseScore>,
    #[serde(default)]
    inspection: BTreeMap<AttackKind, f64>,
    behaviour: Option<CaseBehaviour>,
    #[serde(default)]
    released: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CaseScore {
    Value(f64),
    /// `unavailable`, or `nan` for a model that fails.
    Word(String),
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CaseBehaviour {
    new_payee: bool,
    known_transfers: u64,
    amount_ratio: Option<f64>,
    count_1d: u64,
    sum_1d_minor: i64,
    refused_1h: u64,
    hour_share: Option<f64>,
}

fn money_route() -> String {
    "api-transfers".into()
}

fn noon() -> u8 {
    12
}

fn yes() -> bool {
    true
}

fn an_hour() -> i64 {
    3_600
}

fn somebody() -> String {
    "acc-bob".into()
}

impl Case {
    fn facts(&self) -> Facts {
        let now_s = NOW_MS / 1000;
        let identity = self.identity.then(|| {
            Arc::new(Identity {
                issuer: "https://issuer.example".into(),
                subject: "alice".into(),
                client_id: "demo-web".into(),
                scopes: vec!["payments:write".into()],
                roles: Vec::new(),
                acr: self.acr.clone(),
                auth_time: Some(now_s - self.auth_age_s),
                issued_at: now_s - self.session_age_s,
                expires_at: now_s + 600,
                token_id: None,
                session_id: None,
                credential: Credential::Session,
                authorization_details: None,
            })
        });
        let transfer = self.amount_minor.map(|amount_minor| TransferIntent {
            from: "acc-alice".into(),
            to: self.to.clone(),
            amount_minor,
            currency: *b"EUR",
            idempotency_key: None,
        });
        Facts {
            at_ms: NOW_MS,
            hour: self.hour,
            app: "bank".into(),
            route: self.route.as_str().into(),
            method: "POST".into(),
            path: "/".into(),
            source: "192.0.2.7".parse().unwrap(),
            identity,
            transfer,
        }
    }

    fn evidence(&self) -> Evidence {
        Evidence {
            anomaly: self.anomaly.as_ref().map(CaseScore::scored),
            fraud: self.fraud.as_ref().map(CaseScore::scored),
            inspection: self.inspection.iter().map(|(kind, score)| finding(*kind, *score)).collect(),
            behaviour: self.behaviour.as_ref().map(CaseBehaviour::behaviour),
            limits_exceeded: Vec::new(),
            released_case: self.released.then(|| "case-1".into()),
        }
    }
}

impl CaseScore {
    fn scored(&self) -> Scored {
        let value = match self {
            Self::Value(value) => *value,
            Self::Word(word) if word == "nan" => f64::NAN,
            Self::Word(word) if word == "unavailable" => return Scored::Unavailable(Unavailability::NoModel),
            Self::Word(word) => panic!("`{word}` is not a score"),
        };
        Scored::Available(Score {
            value,
            model: "model/1".into(),
            contributions: Vec::new(),
            sentences: Vec::new(),
            features: Vec::new(),
        })
    }
}

impl CaseBehaviour {
    fn behaviour(&self) -> Behaviour {
        Behaviour {
            new_payee: self.new_payee,
            known_transfers: self.known_transfers,
            amount_ratio: self.amount_ratio,
            count_1d: self.count_1d,
            sum_1d_minor: self.sum_1d_minor,
            refused_1h: self.refused_1h,
            hour_share: self.hour_share,
        }
    }
}

fn finding(kind: AttackKind, score: f64) -> Finding {
    Finding { kind, score, location: "query:q".into(), why: "a test".into() }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shipped(name: &str) -> Policy {
    let path = root().join("configs/policies").join(name);
    document::parse(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|errors| {
        panic!("{}:\n{}", path.display(), errors.iter().map(|e| format!("{e}\n")).collect::<String>())
    })
}

fn case_files() -> Vec<CaseFile> {
    let folder = fs::read_dir(root().join("tests/cases/rules")).unwrap();
    let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        toml::from_str(&fs::read_to_string(path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}

#[test]
fn every_case_of_every_rule() {
    let files = case_files();
    for name in ["demo.toml", "starter.toml"] {
        let policy = shipped(name);
        for file in &files {
            let Some(rule) = policy.rules().iter().find(|rule| *rule.id == *file.rule) else { continue };
            for case in &file.cases {
                let verdict = policy.decide(&case.facts(), &case.evidence());
                let mut reasons = verdict.reasons.iter().chain(&verdict.shadow);
                let fired = reasons.any(|reason| reason.source == rule.id);
                let leading = verdict.leading().map(|reason| reason.code.to_string());
                let place = format!("{name}, {}: {}: {verdict:#?}", file.rule, case.name);
                assert_eq!(fired, case.fires, "fires: {place}");
                assert_eq!(verdict.outcome, case.outcome, "outcome: {place}");
                assert_eq!(leading, case.leading, "leading: {place}");
            }
        }
    }
}

#[test]
fn every_rule_has_a_case_that_fires_and_one_that_does_not() {
    let files = case_files();
    let policies = [shipped("demo.toml"), shipped("starter.toml")];
    for rule in policies.iter().flat_map(Policy::rules) {
        let file = files.iter().find(|file| *file.rule == *rule.id);
        let cases = file.map(|file| file.cases.as_slice()).unwrap_or_default();
        for fires in [true, false] {
            assert!(
                cases.iter().any(|case| case.fires == fires),
                "{}: no case with fires = {fires}",
                rule.id
            );
        }
    }
    for file in &files {
        let exists = policies.iter().flat_map(Policy::rules).any(|rule| *rule.id == *file.rule);
        assert!(exists, "cases for `{}`, which no shipped policy has", file.rule);
    }
}

#[test]
fn messages_are_sentences_without_internals() {
    for policy in [shipped("demo.toml"), shipped("starter.toml")] {
        for rule in policy.rules() {
            let message = rule.message.to_lowercase();
            assert!(message.ends_with('.'), "{}: {message}", rule.id);
            for word in ["score", "model", "fraud", "rule", "threshold", "probab", "sql", "script", "inject"]
            {
                assert!(!message.contains(word), "{} tells a fraudster of `{word}`", rule.id);
            }
        }
    }
}

#[test]
fn the_demo_names_routes_that_the_gateway_has() {
    let gateway = fs::read_to_string(root().join("configs/demo.toml")).unwrap();
    let names: Vec<&str> = gateway
        .lines()
        .filter_map(|line| line.strip_prefix("name = \"").and_then(|rest| rest.strip_suffix('"')))
        .collect();
    let policy = shipped("demo.toml");
    let idle: Vec<_> =
        policy.idle_routes(&names).map(|(rule, route)| format!("{} {route}", rule.id)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}
