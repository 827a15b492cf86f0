//! The requests that are measured: an ordinary read, and an ordinary transfer of a customer with a history.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, Method, Request};
use policies::facts::{Credential, Identity, TransferIntent};
use policies::record::Course;
use policies::{Facts, Pseudonymizer};
use proxy::stages::transfer::{AmountUnit, BodyFormat, TransferMapping};

/// Unix milliseconds.
pub const NOW_MS: i64 = 1_790_000_000_000;
pub const AUDIENCE: &str = "urn:bench:bank";
/// Tokens that are remembered at most.
pub const TOKENS: usize = 100_000;

pub fn read_head(token: &str) -> Parts {
    head(Method::GET, "/api/accounts/alice-current/entries?limit=20", token, &[])
}

pub fn transfer_head(token: &str) -> Parts {
    let more = [("content-type", "application/json"), ("idempotency-key", "4f1a2b3c4d5e6f70")];
    head(Method::POST, "/api/transfers", token, &more)
}

fn head(method: Method, target: &str, token: &str, more: &[(&str, &str)]) -> Parts {
    let mut parts = Request::new(()).into_parts().0;
    parts.method = method;
    parts.uri = target.parse().unwrap_or_default();
    let usual = [
        ("host", "bank.example"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "application/json"),
        ("accept-language", "en-GB,en;q=0.8,de;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        ("authorization", &format!("Bearer {token}")),
    ];
    for (name, value) in usual.iter().chain(more) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            parts.headers.append(name, value);
        }
    }
    parts
}

/// The header section as HTTP/1.1 carries it.
pub fn on_the_wire(head: &Parts) -> Vec<u8> {
    let mut raw = format!("{} {} HTTP/1.1\r\n", head.method, head.uri).into_bytes();
    for (name, value) in &head.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            raw.extend_from_slice(part);
        }
    }
    raw.extend_from_slice(b"\r\n");
    raw
}

pub fn transfer_body() -> String {
    r#"{"from":"alice-current","to":"bob-current","amount":1250,"currency":"EUR","memo":"Lunch"}"#.to_owned()
}

/// The same transfer with a memo that fills a kilobyte.
pub fn kilobyte_body() -> String {
    let memo = "Rent for the flat in Baker Street, second floor, and the share of the heating. ";
    let mut body = transfer_body().replace("Lunch\"}", "");
    while body.len() < 1_000 {
        body.push_str(memo);
    }
    body + "\"}"
}

pub fn mapping() -> TransferMapping {
    TransferMapping {
        format: BodyFormat::Json,
        from: "/from".to_owned(),
        to: "/to".to_owned(),
        amount: "/amount".to_owned(),
        currency: "/currency".to_owned(),
        unit: AmountUnit::Minor,
        idempotency_header: HeaderName::from_static("idempotency-key"),
        repeats: Duration::from_secs(3_600),
        linking: None,
    }
}

pub fn pseudonyms() -> Pseudonymizer {
    Pseudonymizer::new(&[7; 32])
}

pub fn identity() -> Identity {
    let now_s = NOW_MS / 1_000;
    Identity {
        issuer: "https://issuer.example".into(),
        subject: "alice".into(),
        client_id: "web".into(),
        scopes: vec!["accounts:read".into(), "payments:write".into()],
        roles: Vec::new(),
        acr: Some("normal".into()),
        auth_time: Some(now_s - 1_200),
        issued_at: now_s - 1_200,
        expires_at: now_s + 300,
        token_id: None,
        session_id: None,
        credential: Credential::Bearer,
        authorization_details: None,
    }
}

pub fn facts() -> Facts {
    Facts {
        at_ms: NOW_MS,
        hour: 12,
        app: "bank".into(),
        route: "api-transfers".into(),
        method: "POST".into(),
        path: "/api/transfers".into(),
        source: [192, 0, 2, 7].into(),
        identity: Some(Arc::new(identity())),
        transfer: Some(TransferIntent {
            from: "alice-current".into(),
            to: "bob-current".into(),
            amount_minor: 1_250,
            currency: *b"EUR",
            idempotency_key: Some("4f1a2b3c4d5e6f70".into()),
        }),
    }
}

pub fn course() -> Course {
    Course {
        id: "01a2b3c4d5e6f7081929a3b4c5d6e7f8".to_owned(),
        duration_us: 1_900,
        class: 0,
        stage: "upstream".into(),
        status: 201,
        upstream_status: Some(201),
        case: None,
        repeat_of: None,
    }
}
