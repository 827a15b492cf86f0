//! Decision records, cases and the rest, as a gateway would make them.

use admin::views::*;
use learner::capacity::record::{ClassFigures, HistoryPoint};
use learner::capacity::{Mode, PerClass, PoolSnapshot};
use policies::evidence::{AttackKind, Behaviour, Contribution, Exceeded, Finding};
use policies::facts::Credential;
use policies::record::{DecisionRecord, Pseudonym, RecordedIdentity, RecordedScore, RecordedTransfer};
use policies::{Outcome, Reason};

pub fn pseudonym(seed: u64) -> Pseudonym {
    Pseudonym(format!(
        "{:016x}{:016x}",
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        seed.wrapping_mul(0xd6e8_feb8_6659_fd93)
    ))
}

pub fn reason(code: &str, source: &str, outcome: Outcome, message: &str) -> Reason {
    Reason { code: code.into(), source: source.into(), outcome, precedence: 100, message: message.into() }
}

/// An authenticated read that was forwarded.
pub fn read(id: &str, at_ms: i64, customer: u64) -> DecisionRecord {
    DecisionRecord {
        id: id.to_owned(),
        at_ms,
        hour: 14,
        duration_us: 1_840,
        app: "bank".into(),
        route: "accounts".into(),
        method: "GET".into(),
        source: pseudonym(customer + 900),
        class: 1,
        identity: Some(RecordedIdentity {
            subject: pseudonym(customer),
            client_id: "demo-web".to_owned(),
            scopes: vec!["accounts:read".to_owned()],
            acr: Some("urn:gatehouse:mfa".to_owned()),
            auth_age_s: Some(420),
            age_s: 420,
            credential: Credential::Session,
        }),
        transfer: None,
        outcome: Outcome::Allow,
        stage: "upstream".into(),
        status: 200,
        upstream_status: Some(200),
        reasons: Vec::new(),
        shadow: Vec::new(),
        anomaly: Some(score(
            "anomaly/2026-11-01",
            0.21,
            &[("path_depth", 2.0, 0.02), ("query_entropy", 0.0, 0.01)],
            &[],
        )),
        fraud: None,
        inspection: Vec::new(),
        behaviour: None,
        limits_exceeded: Vec::new(),
        case: None,
        repeat_of: None,
        policy: "3f8a61b09c".into(),
    }
}

pub fn score(
    model: &str,
    value: f64,
    contributions: &[(&str, f64, f64)],
    sentences: &[&str],
) -> RecordedScore {
    RecordedScore {
        value: Some(value),
        unavailable: None,
        model: Some(model.into()),
        features: contributions.iter().map(|(_, value, _)| *value).collect(),
        contributions: contributions
            .iter()
            .map(|(feature, value, weight)| Contribution {
                feature: (*feature).into(),
                value: *value,
                weight: *weight,
            })
            .collect(),
        sentences: sentences.iter().map(|&text| text.to_owned()).collect(),
    }
}

/// A transfer that went through.
pub fn transfer(id: &str, at_ms: i64, customer: u64, amount_minor: i64) -> DecisionRecord {
    DecisionRecord {
        route: "transfers".into(),
        method: "POST".into(),
        class: 0,
        status: 201,
        upstream_status: Some(201),
        duration_us: 6_220,
        transfer: Some(RecordedTransfer {
            from: pseudonym(customer + 100),
            to: pseudonym(customer + 200),
            amount_minor,
            currency: "EUR".to_owned(),
        }),
        fraud: Some(score(
            "fraud/2026-11-01",
            0.012,
            &[("amount_ratio", 0.9, -0.4), ("known_payee", 1.0, -1.1)],
            &[],
        )),
        behaviour: Some(Behaviour {
            known_transfers: 48,
            amount_ratio: Some(0.9),
            count_1d: 1,
            sum_1d_minor: 2_500,
            hour_share: Some(0.31),
            ..Behaviour::default()
        }),
        ..read(id, at_ms, customer)
    }
}

