//! A caller with tokens, and the identity stage with the keys of their issuer.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::FutureExt;
use http::request::Parts;
use proxy::outbound::{Bounds as OutboundBounds, Outbound};
use proxy::stages::identity::config::{RawIssuer, issuer};
use proxy::stages::identity::signing::SigningKey;
use proxy::stages::identity::{
    ApplicationIdentity, Authentication, Bounds, GatewayKeys, IdentityStage, Peer, Requirement, Setup,
};
use proxy::stores::{Bounds as StoreBounds, MemoryHot, MemoryRecords};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::samples::{AUDIENCE, NOW_MS};

const PEER: Peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), client_cert_sha256: None };

pub struct Caller {
    stage: IdentityStage,
    issuer: String,
    key: SigningKey,
    _runtime: Runtime,
}

impl Caller {
    /// With an issuer on this machine.
    pub fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let key = SigningKey::generate()?;
        let keys = json!({ "keys": [key.public_jwk()] });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let routes = Router::new().route("/jwks", get(async move || Json(keys)));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        let stage = runtime.block_on(stage(&issuer))?;
        Ok(Self { stage, issuer, key, _runtime: runtime })
    }

    /// A good access token (RFC 9068), another one for every number.
    pub fn token(&self, number: u32) -> anyhow::Result<String> {
        let now_s = NOW_MS / 1_000;
        let claims = json!({
            "iss": self.issuer, "sub": "alice", "aud": AUDIENCE, "client_id": "app",
            "scope": "accounts:read payments:write", "jti": format!("t{number}"), "iat": now_s - 10,
            "exp": now_s + 300, "acr": "normal", "auth_time": now_s - 60, "sid": "s1",
        });
        self.key.sign("at+jwt", &claims).context("no token")
    }

    /// Who the request is from; `None` is a refusal.
    pub fn identify(&self, head: &Parts) -> Option<Authentication> {
        let requirement = Requirement::default();
        // Nothing is waited for: the issuer's keys are here.
        self.stage.identify(0, &requirement, head, &PEER, NOW_MS).now_or_never()?.ok()
    }
}

async fn stage(url: &str) -> anyhow::Result<IdentityStage> {
    let raw: RawIssuer = serde_json::from_value(json!({
        "issuer": url, "jwks_uri": format!("{url}/jwks"), "algorithms": ["ES256"],
    }))?;
    let issuer = issuer(raw, Path::new("")).map_err(|wrongs| anyhow!("{wrongs:?}"))?;
    let app = ApplicationIdentity {
        issuers: vec![url.to_owned()],
        audience: AUDIENCE.to_owned(),
        upstream_audience: AUDIENCE.to_owned(),
        external_url: url.parse()?,
        proof_age_ms: 60_000,
        proof_nonce: false,
        session: None,
    };
    let outbound = OutboundBounds { deadline: Duration::from_secs(5), body_bytes_max: 128 * 1024 };
    let stage = IdentityStage::new(Setup {
        issuers: vec![issuer],
        apps: vec![("bank".into(), Some(app))],
        bounds: Bounds::default(),
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
