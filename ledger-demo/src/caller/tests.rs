use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::testing::{NOW_S, SigningKey};

const ISSUER: &str = "http://gateway.test";
const AUDIENCE: &str = "urn:gatehouse:demo-bank";

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW_S, "exp": NOW_S + 60,
        "scope": "accounts:read payments:write", "client_id": "demo-cli", "acr": "urn:x", "sid": "s1", "roles": ["viewer"],
    })
}

fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn headers(tokens: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for token in tokens {
        headers.append(IDENTITY_HEADER, HeaderValue::from_str(token).unwrap());
    }
    headers
}

fn clock() -> Clock {
    Arc::new(|| NOW_S * 1_000)
}

fn verifier(key: &SigningKey) -> CallerVerifier {
    CallerVerifier::with_keys(ISSUER, AUDIENCE, [(key.kid.clone(), key.decoding())], clock())
}

#[tokio::test]
async fn a_good_identity_says_who_calls() {
    let key = SigningKey::generate("k1");
    let caller = verifier(&key).caller(&headers(&[&key.sign(&claims())])).await.unwrap();
    assert_eq!(caller.subject.as_str(), "alice");
    assert!(caller.has_scope("payments:write") && caller.has_scope("accounts:read"));
    assert!(!caller.has_scope("accounts") && !caller.has_scope("accounts:write"));
    assert_eq!(caller.client_id.as_deref(), Some("demo-cli"));
    assert_eq!(caller.session_id.as_deref(), Some("s1"));
    assert_eq!(caller.roles, ["viewer"]);
    assert_eq!(caller.expires_ms, (NOW_S + 60) * 1_000);
}

#[tokio::test]
async fn every_other_identity_is_nobody() {
    let key = SigningKey::generate("k1");
    let stranger = SigningKey::generate("k1");
    let unknown = SigningKey::generate("k2");
    let good = key.sign(&claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k1"}"#),
        signed.split('.').nth(1).unwrap()
    );
    let hmac = jsonwebtoken::encode(
        &Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) },
        &claims(),
        &EncodingKey::from_secret(b"guess"),
    )
    .unwrap();
    let critical = key.sign_with(Header { crit: Some(vec!["exp".to_owned()]), ..key.header() }, &claims());
    let nameless = key.sign_with(Header { kid: None, ..key.header() }, &claims());
    let mut cases: Vec<(&str, String)> = vec![
        ("another's key under our key id", stranger.sign(&claims())),
        ("an unknown key id", unknown.sign(&claims())),
        ("no signature", none),
        ("a shared secret", hmac),
        ("a critical extension", critical),
        ("no key id", nameless),
        ("no token", "alice".to_owned()),
        ("nothing", String::new()),
        ("too long", format!("{good}{}", "a".repeat(TOKEN_BYTES_MAX))),
        ("cut short", signed.to_owned()),
    ];
    for (name, changes) in [
        ("another issuer", json!({"iss": "http://gateway.test.evil"})),
        ("no issuer", json!({"iss": null})),
        ("another audience", json!({"aud": "urn:gatehouse:admin"})),
        ("no audience", json!({"aud": null})),
        ("no subject", json!({"sub": null})),
        ("a client, not a customer", json!({"sub": "client:demo-aggregator"})),
        ("a subject with a path", json!({"sub": "../alice"})),
        ("expired", json!({"exp": NOW_S - 5})),
        ("no end", json!({"exp": null})),
        ("endless", json!({"exp": NOW_S + 301})),
        ("issued in the future", json!({"iat": NOW_S + 6})),
        ("not yet good", json!({"nbf": NOW_S + 6})),
        ("too many scopes", json!({"scope": "a ".repeat(65)})),
    ] {
        cases.push((name, key.sign(&with(changes))));
    }
    let verifier = verifier(&key);
    for (name, token) in cases {
        let told = verifier.caller(&headers(&[&token])).await;
        assert!(matches!(told, Err(Unidentified::Rejected(_))), "{name}: {told:?}");
    }
    assert_eq!(verifier.caller(&HeaderMap::new()).await, Err(Unidentified::Missing));
    let twice = verifier.caller(&headers(&[&good, &good])).await;
    assert!(matches!(twice, Err(Unidentified::Rejected(_))), "sent twice: {twice:?}");
}

/// A gateway that hands out whatever keys it has now, and counts.
async fn gateway(keys: Arc<parking_lot::Mutex<Value>>, fetches: Arc<AtomicUsize>) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let answer = move || {
        fetches.fetch_add(1, Ordering::SeqCst);
        let keys = keys.lock().clone();
        async move { Json(keys) }
    };
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/.gatehouse/jwks.json", get(answer))).await
    });
    url
}

#[tokio::test]
async fn keys_are_fetched_once_renewed_and_dropped_when_withdrawn() {
    let (old, new) = (SigningKey::generate("old"), SigningKey::generate("new"));
    let keys = Arc::new(parking_lot::Mutex::new(json!({"keys": [old.jwk()]})));
    let fetches = Arc::new(AtomicUsize::new(0));
    let url = gateway(keys.clone(), fetches.clone()).await;
    let now_ms = Arc::new(AtomicI64::new(NOW_S * 1_000));
    let clock: Clock = {
        let now_ms = now_ms.clone();
        Arc::new(move || now_ms.load(Ordering::SeqCst))
    };
    let verifier = CallerVerifier::fetching(&url, AUDIENCE, clock).unwrap();
    let issuer = url.as_str().trim_end_matches('/').to_owned();
    let ask = async |key: &SigningKey| {
        let now_s = now_ms.load(Ordering::SeqCst) / 1_000;
        let token = key.sign(&with(json!({"iss": issuer, "iat": now_s, "exp": now_s + 60})));
        verifier.caller(&headers(&[&token])).await.map(|_| ())
    };

    // Many at once, one fetch.
    let answers = futures_util::future::join_all((0..20).map(|_| ask(&old))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(fetches.load(Ordering::SeqCst), 1);

    // Unknown key ids do not make it fetch again at once, and do once the pause is over.
    for _ in 0..5 {
        assert!(ask(&new).await.is_err());
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    *keys.lock() = json!({"keys": [old.jwk(), new.jwk()]});
    now_ms.fetch_add(3_000, Ordering::SeqCst);
    ask(&new).await.unwrap();
    assert_eq!(fetches.load(Ordering::SeqCst), 2);

    // A key that the gateway no longer shows is forgotten when the set is renewed.
    *keys.lock() = json!({"keys": [new.jwk()]});
    ask(&old).await.unwrap();
    now_ms.fetch_add(11 * 60 * 1_000, Ordering::SeqCst);
    assert!(ask(&old).await.is_err());
    ask(&new).await.unwrap();

    // A gateway that shows nothing usable leaves the keys as they are, for an hour at most.
    *keys.lock() = json!({"keys": []});
    now_ms.fetch_add(30 * 60 * 1_000, Ordering::SeqCst);
    ask(&new).await.unwrap();
    now_ms.fetch_add(40 * 60 * 1_000, Ordering::SeqCst);
    assert_eq!(ask(&new).await, Err(Unidentified::KeysUnavailable));
}
