//! The stage against issuers that lie, fail and are attacked; what an attacker sends stands in `tests/cases/identity/`, which
//! `attacks` runs.

mod attacks;
mod browser;
mod dpop;
mod fake_issuer;
mod issuer_faults;
mod login;
mod opaque;
mod revoking;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use policies::facts::Identity;
use serde_json::{Value, json};
use url::Url;

use self::fake_issuer::FakeIssuer;
use super::config::{RawApplicationIdentity, RawIssuer, application, issuer};
use super::signing::SigningKey;
use super::*;
use crate::outbound::Bounds as OutboundBounds;
use crate::stores::{Bounds as StoreBounds, MemoryHot, MemoryRecords};

/// The time of every test, Unix milliseconds and seconds.
const NOW_MS: i64 = 1_800_000_000_000;
const NOW_S: i64 = NOW_MS / 1000;
const AUDIENCE: &str = "urn:test:bank";
const PEER: Peer = Peer { client_cert_sha256: None };

/// The stage with one fake issuer and four applications: 0 "bank", strict with log-in; 1 "api", lenient without; 2 "static",
/// without identities; 3 "office", with a log-in of its own.
struct House {
    issuer: Arc<FakeIssuer>,
    stage: Arc<IdentityStage>,
    hot: Arc<MemoryHot>,
    records: Arc<MemoryRecords>,
    _folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let house = Self::unprimed(FakeIssuer::start().await).await;
        house.stage.prime(NOW_MS).await;
        house
    }

    /// Nothing fetched yet.
    async fn unprimed(fake: Arc<FakeIssuer>) -> Self {
        let hot = Arc::new(MemoryHot::new(StoreBounds::default()));
        let records = Arc::new(MemoryRecords::new(StoreBounds::default()));
        Self::with_stores(fake, hot, records).await
    }

    async fn with_stores(fake: Arc<FakeIssuer>, hot: Arc<MemoryHot>, records: Arc<MemoryRecords>) -> Self {
        Self::built(fake, hot, records, Bounds::default(), json!({})).await
    }

    /// With changes to the log-in's section of the configuration.
    async fn with_session(fake: Arc<FakeIssuer>, changes: Value) -> Self {
        let hot = Arc::new(MemoryHot::new(StoreBounds::default()));
        let records = Arc::new(MemoryRecords::new(StoreBounds::default()));
        let house = Self::built(fake, hot, records, Bounds::default(), changes).await;
        house.stage.prime(NOW_MS).await;
        house
    }

    async fn built(
        fake: Arc<FakeIssuer>,
        hot: Arc<MemoryHot>,
        records: Arc<MemoryRecords>,
        bounds: Bounds,
        session_changes: Value,
    ) -> Self {
        let mut session = json!({
            "client_id": "gateway", "client_key_file": "client.jwk", "scopes": ["read", "pay"],
            "resource": AUDIENCE, "post_logout_path": "/bye",
        });
        merge(&mut session, session_changes);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("client.jwk"), CLIENT_JWK).unwrap();
        let strict =
            issuer(raw_issuer(json!({ "issuer": fake.url, "algorithms": ALGORITHMS })), folder.path())
                .unwrap();
        let lenient = issuer(
            raw_issuer(json!({
                "issuer": format!("{}/lenient", fake.url), "jwks_uri": format!("{}/jwks", fake.url),
                "algorithms": ALGORITHMS, "token_type": "lenient", "required_claims": ["tenant"],
            })),
            folder.path(),
        )
        .unwrap();
        let issuers = vec![strict, lenient];
        let app = |url: &str, value: Value| -> ApplicationIdentity {
            let raw: RawApplicationIdentity = serde_json::from_value(value).unwrap();
            application(raw, &Url::parse(url).unwrap(), &issuers, folder.path()).unwrap()
        };
        let bank = app(
            "https://bank.example",
            json!({
                "issuers": [fake.url], "audience": AUDIENCE, "upstream_audience": "urn:test:upstream",
                "dpop": { "nonce": false, "proof_age_s": 60 }, "step_up_acr_values": ["strong"],
                "session": session,
            }),
        );
        let api = app(
            "https://bank.example",
            json!({
                "issuers": [format!("{}/lenient", fake.url), fake.url], "audience": AUDIENCE, "dpop": { "nonce": true },
                "step_up_acr_values": ["strong", "stronger"],
            }),
        );
        let office = app(
            "https://office.example",
            json!({
                "issuers": [fake.url], "audience": "urn:test:office",
                "session": { "client_id": "gateway", "client_key_file": "client.jwk" },
            }),
        );
        let outbound = OutboundBounds { deadline: Duration::from_millis(700), body_bytes_max: 128 * 1024 };
        let stage = IdentityStage::new(Setup {
            issuers,
            apps: vec![
                ("bank".into(), Some(bank)),
                ("api".into(), Some(api)),
                ("static".into(), None),
                ("office".into(), Some(office)),
            ],
            bounds,
            hot: hot.clone(),
            records: records.clone(),
            outbound: Outbound::new(outbound).unwrap(),
            gateway_keys: GatewayKeys::new(
                SigningKey::generate().unwrap(),
                &[SigningKey::generate().unwrap()],
            ),
            gateway_issuer: "https://bank.example".into(),
        });
        stage.load(NOW_MS).await.unwrap();
        Self { issuer: fake, stage: Arc::new(stage), hot, records, _folder: folder }
    }

    /// A good access token of the strict issuer with some claims changed.
    fn token(&self, changes: Value) -> String {
        let mut claims = good_claims(&self.issuer.url);
        merge(&mut claims, changes);
        self.issuer.sign("es", &json!({ "alg": "ES256", "typ": "at+jwt", "kid": "es" }), &claims)
    }

    async fn bearer(&self, token: &str, now_ms: i64) -> Result<Arc<Identity>, Reason> {
        let parts = request("GET", "/", &[("authorization", &format!("Bearer {token}"))]);
        known(self.stage.identify(0, &Requirement::default(), &parts, &PEER, now_ms).await)
    }
}

const ALGORITHMS: [&str; 4] = ["ES256", "RS256", "PS256", "EdDSA"];

/// RFC 7517 A.2's example key, known to everybody and used for nothing.
const CLIENT_JWK: &str = r#"{"kty":"EC","crv":"P-256","kid":"client",
    "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}"#;

fn raw_issuer(value: Value) -> RawIssuer {
    serde_json::from_value(value).unwrap()
}

fn good_claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "sub": "alice", "aud": AUDIENCE, "client_id": "app", "scope": "read pay", "jti": "t1",
        "iat": NOW_S - 10, "exp": NOW_S + 300, "acr": "normal", "auth_time": NOW_S - 60, "sid": "s1",
    })
}

/// Puts `changes` over `target`; null takes a member away.
fn merge(target: &mut Value, changes: Value) {
    let (Value::Object(target), Value::Object(changes)) = (target, changes) else { panic!("objects only") };
    for (name, value) in changes {
        if value.is_null() {
            target.remove(&name);
        } else {
            target.insert(name, value);
        }
    }
}

fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut builder = http::Request::builder().method(method).uri(target);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn known(result: Result<Authentication, Refusal>) -> Result<Arc<Identity>, Reason> {
    match result {
        Ok(Authentication::Known(identity)) => Ok(identity),
        Ok(Authentication::Anonymous) => panic!("anonymous where an identity was needed"),
        Err(refusal) => Err(refusal.reason),
    }
}
