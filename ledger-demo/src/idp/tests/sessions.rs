use axum::Router;
use axum::extract::State;
use axum::routing::post;
use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn a_session_spares_the_second_log_in_and_gives_each_client_its_own_sid() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    let first = provider.answer(&mut browser, "alice", DEMO_WEB, &[]).await;
    let silent = provider.answer(&mut browser, "alice", DEMO_WEB, &[("prompt", "none")]).await;
    let mut sids = Vec::new();
    for answer in [first, silent] {
        let (_, tokens) = provider.redeem(DEMO_WEB, &answer["code"]).await;
        sids.push(provider.decode(text(&tokens, "id_token")).await.1["sid"].clone());
    }
    assert_eq!(sids[0], sids[1]);
    let script = LoginScript { scope: "openid accounts:read".to_owned(), ..provider.script("alice") };
    let cli = script.run_in(&mut browser).await.unwrap();
    assert_ne!(provider.decode(cli.access_token.expose_secret()).await.1["sid"], sids[0]);
    provider.pass(8 * 3600 * 1000);
    let late = provider.answer(&mut browser, "alice", DEMO_WEB, &[("prompt", "none")]).await;
    assert_eq!(late["error"], "login_required");
}

#[tokio::test]
async fn a_step_up_demands_a_fresh_log_in_and_attests_it() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    let usual = "urn:gatehouse:acr:2fa";
    let stepped_up = "urn:gatehouse:acr:stepup";
    let mut sid = Value::Null;
    for (changes, fresh, acr) in [
        (vec![], true, usual),
        (vec![], false, usual),
        (vec![("acr_values", usual)], false, usual),
        (vec![("acr_values", stepped_up)], true, stepped_up),
        (vec![], false, usual),
        (vec![("max_age", "0")], true, stepped_up),
        (vec![("max_age", "60")], false, usual),
        (vec![("max_age", "59")], true, usual),
        (vec![("prompt", "login")], true, usual),
        (vec![("acr_values", "urn:unknown urn:gatehouse:acr:stepup")], true, stepped_up),
    ] {
        provider.pass(60_000);
        let answer = provider.answer(&mut browser, "alice", DEMO_WEB, &changes).await;
        let (_, tokens) = provider.redeem(DEMO_WEB, &answer["code"]).await;
        let (_, claims) = provider.decode(text(&tokens, "access_token")).await;
        let age_s = provider.now_s() - claims["auth_time"].as_i64().unwrap();
        assert_eq!((age_s == 0, text(&claims, "acr")), (fresh, acr), "{changes:?}");
        assert!(sid.is_null() || sid == claims["sid"], "the gateway keeps the session it knows: {changes:?}");
        sid = claims["sid"].clone();
    }
    for prompt_none in [("acr_values", stepped_up), ("max_age", "0")] {
        let changes = [prompt_none, ("prompt", "none")];
        let answer = provider.answer(&mut browser, "alice", DEMO_WEB, &changes).await;
        assert_eq!(answer["error"], "login_required");
    }
}

#[tokio::test]
async fn the_session_cookie_is_new_at_every_log_in() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    browser.set_cookie(&provider.url, "idp_session", "planted");
    provider.answer(&mut browser, "alice", DEMO_WEB, &[]).await;
    let first = browser.cookie(&provider.url, "idp_session").unwrap().to_owned();
    assert_ne!(first, "planted");
    provider.answer(&mut browser, "alice", DEMO_WEB, &[("prompt", "login")]).await;
    assert_ne!(browser.cookie(&provider.url, "idp_session").unwrap(), first);
    let mut thief = provider.browser();
    thief.set_cookie(&provider.url, "idp_session", &first);
    let answer = provider.answer(&mut thief, "alice", DEMO_WEB, &[("prompt", "none")]).await;
    assert_eq!(answer["error"], "login_required", "the old cookie is dead");
}

/// A stand-in for the gateway that passes on the logout tokens it receives.
async fn logout_receiver() -> (Url, mpsc::UnboundedReceiver<String>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let router = Router::new()
        .route(
            "/.gatehouse/backchannel-logout",
            post(async |State(sender): State<mpsc::UnboundedSender<String>>, body| {
                let _ = sender.send(body);
            }),
        )
        .with_state(sender);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, receiver)
}

async fn received(provider: &Provider, receiver: &mut mpsc::UnboundedReceiver<String>) -> (Header, Value) {
    let body = receiver.recv().await.unwrap();
    provider.decode(body.strip_prefix("logout_token=").unwrap()).await
}

fn logout_url(provider: &Provider, params: &[(&str, &str)]) -> Url {
    let mut url = provider.at("/logout");
    url.query_pairs_mut().extend_pairs(params);
    url
}

