//! The file as it is written. Nothing outside this folder sees these types.

use std::net::SocketAddr;
use std::path::PathBuf;

use learner::capacity::CapacityConfig;
use serde::Deserialize;

use super::AskedFor;
use crate::stages::forwarded::{CertificateFormat, Forwarding};
use crate::stages::identity::config::{RawApplicationIdentity, RawIssuer};
use crate::stages::identity::{Access, Bounds};
use crate::stages::transfer::{AmountUnit, BodyFormat};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(default)]
    pub server: Server,
    pub listeners: Vec<Listener>,
    pub trusted_peers: Option<TrustedPeers>,
    pub admin: Option<Admin>,
    pub observe: Option<Observe>,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub models: Models,
    #[serde(default)]
    pub learning: crate::models::Settings,
    pub policy: PolicyFile,
    #[serde(default)]
    pub identity: Bounds,
    #[serde(default)]
    pub issuers: Vec<RawIssuer>,
    pub applications: Vec<Application>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    pub data_dir: PathBuf,
    pub threads: usize,
    pub grace_s: u64,
    pub utc_offset_hours: i32,
    pub store_entries_max: usize,
    pub backfill: Option<PathBuf>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            data_dir: "gatehouse-data".into(),
            threads: 2,
            grace_s: 10,
            utc_offset_hours: 0,
            store_entries_max: crate::stores::Bounds::default().entries_max,
            backfill: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub address: SocketAddr,
    #[serde(default)]
    pub proxy_protocol: bool,
    pub tls: Option<Tls>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_certificates: Option<AskedFor>,
    pub client_authorities: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedPeers {
    pub addresses: Vec<String>,
    pub forwarding: Option<Forwarding>,
    pub client_certificate: Option<CertificateField>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateField {
    pub field: String,
    pub format: CertificateFormat,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    pub address: SocketAddr,
    pub issuer: String,
    pub audience: String,
    pub client_id: String,
    pub external_url: url::Url,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    pub address: SocketAddr,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub address: Rate,
    pub logins: Rate,
    pub addresses_max: usize,
    pub connections_per_address: u32,
    pub connections_max: u32,
    pub header_timeout_ms: u64,
    pub body_timeout_ms: u64,
    pub header_bytes_max: usize,
    pub header_fields_max: usize,
    pub target_bytes_max: usize,
    pub query_parameters_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            address: Rate { per_second: 200, burst: 400 },
            logins: Rate { per_second: 5, burst: 100 },
            addresses_max: 1_000_000,
            connections_per_address: 256,
            connections_max: 20_000,
            header_timeout_ms: 10_000,
            body_timeout_ms: 10_000,
            header_bytes_max: 32 * 1024,
            header_fields_max: 100,
            target_bytes_max: 8 * 1024,
            query_parameters_max: 200,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    pub fraud: Option<PathBuf>,
    pub anomaly: Option<PathBuf>,
    pub capacity: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    pub file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    pub name: String,
    pub hosts: Vec<String>,
    pub external_url: url::Url,
    pub upstream: Upstream,
    #[serde(default)]
    pub capacity: CapacityConfig,
    pub identity: Option<RawApplicationIdentity>,
    pub customer: Option<Rate>,
    pub client: Option<Rate>,
    pub routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    pub peers: Vec<SocketAddr>,
    pub tls_name: Option<String>,
    pub health_path: Option<String>,
    #[serde(default = "Upstream::connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    #[serde(default = "Upstream::read_timeout_ms")]
    pub read_timeout_ms: u64,
}

impl Upstream {
    fn connect_timeout_ms() -> u64 {
        1_000
    }
    fn read_timeout_ms() -> u64 {
        30_000
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassName {
    MoneyMoving,
    AuthenticatedRead,
    Anonymous,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub name: String,
    pub paths: Vec<String>,
    #[serde(default)]
    pub methods: Vec<String>,
    #[serde(default)]
    pub access: Access,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub acr_values: Vec<String>,
    pub max_auth_age_s: Option<i64>,
    pub class: Option<ClassName>,
    pub rate: Option<Rate>,
    pub body_bytes_max: Option<usize>,
    #[serde(default = "Route::inspect")]
    pub inspect: bool,
    pub transfer: Option<Transfer>,
    #[serde(default)]
    pub score_only: bool,
    pub step_up_return: Option<String>,
}

impl Route {
    fn inspect() -> bool {
        true
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    pub format: BodyFormat,
    pub from: String,
    pub to: String,
    pub amount: String,
    pub currency: String,
    pub unit: AmountUnit,
    #[serde(default = "Transfer::idempotency_header")]
    pub idempotency_header: String,
    #[serde(default)]
    pub repeats_s: u64,
    pub linking: Option<Linking>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linking {
    #[serde(rename = "type")]
    pub kind: String,
    pub from: Option<String>,
    pub to: String,
    pub amount: String,
    pub currency: String,
    pub unit: AmountUnit,
    #[serde(default = "yes")]
    pub required: bool,
    #[serde(default = "yes")]
    pub identified: bool,
}

fn yes() -> bool {
    true
}

impl Transfer {
    fn idempotency_header() -> String {
        "Idempotency-Key".into()
    }
}
