//! The console: login, session, forgery, headers, stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod fakes;

use std::sync::Arc;

use axum::Router;
use client::{Reply, request, send};
use fakes::{ORIGIN, START_MS, World, records};
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;

const SESSION: &str = "__Host-gatehouse-console";
const LOGIN: &str = "__Host-gatehouse-console-login";

/// Goes through the login as a browser does; returns the session cookie and the anti-forgery token.
async fn sign_in(router: &Router) -> (String, String) {
    let start = send(router, request("GET", "/login?return_to=%2F%23%2Fcases", &[], None)).await;
    assert_eq!(start.status, 303);
    let login = format!("{LOGIN}={}", start.cookie(LOGIN).unwrap());
    let end = send(router, request("GET", start.header("location"), &[("cookie", &login)], None)).await;
    assert_eq!((end.status.as_u16(), end.header("location")), (303, "/#/cases"));
    let cookie = format!("{SESSION}={}", end.cookie(SESSION).unwrap());
    let me = send(router, request("GET", "/api/v1/me", &[("cookie", &cookie)], None)).await;
    (cookie, me.json()["csrf"].as_str().unwrap().to_owned())
}

fn furnished() -> Arc<World> {
    let world = World::new();
    world.pools.lock().unwrap().push(records::pool("bank", START_MS, 64.0, 34));
    world
}

async fn me(router: &Router, cookie: &str) -> Reply {
    send(router, request("GET", "/api/v1/me", &[("cookie", cookie)], None)).await
}

#[tokio::test]
async fn cookies_are_bound_to_the_host_and_out_of_reach_of_scripts() {
    let router = admin::router(furnished().state(ORIGIN));
    let start = send(&router, request("GET", "/login", &[], None)).await;
    let end = send(
        &router,
        request("GET", start.header("location"), &[("cookie", &format!("{LOGIN}=browser-1"))], None),
    )
    .await;
    for (reply, same_site) in [(&start, "SameSite=Lax"), (&end, "SameSite=Strict")] {
        let set = reply.header("set-cookie");
        for attribute in ["__Host-", "Path=/", "Secure", "HttpOnly", same_site] {
            assert!(set.contains(attribute), "{set} lacks {attribute}");
        }
        assert!(!set.contains("Domain"));
    }
    assert!(
        end.headers
            .get_all("set-cookie")
            .iter()
            .any(|v| v.to_str().unwrap().starts_with(&format!("{LOGIN}=;"))),
        "the login cookie is spent"
    );
}

#[tokio::test]
async fn a_login_ends_only_in_the_browser_where_it_began() {
    let world = furnished();
    let router = admin::router(world.state(ORIGIN));
    let cases: [(&str, &[(&str, &str)]); 8] = [
        ("/callback?code=good&state=s-", &[]),
        ("/callback?code=good&state=s-", &[("cookie", "__Host-gatehouse-console-login=browser-2")]),
        ("/callback?code=bad&state=s-", &[("cookie", "__Host-gatehouse-console-login=browser-1")]),
        ("/callback?state=s-", &[("cookie", "__Host-gatehouse-console-login=browser-1")]),
        ("/callback?code=good", &[("cookie", "__Host-gatehouse-console-login=browser-1")]),
        (
            "/callback?error=access_denied&error_description=%3Cscript%3E",
            &[("cookie", "__Host-gatehouse-console-login=browser-1")],
        ),
        ("/callback?code=good&code=good&state=s-", &[("cookie", "__Host-gatehouse-console-login=browser-1")]),
        (
            "/callback?code=good&state=s-",
            &[(
                "cookie",
                "__Host-gatehouse-console-login=browser-1; __Host-gatehouse-console-login=browser-2",
            )],
        ),
    ];
    for (path, headers) in cases {
        let reply = send(&router, request("GET", path, headers, None)).await;
        assert!(
            reply.status.is_client_error() && reply.cookie(SESSION).is_none(),
            "{path} {headers:?}: {}",
            reply.status
        );
        assert!(!reply.text().contains("<script>"));
    }
    *world.login_token.lock().unwrap() = "t-none".to_owned();
    let reply = send(
        &router,
        request("GET", "/callback?code=good&state=s-", &[("cookie", &format!("{LOGIN}=browser-1"))], None),
    )
    .await;
    assert!(reply.cookie(SESSION).is_none() && reply.text().contains("no role"), "{}", reply.text());
}

#[tokio::test]
async fn a_login_takes_no_session_over() {
    let router = admin::router(furnished().state(ORIGIN));
    let (victim, _) = sign_in(&router).await;
    let cookies = format!("{LOGIN}=browser-1; {victim}");
    let end =
        send(&router, request("GET", "/callback?code=good&state=s-", &[("cookie", &cookies)], None)).await;
    let fresh = format!("{SESSION}={}", end.cookie(SESSION).unwrap());
    assert_ne!(fresh, victim);
    assert_eq!(me(&router, &victim).await.status, 401, "the session before the login is gone");
    assert_eq!(me(&router, &fresh).await.status, 200);
    let planted = format!("{SESSION}=chosen-by-an-attacker");
    assert_eq!(me(&router, &planted).await.reason(), "auth.session_ended");
}

