use super::*;

#[tokio::test]
async fn a_customer_logs_in_and_gets_tokens_that_say_so() {
    let provider = Provider::start().await;
    let tokens = provider.log_in("alice").await;
    let (header, claims) = provider.decode(tokens.access_token.expose_secret()).await;
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::ES256, Some("at+jwt")));
    for (claim, expected) in [
        ("iss", json!(provider.issuer())),
        ("sub", json!("alice")),
        ("aud", json!("urn:gatehouse:demo-bank")),
        ("client_id", json!("demo-cli")),
        ("scope", json!("accounts:read accounts:write offline_access openid payments:write profile")),
        ("iat", json!(START_MS / 1000)),
        ("exp", json!(START_MS / 1000 + 300)),
        ("acr", json!("urn:gatehouse:acr:2fa")),
        ("auth_time", json!(START_MS / 1000)),
        ("roles", Value::Null),
    ] {
        assert_eq!(claims[claim], expected, "{claim}");
    }
    assert!(!text(&claims, "jti").is_empty() && !text(&claims, "sid").is_empty());
    let (id_header, id) = provider.decode(tokens.id_token.unwrap().expose_secret()).await;
    assert_eq!(id_header.typ.as_deref(), Some("JWT"));
    assert_eq!(
        (text(&id, "aud"), text(&id, "sub"), text(&id, "name")),
        ("demo-cli", "alice", "Alice Archer")
    );
    assert_eq!(text(&id, "sid"), text(&claims, "sid"));
    assert_eq!(text(&id, "at_hash"), tokens::at_hash(tokens.access_token.expose_secret()));
    assert!(provider.is_active(tokens.access_token.expose_secret()).await);
}

#[tokio::test]
async fn the_gateway_gets_its_code_with_state_and_issuer_and_its_nonce_back() {
    let provider = Provider::start().await;
    let answer = provider.answer(&mut provider.browser(), "bob", DEMO_WEB, &[]).await;
    assert_eq!((answer["state"].as_str(), answer["iss"].as_str()), ("the-state", provider.issuer()));
    let (status, tokens) = provider.redeem(DEMO_WEB, &answer["code"]).await;
    assert_eq!(status, 200, "{tokens}");
    assert!(tokens["refresh_token"].is_string(), "the gateway's sessions outlive access tokens");
    let (_, id) = provider.decode(text(&tokens, "id_token")).await;
    assert_eq!((text(&id, "nonce"), text(&id, "aud")), ("the-nonce", "demo-web"));
}

#[tokio::test]
async fn a_code_is_worth_nothing_to_anybody_else() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    let other_verifier = VERIFIER.replace('0', "1");
    let callback = provider.web_callback();
    let good = [
        ("grant_type", "authorization_code"),
        ("redirect_uri", callback.as_str()),
        ("code_verifier", VERIFIER),
    ];
    for (what, client_id, changed, expected) in [
        ("another verifier", DEMO_WEB, ("code_verifier", other_verifier.as_str()), "invalid_grant"),
        (
            "the challenge as verifier",
            DEMO_WEB,
            ("code_verifier", &code_challenge(VERIFIER)),
            "invalid_grant",
        ),
        ("no verifier", DEMO_WEB, ("code_verifier", ""), "invalid_request"),
        ("another redirect_uri", DEMO_WEB, ("redirect_uri", "http://gateway.test:8080/"), "invalid_grant"),
        ("no redirect_uri", DEMO_WEB, ("redirect_uri", ""), "invalid_grant"),
        ("another client", DEMO_AGGREGATOR, ("code_verifier", VERIFIER), "invalid_grant"),
        ("another resource", DEMO_WEB, ("resource", "urn:gatehouse:admin"), "invalid_target"),
    ] {
        let answer = provider.answer(&mut browser, "alice", DEMO_WEB, &[]).await;
        let mut form = BTreeMap::from(good);
        form.insert("code", &answer["code"]);
        form.insert(changed.0, changed.1);
        let form: Vec<_> = form.into_iter().collect();
        let (status, error) = provider.post_as(client_id, "/token", &form).await;
        assert_eq!((status, text(&error, "error")), (400, expected), "{what}");
        let (status, error) = provider.redeem(DEMO_WEB, &answer["code"]).await;
        assert_eq!((status, text(&error, "error")), (400, "invalid_grant"), "{what}: the code is used up");
    }
}

#[tokio::test]
async fn a_code_lives_a_minute() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    for (age_ms, expected) in [(59_999, 200), (60_000, 400)] {
        let answer = provider.answer(&mut browser, "alice", DEMO_WEB, &[]).await;
        provider.pass(age_ms);
        assert_eq!(provider.redeem(DEMO_WEB, &answer["code"]).await.0, expected, "{age_ms} ms");
    }
}

