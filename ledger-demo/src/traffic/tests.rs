use std::collections::BTreeMap;
use std::net::SocketAddr;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::idp::{CONNECTIONS, Idp, IdpConfig, serve};
use crate::people::Directory;

/// What a stand-in for the gateway saw.
#[derive(Debug)]
struct Seen {
    from: IpAddr,
    subject: Option<String>,
    line: String,
    key: Option<String>,
    body: Value,
}

/// Answers as the gateway would and passes on what it saw. The first payment is challenged.
async fn gateway(
    State(seen): State<mpsc::UnboundedSender<Seen>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 65_536).await.unwrap_or_else(|_| Bytes::new());
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let token = header("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
    let claims = token.and_then(|token| jsonwebtoken::dangerous::insecure_decode::<Value>(token).ok());
    let claims = claims.map(|token| token.claims).unwrap_or_default();
    let line = format!("{} {}", parts.method, parts.uri);
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let _ = seen.send(Seen {
        from: peer.ip(),
        subject: claims["sub"].as_str().map(str::to_owned),
        line: line.clone(),
        key: header("idempotency-key"),
        body,
    });
    if line == "POST /api/transfers" && claims["acr"] != crate::idp::ACR_STEP_UP {
        let challenge =
            "Bearer error=\"insufficient_user_authentication\", acr_values=\"urn:gatehouse:acr:stepup\"";
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
    }
    let subject = claims["sub"].as_str().unwrap_or_default();
    let accounts =
        json!({ "accounts": [{ "id": format!("{subject}-current"), "available": 1_000_000 }], "next": null });
    axum::Json(accounts).into_response()
}

struct Theatre {
    gateway_url: Url,
    idp_url: Url,
    seen: mpsc::UnboundedReceiver<Seen>,
    _folder: tempfile::TempDir,
}

async fn theatre() -> Theatre {
    let (sender, seen) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway_url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let router = Router::new().fallback(gateway).with_state(sender);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let folder = tempfile::tempdir().unwrap();
    let db = sled::open(folder.path()).unwrap();
    let people = Directory::open(&db).unwrap();
    people.seed_demo(0).unwrap();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
    let jwk = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let idp_url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let config = IdpConfig {
        issuer: idp_url.clone(),
        gateway_url: gateway_url.clone(),
        demo_web_jwk: jwk.clone(),
        aggregator_jwk: jwk,
        aggregator_redirect_uris: Vec::new(),
        revoked: None,
        announcer: None,
    };
    let idp = Idp::open(&db, people, config, Arc::new(|| 1_800_000_000_000)).unwrap();
    tokio::spawn(serve(listener, idp, CONNECTIONS, std::future::pending()));
    Theatre { gateway_url, idp_url, seen, _folder: folder }
}

impl Theatre {
    /// Plays until `enough` is content with something seen.
    async fn play_until(&mut self, plan: Plan, mut enough: impl FnMut(Seen) -> bool) {
        let (stop, stopped) = oneshot::channel::<()>();
        let playing = tokio::spawn(play(plan, self.gateway_url.clone(), self.idp_url.clone(), async {
            let _ = stopped.await;
        }));
        while !enough(self.seen.recv().await.unwrap()) {}
        stop.send(()).unwrap();
        playing.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn customers_log_in_and_read_their_own_accounts() {
    let mut theatre = theatre().await;
    let mut readers = BTreeMap::<String, u32>::new();
    theatre
        .play_until(Plan::Calm, |seen| {
            assert_eq!(seen.from, IpAddr::from([127, 0, 0, 1]));
            *readers.entry(seen.subject.unwrap()).or_default() += 1;
            readers.len() == 3
        })
        .await;
    assert_eq!(readers.keys().collect::<Vec<_>>(), ["alice", "bob", "carol"]);
}

#[tokio::test]
async fn attackers_come_from_addresses_of_their_own_and_the_fraud_is_large() {
    let mut theatre = theatre().await;
    let (mut flooded, mut probed, mut defrauded) = (false, false, false);
    theatre
        .play_until(Plan::Attack, |seen| {
            match seen.from {
                from if from == IpAddr::from([127, 0, 0, 2]) => flooded = true,
                from if from == IpAddr::from([127, 0, 0, 3]) => probed = true,
                from if from == IpAddr::from([127, 0, 0, 4]) && seen.line == "POST /api/transfers" => {
                    assert_eq!(
                        (seen.subject.as_deref(), &seen.body["amount"]),
                        (Some("mallory"), &json!(900_000))
                    );
                    defrauded = true;
                }
                _ => assert!(!seen.line.contains("passwd"), "{seen:?}"),
            }
            flooded && probed && defrauded
        })
        .await;
}

#[tokio::test]
async fn an_honest_customer_steps_up_and_repeats_the_same_payment() {
    let mut theatre = theatre().await;
    let stage = Stage {
        gateway_url: theatre.gateway_url.clone(),
        idp_url: theatre.idp_url.clone(),
        tally: Arc::new(Tally::default()),
    };
    let mut alice = account::Account::log_in(&stage, &client_at(1).unwrap(), "alice").await.unwrap();
    let payment = account::Payment {
        from: "alice-current".to_owned(),
        to: "bob-current".to_owned(),
        amount_minor: 500,
        memo: "Thanks",
    };
    alice.pay(&payment, tally::Kind::Transfer, true).await;
    let (first, second) = (theatre.seen.recv().await.unwrap(), theatre.seen.recv().await.unwrap());
    assert!(first.key.is_some() && first.key == second.key);
    assert_eq!(first.body, second.body);
    assert_eq!(stage.tally.take_summary(), "logins 200×2, transfers 200×1 401×1");
    alice.pay(&payment, tally::Kind::Fraud, false).await;
    assert_eq!(stage.tally.take_summary(), "frauds 200×1", "the stepped-up token serves on");
}

#[tokio::test]
async fn a_traversal_goes_out_as_written() {
    let mut theatre = theatre().await;
    let outcome = raw::get(&theatre.gateway_url, loopback(3), "/a/../..%2fb").await;
    assert_eq!(outcome, tally::Outcome::Status(200));
    assert_eq!(theatre.seen.recv().await.unwrap().line, "GET /a/../..%2fb");
    let nobody = Url::parse("http://127.0.0.1:1").unwrap();
    assert_eq!(raw::get(&nobody, None, "/").await, tally::Outcome::NoAnswer);
}