#[tokio::test]
async fn writes_in_a_session_need_the_page_they_come_from() {
    let world = furnished();
    let router = admin::router(world.state(ORIGIN));
    let (cookie, csrf) = sign_in(&router).await;
    let (_, other_csrf) = sign_in(&router).await;
    let order = json!({ "pool": "bank", "mode": "freeze" });
    type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);
    let cases: [Case<'_>; 8] = [
        (&[], 403, "csrf.origin"),
        (&[("origin", ORIGIN)], 403, "csrf.token"),
        (&[("origin", ORIGIN), ("gatehouse-csrf", "guess")], 403, "csrf.token"),
        (&[("origin", ORIGIN), ("gatehouse-csrf", &other_csrf)], 403, "csrf.token"),
        (&[("origin", "http://evil.example"), ("gatehouse-csrf", &csrf)], 403, "csrf.origin"),
        (&[("origin", "null"), ("gatehouse-csrf", &csrf)], 403, "csrf.origin"),
        (
            &[("origin", ORIGIN), ("sec-fetch-site", "same-site"), ("gatehouse-csrf", &csrf)],
            403,
            "csrf.origin",
        ),
        (&[("origin", ORIGIN), ("sec-fetch-site", "same-origin"), ("gatehouse-csrf", &csrf)], 200, ""),
    ];
    for (headers, status, reason) in cases {
        let headers: Vec<_> = headers.iter().copied().chain([("cookie", cookie.as_str())]).collect();
        let reply = send(&router, request("POST", "/api/v1/capacity", &headers, Some(order.clone()))).await;
        assert_eq!(reply.status, status, "{headers:?}");
        assert!(status == 200 || reply.reason() == reason, "{headers:?}: {}", reply.text());
    }
    assert_eq!(world.writes.load(std::sync::atomic::Ordering::SeqCst), 1);
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)] {
        let reply = send(
            &router,
            request("GET", "/api/v1/me", &[("cookie", &cookie), ("sec-fetch-site", site)], None),
        )
        .await;
        assert_eq!(reply.status, status, "reading from {site}");
    }
}

#[tokio::test]
async fn a_session_ends_by_log_out_by_time_and_by_revocation() {
    let world = furnished();
    let router = admin::router(world.state(ORIGIN));
    let (cookie, csrf) = sign_in(&router).await;
    let headers = [("cookie", cookie.as_str()), ("origin", ORIGIN), ("gatehouse-csrf", csrf.as_str())];
    let out = send(&router, request("POST", "/logout", &headers, None)).await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(me(&router, &cookie).await.status, 401);

    let (cookie, _) = sign_in(&router).await;
    world.advance(31 * 60_000);
    let ended = me(&router, &cookie).await;
    assert_eq!(ended.reason(), "auth.session_ended");
    assert!(ended.header("set-cookie").contains("Max-Age=0"), "the browser forgets it too");

    let (cookie, _) = sign_in(&router).await;
    world.revoked_tokens.lock().unwrap().insert("t-all".to_owned());
    assert_eq!(me(&router, &cookie).await.reason(), "auth.session_ended", "at once");
    world.revoked_tokens.lock().unwrap().clear();
    assert_eq!(me(&router, &cookie).await.status, 401, "and for good");
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_contain_it() {
    let router = admin::router(furnished().state(ORIGIN));
    for path in ["/", "/assets/console.js", "/login", "/callback", "/api/v1/me", "/nothing"] {
        let reply = send(&router, request("GET", path, &[], None)).await;
        let policy = reply.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("trusted-types 'none'"), "{path}");
        assert!(
            !policy.contains("unsafe-inline") && !policy.contains("unsafe-eval") && !policy.contains("http"),
            "{path}"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
        let cached = if path == "/" || path.starts_with("/assets") { "no-cache" } else { "no-store" };
        assert_eq!(reply.header("cache-control"), cached, "{path}");
    }
}

/// Reads events until one of `kind` comes.
async fn event(body: &mut axum::body::Body, text: &mut String, kind: &str) -> String {
    loop {
        while let Some(end) = text.find("\n\n") {
            let one: String = text.drain(..end + 2).collect();
            if one.lines().any(|line| line == format!("event: {kind}")) {
                return one;
            }
        }
        let frame = body.frame().await.expect("the stream goes on").unwrap();
        text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap_or_default()));
    }
}

#[tokio::test]
async fn the_stream_tells_what_happens_and_ends_with_the_token() {
    let world = furnished();
    let mut state = world.state(ORIGIN);
    state.settings.stream_recheck = std::time::Duration::from_millis(50);
    let router = admin::router(state);
    let open = request("GET", "/api/v1/stream", &[("authorization", "Bearer t-viewer")], None);
    let response = router.clone().oneshot(open).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut body, mut text) = (response.into_body(), String::new());
    assert!(event(&mut body, &mut text, "figures").await.contains("\"points\""));
    let capacity = event(&mut body, &mut text, "capacity").await;
    assert!(capacity.contains("squeeze suspicious") && capacity.contains("\"latest\":[]"), "{capacity}");
    for n in 0..40 {
        world.decide(records::read(&format!("r-{n}"), START_MS, 5));
    }
    world.decide(records::injection("i-1", START_MS));
    let told = event(&mut body, &mut text, "decisions").await;
    assert!(told.contains("\"i-1\"") && told.contains("\"skipped\":16"), "{told}");
    world.revoked_tokens.lock().unwrap().insert("t-viewer".to_owned());
    assert!(event(&mut body, &mut text, "end").await.contains("auth.revoked"));
    assert!(body.frame().await.is_none(), "nothing after the end");
}

#[tokio::test]
async fn streams_are_bounded_and_give_their_place_back() {
    let world = furnished();
    let mut state = world.state(ORIGIN);
    state.settings.streams_max = 2;
    let router = admin::router(state);
    let open = || async {
        let open = request("GET", "/api/v1/stream", &[("authorization", "Bearer t-viewer")], None);
        router.clone().oneshot(open).await.unwrap()
    };
    let (first, second, third) = (open().await, open().await, open().await);
    assert_eq!([first.status(), second.status(), third.status()].map(|s| s.as_u16()), [200, 200, 503]);
    drop(first);
    assert_eq!(open().await.status(), 200);
}