#[tokio::test]
async fn using_a_code_twice_ends_what_it_gave() {
    let mut provider = Provider::start().await;
    let answer = provider.answer(&mut provider.browser(), "alice", DEMO_WEB, &[]).await;
    let (_, tokens) = provider.redeem(DEMO_WEB, &answer["code"]).await;
    let access_token = text(&tokens, "access_token");
    assert!(provider.is_active(access_token).await);
    let (status, error) = provider.redeem(DEMO_WEB, &answer["code"]).await;
    assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));
    assert!(!provider.is_active(access_token).await);
    let (_, claims) = provider.decode(access_token).await;
    let expires_ms = START_MS + TOKEN_LIFETIME_MS;
    assert_eq!(
        provider.revoked.try_recv().unwrap(),
        Revoked::Token { jti: text(&claims, "jti").to_owned(), expires_ms }
    );
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    assert_eq!(provider.post_as(DEMO_WEB, "/token", &refresh).await.0, 400);
}

#[tokio::test]
async fn two_at_once_do_not_both_get_tokens() {
    let provider = Provider::start().await;
    let answer = provider.answer(&mut provider.browser(), "alice", DEMO_WEB, &[]).await;
    let (first, second) =
        tokio::join!(provider.redeem(DEMO_WEB, &answer["code"]), provider.redeem(DEMO_WEB, &answer["code"]));
    assert!(first.0 == 400 || second.0 == 400);
    for (status, tokens) in [first, second] {
        if status == 200 {
            assert!(!provider.is_active(text(&tokens, "access_token")).await, "the other's use ended it");
        }
    }
}

