//! A caller with tokens, and the identity stage with the keys of their issuer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use aws_lc_rs::io::Positive;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use http::request::Parts;
use proxy::outbound::{Bounds as OutboundBounds, Outbound};
use proxy::stages::identity::config::{RawIssuer, issuer};
use proxy::stages::identity::keys::{KeySet, VerifyingKey};
use proxy::stages::identity::signing::SigningKey;
use proxy::stages::identity::token::Algorithm;
use proxy::stages::identity::{
    ApplicationIdentity, Authentication, Bounds, GatewayKeys, IdentityStage, Peer, Requirement, Setup,
};
use proxy::stores::{Bounds as StoreBounds, MemoryHot, MemoryRecords};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::samples::{AUDIENCE, NOW_MS};

const PEER: Peer = Peer { client_cert_sha256: None };

pub struct Caller {
    stage: IdentityStage,
    issuer: String,
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
    published: Value,
    _runtime: Runtime,
}

impl Caller {
    /// With an issuer on this machine, at a stage that remembers `tokens`.
    pub fn new(tokens: usize) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let ec =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("no P-256 key"))?;
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key"))?;
        let published = published(&ec, &rsa)?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let keys = published.clone();
        let routes = Router::new().route("/jwks", get(async move || Json(keys)));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        let stage = runtime.block_on(stage(&issuer, tokens))?;
        Ok(Self { stage, issuer, ec, rsa, published, _runtime: runtime })
    }

    /// A good access token (RFC 9068), another one for every number.
    pub fn token(&self, algorithm: Algorithm, number: u32) -> anyhow::Result<String> {
        let message = self.message(algorithm, number);
        let signature = self.signature(algorithm, message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The same with a signature of something else.
    pub fn forged(&self, algorithm: Algorithm, number: u32) -> anyhow::Result<String> {
        let signature = self.signature(algorithm, &number.to_le_bytes())?;
        Ok(format!("{}.{}", self.message(algorithm, number), URL_SAFE_NO_PAD.encode(signature)))
    }

    /// A token's signature, and the parsed key that verifies it.
    pub fn signed(&self, algorithm: Algorithm) -> anyhow::Result<(Arc<VerifyingKey>, Vec<u8>, Vec<u8>)> {
        let message = self.message(algorithm, 0).into_bytes();
        let signature = self.signature(algorithm, &message)?;
        let set = KeySet::parse(self.published.to_string().as_bytes(), &[algorithm], NOW_MS)?;
        let key = set.candidates(Some(algorithm.name()), algorithm).next().context("no key")?;
        Ok((Arc::clone(key), message, signature))
    }

    /// Tokens remembered.
    pub fn held(&self) -> usize {
        self.stage.memory().entries
    }

    fn message(&self, algorithm: Algorithm, number: u32) -> String {
        let now_s = NOW_MS / 1_000;
        let name = algorithm.name();
        let header = json!({ "alg": name, "kid": name, "typ": "at+jwt" });
        let claims = json!({
            "iss": self.issuer, "sub": format!("customer-{number}"), "aud": AUDIENCE, "client_id": "app",
            "scope": "accounts:read payments:write", "jti": format!("t{number}"), "iat": now_s - 10,
            "exp": now_s + 300, "acr": "normal", "auth_time": now_s - 60, "sid": format!("s{number}"),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(&header), part(&claims))
    }

    fn signature(&self, algorithm: Algorithm, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let random = SystemRandom::new();
        if algorithm == Algorithm::Es256 {
            let signature = self.ec.sign(&random, message).map_err(|_| anyhow!("no ES256 signature"))?;
            return Ok(signature.as_ref().to_vec());
        }
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        let signed = self.rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
        signed.map_err(|_| anyhow!("no RS256 signature"))?;
        Ok(signature)
    }

    /// Who the request is from; `None` is a refusal.
    pub fn identify(&self, head: &Parts) -> Option<Authentication> {
        let requirement = Requirement::default();
        // Nothing is waited for: the issuer's keys are here.
        self.stage.identify(0, &requirement, head, &PEER, NOW_MS).now_or_never()?.ok()
    }
}

fn published(ec: &EcdsaKeyPair, rsa: &RsaKeyPair) -> anyhow::Result<Value> {
    let point = ec.public_key().as_ref().get(1..).context("P-256 point")?;
    let (x, y) = point.split_at_checked(32).context("P-256 point")?;
    let rsa = rsa.public_key();
    let number = |n: Positive<'_>| URL_SAFE_NO_PAD.encode(n.big_endian_without_leading_zero());
    Ok(json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "kid": "ES256", "alg": "ES256", "use": "sig",
          "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) },
        { "kty": "RSA", "kid": "RS256", "alg": "RS256", "use": "sig",
          "n": number(rsa.modulus()), "e": number(rsa.exponent()) },
    ]}))
}

async fn stage(url: &str, tokens: usize) -> anyhow::Result<IdentityStage> {
    let raw: RawIssuer = serde_json::from_value(json!({
        "issuer": url, "jwks_uri": format!("{url}/jwks"), "algorithms": ["ES256", "RS256"],
    }))?;
    let issuer = issuer(raw, Path::new("")).map_err(|wrongs| anyhow!("{wrongs:?}"))?;
    let app = ApplicationIdentity {
        issuers: vec![url.to_owned()],
        audience: AUDIENCE.to_owned(),
        upstream_audience: AUDIENCE.to_owned(),
        external_url: url.parse()?,
        proof_age_ms: 60_000,
        proof_nonce: false,
        step_up_acr_values: Vec::new(),
        session: None,
    };
    let outbound = OutboundBounds { deadline: Duration::from_secs(5), body_bytes_max: 128 * 1024 };
    let stage = IdentityStage::new(Setup {
        issuers: vec![issuer],
        apps: vec![("bank".into(), Some(app))],
        bounds: Bounds { remembered_tokens: tokens, ..Bounds::default() },
        hot: Arc::new(MemoryHot::new(StoreBounds::default())),
        records: Arc::new(MemoryRecords::new(StoreBounds::default())),
        outbound: Outbound::new(outbound)?,
        gateway_keys: GatewayKeys::new(SigningKey::generate()?, &[]),
        gateway_issuer: url.to_owned(),
    });
    stage.load(NOW_MS).await?;
    stage.prime(NOW_MS).await;
    Ok(stage)
}
