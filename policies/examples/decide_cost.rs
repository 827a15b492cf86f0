//! What a decision costs: `cargo run --release -p policies --example decide_cost -- configs/policies/demo.toml`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use policies::evidence::{Behaviour, Score, Scored};
use policies::facts::{Credential, Identity, TransferIntent};
use policies::{Evidence, Facts, document};

const ROUNDS: u32 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "configs/policies/demo.toml".into());
    let text = std::fs::read_to_string(&path)?;
    let policy = document::parse(&text).map_err(|errors| format!("{errors:?}"))?;
    let (facts, evidence) = (facts()?, evidence());
    for route in ["api-reads", "api-transfers"] {
        let facts = Facts { route: route.into(), ..facts.clone() };
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(policy.decide(black_box(&facts), black_box(&evidence)));
        }
        let each = start.elapsed() / ROUNDS;
        println!("{path}: {} rules, {route}: {each:?} a decision", policy.rules().len());
    }
    Ok(())
}

fn facts() -> Result<Facts, Box<dyn std::error::Error>> {
    Ok(Facts {
        at_ms: 1_790_000_000_000,
        hour: 12,
        app: "bank".into(),
        route: "api-transfers".into(),
        method: "POST".into(),
        path: "/api/transfers".into(),
        source: "192.0.2.7".parse()?,
        identity: Some(Arc::new(Identity {
            issuer: "https://issuer.example".into(),
            subject: "customer".into(),
            client_id: "web".into(),
            scopes: vec!["payments:write".into()],
            roles: Vec::new(),
            acr: None,
            auth_time: Some(1_789_990_000),
            issued_at: 1_789_990_000,
            expires_at: 1_790_010_000,
            token_id: None,
            session_id: None,
            credential: Credential::Bearer,
            authorization_details: None,
        })),
        transfer: Some(TransferIntent {
            from: "a".into(),
            to: "b".into(),
            amount_minor: 12_345,
            currency: *b"EUR",
            idempotency_key: None,
        }),
    })
}

/// A transfer that fires some rules: watched and stepped up.
fn evidence() -> Evidence {
    let score = |value| {
        Some(Scored::Available(Score {
            value,
            model: "m".into(),
            contributions: Vec::new(),
            sentences: Vec::new(),
            features: Vec::new(),
        }))
    };
    Evidence {
        fraud: score(0.4),
        anomaly: score(0.5),
        behaviour: Some(Behaviour { known_transfers: 40, amount_ratio: Some(1.2), ..Behaviour::default() }),
        ..Evidence::default()
    }
}
