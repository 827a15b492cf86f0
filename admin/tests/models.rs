//! Models that learn on, and labels: who may change what, after having looked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod fakes;

use std::sync::atomic::Ordering;

use admin::views::{LoadedModel, ModelLife, ModelVersion};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use client::{Reply, get, post, send};
use fakes::{ORIGIN, START_MS, World};
use serde_json::json;

const ID: &str = "01a0c3d2e5f6000102030405060708ff";

fn model(name: &str, life: Option<ModelLife>) -> LoadedModel {
    LoadedModel {
        name: name.to_owned(),
        version: "1".to_owned(),
        kind: "logistic-regression".to_owned(),
        hash: "old".to_owned(),
        schema_hash: "s".to_owned(),
        loaded_at_ms: START_MS,
        trained_on: None,
        metrics: [].into(),
        thresholds: [].into(),
        life,
    }
}

fn world() -> (std::sync::Arc<World>, Router) {
    let world = World::new();
    let version = |hash: &str| ModelVersion {
        hash: hash.to_owned(),
        origin: "trained".to_owned(),
        made_at_ms: START_MS,
        rows: None,
        frauds: None,
        comparison: None,
    };
    let life = ModelLife {
        champion: Some(version("old")),
        challenger: Some(version("new")),
        ..ModelLife::default()
    };
    *world.models.lock().unwrap() = vec![model("fraud", Some(life)), model("anomaly", None)];
    let router = admin::router(world.state(ORIGIN));
    (world, router)
}

#[tokio::test]
async fn a_promotion_is_proposed_by_one_and_approved_by_another_who_have_looked() {
    let (world, router) = world();
    let path = |what: &str| format!("/api/v1/models/fraud/{what}");
    let seen = async || get(&router, "t-viewer", "/api/v1/models/fraud").await.header("etag").to_owned();
    let call = async |token: &str, what: &str, tag: &str| {
        let headers: Vec<_> = if tag.is_empty() { vec![] } else { vec![("if-match", tag)] };
        let reply = post(&router, token, &path(what), &headers, json!({})).await;
        (reply.status.as_u16(), if reply.status == 200 { String::new() } else { reply.reason() })
    };
    let is = |status: u16, reason: &str| (status, reason.to_owned());
    let first = seen().await;
    assert_eq!(call("t-operator", "promote", "").await, is(428, "precondition.missing"));
    assert_eq!(call("t-operator", "promote", "*").await, is(412, "precondition.failed"));
    assert_eq!(call("t-operator", "promote", "\"m9\"").await, is(412, "precondition.failed"));
    assert_eq!(call("t-approver", "promote", &first).await, is(403, "auth.role"));
    assert_eq!(call("t-all", "approve", &first).await, is(422, "unprocessable"), "nothing is proposed");
    assert_eq!(call("t-all", "promote", &first).await, is(200, ""));
    assert_eq!(call("t-all", "promote", &first).await, is(412, "precondition.failed"), "replayed");
    let second = seen().await;
    assert_eq!(call("t-all", "approve", &second).await, is(403, "approval.own"));
    assert_eq!(call("t-operator", "approve", &second).await, is(403, "auth.role"));
    assert_eq!(call("t-approver", "approve", &first).await, is(412, "precondition.failed"));
    assert_eq!(call("t-approver", "approve", "").await, is(428, "precondition.missing"));
    assert_eq!(call("t-approver", "approve", &second).await, is(200, ""));
    assert_eq!(call("t-approver", "approve", &second).await, is(412, "precondition.failed"), "replayed");
    assert_eq!(call("t-operator", "promote", &seen().await).await, is(422, "unprocessable"), "no challenger");
    assert_eq!(call("t-operator", "rollback", &second).await, is(412, "precondition.failed"));
    let back = async |from: &str| {
        let reply = post(&router, "t-operator", &path("rollback"), &[], json!({ "from": from })).await;
        reply.status.as_u16()
    };
    assert_eq!(back("old").await, 409, "it does not serve");
    world.overtaken.store(true, Ordering::SeqCst);
    assert_eq!(back("new").await, 409, "not any more");
    world.overtaken.store(false, Ordering::SeqCst);
    assert_eq!(back("new").await, 200, "one call");
    assert_eq!(back("new").await, 409, "told again");
    assert_eq!(call("t-operator", "rollback", "").await, is(422, "unprocessable"), "nothing is left");
    let intents: Vec<_> = world.calls.lock().unwrap().iter().filter_map(|call| call.detail.clone()).collect();
    assert_eq!(
        intents,
        [
            json!({ "model": "fraud", "propose": "new" }),
            json!({ "model": "fraud", "approve": "new" }),
            json!({ "model": "fraud", "from": "new", "to": "old" }),
            json!({ "model": "fraud", "from": "new", "to": "old" }),
        ]
    );
}