#[tokio::test]
async fn what_is_not_certain_is_never_redirected() {
    let provider = Provider::start().await;
    for (client_id, name, value) in [
        (DEMO_WEB, "redirect_uri", "https://evil.example/"),
        (DEMO_WEB, "redirect_uri", "http://gateway.test:8080/.gatehouse/callback/"),
        (DEMO_WEB, "redirect_uri", "http://gateway.test:8080/.gatehouse/callback?next=https://evil.example"),
        (DEMO_WEB, "redirect_uri", "http://gateway.test:8080@evil.example/.gatehouse/callback"),
        (DEMO_WEB, "redirect_uri", "HTTP://gateway.test:8080/.gatehouse/callback"),
        (DEMO_WEB, "redirect_uri", "http://gateway.test:8080/.gatehouse/../callback"),
        (DEMO_WEB, "redirect_uri", "http://127.0.0.1:8400/callback"),
        (DEMO_WEB, "redirect_uri", ""),
        (DEMO_CLI, "redirect_uri", "http://127.0.0.1:8400/other"),
        (DEMO_CLI, "redirect_uri", "http://localhost:8400/callback"),
        (DEMO_CLI, "redirect_uri", "javascript:alert(1)"),
        (DEMO_WEB, "client_id", "nobody"),
        (DEMO_WEB, "client_id", ""),
        (DEMO_WEB, "request_uri", "urn:ietf:params:oauth:request_uri:unknown"),
    ] {
        let url = provider.authorize_url(client_id, &[(name, value)]);
        let response = provider.http.get(url).send().await.unwrap();
        assert_eq!(response.status(), 400, "{name}={value}");
        assert!(!response.headers().contains_key("location"), "{name}={value}");
    }
    let mut twice = provider.authorize_url(DEMO_WEB, &[]);
    twice.query_pairs_mut().append_pair("redirect_uri", "https://evil.example/");
    assert_eq!(provider.http.get(twice).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn what_does_not_fit_is_told_to_the_client() {
    let provider = Provider::start().await;
    let long = "x".repeat(1025);
    for (client_id, name, value, expected) in [
        (DEMO_WEB, "response_type", "token", "unsupported_response_type"),
        (DEMO_WEB, "response_type", "", "invalid_request"),
        (DEMO_WEB, "response_mode", "fragment", "invalid_request"),
        (DEMO_WEB, "code_challenge", "", "invalid_request"),
        (DEMO_WEB, "code_challenge", "short", "invalid_request"),
        (DEMO_WEB, "code_challenge_method", "plain", "invalid_request"),
        (DEMO_WEB, "code_challenge_method", "", "invalid_request"),
        (DEMO_WEB, "scope", "", "invalid_scope"),
        (DEMO_WEB, "scope", "openid everything", "invalid_scope"),
        (DEMO_WEB, "scope", "openid admin", "invalid_scope"),
        (DEMO_CLI, "scope", "openid admin", "invalid_scope"),
        (DEMO_AGGREGATOR, "scope", "payments:write", "invalid_scope"),
        (DEMO_WEB, "resource", "https://evil.example", "invalid_target"),
        (DEMO_WEB, "request", "e30.e30.", "request_not_supported"),
        (DEMO_WEB, "request_uri", "https://evil.example/request", "invalid_request_uri"),
        (DEMO_WEB, "prompt", "none login", "invalid_request"),
        (DEMO_WEB, "prompt", "none", "login_required"),
        (DEMO_WEB, "max_age", "-1", "invalid_request"),
        (DEMO_WEB, "acr_values", "urn:other", "unmet_authentication_requirements"),
        (DEMO_WEB, "nonce", &long, "invalid_request"),
    ] {
        let url = provider.authorize_url(client_id, &[(name, value)]);
        let redirect_uri = url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
        let response = provider.http.get(url.clone()).send().await.unwrap();
        assert_eq!(response.status(), 303, "{name}={value}");
        let target = Url::parse(header(&response, "location")).unwrap();
        assert_eq!(target.as_str().split('?').next(), Some(redirect_uri.as_str()), "{name}={value}");
        let answer: BTreeMap<_, _> = target.query_pairs().into_owned().collect();
        assert_eq!(answer["error"], expected, "{name}={value}");
        assert_eq!((answer["state"].as_str(), answer["iss"].as_str()), ("the-state", provider.issuer()));
    }
}

#[tokio::test]
async fn only_staff_get_admin_tokens_and_with_their_roles() {
    let provider = Provider::start().await;
    for (username, roles) in [("olivia", "operator"), ("ana", "analyst"), ("petra", "approver")] {
        let tokens = LoginScript::admin(provider.url.clone(), username).run(&provider.http).await.unwrap();
        let (_, claims) = provider.decode(tokens.access_token.expose_secret()).await;
        assert_eq!(claims["aud"], "urn:gatehouse:admin");
        assert_eq!(claims["roles"], json!([roles, "viewer"]));
    }
    let refused = LoginScript::admin(provider.url.clone(), "alice").run(&provider.http).await;
    assert!(matches!(refused, Err(script::ScriptError::Returned(error)) if error == "access_denied"));
    let bank = provider.log_in("olivia").await;
    let (_, claims) = provider.decode(bank.access_token.expose_secret()).await;
    assert_eq!(claims["roles"], Value::Null, "no roles for a command line at the bank's API");
    for (username, roles) in [("olivia", json!(["operator", "viewer"])), ("alice", Value::Null)] {
        let answer = provider.answer(&mut provider.browser(), username, DEMO_WEB, &[]).await;
        let (_, tokens) = provider.redeem(DEMO_WEB, &answer["code"]).await;
        for token in ["access_token", "id_token"] {
            let (_, claims) = provider.decode(text(&tokens, token)).await;
            assert_eq!(claims["roles"], roles, "the bank's own pages know staff: {username} {token}");
        }
    }
}

#[tokio::test]
async fn a_pushed_request_is_used_once_by_its_client_within_a_minute() {
    let provider = Provider::start().await;
    let url = provider.authorize_url(DEMO_WEB, &[]);
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let form: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut browser = provider.browser();
    let start = |client_id: &str, request_uri: &str| {
        let mut url = provider.at("/authorize");
        url.query_pairs_mut().append_pair("client_id", client_id).append_pair("request_uri", request_uri);
        url
    };

    let (status, pushed) = provider.post_as(DEMO_WEB, "/par", &form).await;
    assert_eq!((status, pushed["expires_in"].as_i64()), (201, Some(60)));
    let request = start(DEMO_WEB, text(&pushed, "request_uri"));
    let back = provider.script("alice").walk(&mut browser, request.clone(), &provider.web_callback()).await;
    let answer: BTreeMap<_, _> = back.unwrap().query_pairs().into_owned().collect();
    assert_eq!(provider.redeem(DEMO_WEB, &answer["code"]).await.0, 200);
    assert_eq!(provider.http.get(request).send().await.unwrap().status(), 400, "used");

    let (_, pushed) = provider.post_as(DEMO_WEB, "/par", &form).await;
    let others = start(DEMO_CLI, text(&pushed, "request_uri"));
    assert_eq!(provider.http.get(others).send().await.unwrap().status(), 400, "another client");

    let (_, pushed) = provider.post_as(DEMO_WEB, "/par", &form).await;
    provider.pass(60_000);
    let late = start(DEMO_WEB, text(&pushed, "request_uri"));
    assert_eq!(provider.http.get(late).send().await.unwrap().status(), 400, "too late");

    assert_eq!(provider.post("/par", &form).await.0, 401, "without authentication");
    assert_eq!(provider.post_as(DEMO_AGGREGATOR, "/par", &form).await.0, 401, "as another client");
    let wrong: Vec<_> = form.iter().copied().filter(|(name, _)| *name != "redirect_uri").collect();
    let (status, error) = provider.post_as(DEMO_WEB, "/par", &wrong).await;
    assert_eq!((status, text(&error, "error")), (400, "invalid_request"));
}
