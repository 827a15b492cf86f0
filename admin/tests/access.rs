//! Who may call what: every route of the table, with every kind of caller.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod fakes;

use std::collections::BTreeSet;

use admin::access::{EXEMPT, Need, ROUTES, Role};
use client::{request, send};
use fakes::{ORIGIN, World};
use serde_json::json;

/// Paths that may be reached without a credential. Add none.
const EXEMPT_TODAY: [&str; 4] = ["/", "/assets/{file}", "/login", "/callback"];

fn concrete(path: &str) -> String {
    path.replace("{id}", "x-1")
        .replace("{version}", "v-1")
        .replace("{file}", "console.css")
        .replace("{name}", "x-1")
}

#[tokio::test]
async fn every_guarded_route_answers_every_caller_as_the_table_says() {
    // (authorization, reason of the refusal; none: decided by role)
    let callers: [(Option<&str>, u16, &str); 9] = [
        (None, 401, "auth.missing"),
        (Some("Bearer forged"), 401, "auth.invalid"),
        (Some("Bearer t-expired"), 401, "auth.expired"),
        (Some("Bearer t-revoked-operator"), 401, "auth.revoked"),
        (Some("Bearer t-foreign"), 403, "auth.scope"),
        (Some("Bearer t-down"), 503, "auth.unavailable"),
        (Some("Basic dDp0"), 400, "auth.malformed"),
        (Some("Bearer "), 400, "auth.malformed"),
        (Some("Bearer t-none"), 403, "auth.role"),
    ];
    let world = World::new();
    world.revoked_tokens.lock().unwrap().insert("t-revoked-operator".to_owned());
    let router = admin::router(world.state(ORIGIN));
    for route in ROUTES {
        let path = concrete(route.path);
        let body = (route.method == "POST").then(|| json!({}));
        for (authorization, status, reason) in callers {
            let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
            let reply = send(&router, request(route.method, &path, &headers, body.clone())).await;
            let case = format!("{} {path} as {authorization:?}", route.method);
            assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (status, reason), "{case}");
            assert_eq!(reply.header("content-type"), "application/problem+json", "{case}");
            assert_eq!(
                reply.header("www-authenticate").starts_with("Bearer realm="),
                status == 401 || reason == "auth.scope" || status == 400,
                "{case}"
            );
            assert!(!reply.text().contains("internal"), "{case} tells what is for the log: {}", reply.text());
        }
        for role in Role::ALL {
            let bearer = format!("Bearer t-{}", role.name());
            let reply =
                send(&router, request(route.method, &path, &[("authorization", &bearer)], body.clone()))
                    .await;
            let may = match route.need {
                Need::Read => role != Role::Revoker,
                Need::Revoke => matches!(role, Role::Operator | Role::Revoker),
                Need::Act(needed) => needed == role,
            };
            let case = format!("{} {path} as {}: {}", route.method, role.name(), reply.status);
            assert_eq!(reply.status == 403, !may, "{case}");
            assert_ne!(reply.status, 401, "{case}");
            assert!(
                may || reply.json()["detail"] == format!("needs role {}", route.need.role().name()),
                "{case}"
            );
        }
    }
    assert_eq!(world.writes.load(std::sync::atomic::Ordering::SeqCst), 0, "nobody wrote anything");
}

