//! What the fuzz targets of the identity stage share: that stage with an issuer on this machine, and somebody who signs
//! whatever the fuzzer makes up. Signatures are what a fuzzer never guesses, so that without them it would see the first
//! checks alone. The targets for data of others (`mapping`, `table`, `model`) need none of it.

pub mod access_token;
pub mod authorization;
pub mod cookie;
pub mod dpop_proof;
pub mod logout_token;
pub mod mapping;
pub mod model;
pub mod oracle;
pub mod table;

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::FutureExt;
use http::request::Parts;
use http::{Method, Response};
use policies::facts::Identity;
use proxy::outbound::{Bounds as OutboundBounds, Outbound};
use proxy::stages::identity::config::{RawIssuer, SessionConfig, issuer};
use proxy::stages::identity::signing::SigningKey;
use proxy::stages::identity::{
    ApplicationIdentity, Authentication, Bounds, GatewayKeys, IdentityStage, Peer, Requirement, Setup,
};
use proxy::stores::{Bounds as StoreBounds, MemoryHot, MemoryRecords};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The time at which everything happens, Unix seconds.
pub const NOW_S: i64 = 1_790_000_000;
/// The resource that tokens are for, the client that people log in through, the place of the application.
pub const AUDIENCE: &str = "urn:fuzz:bank";
pub const CLIENT: &str = "gatehouse";
pub const SITE: &str = "https://bank.test";

const PEER: Peer = Peer { client_cert_sha256: None };

/// Somebody's P-256 key.
pub struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// The public half as a JWK (RFC 7518 6.2).
    pub fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "kty": "EC", "crv": "P-256", "x": part(x), "y": part(y) })
    }

    /// A compact JWS over these texts, whatever they are.
    pub fn sign(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The stage, its issuer, and a client with a key of its own.
pub struct House {
    pub stage: IdentityStage,
    pub issuer: String,
    pub signer: Signer,
    pub holder: Signer,
    runtime: Runtime,
}

/// One for the process.
pub static HOUSE: LazyLock<House> = LazyLock::new(House::new);

impl House {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let signer = Signer::new();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let keys = json!({ "keys": [signer.jwk()] });
        let discovery = json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"),
            "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
        });
        let routes = Router::new()
            .route("/jwks", get(async move || Json(keys)))
            .route("/.well-known/openid-configuration", get(async move || Json(discovery)));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        let stage = runtime.block_on(stage(&issuer));
        Self { stage, issuer, signer, holder: Signer::new(), runtime }
    }

    /// `{iss}` in what the fuzzer made up becomes the issuer, which no two runs share.
    pub fn filled(&self, text: &str) -> String {
        text.replace("{iss}", &self.issuer)
    }

    /// A token from the fuzzer's bytes: after an `s`, header and claims, a line each, which `signer` signs; otherwise the
    /// whole token. The second half is what was signed.
    pub fn token(&self, signer: &Signer, data: &[u8]) -> Option<(String, Option<(Value, Value)>)> {
        let text = std::str::from_utf8(data).ok()?;
        let Some(made_up) = text.strip_prefix('s') else { return Some((text.to_owned(), None)) };
        let (header, claims) = made_up.split_once('\n')?;
        let (header, claims) = (self.filled(header), self.filled(claims));
        let read = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        Some((signer.sign(&header, &claims), Some((read(&header), read(&claims)))))
    }

    /// Who a request to the application is from; `None`: it is refused, or nobody's.
    pub fn identify(&self, parts: &Parts) -> Option<Arc<Identity>> {
        // An unknown key is asked for once, in the background; nothing else waits.
        let _runtime = self.runtime.enter();
        let requirement = Requirement::default();
        let found = self.stage.identify(0, &requirement, parts, &PEER, NOW_S * 1000).now_or_never()?;
        match found.ok()? {
            Authentication::Known(identity) => Some(identity),
            Authentication::Anonymous => None,
        }
    }

    /// The answer of one of the gateway's own paths.
    pub fn own(&self, parts: &Parts, body: Bytes) -> Option<Response<Bytes>> {
        let _runtime = self.runtime.enter();
        self.stage.owned(0, parts, body, NOW_S * 1000).now_or_never()?.ok()?
    }
}

/// A request with these fields; `None` where HTTP has no such fields.
pub fn request(method: Method, target: &str, fields: &[(&str, &[u8])]) -> Option<Parts> {
    let mut builder = http::Request::builder().method(method).uri(target);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    Some(builder.body(()).ok()?.into_parts().0)
}

async fn stage(url: &str) -> IdentityStage {
    let raw: RawIssuer = serde_json::from_value(json!({ "issuer": url, "algorithms": ["ES256"] })).unwrap();
    let app = ApplicationIdentity {
        issuers: vec![url.to_owned()],
        audience: AUDIENCE.to_owned(),
        upstream_audience: AUDIENCE.to_owned(),
        external_url: SITE.parse().unwrap(),
        proof_age_ms: 60_000,
        proof_nonce: false,
        step_up_acr_values: Vec::new(),
        session: Some(SessionConfig {
            issuer: url.to_owned(),
            client_id: CLIENT.to_owned(),
            client_key: Arc::new(SigningKey::generate().unwrap()),
            scopes: vec!["accounts:read".to_owned()],
            prompt_consent: false,
            resource: None,
            idle_s: 900,
            absolute_s: 28_800,
            refresh_grace_s: 60,
            post_logout_path: "/".to_owned(),
        }),
    };
    let outbound = OutboundBounds { deadline: Duration::from_secs(5), body_bytes_max: 128 * 1024 };
    let stage = IdentityStage::new(Setup {
        issuers: vec![issuer(raw, Path::new("")).unwrap()],
        apps: vec![("bank".into(), Some(app))],
        bounds: Bounds::default(),
        hot: Arc::new(MemoryHot::new(StoreBounds::default())),
        records: Arc::new(MemoryRecords::new(StoreBounds::default())),
        outbound: Outbound::new(outbound).unwrap(),
        gateway_keys: GatewayKeys::new(SigningKey::generate().unwrap(), &[]),
        gateway_issuer: SITE.to_owned(),
    });
    stage.load(NOW_S * 1000).await.unwrap();
    stage.prime(NOW_S * 1000).await;
    stage
}
