//! The provider over real sockets, as browsers, clients and attackers meet it.

mod clients;
mod code;
mod consent;
mod keys;
mod pages;
mod refresh;
mod sessions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use url::Url;

use super::client_auth::signature_only;
use super::script::{Browser, LoginScript, Tokens, client, code_challenge};
use super::*;
use crate::connections::Bounds;
use crate::people::Directory;

const START_MS: i64 = 1_800_000_000_000;
const AGGREGATOR_REDIRECT: &str = "https://aggregator.example/back";
const VERIFIER: &str = "a-verifier-of-more-than-forty-three-characters-0123456789";

/// A provider on a port of its own, with a clock that only tests move.
struct Provider {
    idp: Arc<Idp>,
    url: Url,
    gateway_url: Url,
    now_ms: Arc<AtomicI64>,
    web: ClientKey,
    aggregator: ClientKey,
    revoked: broadcast::Receiver<Revoked>,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

/// A client's private key and how it signs assertions.
struct ClientKey {
    encoding: EncodingKey,
    public: Value,
    assertions: AtomicU64,
}

impl ClientKey {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let encoding = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
        let public =
            serde_json::to_value(Jwk::from_encoding_key(&encoding, Algorithm::ES256).unwrap()).unwrap();
        Self { encoding, public, assertions: AtomicU64::new(0) }
    }

    fn sign(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &self.encoding).unwrap()
    }
}

impl Provider {
    async fn start() -> Self {
        Self::start_with_gateway(Url::parse("http://gateway.test:8080/").unwrap()).await
    }

    async fn start_with_gateway(gateway_url: Url) -> Self {
        Self::start_with(gateway_url, CONNECTIONS).await
    }

    async fn start_with(gateway_url: Url, bounds: Bounds) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = sled::open(folder.path()).unwrap();
        let people = Directory::open(&db).unwrap();
        people.seed_demo(START_MS).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let (web, aggregator) = (ClientKey::new(), ClientKey::new());
        let (sender, revoked) = broadcast::channel(64);
        let config = IdpConfig {
            issuer: url.clone(),
            gateway_url: gateway_url.clone(),
            demo_web_jwk: web.public.clone(),
            aggregator_jwk: aggregator.public.clone(),
            aggregator_redirect_uris: vec![AGGREGATOR_REDIRECT.to_owned()],
            revoked: Some(sender),
            announcer: None,
        };
        let now_ms = Arc::new(AtomicI64::new(START_MS));
        let read = Arc::clone(&now_ms);
        let clock: crate::Clock = Arc::new(move || read.load(Ordering::SeqCst));
        let idp = Idp::open(&db, people, config, clock).unwrap();
        tokio::spawn(serve(listener, Arc::clone(&idp), bounds, std::future::pending()));
        Self {
            idp,
            url,
            gateway_url,
            now_ms,
            web,
            aggregator,
            revoked,
            http: client(None).unwrap(),
            _folder: folder,
        }
    }

    fn at(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }

    fn issuer(&self) -> &str {
        self.idp.issuer()
    }

    fn pass(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    fn now_s(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst) / 1000
    }

    fn script(&self, username: &str) -> LoginScript {
        LoginScript::new(self.url.clone(), username)
    }

    fn browser(&self) -> Browser {
        Browser::new(self.http.clone())
    }

    async fn log_in(&self, username: &str) -> Tokens {
        self.script(username).run(&self.http).await.unwrap()
    }

    fn web_callback(&self) -> String {
        self.gateway_url.join("/.gatehouse/callback").unwrap().into()
    }

    /// A complete authorization request; `changes` replace parameters, an empty value removes one.
    fn authorize_url(&self, client_id: &str, changes: &[(&str, &str)]) -> Url {
        let callback = self.web_callback();
        let (redirect_uri, scope) = match client_id {
            DEMO_WEB => (callback.as_str(), "openid accounts:read"),
            DEMO_AGGREGATOR => (AGGREGATOR_REDIRECT, "accounts:read"),
            _ => ("http://127.0.0.1:8400/callback", "openid accounts:read"),
        };
        let challenge = code_challenge(VERIFIER);
        let mut params = BTreeMap::from([
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", redirect_uri),
            ("scope", scope),
            ("state", "the-state"),
            ("nonce", "the-nonce"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ]);
        params.extend(changes.iter().copied());
        params.retain(|_, value| !value.is_empty());
        let mut url = self.at("/authorize");
        url.query_pairs_mut().extend_pairs(params);
        url
    }

    /// Walks a request of a confidential client as `username` to the answer that its redirect carries.
    async fn answer(
        &self,
        browser: &mut Browser,
        username: &str,
        client_id: &str,
        changes: &[(&str, &str)],
    ) -> BTreeMap<String, String> {
        let callback = self.web_callback();
        let redirect_uri = if client_id == DEMO_WEB { &callback } else { AGGREGATOR_REDIRECT };
        let start = self.authorize_url(client_id, changes);
        let url = self.script(username).walk(browser, start, redirect_uri).await.unwrap();
        url.query_pairs().into_owned().collect()
    }

    fn key(&self, client_id: &str) -> &ClientKey {
        if client_id == DEMO_WEB { &self.web } else { &self.aggregator }
    }

    fn assertion_claims(&self, client_id: &str) -> Value {
        let number = self.key(client_id).assertions.fetch_add(1, Ordering::SeqCst);
        json!({
            "iss": client_id, "sub": client_id, "aud": self.issuer(),
            "exp": self.now_s() + 60, "iat": self.now_s(), "jti": format!("assertion-{number}"),
        })
    }

    fn assertion(&self, client_id: &str) -> String {
        self.key(client_id).sign(&self.assertion_claims(client_id))
    }

    /// Posts a form as a confidential client: status and JSON body, `null` where there is none.
    async fn post_as(&self, client_id: &str, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        self.post_with(&self.assertion(client_id), path, form).await
    }

    async fn post_with(&self, assertion: &str, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let mut form = form.to_vec();
        form.push(("client_assertion", assertion));
        form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
        self.post(path, &form).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let response = self.http.post(self.at(path)).form(form).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn redeem(&self, client_id: &str, code: &str) -> (u16, Value) {
        let callback = self.web_callback();
        let redirect_uri = if client_id == DEMO_WEB { &callback } else { AGGREGATOR_REDIRECT };
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", VERIFIER),
        ];
        self.post_as(client_id, "/token", &form).await
    }

    async fn refresh_cli(&self, refresh_token: &SecretString, extra: &[(&str, &str)]) -> (u16, Value) {
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("client_id", DEMO_CLI),
            ("refresh_token", refresh_token.expose_secret()),
        ];
        form.extend_from_slice(extra);
        self.post("/token", &form).await
    }

    async fn is_active(&self, access_token: &str) -> bool {
        let (status, state) = self.post_as(DEMO_WEB, "/introspect", &[("token", access_token)]).await;
        assert_eq!(status, 200, "{state}");
        state["active"].as_bool().unwrap()
    }

    /// Header and claims of a token, its signature checked with the published keys.
    async fn decode(&self, token: &str) -> (Header, Value) {
        let jwks = self.http.get(self.at("/jwks.json")).send().await.unwrap();
        let keys: jsonwebtoken::jwk::JwkSet = jwks.json().await.unwrap();
        let header = jsonwebtoken::decode_header(token).unwrap();
        let key = keys.find(header.kid.as_deref().unwrap()).expect("the key is published");
        let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
        (header, jsonwebtoken::decode(token, &key, &signature_only()).unwrap().claims)
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn header<'a>(response: &'a reqwest::Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}