/// The same table, called by a browser: each write needs the console's own page, each call a live session.
#[tokio::test]
async fn every_guarded_route_in_a_console_session() {
    let world = World::new();
    let router = admin::router(world.state(ORIGIN));
    let login = "__Host-gatehouse-console-login=browser-1";
    let end = send(&router, request("GET", "/callback?code=good&state=s-", &[("cookie", login)], None)).await;
    let cookie = format!("__Host-gatehouse-console={}", end.cookie("__Host-gatehouse-console").unwrap());
    let me = send(&router, request("GET", "/api/v1/me", &[("cookie", &cookie)], None)).await.json();
    let csrf = me["csrf"].as_str().unwrap();
    let (cookie, forged) = (cookie.as_str(), "__Host-gatehouse-console=guessed");
    // The last one's own page: whatever else is missing, it is not the caller.
    type Caller<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);
    let callers: [Caller<'_>; 6] = [
        ("a guessed cookie", &[("cookie", forged)], 401, "auth.session_ended"),
        ("two cookies", &[("cookie", cookie), ("cookie", forged)], 401, ""),
        ("no page", &[("cookie", cookie)], 403, "csrf.origin"),
        ("no token", &[("cookie", cookie), ("origin", ORIGIN)], 403, "csrf.token"),
        (
            "another site",
            &[("cookie", cookie), ("origin", "https://evil.example"), ("gatehouse-csrf", csrf)],
            403,
            "csrf.origin",
        ),
        ("its own page", &[("cookie", cookie), ("origin", ORIGIN), ("gatehouse-csrf", csrf)], 0, ""),
    ];
    // Log-out ends the session for whoever comes after.
    let (log_out, others): (Vec<&admin::access::Access>, Vec<_>) =
        ROUTES.iter().partition(|route| route.path == "/logout");
    for route in others.into_iter().chain(log_out) {
        let (path, writes) = (concrete(route.path), route.method == "POST");
        for (who, headers, status, reason) in callers {
            let body = writes.then(|| json!({}));
            let reply = send(&router, request(route.method, &path, headers, body)).await;
            let case = format!("{} {path} by {who}: {} {}", route.method, reply.status, reply.text());
            if status == 401 || (status != 0 && writes) {
                assert_eq!(reply.status.as_u16(), status, "{case}");
                assert!(reason.is_empty() || reply.reason() == reason, "{case}");
            } else {
                assert!(reply.status != 401 && reply.status != 403, "{case}");
            }
        }
    }
    assert_eq!(world.writes.load(std::sync::atomic::Ordering::SeqCst), 0, "nobody wrote anything");
}

#[tokio::test]
async fn what_is_open_holds_no_data_and_the_list_only_shrinks() {
    let open: BTreeSet<&str> = EXEMPT.iter().map(|(path, _)| *path).collect();
    assert!(open.is_subset(&EXEMPT_TODAY.into()), "a path was exempted: {open:?}");
    let router = admin::router(World::new().state(ORIGIN));
    for path in open {
        let reply = send(&router, request("GET", &concrete(path), &[], None)).await;
        let data = reply.header("content-type").contains("json");
        assert!(!data && reply.status != 401, "{path}: {} {}", reply.status, reply.text());
    }
    for path in [
        "/assets/index.html",
        "/assets/..%2FCargo.toml",
        "/assets/%2e%2e/Cargo.toml",
        "/nothing",
        "/api/v1/nothing",
    ] {
        let reply = send(&router, request("GET", path, &[], None)).await;
        assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (404, "not_found"), "{path}");
    }
}

#[test]
fn routes_document_and_table_agree() {
    let document = serde_json::to_value(admin::document()).unwrap();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            documented.insert((method.clone(), path.clone()));
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let query: BTreeSet<_> =
                parameters.iter().filter(|p| p["in"] == "query").filter_map(|p| p["name"].as_str()).collect();
            let known: BTreeSet<_> = admin::access::route(&method, path)
                .unwrap_or_else(|| panic!("{method} {path} is not in the table"))
                .query
                .iter()
                .copied()
                .collect();
            assert_eq!(query, known, "{method} {path}: query parameters");
            assert!(
                operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
                "{method} {path} has no summary"
            );
        }
    }
    let table: BTreeSet<_> = ROUTES.iter().map(|r| (r.method.to_owned(), r.path.to_owned())).collect();
    assert_eq!(documented, table);
    assert_eq!(ROUTES.len(), table.len(), "no route stands twice");
    assert_eq!(document["security"], json!([{ "bearer": [] }, { "console": [] }]));
}

#[tokio::test]
async fn a_refused_bearer_token_never_falls_through_to_the_console_session() {
    let world = World::new();
    let router = admin::router(world.state(ORIGIN));
    let login = send(
        &router,
        request(
            "GET",
            "/callback?code=good&state=s-",
            &[("cookie", "__Host-gatehouse-console-login=browser-1")],
            None,
        ),
    )
    .await;
    let cookie = format!("__Host-gatehouse-console={}", login.cookie("__Host-gatehouse-console").unwrap());
    let alone = send(&router, request("GET", "/api/v1/me", &[("cookie", &cookie)], None)).await;
    assert_eq!(alone.status, 200);
    for bad in ["Bearer forged", "Basic x", "Bearer", "DPoP t-all"] {
        let both =
            send(&router, request("GET", "/api/v1/me", &[("cookie", &cookie), ("authorization", bad)], None))
                .await;
        assert!(both.status == 401 || both.status == 400, "{bad}: {}", both.status);
    }
    let twice = [("authorization", "Bearer t-viewer"), ("authorization", "Bearer t-all")];
    assert_eq!(send(&router, request("GET", "/api/v1/me", &twice, None)).await.status, 400);
}
