use super::*;

const CREDENTIALS: [(&str, &str); 2] = [("grant_type", "client_credentials"), ("scope", "accounts:read")];

#[tokio::test]
async fn a_client_acts_for_itself_under_a_name_no_person_can_have() {
    let provider = Provider::start().await;
    let (status, tokens) = provider.post_as(DEMO_AGGREGATOR, "/token", &CREDENTIALS).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!((tokens["refresh_token"].is_null(), tokens["id_token"].is_null()), (true, true));
    let (_, claims) = provider.decode(text(&tokens, "access_token")).await;
    assert_eq!((text(&claims, "sub"), text(&claims, "scope")), ("client:demo-aggregator", "accounts:read"));
    assert_eq!((claims["acr"].is_null(), claims["sid"].is_null()), (true, true));
    for (client_id, scope, expected) in [
        (DEMO_WEB, "accounts:read", "unauthorized_client"),
        (DEMO_AGGREGATOR, "openid accounts:read", "invalid_scope"),
        (DEMO_AGGREGATOR, "payments:write", "invalid_scope"),
    ] {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let (_, error) = provider.post_as(client_id, "/token", &form).await;
        assert_eq!(text(&error, "error"), expected, "{client_id} {scope}");
    }
    let form = [("grant_type", "client_credentials"), ("client_id", DEMO_CLI)];
    assert_eq!(text(&provider.post("/token", &form).await.1, "error"), "unauthorized_client");
}

#[tokio::test]
async fn an_assertion_is_used_once() {
    let provider = Provider::start().await;
    let assertion = provider.assertion(DEMO_AGGREGATOR);
    assert_eq!(provider.post_with(&assertion, "/token", &CREDENTIALS).await.0, 200);
    let (status, error) = provider.post_with(&assertion, "/token", &CREDENTIALS).await;
    assert_eq!((status, text(&error, "error")), (401, "invalid_client"));
}

#[tokio::test]
async fn an_assertion_must_fit_in_every_claim() {
    let provider = Provider::start().await;
    let issuer = provider.issuer().to_owned();
    let token_endpoint = format!("{issuer}/token");
    let now_s = provider.now_s();
    for (claim, value, expected) in [
        ("aud", json!(token_endpoint), 200),
        ("aud", json!([issuer]), 200),
        ("aud", json!([issuer, "https://other.example"]), 401),
        ("aud", json!("https://other.example"), 401),
        ("aud", json!(format!("{issuer}/")), 401),
        ("aud", Value::Null, 401),
        ("iss", json!("demo-web"), 401),
        ("iss", json!("nobody"), 401),
        ("sub", json!("demo-web"), 401),
        ("exp", json!(now_s), 401),
        ("exp", json!(now_s + 301), 401),
        ("exp", json!(now_s + 300), 200),
        ("exp", Value::Null, 401),
        ("iat", json!(now_s + 11), 401),
        ("nbf", json!(now_s + 11), 401),
        ("jti", json!(""), 401),
        ("jti", json!("j".repeat(257)), 401),
        ("jti", Value::Null, 401),
    ] {
        let mut claims = provider.assertion_claims(DEMO_AGGREGATOR);
        claims[claim] = value.clone();
        let assertion = provider.aggregator.sign(&claims);
        let (status, _) = provider.post_with(&assertion, "/token", &CREDENTIALS).await;
        assert_eq!(status, expected, "{claim} = {value}");
    }
}

#[tokio::test]
async fn an_assertion_must_be_signed_by_that_client_with_es256() {
    let provider = Provider::start().await;
    let claims = provider.assertion_claims(DEMO_AGGREGATOR);
    let strangers = ClientKey::new().sign(&claims);
    let anothers = provider.web.sign(&claims);
    let public_key = EncodingKey::from_secret(provider.aggregator.public.to_string().as_bytes());
    let symmetric = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &public_key).unwrap();
    let good = provider.aggregator.sign(&claims);
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
    let mut own_key = Header::new(Algorithm::ES256);
    let stranger = ClientKey::new();
    own_key.jwk = serde_json::from_value(stranger.public.clone()).unwrap();
    let own_key = jsonwebtoken::encode(&own_key, &claims, &stranger.encoding).unwrap();
    let mut critical = Header::new(Algorithm::ES256);
    critical.crit = Some(vec!["unknown".to_owned()]);
    let critical = jsonwebtoken::encode(&critical, &claims, &provider.aggregator.encoding).unwrap();
    let mut access_token_type = Header::new(Algorithm::ES256);
    access_token_type.typ = Some("at+jwt".to_owned());
    let mistyped = jsonwebtoken::encode(&access_token_type, &claims, &provider.aggregator.encoding).unwrap();
    for (what, assertion) in [
        ("a stranger's key", strangers),
        ("another client's key", anothers),
        ("HS256 with the public key", symmetric),
        ("no signature", unsigned),
        ("a key it brings itself", own_key),
        ("an unknown critical header", critical),
        ("another type", mistyped),
        ("no token at all", "x".repeat(100)),
        ("far too long", "x".repeat(5000)),
    ] {
        let (status, error) = provider.post_with(&assertion, "/token", &CREDENTIALS).await;
        assert_eq!((status, text(&error, "error")), (401, "invalid_client"), "{what}");
    }
    assert_eq!(
        provider.post_with(&good, "/token", &CREDENTIALS).await.0,
        200,
        "none of them used the jti up"
    );
}

