use super::*;

async fn kids(provider: &Provider) -> Vec<String> {
    let jwks: Value =
        provider.http.get(provider.at("/jwks.json")).send().await.unwrap().json().await.unwrap();
    let keys = jwks["keys"].as_array().unwrap();
    for key in keys {
        assert_eq!((text(key, "kty"), text(key, "crv"), text(key, "use")), ("EC", "P-256", "sig"));
        assert_eq!(text(key, "alg"), "ES256");
        assert!(key["d"].is_null(), "never the private part");
    }
    keys.iter().map(|key| text(key, "kid").to_owned()).collect()
}

async fn signing_kid(provider: &Provider) -> String {
    let tokens = provider.log_in("alice").await;
    jsonwebtoken::decode_header(tokens.access_token.expose_secret()).unwrap().kid.unwrap()
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs_and_the_old_one_stays_until_its_tokens_are_dead() {
    let provider = Provider::start().await;
    let old = kids(&provider).await;
    assert_eq!(old.len(), 1);
    provider.idp.rotate_keys().unwrap();
    provider.idp.rotate_keys().unwrap();
    let both = kids(&provider).await;
    assert_eq!(both.len(), 2, "a second call while one waits makes none");
    assert_eq!(signing_kid(&provider).await, old[0], "the new one is only published yet");

    provider.pass(PUBLISHED_AHEAD_MS - 1_000);
    let last_of_old = provider.log_in("alice").await;
    assert_eq!(signing_kid(&provider).await, old[0]);
    provider.pass(1_000);
    let new = signing_kid(&provider).await;
    assert_ne!(new, old[0]);
    assert!(provider.is_active(last_of_old.access_token.expose_secret()).await);
    provider.pass(TOKEN_LIFETIME_MS - 1_001);
    provider.idp.tend().unwrap();
    assert!(provider.is_active(last_of_old.access_token.expose_secret()).await, "to its last moment");
    provider.pass(TOKEN_LIFETIME_MS + 1_001);
    provider.idp.tend().unwrap();
    assert_eq!(kids(&provider).await, [new]);
}

#[tokio::test]
async fn a_month_old_key_is_rotated_by_itself() {
    let provider = Provider::start().await;
    provider.pass(31 * 24 * 3600 * 1000);
    provider.idp.tend().unwrap();
    assert_eq!(kids(&provider).await.len(), 2);
}

#[tokio::test]
async fn keys_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let clock: crate::Clock = Arc::new(|| START_MS);
    let key = ClientKey::new();
    let config = || IdpConfig {
        issuer: Url::parse("http://127.0.0.1:7002").unwrap(),
        gateway_url: Url::parse("http://127.0.0.1:8080").unwrap(),
        demo_web_jwk: key.public.clone(),
        aggregator_jwk: key.public.clone(),
        aggregator_redirect_uris: Vec::new(),
        revoked: None,
        announcer: None,
    };
    let open = || {
        let db = sled::open(folder.path()).unwrap();
        Idp::open(&db, Directory::open(&db).unwrap(), config(), Arc::clone(&clock)).unwrap()
    };
    let before = open();
    assert_eq!(before.issuer(), "http://127.0.0.1:7002");
    let keys = before.keys.published(START_MS);
    drop(before);
    assert_eq!(open().keys.published(START_MS), keys);
}

#[test]
fn a_configuration_that_cannot_work_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let db = sled::open(folder.path()).unwrap();
    let key = ClientKey::new();
    let open = |issuer: &str, jwk: Value| {
        let config = IdpConfig {
            issuer: Url::parse(issuer).unwrap(),
            gateway_url: Url::parse("http://127.0.0.1:8080").unwrap(),
            demo_web_jwk: key.public.clone(),
            aggregator_jwk: jwk,
            aggregator_redirect_uris: Vec::new(),
            revoked: None,
            announcer: None,
        };
        let clock: crate::Clock = Arc::new(|| START_MS);
        Idp::open(&db, Directory::open(&db).unwrap(), config, clock).err().map(|error| error.to_string())
    };
    let about_key = Some("the public key of client demo-aggregator is not an EC P-256 JWK".to_owned());
    assert_eq!(open("http://127.0.0.1:7002", key.public.clone()), None);
    assert_eq!(open("http://127.0.0.1:7002", json!({ "kty": "oct", "k": "AA" })), about_key);
    assert_eq!(open("http://127.0.0.1:7002", json!({})), about_key);
    assert!(open("mailto:somebody", key.public.clone()).unwrap().starts_with("issuer"));
}

#[tokio::test]
async fn discovery_says_what_there_is_and_every_address_answers() {
    let provider = Provider::start().await;
    let mut documents = Vec::new();
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        documents
            .push(provider.http.get(provider.at(path)).send().await.unwrap().json::<Value>().await.unwrap());
    }
    assert_eq!(documents[0], documents[1]);
    assert_eq!(text(&documents[0], "issuer"), provider.issuer());
    assert_eq!(documents[0]["authorization_response_iss_parameter_supported"], true);
    let addresses: Vec<_> = documents[0]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri")
        .map(|(_, address)| address.as_str().unwrap())
        .collect();
    assert_eq!(addresses.len(), 8);
    for address in addresses {
        let response = provider.http.get(address).send().await.unwrap();
        assert_ne!(response.status(), 404, "{address}");
    }
}
