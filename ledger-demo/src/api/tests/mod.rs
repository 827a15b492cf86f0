mod matrix;
mod streams;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::seed;
use crate::testing::{NOW_S, SigningKey};

const ISSUER: &str = "http://gateway.test";
const AUDIENCE: &str = "urn:gatehouse:demo-bank";
const ALL: &str = "accounts:read accounts:write payments:write";

/// The API over a seeded bank, and the key of its gateway.
struct House {
    router: Router,
    bank: Arc<Bank>,
    key: SigningKey,
    close: watch::Sender<bool>,
}

/// An answer: status, headers, JSON.
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Value,
}

impl House {
    async fn new() -> Self {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let now_ms = NOW_S * 1_000;
        let bank = Arc::new(Bank::open(&db, now_ms).await.unwrap());
        seed::seed(&bank, seed::DEMO_SEED, now_ms).await.unwrap();
        let key = SigningKey::generate("k1");
        let clock: Clock = Arc::new(move || now_ms);
        let keys = [(key.kid.clone(), key.decoding())];
        let callers = CallerVerifier::with_keys(ISSUER, AUDIENCE, keys, clock.clone());
        let (close, closing) = watch::channel(false);
        let people = Directory::open(&db).unwrap();
        let router = router(ApiState::new(bank.clone(), people, callers, clock, closing));
        Self { router, bank, key, close }
    }

