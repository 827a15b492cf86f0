//! What the API answers, and what it puts on record.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod fakes;

use std::sync::atomic::Ordering;

use admin::access::{Need, ROUTES};
use admin::views::{CaseStatus, Phase, Via};
use client::{get, post, request, send};
use fakes::{ORIGIN, START_MS, World, records};
use serde_json::{Value, json};

type Headers = &'static [(&'static str, &'static str)];

fn furnished() -> std::sync::Arc<World> {
    let world = World::new();
    for n in 0..30 {
        world.decide(records::read(&format!("r-{n}"), START_MS + n, 5));
    }
    world.decide(records::injection("i-1", START_MS + 100));
    world.decide(records::held("h-1", START_MS + 200, 5, "c-1"));
    world.cases.lock().unwrap().push(records::case("c-1", "h-1", START_MS, CaseStatus::Open, 920_000));
    world.cases.lock().unwrap().push(records::case("c-2", "h-0", START_MS, CaseStatus::Released, 10_000));
    world.pools.lock().unwrap().push(records::pool("bank", START_MS, 64.0, 34));
    world
}

#[tokio::test]
async fn decisions_are_filtered_paged_and_bounded() {
    let router = admin::router(furnished().state(ORIGIN));
    let cases: [(&str, usize); 6] = [
        ("", 32),
        ("?outcome=deny", 1),
        ("?outcome=hold&route=transfers", 1),
        ("?reason=fraud.score", 1),
        ("?outcome=deny&route=transfers", 0),
        ("?limit=7", 7),
    ];
    for (query, expected) in cases {
        let page = get(&router, "t-viewer", &format!("/api/v1/decisions{query}")).await.json();
        assert_eq!(page["decisions"].as_array().unwrap().len(), expected, "{query}");
    }
    let mut seen = Vec::new();
    let mut before = String::new();
    loop {
        let page = get(&router, "t-viewer", &format!("/api/v1/decisions?limit=9{before}")).await.json();
        seen.extend(
            page["decisions"].as_array().unwrap().iter().map(|row| row["position"].as_u64().unwrap()),
        );
        let Some(next) = page["next"].as_u64() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(seen, (1..=32).rev().collect::<Vec<_>>(), "every decision once, newest first");
}

#[tokio::test]
async fn queries_that_are_not_understood_are_refused() {
    let router = admin::router(furnished().state(ORIGIN));
    let long = format!("/api/v1/decisions?route={}", "a".repeat(3_000));
    let cases = [
        "/api/v1/decisions?limit=0",
        "/api/v1/decisions?limit=201",
        "/api/v1/decisions?limit=-1",
        "/api/v1/decisions?outcome=nice",
        "/api/v1/decisions?limit=1&limit=2",
        "/api/v1/decisions?colour=red",
        "/api/v1/decisions?access_token=t-all",
        "/api/v1/decisions?route=%3Cscript%3E",
        "/api/v1/decisions?before=x",
        "/api/v1/models?limit=5",
        "/api/v1/cases?status=closed",
        "/api/v1/cases?after=%00",
        long.as_str(),
    ];
    for path in cases {
        let reply = get(&router, "t-viewer", path).await;
        assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (400, "request.query"), "{path}");
    }
    let odd = "/api/v1/decisions/".to_owned() + &"a".repeat(200);
    for path in
        ["/api/v1/decisions/none", "/api/v1/decisions/%3Cb%3E", "/api/v1/policies/..%2F..%2Fkeys", &odd]
    {
        assert_eq!(get(&router, "t-viewer", path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn one_decision_comes_with_its_story_and_its_whole_record() {
    let router = admin::router(furnished().state(ORIGIN));
    let detail = get(&router, "t-viewer", "/api/v1/decisions/h-1").await.json();
    let explanation = &detail["explanation"];
    assert_eq!(
        explanation["headline"],
        "A transfer of 9,200.00 EUR is held for review: the amount is 37 times what this customer usually sends."
    );
    let story = explanation["story"].as_array().unwrap();
    let stages: Vec<_> = story.iter().map(|step| step["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["admission", "identity", "limits", "inspection", "transfer", "decision"]);
    assert_eq!(story.iter().filter(|step| step["settled"] == true).count(), 1);
    let told = story
        .iter()
        .flat_map(|step| step["sentences"].as_array().unwrap())
        .map(|s| s.as_str().unwrap())
        .collect::<String>();
    for part in ["never paid before", "37 times", "93.4 %", "In shadow", "Case c-1"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    let record: policies::DecisionRecord = serde_json::from_value(detail["record"].clone()).unwrap();
    assert_eq!(record, records::held("h-1", START_MS + 200, 5, "c-1"));
}

#[tokio::test]
async fn every_kind_of_decision_has_its_sentence_and_ends_where_it_was_settled() {
    let world = World::new();
    let mut unscored = records::transfer("t-2", START_MS, 5, 2_500);
    unscored.fraud = Some(policies::record::RecordedScore {
        value: None,
        unavailable: Some(policies::evidence::Unavailability::TooSlow),
        ..records::score("fraud/1", 0.0, &[], &[])
    });
    let cases = [
        (records::read("r-1", START_MS, 5), "GET on accounts was forwarded.", "upstream", "answered 200"),
        (
            records::transfer("t-1", START_MS, 5, 2_500),
            "A transfer of 25.00 EUR was forwarded.",
            "upstream",
            "1.2 %",
        ),
        (
            unscored,
            "A transfer of 25.00 EUR was forwarded.",
            "upstream",
            "No fraud score: the scorer took too long.",
        ),
        (
            records::injection("i-1", START_MS),
            "GET on search was refused: it looks like SQL injection in query:q.",
            "decision",
            "a tautology follows",
        ),
        (
            records::throttled("l-1", START_MS),
            "GET on login was sent back to wait: too many requests from this address.",
            "limits",
            "room again in 7 seconds",
        ),
        (
            records::stepped_up("u-1", START_MS, 5),
            "A transfer of 1,450.00 EUR was stopped until the customer authenticates again: confirm it is you to send this amount.",
            "decision",
            "fresh-login-for-large asks for step-up",
        ),
        (
            records::expired("e-1", START_MS),
            "GET on accounts was refused: the token has expired.",
            "identity",
            "The token has expired.",
        ),
    ];
    for (record, _, _, _) in &cases {
        world.decide(record.clone());
    }
    let router = admin::router(world.state(ORIGIN));
    for (record, headline, settled, told) in cases {
        let explanation = get(&router, "t-viewer", &format!("/api/v1/decisions/{}", record.id)).await.json()
            ["explanation"]
            .clone();
        assert_eq!(explanation["headline"], headline, "{}", record.id);
        let last = explanation["story"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(
            (last["stage"].as_str(), last["settled"].as_bool()),
            (Some(settled), Some(true)),
            "{}",
            record.id
        );
        assert!(explanation.to_string().contains(told), "{}: {explanation}", record.id);
    }
}

#[tokio::test]
async fn a_reader_that_has_the_newest_gets_304() {
    let world = furnished();
    let router = admin::router(world.state(ORIGIN));
    for path in ["/api/v1/decisions", "/api/v1/models", "/api/v1/cases/c-1", "/openapi.json"] {
        let first = get(&router, "t-viewer", path).await;
        let tag = first.header("etag").to_owned();
        let bearer = ("authorization", "Bearer t-viewer");
        let again = send(&router, request("GET", path, &[bearer, ("if-none-match", &tag)], None)).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path} {tag}");
        let other =
            send(&router, request("GET", path, &[bearer, ("if-none-match", "\"other\"")], None)).await;
        assert_eq!(other.status, 200, "{path}");
    }
    let tag = get(&router, "t-viewer", "/api/v1/decisions").await.header("etag").to_owned();
    world.decide(records::read("r-new", START_MS, 5));
    assert_ne!(get(&router, "t-viewer", "/api/v1/decisions").await.header("etag"), tag);
}

#[tokio::test]
async fn a_case_is_judged_once_by_who_saw_it_as_it_is() {
    let world = furnished();
    let router = admin::router(world.state(ORIGIN));
    let verdict = "/api/v1/cases/c-1/verdict";
    let release = json!({ "verdict": "release", "note": "Called back." });
    let refused: [(&str, Headers, Value, u16, &str); 9] = [
        (verdict, &[], release.clone(), 428, "precondition.missing"),
        (verdict, &[("if-match", "\"r7\"")], release.clone(), 412, "precondition.failed"),
        (verdict, &[("if-match", "*")], release.clone(), 412, "precondition.failed"),
        (verdict, &[("if-match", "W/\"r1\"")], release.clone(), 412, "precondition.failed"),
        (verdict, &[("if-match", "\"r1\", \"r2\"")], release.clone(), 412, "precondition.failed"),
        (verdict, &[("if-match", "\"r1\"")], json!({ "verdict": "approve" }), 400, "request.body"),
        (
            verdict,
            &[("if-match", "\"r1\"")],
            json!({ "verdict": "release", "by": "olivia" }),
            400,
            "request.body",
        ),
        ("/api/v1/cases/c-2/verdict", &[("if-match", "\"r2\"")], release.clone(), 409, "conflict"),
        ("/api/v1/cases/c-9/verdict", &[("if-match", "\"r1\"")], release.clone(), 404, "not_found"),
    ];
    for (path, headers, body, status, reason) in refused {
        let reply = post(&router, "t-analyst", path, headers, body.clone()).await;
        assert_eq!(
            (reply.status.as_u16(), reply.reason().as_str()),
            (status, reason),
            "{path} {headers:?} {body}"
        );
    }
    assert_eq!(world.writes.load(Ordering::SeqCst), 0);
    let seen = get(&router, "t-analyst", "/api/v1/cases/c-1").await.header("etag").to_owned();
    let done = post(&router, "t-analyst", verdict, &[("if-match", &seen)], release.clone()).await;
    assert_eq!(done.status, 200);
    let (case, tag) = (done.json(), done.header("etag"));
    assert_eq!(
        (case["status"].as_str(), case["judged_by"].as_str()),
        (Some("released"), Some("staff-analyst"))
    );
    assert_ne!(tag, seen);
    let again = post(&router, "t-analyst", verdict, &[("if-match", &seen)], release).await;
    assert_eq!(again.status, 412);
    assert_eq!(world.writes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_release_says_nothing_of_fraud_unless_the_analyst_does() {
    for (order, status, label) in [
        (json!({ "verdict": "release" }), 200, None),
        (json!({ "verdict": "release", "fraud": null }), 200, None),
        (json!({ "verdict": "release", "fraud": false }), 200, Some(false)),
        (json!({ "verdict": "release", "fraud": true }), 422, None),
        (json!({ "verdict": "reject" }), 200, Some(true)),
        (json!({ "verdict": "reject", "fraud": false }), 200, Some(false)),
        (json!({ "verdict": "reject", "fraud": "maybe" }), 400, None),
    ] {
        let world = furnished();
        let router = admin::router(world.state(ORIGIN));
        let headers: Headers = &[("if-match", "\"r1\"")];
        let reply = post(&router, "t-analyst", "/api/v1/cases/c-1/verdict", headers, order.clone()).await;
        let labelled = world.labelled.lock().unwrap().first().map(|(_, fraud)| *fraud);
        assert_eq!((reply.status.as_u16(), labelled), (status, label), "{order}");
    }
}

#[tokio::test]
async fn an_operator_sets_the_mode_of_a_pool() {
    let world = furnished();
    let router = admin::router(world.state(ORIGIN));
    let seen = get(&router, "t-operator", "/api/v1/capacity").await.header("etag").to_owned();
    let order = json!({ "pool": "bank", "mode": "freeze" });
    let done = post(&router, "t-operator", "/api/v1/capacity", &[("if-match", &seen)], order.clone()).await;
    assert_eq!((done.status.as_u16(), done.json()["pools"][0]["mode"].as_str()), (200, Some("freeze")));
    let late = post(&router, "t-operator", "/api/v1/capacity", &[("if-match", &seen)], order).await;
    assert_eq!(late.status, 412);
    for (order, status) in [
        (json!({ "pool": "none", "mode": "freeze" }), 404),
        (json!({ "pool": "bank", "mode": "turbo" }), 400),
        (json!({ "pool": "bank" }), 400),
        (json!({ "pool": "bank", "mode": "freeze", "limit": 9 }), 400),
    ] {
        let reply = post(&router, "t-operator", "/api/v1/capacity", &[], order.clone()).await;
        assert_eq!(reply.status, status, "{order}");
    }
    world.pools.lock().unwrap()[0].mode = None;
    let fixed =
        post(&router, "t-operator", "/api/v1/capacity", &[], json!({ "pool": "bank", "mode": "freeze" }))
            .await;
    assert_eq!((fixed.status.as_u16(), fixed.reason().as_str()), (422, "unprocessable"));
}

#[tokio::test]
async fn a_session_is_revoked_by_its_handle_and_the_list_says_so() {
    let world = furnished();
    for n in 0..5 {
        world.sessions.lock().unwrap().push(admin::views::CustomerSession {
            handle: format!("s{n}"),
            app: "bank".to_owned(),
            subject: records::pseudonym(n),
            acr: None,
            created_at_ms: START_MS,
            last_seen_ms: START_MS,
            expires_at_ms: START_MS + 1,
        });
    }
    let router = admin::router(world.state(ORIGIN));
    let page = get(&router, "t-viewer", "/api/v1/sessions?limit=3").await.json();
    assert_eq!((page["sessions"].as_array().unwrap().len(), page["next"].as_str()), (3, Some("s2")));
    let order = json!({ "kind": "session", "value": "s1", "note": "stolen phone" });
    let done = post(&router, "t-operator", "/api/v1/sessions/revoke", &[], order.clone()).await;
    assert_eq!((done.status.as_u16(), done.json()["sessions_ended"].as_u64()), (200, Some(1)));
    assert_eq!(post(&router, "t-operator", "/api/v1/sessions/revoke", &[], order).await.status, 404);
    let list = get(&router, "t-viewer", "/api/v1/sessions/revoke").await.json();
    assert_eq!(list["revocations"][0]["by"], "staff-operator");
    for order in [
        json!({ "kind": "session", "value": "" }),
        json!({ "kind": "jti", "value": "x".repeat(300) }),
        json!({ "kind": "jti", "value": "a\u{0}b" }),
        json!({ "kind": "jti", "value": "a", "issuer": "i" }),
        json!({ "kind": "subject", "value": "alice", "note": "n".repeat(501) }),
        json!({ "kind": "person", "value": "alice" }),
    ] {
        assert_eq!(
            post(&router, "t-operator", "/api/v1/sessions/revoke", &[], order.clone()).await.status,
            400,
            "{order}"
        );
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_declared() {
    let router = admin::router(furnished().state(ORIGIN));
    let path = "/api/v1/capacity";
    let bearer = ("authorization", "Bearer t-operator");
    let large =
        post(&router, "t-operator", path, &[], json!({ "pool": "x".repeat(64 * 1024), "mode": "freeze" }))
            .await;
    assert_eq!((large.status.as_u16(), large.reason().as_str()), (413, "request.too_large"));
    let bare = send(&router, request("POST", path, &[bearer], None)).await;
    assert_eq!((bare.status.as_u16(), bare.reason().as_str()), (415, "request.not_json"));
    let form = send(&router, request("POST", path, &[bearer, ("content-type", "text/plain")], None)).await;
    assert_eq!(form.status, 415);
    let deep = axum::http::Request::post(path)
        .header("authorization", "Bearer t-operator")
        .header("content-type", "application/json")
        .body("[".repeat(60_000).into())
        .unwrap();
    assert_eq!(send(&router, deep).await.reason(), "request.body");
    for method in ["PUT", "DELETE", "PATCH"] {
        assert_eq!(send(&router, request(method, path, &[bearer], None)).await.status, 405, "{method}");
    }
}

#[tokio::test]
async fn every_call_stands_in_the_trail_without_secrets() {
    let world = furnished();
    let router = admin::router(world.state(ORIGIN));
    get(&router, "t-viewer", "/api/v1/decisions/h-1").await;
    send(&router, request("GET", "/api/v1/config", &[], None)).await;
    post(
        &router,
        "t-viewer",
        "/api/v1/cases/c-1/verdict",
        &[("if-match", "\"r1\"")],
        json!({ "verdict": "reject" }),
    )
    .await;
    post(
        &router,
        "t-analyst",
        "/api/v1/cases/c-1/verdict",
        &[("if-match", "\"r1\"")],
        json!({ "verdict": "reject", "note": "confidential words" }),
    )
    .await;
    let order = json!({ "kind": "jti", "value": "very-secret-jti" });
    post(&router, "t-operator", "/api/v1/sessions/revoke", &[], order).await;
    let calls = world.calls.lock().unwrap().clone();
    let told: Vec<_> = calls
        .iter()
        .map(|c| {
            (
                c.subject.as_deref().unwrap_or("-"),
                c.phase,
                c.route.as_str(),
                c.status,
                c.reason.as_deref().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("staff-viewer", Phase::Done, "/api/v1/decisions/{id}", 200, ""),
            ("-", Phase::Done, "/api/v1/config", 401, "auth.missing"),
            ("staff-viewer", Phase::Done, "/api/v1/cases/{id}/verdict", 403, "auth.role"),
            ("staff-analyst", Phase::Intent, "/api/v1/cases/{id}/verdict", 0, ""),
            ("staff-analyst", Phase::Done, "/api/v1/cases/{id}/verdict", 200, ""),
            ("staff-operator", Phase::Intent, "/api/v1/sessions/revoke", 0, ""),
            ("staff-operator", Phase::Done, "/api/v1/sessions/revoke", 200, ""),
        ]
    );
    assert_eq!(
        (calls[3].id.as_str(), calls[3].via),
        (calls[4].id.as_str(), Via::Bearer),
        "one call, two entries"
    );
    assert_eq!(calls[3].detail, Some(json!({ "case": "c-1", "verdict": "reject", "fraud": true })));
    let all = serde_json::to_string(&calls).unwrap();
    for secret in ["t-analyst", "t-operator", "very-secret-jti", "confidential"] {
        assert!(!all.contains(secret), "{secret} stands in the trail");
    }
}

#[tokio::test]
async fn without_a_trail_nothing_is_written_and_reading_goes_on() {
    let world = furnished();
    world.models.lock().unwrap().push(records::model_with_a_proposal("fraud", START_MS));
    world.trail_up.store(false, Ordering::SeqCst);
    let router = admin::router(world.state(ORIGIN));
    const SEEN: Headers = &[("if-match", "\"m0\"")];
    let writes: [(&str, &str, Headers, Value); 8] = [
        (
            "t-analyst",
            "/api/v1/cases/c-1/verdict",
            &[("if-match", "\"r1\"")],
            json!({ "verdict": "release" }),
        ),
        ("t-operator", "/api/v1/capacity", &[], json!({ "pool": "bank", "mode": "freeze" })),
        ("t-operator", "/api/v1/sessions/revoke", &[], json!({ "kind": "jti", "value": "x" })),
        ("t-operator", "/api/v1/models/fraud/retrain", &[], json!({})),
        ("t-operator", "/api/v1/models/fraud/promote", SEEN, json!({})),
        ("t-approver", "/api/v1/models/fraud/approve", SEEN, json!({})),
        ("t-operator", "/api/v1/models/fraud/rollback", &[], json!({})),
        ("t-analyst", "/api/v1/labels", &[], json!([{ "decision": "0".repeat(32), "fraud": true }])),
    ];
    let acts = |need: &Need| matches!(need, Need::Act(_) | Need::Revoke);
    let acting = ROUTES.iter().filter(|route| acts(&route.need)).count();
    assert_eq!(writes.len(), acting, "every route that acts is tried");
    for (token, path, headers, body) in writes {
        let reply = post(&router, token, path, headers, body).await;
        assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (503, "audit.unavailable"), "{path}");
    }
    assert_eq!(world.writes.load(Ordering::SeqCst), 0, "nothing was written");
    assert_eq!(get(&router, "t-viewer", "/api/v1/decisions").await.status, 200);
}

#[tokio::test]
async fn a_flood_of_strangers_does_not_fill_the_trail() {
    let world = furnished();
    let router = admin::router(world.state(ORIGIN));
    for _ in 0..500 {
        send(&router, request("GET", "/api/v1/config", &[], None)).await;
    }
    assert_eq!(world.calls.lock().unwrap().len(), 100);
    world.advance(1_000);
    send(&router, request("GET", "/api/v1/config", &[], None)).await;
    assert_eq!(world.calls.lock().unwrap().last().unwrap().unrecorded, 400);
}