#[tokio::test]
async fn training_is_asked_for_by_kind_and_once_at_a_time() {
    let (world, router) = world();
    let train = async |name: &str, body| {
        post(&router, "t-operator", &format!("/api/v1/models/{name}/retrain"), &[], body)
            .await
            .status
            .as_u16()
    };
    for (name, body, status) in [
        ("fraud", json!({ "kind": "oracle" }), 400),
        ("fraud", json!({ "seed": 5 }), 400),
        ("anomaly", json!({}), 422),
        ("capacity", json!({}), 404),
        ("..%2F..%2Fkeys%2Fmodels", json!({}), 404),
        ("%2e%2e", json!({}), 404),
        ("fraud%00", json!({}), 404),
    ] {
        assert_eq!(train(name, body).await, status, "{name}");
    }
    assert_eq!(world.writes.load(Ordering::SeqCst), 0);
    assert_eq!(train("fraud", json!({ "kind": "boosted" })).await, 200);
    assert_eq!(train("fraud", json!({})).await, 422, "under way");
}

async fn upload(router: &Router, media: &str, body: impl Into<Body>) -> Reply {
    let request = Request::post("/api/v1/labels").header("authorization", "Bearer t-analyst");
    send(router, request.header("content-type", media).body(body.into()).unwrap()).await
}

#[tokio::test]
async fn labels_come_as_json_or_csv_and_bounded() {
    let (world, router) = world();
    let json =
        format!(r#"{{"labels":[{{"decision":"{ID}","fraud":true}},{{"decision":"5","fraud":true}}]}}"#);
    let reply = upload(&router, "application/json", json).await;
    let said = reply.json();
    assert_eq!((&said["accepted"], &said["malformed"][0]["line"]), (&json!(1), &json!(2)), "{said}");
    assert!(said["malformed"][0]["reason"].as_str().unwrap().contains("32 hexadecimal"), "{said}");
    let csv = format!("decision,fraud\n{ID},1\nid,maybe\n");
    let said = upload(&router, "text/csv; charset=utf-8", csv.clone()).await.json();
    assert_eq!((&said["accepted"], &said["malformed_total"]), (&json!(1), &json!(1)), "{said}");
    let intents: Vec<_> = world.calls.lock().unwrap().iter().filter_map(|call| call.detail.clone()).collect();
    let sent = learner::artifact::digest(csv.as_bytes());
    assert_eq!(intents[1], json!({ "labels": 1, "malformed": 1, "sha256": sent }));
    let writes = world.writes.load(Ordering::SeqCst);
    for (media, body, status) in [
        ("text/csv", "x".repeat(10 << 20), 413),
        ("application/json", "[".repeat(10 << 20), 413),
        ("application/json", "[".repeat(1 << 20), 400),
        ("application/xml", "<labels/>".to_owned(), 415),
        ("", "decision,fraud".to_owned(), 415),
        ("text/csv", String::new(), 400),
    ] {
        let reply = upload(&router, media, body).await;
        assert_eq!(reply.status.as_u16(), status, "{media}: {}", reply.text());
    }
    assert_eq!(world.writes.load(Ordering::SeqCst), writes);
}
