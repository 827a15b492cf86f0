//! Tokens that were granted for one payment (RFC 9396): what reaches the application by them, and how often.

use serde_json::json;
use tests::issuer::Issuer;

use super::gateway::{Configured, Edge, reason};
use super::upstream::Upstream;

const AUDIENCE: &str = "urn:edge:payments";

const PAYMENTS: &str = r#"
[[issuers]]
issuer = "@ISSUER@"
algorithms = ["ES256"]
[[applications]]
name = "payments"
hosts = ["payments.test"]
external_url = "https://payments.test"
identity = { issuers = ["@ISSUER@"], audience = "urn:edge:payments" }
upstream = { peers = ["@UPSTREAM@"] }
[[applications.routes]]
name = "pay"
paths = ["/inspected/pay", "/inspected/conflict", "/inspected/unacceptable", "/inspected/nothing"]
methods = ["POST"]
[applications.routes.transfer]
format = "json"
from = "/from"
to = "/to"
amount = "/amount"
currency = "/currency"
unit = "minor"
repeats_s = 3600
[applications.routes.transfer.linking]
type = "payment_initiation"
to = "/creditorAccount/iban"
amount = "/instructedAmount/amount"
currency = "/instructedAmount/currency"
unit = "decimal"
"#;

/// A payment of 12.50 to `DE1`, authorised; and what became of the requests that came with it.
pub async fn one_payment_once() {
    let issuer = Issuer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let payments =
        PAYMENTS.replace("@ISSUER@", &issuer.url).replace("@UPSTREAM@", &upstream.address.to_string());
    let configured = Configured::write(folder.path(), &upstream, &payments);
    let edge = Edge::start_in(folder, upstream, configured).await;

    let authorised = |identifier: &str| {
        let detail = json!([{
            "type": "payment_initiation", "instructedAmount": { "currency": "EUR", "amount": "12.50" },
            "creditorAccount": { "iban": "DE1" }, "identifier": identifier,
        }]);
        let details = json!({ "authorization_details": detail }).as_object().unwrap().clone();
        issuer.token_with("ada", AUDIENCE, 600, details).unwrap().0
    };
    let [token, refreshed, refused_first, unsure, cut, kept] =
        ["p1", "p1", "p2", "p3", "p4", "p5"].map(authorised);
    let nameless = authorised("");
    let (by_scope, _) = issuer.token("ada", AUDIENCE, 600).unwrap();

    let wanted = r#"{"from":"a","to":"DE1","amount":1250,"currency":"EUR"}"#;
    let more = r#"{"from":"a","to":"DE1","amount":125000,"currency":"EUR"}"#;
    let elsewhere = r#"{"from":"a","to":"DE2","amount":1250,"currency":"EUR"}"#;
    const OTHER: (u16, &str) = (403, "token.authorization_details");
    const SPENT: (u16, &str) = (403, "token.authorization_spent");
    const DOWN: (u16, &str) = (502, "upstream.down");
    for (what, path, token, key, body, (status, code), forwarded) in [
        ("no authorisation", "pay", &by_scope, "", wanted, OTHER, false),
        ("one without a name", "pay", &nameless, "", wanted, OTHER, false),
        ("another amount", "pay", &token, "", more, OTHER, false),
        ("another payee", "pay", &token, "", elsewhere, OTHER, false),
        ("the payment", "pay", &token, "", wanted, (200, ""), true),
        ("the payment again", "pay", &token, "", wanted, SPENT, false),
        ("under a key", "pay", &token, "k1", wanted, SPENT, false),
        ("by a refreshed token", "pay", &refreshed, "", wanted, SPENT, false),
        ("another amount after it", "pay", &token, "", more, OTHER, false),
        // What the application refused was not carried out.
        ("a payment in conflict", "conflict", &refused_first, "", wanted, (409, ""), true),
        ("without the conflict", "pay", &refused_first, "", wanted, (200, ""), true),
        ("and again", "pay", &refused_first, "", wanted, SPENT, false),
        // An answer that a client does not accept may come after the work was done.
        ("an answer of no use", "unacceptable", &unsure, "", wanted, (406, ""), true),
        ("another try", "pay", &unsure, "", wanted, SPENT, false),
        // Of what was cut off nobody knows whether it was, unless the application recognises the request.
        ("a payment without an answer", "nothing", &cut, "", wanted, DOWN, true),
        ("tried again", "pay", &cut, "", wanted, SPENT, false),
        ("one under a key without an answer", "nothing", &kept, "k2", wanted, DOWN, true),
        ("tried again under its key", "nothing", &kept, "k2", wanted, DOWN, true),
        ("tried under another", "nothing", &kept, "k3", wanted, SPENT, false),
    ] {
        let key = if key.is_empty() { String::new() } else { format!("Idempotency-Key: {key}\r\n") };
        let request = format!(
            "POST /inspected/{path} HTTP/1.1\r\nHost: payments.test\r\nConnection: close\r\n{key}\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let got = edge.send(request).await;
        assert_eq!((got.status(), &*reason(&got)), (status, code), "{what}: {}", got.text);
        assert_eq!(!edge.upstream.taken().is_empty(), forwarded, "{what}");
    }
}
