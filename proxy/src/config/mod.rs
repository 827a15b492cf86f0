//! Configuration: one TOML file, read into raw sections, turned once into checked types.
//!
//! The rest of the program sees only [`Config`]. Every error names file, line and column and says what to do.

mod check;
mod location;
mod raw;
mod reload;
mod routes;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use learner::capacity::{CapacityConfig, Class};
use policies::Name;
use serde::Deserialize;

pub use location::{At, Problem, Problems};
pub use routes::{RouteTable, Routed};

use crate::models::Settings;
use crate::stages::forwarded::TrustedPeers;
use crate::stages::identity::{ApplicationIdentity, Bounds, IssuerConfig, Requirement};
use crate::stages::limits::Rate;
use crate::stages::normalize::HeadLimits;
use crate::stages::transfer::TransferMapping;

/// The whole checked configuration.
#[derive(Debug)]
pub struct Config {
    /// The process.
    pub server: Server,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// What may stand before it.
    pub trusted_peers: TrustedPeers,
    /// The admin API and console.
    pub admin: Option<Admin>,
    /// Where scrapers connect.
    pub observe: Option<SocketAddr>,
    /// Limits on addresses and on heads.
    pub limits: Limits,
    /// Model artifacts.
    pub models: Models,
    /// How models learn on.
    pub learning: Settings,
    /// Past transfers to learn customers' habits from at the first start.
    pub backfill: Option<PathBuf>,
    /// The policy document.
    pub policy: PathBuf,
    /// How much the identity stage holds in memory.
    pub identity: Bounds,
    /// Trusted issuers of identities.
    pub issuers: Vec<IssuerConfig>,
    /// What stands behind the gateway.
    pub applications: Vec<Application>,
    /// The file itself, for comparison with the next one.
    document: toml::Table,
}

/// The process.
#[derive(Clone, Debug)]
pub struct Server {
    /// Logs, keys and stores.
    pub data_dir: PathBuf,
    /// Threads that serve requests.
    pub threads: usize,
    /// Time that open requests get when the process is told to end.
    pub grace: Duration,
    /// Hours to add to UTC for the rules' hour of the day.
    pub utc_offset_hours: i32,
    /// Entries of one kind that the stores hold.
    pub store_entries_max: usize,
}

/// A place where clients connect.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Address to bind.
    pub address: SocketAddr,
    /// Connections of trusted peers begin with a header of the PROXY protocol, version 2.
    pub proxy_protocol: bool,
    /// Certificate and key; plain HTTP without.
    pub tls: Option<Tls>,
}

/// A listener's certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
    /// Certificates of clients; they are not asked for without.
    pub clients: Option<ClientCertificates>,
}

/// Which certificates clients may bring.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    /// Whether a client without one may connect.
    pub asked_for: AskedFor,
    /// PEM certificates of those who issue them. Without, every certificate will do whose key the client holds.
    pub authorities: Option<PathBuf>,
}

/// How clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskedFor {
    /// One may connect without.
    Optional,
    /// None may.
    Required,
}

/// The admin listener.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Address to bind.
    pub address: SocketAddr,
    /// Issuer of staff tokens.
    pub issuer: String,
    /// Audience that staff tokens must name.
    pub audience: String,
    /// Client id with which the console logs people in.
    pub client_id: String,
    /// URL under which browsers reach the console.
    pub external_url: url::Url,
}

/// Limits that hold before an application is known.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests an address may make.
    pub address: Rate,
    /// Log-ins an address may begin.
    pub logins: Rate,
    /// Addresses remembered at most.
    pub addresses_max: usize,
    /// Open connections from one address.
    pub connections_per_address: u32,
    /// Open connections altogether.
    pub connections_max: u32,
    /// A request's header section must be complete this long after its connection is ready for it.
    pub header_timeout: Duration,
    /// A body that is read for inspection must be complete in this time.
    pub body_timeout: Duration,
    /// Bounds of the header section.
    pub head: HeadLimits,
}

