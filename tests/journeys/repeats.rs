//! The same transfer, told again under the same idempotency key.

use reqwest::StatusCode;
use serde_json::Value;
use tests::Program;
use tests::demo::Addresses;

use crate::record::decision;

pub async fn are_answered_again(at: Addresses) {
    let stranger = Program::of_new_customer(&at, "repeat-stranger", 0).await.unwrap();
    // With a history, so that further small transfers are nothing unusual.
    let customer = Program::of(&at, "mallory").await.unwrap();
    let ana = Program::staff(&at, "ana").await.unwrap();
    let (from, to) = ("mallory-current", "bob-current");
    let before = customer.balance(from).await.unwrap();

    let first = customer.pay(from, to, 700, "r-1").await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    for _ in 0..2 {
        let again = customer.pay(from, to, 700, "r-1").await.unwrap();
        assert_eq!((again.status, &again.text), (StatusCode::CREATED, &first.text), "{again:?}");
        let record = decision(&ana, again.decision()).await["record"].clone();
        assert_eq!(record["repeat_of"], first.decision(), "{record}");
        assert_eq!(record["transfer"]["amount_minor"], 700, "a repeat is on record too: {record}");
        assert_eq!((&record["fraud"], &record["behaviour"]), (&Value::Null, &Value::Null), "{record}");
    }

    let poor = stranger.pay("repeat-stranger-current", to, 500, "p-1").await.unwrap();
    assert!(poor.status.is_client_error(), "no money yet: {poor:?}");
    let cash = serde_json::json!({"amount": 1_000, "currency": "EUR"});
    let paid_in = stranger.post("/api/accounts/repeat-stranger-current/deposits", cash).await.unwrap();
    assert_eq!(paid_in.status, StatusCode::CREATED, "{paid_in:?}");
    let richer = stranger.pay("repeat-stranger-current", to, 500, "p-1").await.unwrap();
    let record = decision(&ana, richer.decision()).await["record"].clone();
    assert_eq!(record["repeat_of"], Value::Null, "what came to nothing is judged afresh: {record}");
    assert_ne!(record["fraud"], Value::Null, "{record}");

    let other = customer.pay(from, to, 701, "r-1").await.unwrap();
    assert_eq!(other.status, StatusCode::CONFLICT, "{other:?}");
    let anothers = stranger.pay(from, to, 700, "r-1").await.unwrap();
    assert!(anothers.status.is_client_error(), "another's key opens nothing: {anothers:?}");
    for answer in [other, anothers] {
        let record = decision(&ana, answer.decision()).await["record"].clone();
        assert_eq!(record["repeat_of"], Value::Null, "{record}");
        assert_ne!(record["fraud"], Value::Null, "judged afresh: {record}");
    }

    let attacked = customer
        .send(
            reqwest::Method::POST,
            "/api/transfers",
            &[("idempotency-key", "r-1"), ("x-note", "<script>alert(document.cookie)</script>")],
            Some(serde_json::json!({"from": from, "to": to, "amount": 700, "currency": "EUR"})),
        )
        .await
        .unwrap();
    assert_eq!(attacked.status, StatusCode::FORBIDDEN, "a repeat is no way around inspection: {attacked:?}");

    let earlier = decision(&ana, first.decision()).await["record"]["behaviour"]["known_transfers"].clone();
    let next = customer.pay(from, to, 702, "r-2").await.unwrap();
    assert_eq!(next.status, StatusCode::CREATED, "{next:?}");
    let record = decision(&ana, next.decision()).await["record"].clone();
    let known = record["behaviour"]["known_transfers"].as_u64();
    assert_eq!(known, earlier.as_u64().map(|n| n + 1), "counted once: {record}");
    assert_eq!(customer.balance(from).await.unwrap(), before - 700 - 702);
}

pub async fn race_for_one(at: Addresses) {
    let payee = Program::of_new_customer(&at, "race-payee", 0).await.unwrap();
    let customer = Program::of_new_customer(&at, "race", 50_000).await.unwrap();
    let ana = Program::staff(&at, "ana").await.unwrap();
    let (from, to) = ("race-current", "race-payee-current");
    let racing = (0..12).map(|_| customer.pay(from, to, 900, "race-1"));
    let answers = futures_util::future::join_all(racing).await;
    let mut taken = 0;
    for answer in answers.into_iter().map(Result::unwrap) {
        match answer.status {
            StatusCode::CREATED => taken += 1,
            _ => assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (409, "request.under_way")),
        }
    }
    assert!(taken > 0, "somebody came first");
    assert_eq!(payee.balance(to).await.unwrap(), 900);
    let next = customer.pay(from, to, 901, "race-2").await.unwrap();
    let record = decision(&ana, next.decision()).await["record"].clone();
    assert_eq!(record["behaviour"]["known_transfers"], 1, "counted once: {record}");
}
