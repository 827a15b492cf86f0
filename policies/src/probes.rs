//! Requests of every shape, against which each rule is evaluated when its document is loaded: whatever could fail for
//! want of a value, or on the largest values that a bank sees, fails then and not when a customer waits.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use crate::evidence::{AttackKind, Behaviour, Evidence, Exceeded, Finding, Score, Scored, Unavailability};
use crate::expression::Failure;
use crate::facts::{Credential, Facts, Identity, TransferIntent};
use crate::policy::Rule;
use crate::variables::View;

/// Largest amount tried, minor units: ten million million of a currency with two decimals. Beyond it a rule may
/// overflow, and then its `on_error` outcome applies.
const AMOUNT_MAX: i64 = 1_000_000_000_000_000;

/// The first way in which `rule` fails, and in words the request on which it does.
pub(crate) fn first_failure(rule: &Rule) -> Option<(Failure, &'static str)> {
    PROBES.iter().find_map(|probe| {
        let view = View::live(&probe.facts, &probe.evidence);
        rule.condition.expression.eval(&view).err().map(|failure| (failure, probe.shape))
    })
}

struct Probe {
    shape: &'static str,
    facts: Facts,
    evidence: Evidence,
}

static PROBES: LazyLock<Vec<Probe>> = LazyLock::new(|| {
    let mut probes = Vec::new();
    for identity in [None, Some(identity())] {
        for transfer in [None, Some(transfer(1)), Some(transfer(AMOUNT_MAX))] {
            for (score, behaviour) in evidence() {
                probes.push(probe(identity.clone(), transfer.clone(), score, behaviour));
            }
        }
    }
    probes
});

fn probe(
    identity: Option<Arc<Identity>>,
    transfer: Option<TransferIntent>,
    score: Option<Scored>,
    behaviour: Option<Behaviour>,
) -> Probe {
    let shape = match (&identity, &transfer, &behaviour, &score) {
        (None, _, _, _) => "a request without an identity",
        (_, None, _, _) => "a request without a transfer",
        (_, _, None, _) => "a transfer without a behaviour profile",
        (_, _, Some(b), _) if b.known_transfers == 0 => "a customer's first transfer",
        (_, _, _, None | Some(Scored::Unavailable(_))) => "a transfer without a score",
        _ => "the largest transfer",
    };
    let facts = Facts {
        at_ms: 1_750_000_000_000,
        hour: 0,
        app: "".into(),
        route: "".into(),
        method: "".into(),
        path: "".into(),
        source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        identity,
        transfer,
    };
    let busy = behaviour.as_ref().is_some_and(|b| b.known_transfers > 0);
    let evidence = Evidence {
        anomaly: score.clone(),
        fraud: score,
        inspection: if busy { vec![finding()] } else { Vec::new() },
        behaviour,
        limits_exceeded: if busy { vec![exceeded()] } else { Vec::new() },
        released_case: busy.then(String::new),
    };
    Probe { shape, facts, evidence }
}

fn evidence() -> Vec<(Option<Scored>, Option<Behaviour>)> {
    let busiest = Behaviour {
        new_payee: true,
        known_transfers: 1_000_000_000,
        amount_ratio: Some(1e15),
        count_1d: 1_000_000,
        sum_1d_minor: AMOUNT_MAX.saturating_mul(1000),
        refused_1h: 1_000_000,
        hour_share: Some(0.0),
    };
    let behaviours = [None, Some(Behaviour::default()), Some(busiest)];
    let scores =
        [None, Some(Scored::Unavailable(Unavailability::Failed)), Some(score(0.0)), Some(score(1.0))];
    behaviours.iter().flat_map(|b| scores.iter().map(|s| (s.clone(), b.clone()))).collect()
}

fn score(value: f64) -> Scored {
    Scored::Available(Score {
        value,
        model: "".into(),
        contributions: Vec::new(),
        sentences: Vec::new(),
        features: Vec::new(),
    })
}

fn identity() -> Arc<Identity> {
    Arc::new(Identity {
        issuer: "".into(),
        subject: String::new(),
        client_id: String::new(),
        scopes: Vec::new(),
        roles: Vec::new(),
        acr: None,
        auth_time: Some(1_750_000_000),
        issued_at: 1_750_000_000,
        expires_at: 1_750_000_000,
        token_id: None,
        session_id: None,
        credential: Credential::Session,
        authorization_details: None,
    })
}

fn transfer(amount_minor: i64) -> TransferIntent {
    let currency = *b"EUR";
    TransferIntent { from: String::new(), to: String::new(), amount_minor, currency, idempotency_key: None }
}

fn finding() -> Finding {
    Finding { kind: AttackKind::Sqli, score: 1.0, location: String::new(), why: String::new() }
}

fn exceeded() -> Exceeded {
    Exceeded { limit: "customer".into(), retry_after_s: 1 }
}