/// Model artifacts.
#[derive(Clone, Debug, Default)]
pub struct Models {
    /// Fraud model.
    pub fraud: Option<PathBuf>,
    /// Anomaly model.
    pub anomaly: Option<PathBuf>,
    /// Trained capacity table.
    pub capacity: Option<PathBuf>,
}

/// One application behind the gateway.
#[derive(Debug)]
pub struct Application {
    /// Its name in records and metrics.
    pub name: Name,
    /// Host names, lower case, with port where it is not the scheme's own.
    pub hosts: Vec<String>,
    /// URL under which clients reach it.
    pub external_url: url::Url,
    /// Where it is.
    pub upstream: Upstream,
    /// How much it bears, and who decides.
    pub capacity: CapacityConfig,
    /// Who may log in, and how.
    pub identity: Option<ApplicationIdentity>,
    /// Its routes.
    pub routes: RouteTable,
    /// Requests that one customer and one client may make.
    pub customer: Option<Rate>,
    /// Requests that one client may make.
    pub client: Option<Rate>,
}

/// An application's servers.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Their addresses.
    pub peers: Vec<SocketAddr>,
    /// TLS to them: the name their certificate must carry.
    pub tls_name: Option<String>,
    /// Path that answers 200 when a server is well; a TCP connect without.
    pub health_path: Option<String>,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time between two reads of an answer.
    pub read_timeout: Duration,
}

/// One route of an application.
#[derive(Debug)]
pub struct Route {
    /// Its name in rules, records and metrics.
    pub name: Name,
    /// Methods it takes; empty: all but TRACE and CONNECT.
    pub methods: Vec<http::Method>,
    /// Capacity class once the caller is known.
    pub class: Class,
    /// Who may come in.
    pub requirement: Requirement,
    /// Rate of the whole route.
    pub rate: Option<Rate>,
    /// Largest body, bytes.
    pub body_bytes_max: usize,
    /// Whether the body is read and inspected before anything is forwarded.
    pub inspect: bool,
    /// How the body says what is to be transferred.
    pub transfer: Option<TransferMapping>,
    /// Scores are told to the upstream in header fields and never refuse.
    pub score_only: bool,
    /// Where a browser goes on after a step-up on this route.
    pub step_up_return: Option<String>,
}

impl Config {
    /// Reads and checks `file`. Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// Every problem found, each with its place.
    pub fn load(file: &Path) -> Result<Self, Problems> {
        let text = std::fs::read_to_string(file).map_err(|e| {
            Problems::one(
                file,
                Problem::file(format!("cannot be read: {e}"), "name an existing TOML file with --config"),
            )
        })?;
        Self::parse(&text, file)
    }

    /// Checks `text`, which came from `file`.
    ///
    /// # Errors
    /// Every problem found, each with its place.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Problems> {
        Self::checked(text, file, check::headers_are_sent)
    }

    /// Checks `text`, and whether what `more` finds wrong is wrong too.
    fn checked(
        text: &str,
        file: &Path,
        more: impl FnOnce(&raw::File) -> Vec<Problem>,
    ) -> Result<Self, Problems> {
        let folder = file.parent().unwrap_or_else(|| Path::new("."));
        let located = |problems| Problems::locate(file, text, problems);
        let raw: raw::File = toml::from_str(text).map_err(|e| Problems::syntax(file, text, &e))?;
        let document = toml::from_str(text).map_err(|e| Problems::syntax(file, text, &e))?;
        let mut problems = more(&raw);
        match check::config(raw, document, folder) {
            Ok(config) if problems.is_empty() => return Ok(config),
            Ok(_) => {}
            Err(others) => problems.extend(others),
        }
        Err(located(problems))
    }

    /// Reads `file` for a process that serves with `self`: what only a new process can take up stays as it is here, and is
    /// named as in `server.threads`.
    ///
    /// # Errors
    /// Every problem found, each with its place.
    pub fn reload(&self, file: &Path) -> Result<(Self, Vec<String>), Problems> {
        let new = Self::load(file)?;
        let (document, waits) = reload::settle(&self.document, &new.document);
        let text = document.to_string();
        Ok((Self::checked(&text, file, |_| Vec::new())?, waits))
    }
}
