use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;
use crate::seed;
use crate::testing::{NOW_S, SigningKey};
use crate::web::{Consent, ConsentsUnavailable};

const AUDIENCE: &str = "urn:gatehouse:demo-bank";

struct NoConsents;

impl Consents for NoConsents {
    fn list(&self, _: &str) -> Result<Vec<Consent>, ConsentsUnavailable> {
        Ok(Vec::new())
    }

    fn revoke(&self, _: &str, _: &str) -> Result<bool, ConsentsUnavailable> {
        Ok(false)
    }
}

async fn listener() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    (listener, url)
}

#[tokio::test]
async fn the_bank_serves_api_and_pages_to_whom_the_gateway_vouches_for() {
    let key = SigningKey::generate("k1");
    let (gateway, gateway_url) = listener().await;
    let keys = json!({"keys": [key.jwk()]});
    let routes = Router::new().route("/.gatehouse/jwks.json", get(move || async move { Json(keys) }));
    tokio::spawn(async move { axum::serve(gateway, routes).await });

    let db = sled::Config::new().temporary(true).open().unwrap();
    let bank = Arc::new(Bank::open(&db, NOW_S * 1_000).await.unwrap());
    seed::seed(&bank, seed::DEMO_SEED, NOW_S * 1_000).await.unwrap();
    let config = BankConfig {
        gateway_url: gateway_url.clone(),
        audience: AUDIENCE.to_owned(),
        web_client: "demo-web".to_owned(),
        people: Directory::open(&db).unwrap(),
        consents: Arc::new(NoConsents),
        form_key: FormKey::new(&[7; 32]),
        origins: Vec::new(),
        login_origins: Vec::new(),
        clock: Arc::new(|| NOW_S * 1_000),
        connections: Bounds { header_timeout: Duration::from_millis(500), ..CONNECTIONS },
    };
    let (listener, url) = listener().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, bank, config, async move {
        let _ = stopped.await;
    }));

    let issuer = gateway_url.as_str().trim_end_matches('/').to_owned();
    let identity = |client: &str, scope: &str| {
        key.sign(&json!({
            "iss": issuer, "aud": AUDIENCE, "sub": "alice", "iat": NOW_S, "exp": NOW_S + 60, "sid": "s1",
            "client_id": client, "scope": scope,
        }))
    };
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let ask = async |path: &str, identity: Option<String>| {
        let mut request = client.get(url.join(path).unwrap());
        if let Some(identity) = identity {
            request = request.header("gatehouse-identity", identity);
        }
        request.send().await.unwrap()
    };

    let accounts: Value =
        ask("/api/accounts", Some(identity("demo-cli", "accounts:read"))).await.json().await.unwrap();
    assert_eq!(accounts["accounts"][0]["id"], "alice-current");
    assert_eq!(ask("/api/accounts", None).await.status(), 401);
    assert_eq!(ask("/healthz", None).await.status(), 200);
    let login = ask("/accounts", None).await;
    assert!(login.status().is_redirection());
    let location = login.headers()["location"].to_str().unwrap();
    assert!(location.starts_with("/.gatehouse/login?return_to="), "{location}");
    let page = ask("/accounts", Some(identity("demo-web", ""))).await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("alice-current"));
    let third_party = ask("/transfer", Some(identity("demo-aggregator", "accounts:read"))).await;
    assert!(!third_party.status().is_success(), "{}", third_party.status());

    let mut silent = tokio::net::TcpStream::connect(url.socket_addrs(|| None).unwrap()[0]).await.unwrap();
    silent.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "half a header is cut off");

    // An open stream does not hold up the end.
    let stream = ask("/api/stream", Some(identity("demo-cli", "accounts:read"))).await;
    assert_eq!(stream.status(), 200);
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
    assert_eq!(stream.text().await.unwrap(), "");
}