#[tokio::test]
async fn a_confidential_client_cannot_pass_as_a_public_one() {
    let provider = Provider::start().await;
    for form in [
        vec![("client_id", DEMO_WEB)],
        vec![("client_id", DEMO_AGGREGATOR)],
        vec![("client_id", DEMO_AGGREGATOR), ("client_secret", "guess")],
        vec![("client_id", "nobody")],
        vec![],
    ] {
        let mut form = form;
        form.extend(CREDENTIALS);
        let (status, error) = provider.post("/token", &form).await;
        assert_eq!((status, text(&error, "error")), (401, "invalid_client"), "{form:?}");
    }
    let mut mixed = CREDENTIALS.to_vec();
    mixed.push(("client_id", DEMO_CLI));
    assert_eq!(provider.post_as(DEMO_AGGREGATOR, "/token", &mixed).await.0, 401);
}

#[tokio::test]
async fn introspection_tells_only_those_who_may_know() {
    let provider = Provider::start().await;
    let tokens = provider.log_in("alice").await;
    let access_token = tokens.access_token.expose_secret();
    let (_, state) = provider.post_as(DEMO_WEB, "/introspect", &[("token", access_token)]).await;
    for (claim, expected) in [
        ("active", json!(true)),
        ("sub", json!("alice")),
        ("client_id", json!("demo-cli")),
        ("token_type", json!("Bearer")),
    ] {
        assert_eq!(state[claim], expected, "{claim}");
    }
    let (_, state) = provider.post_as(DEMO_AGGREGATOR, "/introspect", &[("token", access_token)]).await;
    assert_eq!(state, json!({ "active": false }), "another client's token");
    let public = [("client_id", DEMO_CLI), ("token", access_token)];
    assert_eq!(provider.post("/introspect", &public).await.0, 401);
    assert_eq!(provider.post("/introspect", &[("token", access_token)]).await.0, 401);
    let id_token = tokens.id_token.unwrap();
    let forged = format!("{}x", access_token);
    for dead in ["", "garbage", id_token.expose_secret(), &forged] {
        if !dead.is_empty() {
            assert!(!provider.is_active(dead).await, "{dead}");
        }
    }
    provider.pass(TOKEN_LIFETIME_MS);
    assert!(!provider.is_active(access_token).await, "expired");
}

#[tokio::test]
async fn userinfo_needs_a_live_access_token_with_scope_openid() {
    let provider = Provider::start().await;
    let tokens = provider.log_in("alice").await;
    let ask = |token: String| provider.http.get(provider.at("/userinfo")).bearer_auth(token).send();
    let answer: Value =
        ask(tokens.access_token.expose_secret().to_owned()).await.unwrap().json().await.unwrap();
    assert_eq!(answer, json!({ "sub": "alice", "name": "Alice Archer", "preferred_username": "alice" }));
    let script = LoginScript { scope: "accounts:read".to_owned(), ..provider.script("alice") };
    let without = script.run(&provider.http).await.unwrap().access_token;
    assert_eq!(ask(without.expose_secret().to_owned()).await.unwrap().status(), 403);
    let id_token = tokens.id_token.unwrap().expose_secret().to_owned();
    let refused = ask(id_token).await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), header(&refused, "www-authenticate")),
        (401, "Bearer error=\"invalid_token\"")
    );
    let nobody = provider.http.get(provider.at("/userinfo")).send().await.unwrap();
    assert_eq!((nobody.status().as_u16(), header(&nobody, "www-authenticate")), (401, "Bearer"));
}

#[tokio::test]
async fn bodies_are_bounded_forms_with_each_parameter_once() {
    let provider = Provider::start().await;
    let send = |content_type: &'static str, body: String| {
        provider.http.post(provider.at("/token")).header("content-type", content_type).body(body).send()
    };
    let form = "application/x-www-form-urlencoded";
    for (content_type, body, expected) in [
        ("application/json", "{}".to_owned(), 400),
        (form, "grant_type=refresh_token&grant_type=authorization_code".to_owned(), 400),
        (form, format!("grant_type={}", "x".repeat(17_000)), 413),
        (form, (0..100).map(|number| format!("p{number}=1&")).collect(), 400),
        (
            "application/x-www-form-urlencoded; charset=utf-8",
            "client_id=demo-cli&grant_type=password".to_owned(),
            400,
        ),
    ] {
        let response = send(content_type, body.clone()).await.unwrap();
        assert_eq!(response.status(), expected, "{content_type} {body:.60}");
    }
}
