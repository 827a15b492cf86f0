//! A program with a bearer token.

use std::time::{Duration, Instant};

use ledger_demo::idp::script::LoginScript;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::Program;
use tests::demo::Addresses;

use crate::SOON;

pub async fn a_program_banks(at: Addresses) {
    let carol = Program::of(&at, "carol").await.unwrap();

    let accounts = carol.get("/api/accounts").await.unwrap();
    assert_eq!(accounts.status, StatusCode::OK, "{accounts:?}");
    let before = carol.balance("carol-current").await.unwrap();
    assert!(accounts.json()["accounts"].as_array().unwrap().iter().any(|a| a["id"] == "carol-current"));

    let cash = |amount: i64| json!({"amount": amount, "currency": "EUR"});
    let paid_in = carol.post("/api/accounts/carol-current/deposits", cash(4_200)).await.unwrap();
    assert_eq!(paid_in.status, StatusCode::CREATED, "{paid_in:?}");
    let taken_out = carol.post("/api/accounts/carol-current/withdrawals", cash(1_700)).await.unwrap();
    assert_eq!(taken_out.status, StatusCode::CREATED, "{taken_out:?}");

    let first = carol.pay("carol-current", "bob-current", 1_234, "api-1").await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let again = carol.pay("carol-current", "bob-current", 1_234, "api-1").await.unwrap();
    assert_eq!((again.status, &again.text), (StatusCode::CREATED, &first.text), "same key, same body");
    let other = carol.pay("carol-current", "bob-current", 1_235, "api-1").await.unwrap();
    assert_eq!(
        (other.status.as_u16(), other.reason().as_str()),
        (409, "idempotency.key_reused"),
        "{other:?}"
    );

    let (status, created) = (first.json()["status"].clone(), first.json()["id"].clone());
    assert_eq!(status, "posted");
    let read = carol.get(&format!("/api/transfers/{}", created.as_str().unwrap())).await.unwrap();
    assert_eq!((read.status, &read.json()["amount"]), (StatusCode::OK, &json!(1_234)), "{read:?}");

    assert_eq!(carol.balance("carol-current").await.unwrap(), before + 4_200 - 1_700 - 1_234);
    let entries = carol.get("/api/accounts/carol-current/entries?limit=3").await.unwrap().json();
    let amounts: Vec<i64> =
        entries["entries"].as_array().unwrap().iter().map(|e| e["amount"].as_i64().unwrap()).collect();
    assert_eq!(amounts, [-1_234, -1_700, 4_200], "newest first");

    borrows(&carol).await;
    let head = carol.send(Method::HEAD, "/api/accounts", &[], None).await.unwrap();
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
}

async fn borrows(carol: &Program) {
    let before = carol.balance("carol-current").await.unwrap();
    let wish = json!({"account": "carol-current", "amount": 100_000, "currency": "EUR", "months": 12});
    let loan = carol.post("/api/loans", wish).await.unwrap();
    assert_eq!(loan.status, StatusCode::CREATED, "{loan:?}");
    let granted = loan.json();
    assert_eq!(granted["loan"]["schedule"].as_array().unwrap().len(), 12);
    assert_eq!(carol.balance("carol-current").await.unwrap(), before + 100_000);
    let loans = carol.get("/api/loans").await.unwrap().json();
    assert_eq!(loans["loans"][0]["outstanding"], 100_000, "{loans}");

    let score = carol.get("/api/credit-score").await.unwrap().json();
    assert!((300..=850).contains(&score["score"].as_i64().unwrap()), "{score}");
    assert!(score["reasons"][0]["sentence"].as_str().unwrap().len() > 10, "{score}");
    let advice = carol.get("/api/advice").await.unwrap().json();
    assert!(
        advice["income"].as_i64().unwrap() > 0 && !advice["advice"].as_array().unwrap().is_empty(),
        "{advice}"
    );
}

pub async fn others_stay_out_of_reach(at: Addresses) {
    let alice = Program::of(&at, "alice").await.unwrap();
    for path in
        ["/api/accounts/bob-current", "/api/accounts/bob-current/entries", "/api/accounts/nobody-at-all"]
    {
        let answer = alice.get(path).await.unwrap();
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (StatusCode::NOT_FOUND, "request.not_found"),
            "{path}"
        );
    }
    for (path, body) in [
        ("/api/accounts/bob-current/withdrawals", json!({"amount": 100, "currency": "EUR"})),
        (
            "/api/transfers",
            json!({"from": "bob-current", "to": "alice-current", "amount": 100, "currency": "EUR"}),
        ),
    ] {
        let answer = alice.post(path, body).await.unwrap();
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path} {answer:?}");
    }
    let mut reader = LoginScript::new(at.idp.clone(), "alice");
    reader.scope = "openid accounts:read".to_owned();
    let reader = Program::with(&at, &reader).await.unwrap();
    let answer = reader.pay("alice-current", "bob-current", 100, "read-only").await.unwrap();
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (StatusCode::FORBIDDEN, "token.scope"),
        "{answer:?}"
    );
    assert!(answer.header("www-authenticate").contains("insufficient_scope"), "{answer:?}");
}

pub async fn a_new_customer(at: Addresses) {
    let newcomer = Program::of_new_customer(&at, "newcomer", 5_000).await.unwrap();
    assert_eq!(newcomer.balance("newcomer-current").await.unwrap(), 5_000);
    let paid = newcomer.pay("newcomer-current", "bob-current", 750, "first").await.unwrap();
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");
    let too_much = newcomer.pay("newcomer-current", "bob-current", 4_251, "second").await.unwrap();
    assert_eq!(too_much.status.as_u16(), 422, "{too_much:?}");
    assert_eq!(newcomer.balance("newcomer-current").await.unwrap(), 4_250, "nothing half-booked");
    let taken =
        json!({"username": "newcomer", "name": "Another One", "password": "another phrase, just as long"});
    let nobody = Program::nobody(&at.gateway).unwrap();
    // The bank hashes few passwords at once and says so; others register beside this.
    let began = Instant::now();
    let answer = loop {
        let answer = nobody.post("/api/register", taken.clone()).await.unwrap();
        if answer.status != StatusCode::SERVICE_UNAVAILABLE || began.elapsed() > SOON {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(answer.status.is_client_error(), "{answer:?}");
}