/// A large transfer at night to a payee never seen: held.
pub fn held(id: &str, at_ms: i64, customer: u64, case: &str) -> DecisionRecord {
    let contributions = [
        ("amount_ratio_log", 3.61, 2.14),
        ("new_payee", 1.0, 1.32),
        ("hour_share", 0.004, 0.87),
        ("session_age_log", 1.2, 0.44),
        ("refused_1h", 1.0, 0.21),
        ("acr_level", 2.0, -0.38),
        ("known_transfers_log", 3.9, -0.52),
    ];
    let sentences = [
        "The amount is 37 times what this customer usually sends",
        "This payee was never paid before",
        "Transfers at this hour are rare for this customer",
    ];
    DecisionRecord {
        hour: 3,
        outcome: Outcome::Hold,
        stage: "decision".into(),
        status: 202,
        upstream_status: None,
        reasons: vec![
            reason(
                "fraud.score",
                "hold-likely-fraud",
                Outcome::Hold,
                "This transfer is unusual for you and waits for a review",
            ),
            reason(
                "payee.new",
                "new-payee-large",
                Outcome::StepUp,
                "A first payment of this size needs a fresh confirmation",
            ),
        ],
        shadow: vec![reason(
            "payee.fan_in",
            "mule-fan-in",
            Outcome::Deny,
            "Many customers began to pay this payee today",
        )],
        fraud: Some(score("fraud/2026-11-01", 0.934, &contributions, &sentences)),
        anomaly: Some(score(
            "anomaly/2026-11-01",
            0.78,
            &[("body_length", 212.0, 0.31), ("header_order", 4.0, 0.2)],
            &[],
        )),
        behaviour: Some(Behaviour {
            new_payee: true,
            known_transfers: 48,
            amount_ratio: Some(37.0),
            count_1d: 1,
            sum_1d_minor: 920_000,
            refused_1h: 1,
            hour_share: Some(0.004),
        }),
        case: Some(case.to_owned()),
        ..transfer(id, at_ms, customer, 920_000)
    }
}

/// An SQL injection probe: refused.
pub fn injection(id: &str, at_ms: i64) -> DecisionRecord {
    DecisionRecord {
        route: "search".into(),
        class: 3,
        identity: None,
        outcome: Outcome::Deny,
        stage: "decision".into(),
        status: 403,
        upstream_status: None,
        duration_us: 310,
        reasons: vec![reason(
            "inspection.sqli",
            "refuse-injection",
            Outcome::Deny,
            "The request looks like an attack",
        )],
        anomaly: Some(score(
            "anomaly/2026-11-01",
            0.997,
            &[("query_specials", 9.0, 1.9), ("query_entropy", 4.2, 0.8), ("query_length", 61.0, 0.4)],
            &["The query holds many special characters"],
        )),
        inspection: vec![Finding {
            kind: AttackKind::Sqli,
            score: 0.98,
            location: "query:q".to_owned(),
            why: "a quoted string ends and a tautology follows".to_owned(),
        }],
        ..read(id, at_ms, 1)
    }
}

/// A flood from one address: throttled.
pub fn throttled(id: &str, at_ms: i64) -> DecisionRecord {
    DecisionRecord {
        route: "login".into(),
        class: 2,
        identity: None,
        outcome: Outcome::Throttle,
        stage: "limits".into(),
        status: 429,
        upstream_status: None,
        duration_us: 42,
        reasons: vec![reason(
            "limit.address",
            "limits",
            Outcome::Throttle,
            "Too many requests from this address",
        )],
        anomaly: None,
        limits_exceeded: vec![Exceeded { limit: "address".into(), retry_after_s: 7 }],
        ..read(id, at_ms, 7)
    }
}

/// A transfer for which the customer must authenticate again.
pub fn stepped_up(id: &str, at_ms: i64, customer: u64) -> DecisionRecord {
    DecisionRecord {
        outcome: Outcome::StepUp,
        stage: "decision".into(),
        status: 401,
        upstream_status: None,
        reasons: vec![reason(
            "auth.age",
            "fresh-login-for-large",
            Outcome::StepUp,
            "Confirm it is you to send this amount",
        )],
        fraud: Some(score(
            "fraud/2026-11-01",
            0.31,
            &[("amount_ratio_log", 1.1, 0.7), ("new_payee", 1.0, 1.3)],
            &[],
        )),
        ..transfer(id, at_ms, customer, 145_000)
    }
}