    fn identity(&self, subject: &str, scope: &str) -> String {
        self.key.sign(&json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": NOW_S, "exp": NOW_S + 60, "scope": scope,
            "client_id": "demo-cli",
        }))
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    async fn get(&self, subject: &str, path: &str) -> Answer {
        self.send(self.request(Method::GET, subject, path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, subject: &str, path: &str, body: Value) -> Answer {
        self.post_with_key(subject, path, body, None).await
    }

    async fn post_with_key(&self, subject: &str, path: &str, body: Value, key: Option<&str>) -> Answer {
        let mut request =
            self.request(Method::POST, subject, path).header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    fn request(&self, method: Method, subject: &str, path: &str) -> http::request::Builder {
        let identity = self.identity(subject, ALL);
        Request::builder().method(method).uri(path).header("gatehouse-identity", identity)
    }

    async fn balance(&self, subject: &str, account: &str) -> i64 {
        self.get(subject, &format!("/api/accounts/{account}")).await.body["balance"].as_i64().unwrap()
    }
}

fn payment(amount: i64) -> Value {
    json!({"from": "alice-current", "to": "bob-current", "amount": amount, "currency": "EUR", "memo": "thanks"})
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, reason: &str, case: &str) {
    assert_eq!(
        (answer.status, answer.body["reason"].as_str()),
        (status, Some(reason)),
        "{case}: {}",
        answer.body
    );
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{case}");
    assert_eq!(answer.body["status"], status, "{case}");
    for member in ["type", "title", "detail"] {
        assert!(answer.body[member].is_string(), "{case}: {member}");
    }
}

#[tokio::test]
async fn accounts_and_entries_have_the_published_shape() {
    let house = House::new().await;
    let list = house.get("alice", "/api/accounts").await;
    assert_eq!(list.status, 200);
    assert_eq!(list.headers["cache-control"], "no-store");
    assert!(list.body["next"].is_null());
    let ids: Vec<_> =
        list.body["accounts"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["alice-current", "alice-savings"]);
    let account = house.get("alice", "/api/accounts/alice-current").await.body;
    assert_eq!(account, list.body["accounts"][0]);
    assert_eq!((&account["name"], &account["currency"]), (&json!("Current account"), &json!("EUR")));
    assert!(account["balance"].is_i64() && account["balance"] == account["available"]);

    // Page by page, the whole history, each balance following from the one before.
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let page = house.get("alice", &format!("/api/accounts/alice-current/entries?limit=37{after}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let entries = page.body["entries"].as_array().unwrap().clone();
        assert!(!entries.is_empty() && entries.len() <= 37);
        seen.extend(entries);
        match page.body["next"].as_u64() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen[0]["balance"], account["balance"]);
    for pair in seen.windows(2) {
        let follows = pair[1]["balance"].as_i64().unwrap() + pair[0]["amount"].as_i64().unwrap();
        assert_eq!(pair[0]["balance"], follows);
        assert_eq!(pair[0]["number"].as_u64().unwrap(), pair[1]["number"].as_u64().unwrap() + 1);
    }
    assert_eq!(seen.last().unwrap()["number"], 1);
}

#[tokio::test]
async fn a_transfer_moves_money_once_and_is_found_by_both_sides_alone() {
    let house = House::new().await;
    let (alice, bob) =
        (house.balance("alice", "alice-current").await, house.balance("bob", "bob-current").await);
    let mut body = payment(1_234);
    body["id"] = json!("pay-1");
    for _ in 0..2 {
        let made = house.post("alice", "/api/transfers", body.clone()).await;
        assert_eq!(
            (made.status, &made.body["id"], &made.body["status"]),
            (201, &json!("pay-1"), &json!("posted"))
        );
    }
    assert_eq!(house.balance("alice", "alice-current").await, alice - 1_234);
    assert_eq!(house.balance("bob", "bob-current").await, bob + 1_234);

    assert_eq!(house.get("alice", "/api/transfers/pay-1").await.body["amount"], 1_234);
    let entry =
        house.get("bob", "/api/accounts/bob-current/entries?limit=1").await.body["entries"][0].clone();
    assert_eq!((&entry["transfer"], &entry["amount"]), (&json!("alice:pay-1"), &json!(1_234)));
    assert_eq!(house.get("bob", "/api/transfers/alice:pay-1").await.status, 200);
    for (who, id) in [
        ("mallory", "pay-1"),
        ("mallory", "alice:pay-1"),
        ("bob", "pay-1"),
        ("alice", "pay-2"),
        ("alice", "a%00b"),
        ("alice", "%ff"),
    ] {
        assert_problem(&house.get(who, &format!("/api/transfers/{id}")).await, 404, "request.not_found", who);
    }

    // Nobody learns from their own ids which ids others have.
    let mallory = json!({"id": "pay-1", "from": "mallory-current", "to": "bob-current", "amount": 1, "currency": "EUR"});
    assert_eq!(house.post("mallory", "/api/transfers", mallory).await.status, 201);
    body["amount"] = json!(1);
    let told = house.post("alice", "/api/transfers", body).await;
    assert_problem(&told, 409, "ledger.exists_with_different_amount", "same id, other amount");
}

#[tokio::test]
async fn what_is_anothers_does_not_exist() {
    let house = House::new().await;
    let before = house.balance("alice", "alice-current").await;
    for account in
        ["alice-current", "no-such-account", "bank-cash-eur", "landlord-elm", "..%2falice-current", "%00"]
    {
        for (path, body) in [
            ("", None),
            ("/entries", None),
            ("/deposits", Some(json!({"amount": 1}))),
            ("/withdrawals", Some(json!({"amount": 1}))),
        ] {
            let path = format!("/api/accounts/{account}{path}");
            let told = match body {
                None => house.get("mallory", &path).await,
                Some(body) => house.post("mallory", &path, body).await,
            };
            assert_problem(&told, 404, "request.not_found", &path);
        }
    }
    for from in ["alice-current", "no-such-account", "bank-cash-eur"] {
        let theft = json!({"from": from, "to": "mallory-current", "amount": 100, "currency": "EUR"});
        let told = house.post("mallory", "/api/transfers", theft).await;
        assert_problem(&told, 404, "request.not_found", from);
        let loan = json!({"account": from, "amount": 100_000, "currency": "EUR", "months": 12});
        assert_problem(&house.post("mallory", "/api/loans", loan).await, 404, "request.not_found", from);
        let repaid = house.post("mallory", &format!("/api/loans/{from}/repayments"), json!({})).await;
        assert_problem(&repaid, 404, "request.not_found", from);
    }
    assert_eq!(house.balance("alice", "alice-current").await, before);
}

#[tokio::test]
async fn every_fault_of_a_transfer_is_told_with_its_code_and_books_nothing() {
    let house = House::new().await;
    let before = house.balance("alice", "alice-current").await;
    let dollars = json!({"name": "Dollars", "kind": "current", "currency": "USD"});
    let opened = house.post("bob", "/api/accounts", dollars).await;
    assert_eq!((opened.status, &opened.body["id"]), (201, &json!("bob-current-2")));
    let cases = [
        ("amount", json!(-1), 422, "ledger.amount_negative"),
        ("amount", json!(0), 422, "ledger.amount_zero"),
        ("amount", json!(9_223_372_036_854_775_807_u64), 422, "ledger.amount_too_large"),
        ("amount", json!(u64::MAX), 422, "ledger.amount_too_large"),
        ("amount", json!(1e300), 422, "ledger.amount_too_large"),
        ("amount", json!(1_000_000_000), 422, "ledger.insufficient_funds"),
        ("amount", json!(12.5), 400, "request.malformed"),
        ("amount", json!("12"), 400, "request.malformed"),
        ("amount", Value::Null, 400, "request.malformed"),
        ("to", json!("alice-current"), 422, "ledger.same_account"),
        ("to", json!("no-such-account"), 422, "ledger.unknown_credit_account"),
        ("to", json!("bank-cash-eur"), 422, "ledger.unknown_credit_account"),
        ("to", json!("bob-current-2"), 422, "ledger.wrong_currency"),
        ("to", json!("bob current"), 400, "request.malformed"),
        ("currency", json!("USD"), 422, "ledger.wrong_currency"),
        ("currency", json!("euro"), 400, "request.malformed"),
        ("memo", json!("m".repeat(141)), 422, "ledger.text_too_long"),
        ("id", json!("alice:other"), 400, "request.id_malformed"),
        ("id", json!("i".repeat(65)), 400, "request.id_malformed"),
        ("id", json!(""), 400, "request.id_malformed"),
        ("fee", json!(0), 400, "request.unknown_field"),
        ("customer", json!("bob"), 400, "request.unknown_field"),
    ];
    for (field, value, status, reason) in cases {
        let mut body = payment(100);
        body[field] = value;
        let told = house.post("alice", "/api/transfers", body.clone()).await;
        assert_problem(&told, status, reason, &body.to_string());
    }
    assert_eq!(house.balance("alice", "alice-current").await, before);
    assert!(house.bank.books().await.unwrap().in_order());
}

#[tokio::test]
async fn an_idempotency_key_repeats_the_answer_for_its_customer_and_request() {
    let house = House::new().await;
    let before = house.balance("alice", "alice-current").await;
    let send = async |who, path, body| house.post_with_key(who, path, body, Some("key-1")).await;
    let first = send("alice", "/api/transfers", payment(500)).await;
    let again = send("alice", "/api/transfers", payment(500)).await;
    assert_eq!((first.status, again.status, &first.body), (201, 201, &again.body));
    assert_eq!(house.balance("alice", "alice-current").await, before - 500);

    let other = send("alice", "/api/transfers", payment(501)).await;
    assert_problem(&other, 409, "idempotency.key_reused", "other amount");
    let mut with_id = payment(500);
    with_id["id"] = json!("mine");
    assert_problem(
        &send("alice", "/api/transfers", with_id).await,
        409,
        "idempotency.key_reused",
        "other id",
    );
    let elsewhere = send("alice", "/api/accounts/alice-current/deposits", json!({"amount": 500})).await;
    assert_problem(&elsewhere, 409, "idempotency.key_reused", "other service");

    // The same key of another customer is another key, and shows nothing of the first.
    let bobs = json!({"from": "bob-current", "to": "alice-current", "amount": 500, "currency": "EUR"});
    let bobs = send("bob", "/api/transfers", bobs).await;
    assert_eq!((bobs.status, &bobs.body["from"]), (201, &json!("bob-current")));

    for key in ["", "two words", &"k".repeat(129)] {
        let told = house.post_with_key("alice", "/api/transfers", payment(1), Some(key)).await;
        assert_problem(&told, 400, "idempotency.key_malformed", key);
    }
    let twice = house
        .request(Method::POST, "alice", "/api/transfers")
        .header("content-type", "application/json")
        .header("idempotency-key", "a")
        .header("idempotency-key", "b")
        .body(Body::from(payment(1).to_string()))
        .unwrap();
    assert_problem(&house.send(twice).await, 400, "idempotency.key_malformed", "two keys");
}

#[tokio::test]
async fn cash_goes_in_and_out_and_two_withdrawals_cannot_take_the_same_money() {
    let house = House::new().await;
    let path = "/api/accounts/mallory-current";
    let before = house.balance("mallory", "mallory-current").await;
    let deposit =
        house.post("mallory", &format!("{path}/deposits"), json!({"amount": 10_000, "memo": "cash"})).await;
    assert_eq!((deposit.status, &deposit.body["to"]), (201, &json!("mallory-current")));
    let all = before + 10_000;
    let withdrawals = format!("{path}/withdrawals");
    let tries = (0..10).map(|_| house.post("mallory", &withdrawals, json!({"amount": all})));
    let mut told: Vec<u16> =
        futures_util::future::join_all(tries).await.into_iter().map(|a| a.status).collect();
    told.sort_unstable();
    assert_eq!(told, [[201].as_slice(), &[422; 9]].concat());
    assert_eq!(house.balance("mallory", "mallory-current").await, 0);
    let wrong =
        house.post("mallory", &format!("{path}/deposits"), json!({"amount": 1, "currency": "USD"})).await;
    assert_problem(&wrong, 422, "ledger.wrong_currency", "deposit");
}

#[tokio::test]
async fn every_route_needs_an_identity_and_its_scope() {
    let house = House::new().await;
    let cash = json!({"amount": 1});
    let loan = json!({"account": "alice-current", "amount": 100_000, "currency": "EUR", "months": 12});
    let account = json!({"name": "n", "kind": "savings", "currency": "EUR"});
    let routes = [
        (Method::GET, "/api/accounts", Value::Null, "accounts:read"),
        (Method::GET, "/api/accounts/alice-current", Value::Null, "accounts:read"),
        (Method::GET, "/api/accounts/alice-current/entries", Value::Null, "accounts:read"),
        (Method::GET, "/api/transfers/x", Value::Null, "accounts:read"),
        (Method::GET, "/api/loans", Value::Null, "accounts:read"),
        (Method::GET, "/api/credit-score", Value::Null, "accounts:read"),
        (Method::GET, "/api/advice", Value::Null, "accounts:read"),
        (Method::GET, "/api/stream", Value::Null, "accounts:read"),
        (Method::GET, "/api/ws", Value::Null, "accounts:read"),
        (Method::POST, "/api/accounts", account, "accounts:write"),
        (Method::POST, "/api/accounts/alice-current/deposits", cash.clone(), "accounts:write"),
        (Method::POST, "/api/accounts/alice-current/withdrawals", cash, "accounts:write"),
        (Method::POST, "/api/loans", loan, "accounts:write"),
        (Method::POST, "/api/loans/alice-loan-1/repayments", json!({}), "accounts:write"),
        (Method::POST, "/api/transfers", payment(1), "payments:write"),
    ];
    for (method, path, body, scope) in routes {
        let request = |identity: Option<String>| {
            let mut request = Request::builder()
                .method(method.clone())
                .uri(path)
                .header("content-type", "application/json");
            // What a client may try to pass off as an identity.
            request = request.header("gatehouse-subject", "alice").header("gatehouse-scopes", ALL);
            if let Some(identity) = identity {
                request = request.header("gatehouse-identity", identity);
            }
            request.body(Body::from(body.to_string())).unwrap()
        };
        assert_problem(&house.send(request(None)).await, 401, "identity.missing", path);
        let forged = SigningKey::generate("k1").sign(&json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW_S + 60, "scope": ALL,
        }));
        assert_problem(&house.send(request(Some(forged))).await, 401, "identity.rejected", path);
        let others: Vec<&str> = ALL.split(' ').filter(|other| *other != scope).collect();
        let narrow = house.send(request(Some(house.identity("alice", &others.join(" "))))).await;
        assert_problem(&narrow, 403, "scope.insufficient", path);
        assert_eq!(narrow.body["scope"], scope, "{path}");
    }
}

#[tokio::test]
async fn unreadable_requests_are_refused_with_a_reason() {
    let house = House::new().await;
    let with = |content_type: &str, body: Vec<u8>| {
        house
            .request(Method::POST, "alice", "/api/transfers")
            .header("content-type", content_type)
            .body(Body::from(body))
            .unwrap()
    };
    let json_type = "application/json";
    let twice = payment(1).to_string().replacen('{', "{\"amount\":5,", 1);
    for (content_type, body, status, reason) in [
        ("text/plain", payment(1).to_string().into_bytes(), 415, "request.media_type"),
        ("application/x-www-form-urlencoded", b"from=alice-current".to_vec(), 415, "request.media_type"),
        (json_type, b"{".to_vec(), 400, "request.malformed"),
        (json_type, Vec::new(), 400, "request.malformed"),
        (json_type, b"[]".to_vec(), 400, "request.malformed"),
        (json_type, vec![0xff; 10], 400, "request.malformed"),
        (json_type, twice.into_bytes(), 400, "request.malformed"),
        (json_type, "[".repeat(60_000).into_bytes(), 400, "request.malformed"),
        (json_type, vec![b' '; 64 * 1024 + 1], 413, "request.too_large"),
    ] {
        let case = String::from_utf8_lossy(&body).chars().take(60).collect::<String>();
        assert_problem(&house.send(with(content_type, body)).await, status, reason, &case);
    }
    for (path, status, reason) in [
        ("/api/nothing", 404, "request.not_found"),
        ("/api/accounts/alice-current/entries?limit=ten", 400, "request.malformed"),
        ("/api/accounts/alice-current/entries?offset=1", 400, "request.malformed"),
        ("/api/transfers", 405, "request.method"),
    ] {
        assert_problem(&house.get("alice", path).await, status, reason, path);
    }
    let huge = house.get("alice", "/api/accounts/alice-current/entries?limit=99999999").await;
    assert_eq!(huge.body["entries"].as_array().unwrap().len(), 100, "a page is never larger than its bound");
}

#[tokio::test]
async fn a_loan_is_paid_out_shown_and_repaid_once_per_instalment() {
    let house = House::new().await;
    let before = house.balance("alice", "alice-current").await;
    let application = json!({"account": "alice-current", "amount": 100_000, "currency": "EUR", "months": 3});
    let send =
        async || house.post_with_key("alice", "/api/loans", application.clone(), Some("loan-key")).await;
    let granted = send().await;
    assert_eq!((granted.status, &granted.body["status"]), (201, &json!("granted")), "{}", granted.body);
    assert_eq!(send().await.body, granted.body, "the same key is the same loan");
    assert_eq!(house.balance("alice", "alice-current").await, before + 100_000);
    assert_eq!(house.balance("alice", "alice-loan-1").await, -100_000);

    let schedule = granted.body["loan"]["schedule"].as_array().unwrap().clone();
    let sum = |part: &str| schedule.iter().map(|due| due[part].as_i64().unwrap()).sum::<i64>();
    assert_eq!(sum("principal"), 100_000);
    let path = "/api/loans/alice-loan-1/repayments";
    let early = json!({"from": "alice-loan-1", "to": "alice-current", "amount": 1, "currency": "EUR"});
    assert_problem(
        &house.post("alice", "/api/transfers", early).await,
        422,
        "bank.not_offered",
        "a loan is no purse",
    );
    let mut answers = Vec::new();
    for (number, key) in [(1, "r1"), (1, "r1"), (2, "r2"), (3, "r3")] {
        let repaid = house.post_with_key("alice", path, json!({}), Some(key)).await;
        assert_eq!(repaid.status, 201, "{}", repaid.body);
        assert_eq!(repaid.body["loan"]["instalments_paid"], number, "{key}");
        answers.push(repaid.body);
    }
    assert_eq!(answers[0], answers[1]);
    for (key, first) in [("r1", &answers[0]), ("r2", &answers[2]), ("r3", &answers[3])] {
        let repeated = house.post_with_key("alice", path, json!({}), Some(key)).await;
        assert_eq!(
            (repeated.status, &repeated.body),
            (201, first),
            "{key} says what it said, whatever came after it"
        );
    }
    assert_problem(&house.post("alice", path, json!({})).await, 422, "bank.not_offered", "repaid already");
    assert_eq!(house.balance("alice", "alice-loan-1").await, 0);
    assert_eq!(house.balance("alice", "alice-current").await, before - sum("interest"));
    assert!(house.bank.books().await.unwrap().in_order());

    let poor = json!({"account": "mallory-current", "amount": 1_000_000, "currency": "EUR", "months": 12});
    let declined = house.post("mallory", "/api/loans", poor).await;
    assert_eq!((declined.status, &declined.body["status"]), (200, &json!("declined")));
    assert!(declined.body["explanation"].is_string());
    for (field, value) in
        [("amount", json!(9_999)), ("amount", json!(5_000_001)), ("months", json!(2)), ("months", json!(85))]
    {
        let mut outside = application.clone();
        outside[field] = value;
        assert_problem(&house.post("alice", "/api/loans", outside).await, 422, "bank.not_offered", field);
    }
}

#[tokio::test]
async fn applications_at_once_do_not_pass_the_bound_of_running_loans() {
    let house = House::new().await;
    let application =
        |n: i64| json!({"account": "carol-current", "amount": 20_000 + n, "currency": "EUR", "months": 12});
    let tries = (0..6).map(|n| house.post("carol", "/api/loans", application(n)));
    futures_util::future::join_all(tries).await;
    for n in 6..10 {
        house.post("carol", "/api/loans", application(n)).await;
    }
    let loans = house.get("carol", "/api/loans").await.body["loans"].as_array().unwrap().len();
    assert_eq!(loans, 3);
    assert!(house.bank.books().await.unwrap().in_order());
}

#[tokio::test]
async fn score_and_advice_speak_in_sentences_and_figures() {
    let house = House::new().await;
    let score = house.get("alice", "/api/credit-score").await.body;
    assert!((300..=850).contains(&score["score"].as_u64().unwrap()));
    assert_eq!(score["reasons"].as_array().unwrap().len(), 6);
    let advice = house.get("alice", "/api/advice").await.body;
    assert_eq!(advice["currency"], "EUR");
    let categories = advice["categories"].as_array().unwrap();
    let spent: i64 = categories.iter().map(|c| c["last_30_days"].as_i64().unwrap()).sum();
    assert_eq!(advice["spending"], spent);
    assert!(
        advice["advice"]
            .as_array()
            .unwrap()
            .iter()
            .all(|line| line["sentence"].as_str().unwrap().ends_with('.'))
    );
}

#[tokio::test]
async fn registering_opens_an_empty_account_and_takes_no_name_twice() {
    let house = House::new().await;
    let register = async |body: Value| {
        let request = Request::post("/api/register").header("content-type", "application/json");
        house.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let dora = json!({"username": "dora", "password": "correct horse", "name": "Dora"});
    let made = register(dora.clone()).await;
    assert_eq!((made.status, &made.body["account"]), (201, &json!("dora-current")), "{}", made.body);
    assert_eq!(house.balance("dora", "dora-current").await, 0);
    assert_problem(&register(dora.clone()).await, 409, "register.username_taken", "again");
    for (field, value, reason) in [
        ("username", json!("a"), "register.username"),
        ("username", json!("client:x"), "register.username"),
        ("username", json!("../dora"), "register.username"),
        ("password", json!("short"), "register.password"),
        ("name", json!(""), "register.name"),
    ] {
        let mut body = dora.clone();
        body["username"] = json!("emil");
        body[field] = value;
        assert_problem(&register(body).await, 422, reason, field);
    }
    let mut admin = dora;
    admin["roles"] = json!(["operator"]);
    assert_problem(&register(admin).await, 400, "request.unknown_field", "roles");
}

#[tokio::test]
async fn a_crowd_that_registers_waits_its_turn_or_is_told_when_to_come_again() {
    let house = House::new().await;
    let register = async |n: usize| {
        let body = json!({"username": format!("crowd-{n}"), "password": "correct horse", "name": "Crowd"});
        let request = Request::post("/api/register").header("content-type", "application/json");
        house.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let told = futures_util::future::join_all((0..40).map(register)).await;
    let entered = told.iter().filter(|answer| answer.status == 201).count();
    assert!((32..40).contains(&entered), "{entered} of 40 at once");
    for busy in told.iter().filter(|answer| answer.status != 201) {
        assert_problem(busy, 503, "bank.busy", "crowd");
        assert_eq!(busy.headers["retry-after"], "2");
    }
    assert_eq!(register(99).await.status, 201, "afterwards there is room again");
}

#[tokio::test]
async fn health_follows_the_ledger() {
    let house = House::new().await;
    let health = house.send(Request::get("/healthz").body(Body::empty()).unwrap()).await;
    assert_eq!((health.status, &health.body["status"]), (200, &json!("ok")));
}
