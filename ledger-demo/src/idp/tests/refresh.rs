use super::*;

#[tokio::test]
async fn a_refresh_token_is_replaced_at_every_use() {
    let provider = Provider::start().await;
    let tokens = provider.log_in("alice").await;
    let mut current = tokens.refresh_token.unwrap();
    let (_, first) = provider.decode(tokens.access_token.expose_secret()).await;
    for _ in 0..3 {
        provider.pass(60_000);
        let (status, renewed) = provider.refresh_cli(&current, &[]).await;
        assert_eq!(status, 200, "{renewed}");
        let next = SecretString::from(text(&renewed, "refresh_token"));
        assert_ne!(next.expose_secret(), current.expose_secret());
        let (_, claims) = provider.decode(text(&renewed, "access_token")).await;
        for same in ["sub", "aud", "sid", "acr", "auth_time", "scope"] {
            assert_eq!(claims[same], first[same], "{same}");
        }
        assert_ne!(claims["jti"], first["jti"]);
        current = next;
    }
}

#[tokio::test]
async fn an_old_refresh_token_used_again_ends_the_whole_family() {
    let mut provider = Provider::start().await;
    let tokens = provider.log_in("alice").await;
    let stolen = tokens.refresh_token.clone().unwrap();
    let (_, renewed) = provider.refresh_cli(&stolen, &[]).await;
    let (_, again) = provider.refresh_cli(&SecretString::from(text(&renewed, "refresh_token")), &[]).await;
    let (status, error) = provider.refresh_cli(&stolen, &[]).await;
    assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));
    let owner = SecretString::from(text(&again, "refresh_token"));
    assert_eq!(provider.refresh_cli(&owner, &[]).await.0, 400, "the newest one is dead too");
    let mut told = 0;
    while provider.revoked.try_recv().is_ok() {
        told += 1;
    }
    assert_eq!(told, 3);
    for access_token in
        [tokens.access_token.expose_secret(), text(&renewed, "access_token"), text(&again, "access_token")]
    {
        assert!(!provider.is_active(access_token).await);
    }
}

#[tokio::test]
async fn a_refresh_narrows_and_never_widens() {
    let provider = Provider::start().await;
    let script =
        LoginScript { scope: "openid accounts:read offline_access".to_owned(), ..provider.script("bob") };
    let mut current = script.run(&provider.http).await.unwrap().refresh_token.unwrap();
    for (extra, expected) in [
        (("scope", "accounts:read"), Ok("accounts:read")),
        (("scope", "accounts:read payments:write"), Err("invalid_scope")),
        (("scope", "admin"), Err("invalid_scope")),
        (("resource", "urn:gatehouse:admin"), Err("invalid_target")),
        (("resource", "urn:gatehouse:demo-bank"), Ok("accounts:read offline_access openid")),
    ] {
        let (_, answer) = provider.refresh_cli(&current, &[extra]).await;
        match expected {
            Ok(scope) => {
                assert_eq!(text(&answer, "scope"), scope, "{extra:?}");
                current = SecretString::from(text(&answer, "refresh_token"));
            }
            Err(error) => assert_eq!(text(&answer, "error"), error, "{extra:?}"),
        }
    }
}

#[tokio::test]
async fn refresh_tokens_are_for_their_client_their_time_and_only_when_asked_for() {
    let provider = Provider::start().await;
    let tokens = provider.log_in("alice").await;
    let refresh_token = tokens.refresh_token.unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
    let (status, error) = provider.post_as(DEMO_WEB, "/token", &form).await;
    assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));
    for garbage in ["", ".", "x.y", "no-dot"] {
        assert_eq!(provider.refresh_cli(&SecretString::from(garbage), &[]).await.0, 400, "{garbage:?}");
    }
    provider.pass(30 * 24 * 3600 * 1000);
    assert_eq!(provider.refresh_cli(&refresh_token, &[]).await.0, 400, "a month later");
    let online = LoginScript { scope: "openid accounts:read".to_owned(), ..provider.script("alice") };
    assert!(online.run(&provider.http).await.unwrap().refresh_token.is_none());
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_access_tokens_and_only_its_client_may() {
    let provider = Provider::start().await;
    let tokens = provider.log_in("alice").await;
    let (access_token, refresh_token) = (tokens.access_token, tokens.refresh_token.unwrap());
    for token in [&access_token, &refresh_token] {
        let (status, error) =
            provider.post_as(DEMO_AGGREGATOR, "/revoke", &[("token", token.expose_secret())]).await;
        assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));
    }
    assert!(provider.is_active(access_token.expose_secret()).await);
    let form = [("client_id", DEMO_CLI), ("token", refresh_token.expose_secret())];
    assert_eq!(provider.post("/revoke", &form).await.0, 200);
    assert!(!provider.is_active(access_token.expose_secret()).await);
    assert_eq!(provider.refresh_cli(&refresh_token, &[]).await.0, 400);
    assert_eq!(provider.post("/revoke", &[("client_id", DEMO_CLI), ("token", "unknown")]).await.0, 200);
}

#[tokio::test]
async fn revoking_an_access_token_leaves_its_refresh_token() {
    let provider = Provider::start().await;
    let tokens = provider.log_in("alice").await;
    let form = [("client_id", DEMO_CLI), ("token", tokens.access_token.expose_secret())];
    assert_eq!(provider.post("/revoke", &form).await.0, 200);
    assert!(!provider.is_active(tokens.access_token.expose_secret()).await);
    let userinfo =
        provider.http.get(provider.at("/userinfo")).bearer_auth(tokens.access_token.expose_secret());
    assert_eq!(userinfo.send().await.unwrap().status(), 401);
    assert_eq!(provider.refresh_cli(&tokens.refresh_token.unwrap(), &[]).await.0, 200);
}

#[tokio::test]
async fn a_refresh_token_used_twice_at_once_ends_the_family() {
    let provider = Provider::start().await;
    let token = provider.log_in("alice").await.refresh_token.unwrap();
    let (first, second) = tokio::join!(provider.refresh_cli(&token, &[]), provider.refresh_cli(&token, &[]));
    assert_eq!((first.0.min(second.0), first.0.max(second.0)), (200, 400));
    let renewed = if first.0 == 200 { first.1 } else { second.1 };
    assert!(!provider.is_active(text(&renewed, "access_token")).await);
    let next = SecretString::from(text(&renewed, "refresh_token"));
    assert_eq!(provider.refresh_cli(&next, &[]).await.0, 400);
}

#[tokio::test]
async fn nobody_revokes_without_saying_who_they_are() {
    let provider = Provider::start().await;
    let tokens = provider.log_in("alice").await;
    let token = tokens.access_token.expose_secret();
    for form in [vec![("token", token)], vec![("token", token), ("client_id", DEMO_WEB)]] {
        assert_eq!(provider.post("/revoke", &form).await.0, 401);
    }
    assert!(provider.is_active(token).await);
}
