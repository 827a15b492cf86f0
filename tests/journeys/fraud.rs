//! A transfer that looks like fraud, and the people who look at it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::Program;
use tests::demo::Addresses;
use tests::program::Answer;

const AMOUNT: i64 = 290_000;

#[track_caller]
fn assert_held(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["outcome"], "hold", "{body}");
    let why = body["detail"].as_str().unwrap();
    assert!(why.contains("transfer") && why.len() > 40, "not for people: {why}");
    body["case"].as_str().unwrap().to_owned()
}

async fn judge(staff: &Program, case: &str, verdict: &str) -> Answer {
    let path = format!("/api/v1/cases/{case}");
    let seen = staff.get(&path).await.unwrap();
    assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
    let order = json!({"verdict": verdict, "note": "spoke with the customer"});
    let tag = seen.header("etag").to_owned();
    staff.send(Method::POST, &format!("{path}/verdict"), &[("if-match", &tag)], Some(order)).await.unwrap()
}

pub async fn held_and_released(at: Addresses) {
    let payee = Program::of_new_customer(&at, "fraud-payee", 0).await.unwrap();
    let customer = Program::of(&at, "alice").await.unwrap();
    let before = customer.balance("alice-savings").await.unwrap();
    let (from, to) = ("alice-savings", "fraud-payee-current");

    let held = customer.pay(from, to, AMOUNT, "fraud-1").await.unwrap();
    let case = assert_held(&held);
    assert_eq!(payee.balance(to).await.unwrap(), 0, "held money does not move");

    let (ana, olivia) =
        (Program::staff(&at, "ana").await.unwrap(), Program::staff(&at, "olivia").await.unwrap());
    let listed = ana.get("/api/v1/cases?status=open&limit=50").await.unwrap().json();
    let row = listed["cases"].as_array().unwrap().iter().find(|c| c["id"] == case.as_str()).cloned();
    let row = row.unwrap_or_else(|| panic!("case {case} is not listed: {listed}"));
    assert_eq!(
        (&row["amount_minor"], &row["decision_id"]),
        (&json!(AMOUNT), &json!(held.decision())),
        "{row}"
    );
    assert!(row["route"] == "api-transfers" && row["from"].as_str().is_some_and(|a| !a.is_empty()), "{row}");
    assert!(row["fraud"].as_f64().is_some_and(|p| p > 0.0), "{row}");
    let reasons: Vec<&str> = row["reasons"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(reasons.iter().any(|r| r.contains("usual")), "{reasons:?}");

    let refused = judge(&olivia, &case, "release").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "an operator is no analyst: {refused:?}");
    let waiting = assert_held(&customer.pay(from, to, AMOUNT, "fraud-1").await.unwrap());
    assert_eq!(waiting, case, "a transfer under review has one case, however often it is told");
    let released = judge(&ana, &case, "release").await;
    assert_eq!(
        (released.status, &released.json()["status"]),
        (StatusCode::OK, &json!("released")),
        "{released:?}"
    );
    let twice = judge(&ana, &case, "reject").await;
    assert_eq!(twice.status, StatusCode::CONFLICT, "judged once: {twice:?}");

    let more = customer.pay(from, to, AMOUNT + 1, "fraud-1").await.unwrap();
    assert_held(&more);
    let through = customer.pay(from, to, AMOUNT, "fraud-1").await.unwrap();
    assert_eq!(through.status, StatusCode::CREATED, "{through:?}");
    assert_eq!(payee.balance(to).await.unwrap(), AMOUNT);
    assert_eq!(customer.balance(from).await.unwrap(), before - AMOUNT);

    let again = customer.pay(from, to, AMOUNT, "fraud-1").await.unwrap();
    assert_eq!(
        (again.status, &again.text),
        (StatusCode::CREATED, &through.text),
        "the same order, told again"
    );
    assert_eq!(payee.balance(to).await.unwrap(), AMOUNT, "a release lets one transfer through");
    assert_eq!(customer.balance(from).await.unwrap(), before - AMOUNT);
    let spent = ana.get(&format!("/api/v1/cases/{case}")).await.unwrap().json();
    assert_eq!(
        (&spent["status"], &spent["note"]),
        (&json!("spent"), &json!("spoke with the customer")),
        "{spent}"
    );
}

pub async fn held_and_rejected(at: Addresses) {
    let payee = Program::of_new_customer(&at, "rejected-payee", 0).await.unwrap();
    let customer = Program::of(&at, "carol").await.unwrap();
    let ana = Program::staff(&at, "ana").await.unwrap();
    let (from, to) = ("carol-savings", "rejected-payee-current");
    let before = customer.balance(from).await.unwrap();
    let case = assert_held(&customer.pay(from, to, AMOUNT, "reject-1").await.unwrap());
    let rejected = judge(&ana, &case, "reject").await;
    assert_eq!(
        (rejected.status, &rejected.json()["status"]),
        (StatusCode::OK, &json!("rejected")),
        "{rejected:?}"
    );
    assert_held(&customer.pay(from, to, AMOUNT, "reject-1").await.unwrap());
    assert_eq!((payee.balance(to).await.unwrap(), customer.balance(from).await.unwrap()), (0, before));
}