#[tokio::test]
async fn logging_out_ends_the_session_its_tokens_and_the_gateways_session() {
    let (gateway_url, mut receiver) = logout_receiver().await;
    let home = gateway_url.to_string();
    let mut provider = Provider::start_with_gateway(gateway_url).await;
    let mut browser = provider.browser();
    let answer = provider.answer(&mut browser, "alice", DEMO_WEB, &[]).await;
    let (_, tokens) = provider.redeem(DEMO_WEB, &answer["code"]).await;
    let offline = provider.script("alice").run_in(&mut browser).await.unwrap();
    let late = provider.answer(&mut browser, "alice", DEMO_WEB, &[]).await;
    let (_, id) = provider.decode(text(&tokens, "id_token")).await;

    let hint = text(&tokens, "id_token");
    let params = [("id_token_hint", hint), ("post_logout_redirect_uri", &home), ("state", "a b")];
    let response = browser.get(logout_url(&provider, &params)).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), header(&response, "location")),
        (303, format!("{home}?state=a+b").as_str())
    );

    let (token_header, claims) = received(&provider, &mut receiver).await;
    assert_eq!(token_header.typ.as_deref(), Some("logout+jwt"));
    assert_eq!((text(&claims, "aud"), text(&claims, "sub")), ("demo-web", "alice"));
    assert_eq!(claims["sid"], id["sid"]);
    assert!(claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
    assert!(claims["nonce"].is_null(), "so that it can never pass as an ID token");

    assert!(!provider.is_active(text(&tokens, "access_token")).await);
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    assert_eq!(provider.post_as(DEMO_WEB, "/token", &refresh).await.0, 400);
    assert_eq!(provider.redeem(DEMO_WEB, &late["code"]).await.0, 400, "a code from before");
    assert_eq!(
        provider.refresh_cli(&offline.refresh_token.unwrap(), &[]).await.0,
        200,
        "offline access stays"
    );
    assert!(browser.cookie(&provider.url, "idp_session").is_none());
    let mut told = Vec::new();
    while let Ok(revoked) = provider.revoked.try_recv() {
        told.push(revoked);
    }
    let session = Revoked::Session { sid: text(&id, "sid").to_owned(), subject: "alice".to_owned() };
    assert!(told.contains(&session), "{told:?}");
}

#[tokio::test]
async fn somebody_else_logging_in_ends_the_earlier_session() {
    let (gateway_url, mut receiver) = logout_receiver().await;
    let provider = Provider::start_with_gateway(gateway_url).await;
    let mut browser = provider.browser();
    provider.answer(&mut browser, "alice", DEMO_WEB, &[]).await;
    let answer = provider.answer(&mut browser, "bob", DEMO_WEB, &[("login_hint", "bob")]).await;
    let (_, claims) = received(&provider, &mut receiver).await;
    assert_eq!(claims["sub"], "alice");
    let (_, tokens) = provider.redeem(DEMO_WEB, &answer["code"]).await;
    let (_, id) = provider.decode(text(&tokens, "id_token")).await;
    assert_eq!(id["sub"], "bob");
    assert_ne!(id["sid"], claims["sid"]);
}

#[tokio::test]
async fn nobody_is_logged_out_by_a_link_and_nobody_is_sent_elsewhere() {
    let provider = Provider::start().await;
    let home = provider.gateway_url.to_string();
    let mut browser = provider.browser();
    provider.answer(&mut browser, "alice", DEMO_WEB, &[]).await;
    let answer = provider.answer(&mut provider.browser(), "mallory", DEMO_WEB, &[]).await;
    let (_, mallorys) = provider.redeem(DEMO_WEB, &answer["code"]).await;
    let mallorys_id = text(&mallorys, "id_token");
    for (params, expected) in [
        (vec![], 200),
        (vec![("id_token_hint", mallorys_id)], 200),
        (vec![("csrf", "guess")], 200),
        (vec![("client_id", DEMO_WEB), ("post_logout_redirect_uri", home.as_str())], 200),
        (vec![("post_logout_redirect_uri", home.as_str())], 400),
        (vec![("client_id", DEMO_WEB), ("post_logout_redirect_uri", "https://evil.example/")], 400),
        (vec![("id_token_hint", mallorys_id), ("post_logout_redirect_uri", "https://evil.example/")], 400),
        (vec![("client_id", DEMO_CLI), ("post_logout_redirect_uri", home.as_str())], 400),
        (
            vec![
                ("client_id", DEMO_CLI),
                ("id_token_hint", mallorys_id),
                ("post_logout_redirect_uri", home.as_str()),
            ],
            400,
        ),
        (vec![("id_token_hint", "garbage")], 400),
        (vec![("id_token_hint", text(&mallorys, "access_token"))], 400),
    ] {
        let response = browser.get(logout_url(&provider, &params)).await.unwrap();
        assert_eq!(response.status(), expected, "{params:?}");
        assert!(!response.headers().contains_key("location"), "{params:?}");
        let still = provider.answer(&mut browser, "alice", DEMO_WEB, &[("prompt", "none")]).await;
        assert!(still.contains_key("code"), "{params:?}");
    }
    let page = browser.get(provider.at("/logout")).await.unwrap().text().await.unwrap();
    let done = browser.post(provider.at("/logout"), &script::hidden_fields(&page)).await.unwrap();
    assert_eq!(done.status(), 200);
    let after = provider.answer(&mut browser, "alice", DEMO_WEB, &[("prompt", "none")]).await;
    assert_eq!(after["error"], "login_required", "the person said yes");
}
