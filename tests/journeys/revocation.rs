//! Revocation by an operator.

use reqwest::StatusCode;
use serde_json::json;
use tests::Program;
use tests::demo::Addresses;

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
