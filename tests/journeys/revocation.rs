//! Revocation by an operator, by the customer, and by the identity provider.

use std::path::PathBuf;

use ledger_demo::idp::DEMO_CLI;
use ledger_demo::idp::script::{LoginScript, client, tokens};
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde_json::json;
use tests::demo::Addresses;
use tests::{Aggregator, Person, Program};

pub async fn is_immediate(at: Addresses) {
    let (bob, other) = (Program::of(&at, "bob").await.unwrap(), Program::of(&at, "mallory").await.unwrap());
    let (olivia, ana) =
        (Program::staff(&at, "olivia").await.unwrap(), Program::staff(&at, "ana").await.unwrap());
    assert_eq!(bob.get("/api/accounts").await.unwrap().status, StatusCode::OK);

    let order = json!({"kind": "subject", "value": "bob", "note": "phone reported stolen"});
    let refused = ana.post("/api/v1/sessions/revoke", order.clone()).await.unwrap();
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    assert_eq!(bob.get("/api/accounts").await.unwrap().status, StatusCode::OK);

    let done = olivia.post("/api/v1/sessions/revoke", order).await.unwrap();
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    let answer = bob.get("/api/accounts").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (401, "token.revoked"), "{answer:?}");
    assert_eq!(other.get("/api/accounts").await.unwrap().status, StatusCode::OK, "others go on");
}

/// Asks once, without waiting: what was revoked is refused from the answer to the revocation on.
async fn assert_revoked(program: &Program, why: &str) {
    let answer = program.get("/api/accounts").await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.reason().as_str()),
        (401, "token.revoked"),
        "{why}: {answer:?}"
    );
}

async fn assert_good(program: &Program, why: &str) {
    let answer = program.get("/api/accounts").await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{why}: {answer:?}");
}

pub async fn of_consent(at: Addresses, data: PathBuf) {
    let mut customer = Person::new(&at, "127.0.0.71".parse().unwrap()).unwrap();
    let tokens = Aggregator::new(&at, &data).let_in(&mut customer, "mallory").await.unwrap();
    let aggregator = Program::holding(&at, tokens.access_token).unwrap();
    let own = Program::of(&at, "mallory").await.unwrap();
    assert_good(&aggregator, "let in").await;

    let page = customer.visit("/consents").await.unwrap();
    assert!(page.words().contains("Demo Aggregator"), "{}", page.words());
    let page = customer.submit(&page, "/consents/withdraw", &[]).await.unwrap();
    assert_eq!(page.status(), StatusCode::OK, "{page:?}");
    assert_revoked(&aggregator, "withdrawn on the page").await;
    assert_good(&own, "the customer's own program goes on").await;
}

pub async fn of_a_reused_refresh_token(at: Addresses) {
    let http = client(None).unwrap();
    let first = LoginScript::new(at.idp.clone(), "carol").run(&http).await.unwrap();
    let stolen = first.refresh_token.unwrap();
    let renew = async || {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", DEMO_CLI),
            ("refresh_token", stolen.expose_secret()),
        ];
        tokens(http.post(at.idp.join("/token").unwrap()).form(&form).send().await.unwrap()).await
    };
    let second = renew().await.unwrap();
    let old = Program::holding(&at, first.access_token).unwrap();
    let new = Program::holding(&at, second.access_token).unwrap();
    let other = Program::of(&at, "carol").await.unwrap();
    assert_good(&old, "before").await;
    assert_good(&new, "before").await;

    renew().await.unwrap_err();
    assert_revoked(&old, "the first access token of the family").await;
    assert_revoked(&new, "the last access token of the family").await;
    assert_good(&other, "another log-in of the same customer").await;
}

pub async fn at_the_identity_provider(at: Addresses) {
    let (program, other) =
        (Program::of(&at, "carol").await.unwrap(), Program::of(&at, "carol").await.unwrap());
    assert_good(&program, "before").await;
    let form = [("client_id", DEMO_CLI), ("token", program.token())];
    let revoke = at.idp.join("/revoke").unwrap();
    let done = client(None).unwrap().post(revoke).form(&form).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    assert_revoked(&program, "revoked by its client").await;
    assert_good(&other, "another token").await;
}