/// A request with an expired token: refused.
pub fn expired(id: &str, at_ms: i64) -> DecisionRecord {
    DecisionRecord {
        identity: None,
        outcome: Outcome::Deny,
        stage: "identity".into(),
        status: 401,
        upstream_status: None,
        duration_us: 95,
        reasons: vec![reason("token.expired", "identity", Outcome::Deny, "The token has expired")],
        anomaly: None,
        ..read(id, at_ms, 3)
    }
}

pub fn case(id: &str, decision_id: &str, opened_at_ms: i64, status: CaseStatus, amount_minor: i64) -> Case {
    let judged = status != CaseStatus::Open;
    Case {
        id: id.to_owned(),
        revision: 1 + u64::from(judged),
        decision_id: decision_id.to_owned(),
        status,
        opened_at_ms,
        expires_at_ms: opened_at_ms + 86_400_000,
        route: "transfers".to_owned(),
        subject: pseudonym(11),
        from: pseudonym(111),
        to: pseudonym(211),
        amount_minor,
        currency: "EUR".to_owned(),
        fraud: Some(0.934),
        reasons: vec![
            "The amount is 37 times what this customer usually sends.".to_owned(),
            "This payee was never paid before.".to_owned(),
        ],
        judged_by: judged.then(|| "ana".to_owned()),
        judged_at_ms: judged.then_some(opened_at_ms + 540_000),
        note: judged.then(|| "Called the customer.".to_owned()),
    }
}

pub fn pool(name: &str, at_ms: i64, limit: f64, in_flight: u32) -> PoolSnapshot {
    let class = |in_flight, threshold, floor, admitted_total, shed_total| ClassFigures {
        in_flight,
        queued: 0,
        threshold,
        floor,
        admitted_total,
        shed_total,
    };
    let point = HistoryPoint {
        at_ms,
        limit,
        in_flight,
        queued: 0,
        split: PerClass([1.0, 0.95, 0.7, 0.2]),
        admitted: PerClass([2, 11, 4, 1]),
        shed: PerClass([0, 0, 0, 2]),
        reward: Some(0.93),
        fallback: false,
    };
    PoolSnapshot {
        pool: name.to_owned(),
        controller: "q-learning".to_owned(),
        mode: Some(Mode::QLearning),
        limit,
        in_flight,
        queued: 0,
        split: PerClass([1.0, 0.95, 0.7, 0.2]),
        queue_deadline_ms: PerClass([80, 40, 40, 10]),
        classes: PerClass([
            class(5, 64, 6, 18_211, 0),
            class(19, 60, 3, 96_020, 12),
            class(8, 45, 2, 21_877, 340),
            class(2, 12, 1, 1_022, 9_114),
        ]),
        state: "latency near base, suspicious demand high".to_owned(),
        action: "hold the limit, squeeze suspicious".to_owned(),
        reason: "Suspicious demand is 6 times usual while latency is normal, so its share shrinks and the limit stays."
            .to_owned(),
        q_values: Vec::new(),
        reward: Some(0.93),
        fallback: false,
        history: vec![point],
        latest: Vec::new(),
    }
}

/// A model that learns on, with a challenger whose promotion somebody else proposed, and a champion before this one.
pub fn model_with_a_proposal(name: &str, at_ms: i64) -> LoadedModel {
    let version = |hash: &str| ModelVersion {
        hash: hash.to_owned(),
        origin: "trained".to_owned(),
        made_at_ms: at_ms,
        rows: None,
        frauds: None,
        comparison: None,
    };
    let life = ModelLife {
        champion: Some(version("old")),
        challenger: Some(version("new")),
        proposal: Some(PromotionProposal { hash: "new".to_owned(), by: "somebody".to_owned(), at_ms }),
        previous: vec!["older".to_owned()],
        ..ModelLife::default()
    };
    LoadedModel {
        name: name.to_owned(),
        version: "1".to_owned(),
        kind: "logistic-regression".to_owned(),
        hash: "old".to_owned(),
        schema_hash: "s".to_owned(),
        loaded_at_ms: at_ms,
        trained_on: None,
        metrics: [].into(),
        thresholds: [].into(),
        life: Some(life),
    }
}
