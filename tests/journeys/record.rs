//! Every answer names its decision, and staff can read it.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tests::demo::Addresses;
use tests::raw::exchange;
use tests::{Person, Program};

use crate::SOON;

pub async fn every_answer_has_one(at: Addresses) {
    let customer = Program::of_new_customer(&at, "recorded", 2_000).await.unwrap();
    let nobody = Program::nobody(&at.gateway).unwrap();
    let mut seen = std::collections::HashSet::new();
    for (who, method, path, status) in [
        (&customer, Method::GET, "/api/accounts", 200),
        (&customer, Method::HEAD, "/api/accounts", 200),
        (&customer, Method::GET, "/api/accounts/bob-current", 404),
        (&customer, Method::GET, "/nowhere", 404),
        (&customer, Method::PUT, "/api/accounts", 405),
        (&customer, Method::GET, "/api/accounts?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E", 403),
        (&nobody, Method::GET, "/api/accounts", 401),
        (&nobody, Method::GET, "/", 200),
        (&nobody, Method::GET, "/.gatehouse/jwks.json", 200),
        (&nobody, Method::GET, "/.gatehouse/session", 401),
    ] {
        let answer = who.send(method.clone(), path, &[], None).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {answer:?}");
        assert!(answer.decision().len() >= 16, "{method} {path} {answer:?}");
        assert!(seen.insert(answer.decision().to_owned()), "{method} {path}: an id stands twice");
    }
    let mut stranger = Person::new(&at, [127, 0, 0, 7].into()).unwrap();
    let page = stranger.visit("/nowhere").await.unwrap();
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
    assert!(page.words().contains(page.answer.decision()), "a page names its reference: {}", page.words());
}

/// What Pingora's parser refuses, before any stage: answered, counted and recorded all the same.
pub async fn unreadable_heads_have_one(at: Addresses) {
    let ana = Program::staff(&at, "ana").await.unwrap();
    let host = at.gateway.authority();
    let counted = "gatehouse_refusals_total{reason=\"request.malformed\"}";
    let before = metric(&at, counted).await;
    for (what, bytes, status, reason) in [
        ("garbage", "\x16\x03\x01 hello\r\n\r\n".to_owned(), 400, "request.malformed"),
        ("half a request line", "GET\r\n\r\n".to_owned(), 400, "request.malformed"),
        ("no method", format!("G@T / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "request.malformed"),
        ("another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400, "request.malformed"),
        (
            "a nameless field",
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n: x\r\n\r\n"),
            400,
            "request.malformed",
        ),
        (
            "a tunnel",
            "CONNECT bank.test:443 HTTP/1.1\r\nHost: bank.test:443\r\n\r\n".to_owned(),
            405,
            "request.method",
        ),
    ] {
        let got = exchange(&at.gateway, bytes.as_bytes()).await.unwrap();
        assert_eq!((got.responses(), got.status(), got.closed), (1, status, true), "{what}: {got:?}");
        let (head, body) = got.text.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.contains("content-type: application/problem+json"), "{what}: {got:?}");
        let body: Value = serde_json::from_str(body).unwrap();
        let id = body["decision_id"].as_str().unwrap();
        assert!(head.contains(&format!("gatehouse-decision: {id}")), "{what}: {got:?}");
        assert_eq!(body["reason"], reason, "{what}: {got:?}");
        let record = decision(&ana, id).await["record"].clone();
        assert_eq!(
            (&record["outcome"], &record["reasons"][0]["code"], &record["status"]),
            (&"deny".into(), &reason.into(), &status.into()),
            "{what}: {record}"
        );
    }
    assert!(metric(&at, counted).await >= before + 5.0);
}

async fn metric(at: &Addresses, name: &str) -> f64 {
    let text = Program::nobody(&at.observe).unwrap().get("/metrics").await.unwrap().text;
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

pub async fn can_be_read(at: Addresses) {
    let customer = Program::of_new_customer(&at, "explained", 20_000).await.unwrap();
    let ana = Program::staff(&at, "ana").await.unwrap();
    let paid = customer.pay("explained-current", "bob-current", 499, "explained").await.unwrap();
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");
    let detail = decision(&ana, paid.decision()).await;
    let record = &detail["record"];
    assert_eq!((&record["status"], &record["route"]), (&201.into(), &"api-transfers".into()), "{record}");
    assert_eq!(record["transfer"]["amount_minor"], 499, "{record}");
    assert!(matches!(record["outcome"].as_str(), Some("allow" | "observe")), "{record}");
    for model in ["fraud", "anomaly"] {
        let value = record[model]["value"].as_f64().unwrap_or_else(|| panic!("no {model} score: {record}"));
        assert!((0.0..=1.0).contains(&value), "{record}");
    }
    assert!(!record["fraud"]["contributions"].as_array().unwrap().is_empty(), "{record}");
    assert!(detail["explanation"]["headline"].as_str().unwrap().contains("4.99 EUR"), "{detail}");
    let text = detail.to_string();
    for secret in [customer.token(), "explained-current", "\"explained\""] {
        assert!(!text.contains(secret), "the record names {secret}: {text}");
    }

    let refused = customer.get("/api/accounts?q=1%27%20OR%20%271%27=%271%27--").await.unwrap();
    let record = decision(&ana, refused.decision()).await["record"].clone();
    assert_eq!(
        (&record["outcome"], &record["reasons"][0]["code"]),
        (&"deny".into(), &"inspection.sqli".into())
    );
    for part in [&record["inspection"], &record["anomaly"]["contributions"]] {
        assert!(!part.as_array().unwrap().is_empty(), "{record}");
    }

    let listed = ana.get("/api/v1/decisions?reason=inspection.sqli&limit=50").await.unwrap().json();
    assert!(
        listed["decisions"].as_array().unwrap().iter().any(|d| d["id"] == refused.decision()),
        "{listed}"
    );
}

/// Reads a decision as soon as it is written.
pub async fn decision(staff: &Program, id: &str) -> Value {
    let path = format!("/api/v1/decisions/{id}");
    let began = Instant::now();
    loop {
        let answer = staff.get(&path).await.unwrap();
        if answer.status == StatusCode::OK {
            return answer.json();
        }
        assert!(began.elapsed() < SOON, "no record of {id}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
