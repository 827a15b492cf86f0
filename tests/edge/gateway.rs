//! A gateway in its own process, with public routes, in front of the noting upstream.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tests::demo::binary;
use tests::raw::{self, Exchange};
use tests::tls::Certificate;
use url::Url;

use super::upstream::Upstream;

const START_MAX: Duration = Duration::from_secs(60);
const CONFIG_FILE: &str = "gatehouse.toml";

const CONFIG: &str = r#"
[server]
data_dir = "data"
threads = 1
grace_s = 1
[[listeners]]
address = "@GATEWAY@"
[observe]
address = "@OBSERVE@"
[limits]
address = { per_second = 100_000, burst = 100_000 }
body_timeout_ms = 1_000
header_timeout_ms = 1_000
[policy]
file = "policy.toml"
[[applications]]
name = "site"
hosts = ["@GATEWAY@"]
external_url = "http://@GATEWAY@"
[applications.upstream]
peers = ["@UPSTREAM@"]
read_timeout_ms = 1_000
[[applications.routes]]
name = "inspected"
paths = ["/inspected/{*rest}", "/foo/bar"]
access = "public"
[[applications.routes]]
name = "streamed"
paths = ["/streamed"]
access = "public"
inspect = false
body_bytes_max = 100_000
"#;

pub struct Edge {
    child: Child,
    pub upstream: Upstream,
    url: Url,
    observe: Url,
    /// The listener that speaks TLS, and its certificate.
    pub tls: (SocketAddr, Certificate),
    folder: TempDir,
}

/// Where a gateway will answer, and its configuration.
pub struct Configured {
    pub file: PathBuf,
    url: Url,
    observe: Url,
    tls: (SocketAddr, Certificate),
}

impl Configured {
    /// A configuration in `folder`, with `more` behind it; its data will be in `data` beside it.
    pub fn write(folder: &Path, upstream: &Upstream, more: &str) -> Self {
        let [gateway, observe, tls] = free_addresses();
        let certificate = Certificate::make(folder).unwrap();
        let text = CONFIG
            .replace("@GATEWAY@", &gateway.to_string())
            .replace("@OBSERVE@", &observe.to_string())
            .replace("@UPSTREAM@", &upstream.address.to_string())
            + &certificate.listener(tls)
            + more;
        let file = folder.join(CONFIG_FILE);
        fs::write(&file, text).unwrap();
        fs::write(folder.join("policy.toml"), "version = \"edge-1\"\n").unwrap();
        let [url, observe] = [gateway, observe].map(|at| Url::parse(&format!("http://{at}/")).unwrap());
        Self { file, url, observe, tls: (tls, certificate) }
    }
}

/// The resource that tokens for an [`Application`] name.
pub const AUDIENCE: &str = "urn:edge";

/// An application of its own host, `<name>.test`, that takes the tokens of one issuer.
#[derive(Default)]
pub struct Application<'a> {
    pub name: &'a str,
    /// More lines of the issuer's table, of the identity section, and of everything that follows it.
    pub issuer: &'a str,
    pub identity: &'a str,
    pub more: &'a str,
}

impl Application<'_> {
    /// Its part of the configuration, with the one route to all pages.
    pub fn before(&self, upstream: &Upstream, issuer: &str) -> String {
        let Self { name, issuer: of_issuer, identity, more } = self;
        let upstream = upstream.address;
        format!(
            r#"
[[issuers]]
issuer = "{issuer}"
algorithms = ["ES256"]
{of_issuer}
[[applications]]
name = "{name}"
hosts = ["{name}.test"]
external_url = "https://{name}.test"
upstream = {{ peers = ["{upstream}"] }}
[applications.identity]
issuers = ["{issuer}"]
audience = "{AUDIENCE}"
{identity}
[[applications.routes]]
name = "pages"
paths = ["/inspected/{{*rest}}"]
{more}
"#
        )
    }
}

impl Edge {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start().await;
        let configured = Configured::write(folder.path(), &upstream, "");
        Self::start_in(folder, upstream, configured).await
    }

    /// Starts over what is in `folder`.
    pub async fn start_in(folder: TempDir, upstream: Upstream, configured: Configured) -> Self {
        let child = serving(folder.path()).await;
        let Configured { url, observe, tls, .. } = configured;
        Self { child, upstream, url, observe, tls, folder }
    }

    /// Kills the gateway at once, lets `meanwhile` at its folder, and starts it again.
    pub async fn restart(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        meanwhile(self.folder.path());
        self.child = serving(self.folder.path()).await;
    }

    /// Tells the gateway to end.
    pub fn tell_to_end(&self) {
        let told = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
    }

    /// Tells the gateway to read its files again, and waits until it has.
    pub async fn reload(&self) {
        let told = Command::new("kill").arg("-HUP").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        let began = Instant::now();
        while !self.log().contains("configuration and policies reloaded") {
            assert!(began.elapsed() < START_MAX, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether scrapers can connect, which ends when the gateway begins to end.
    pub async fn is_observed(&self) -> bool {
        tokio::net::TcpStream::connect(self.observe.authority()).await.is_ok()
    }

    /// What the gateway logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// A figure of `/metrics`, by the beginning of its line; 0 where there is none.
    pub async fn metric(&self, line: &str) -> f64 {
        let text = reqwest::get(self.observe.join("/metrics").unwrap()).await.unwrap().text().await.unwrap();
        let figures = text.lines().filter(|l| l.starts_with(line)).map(|l| l.rsplit(' ').next().unwrap());
        figures.map(|figure| figure.parse::<f64>().unwrap()).sum()
    }

    /// What `/readyz` answers: status and text.
    pub async fn ready(&self) -> (u16, String) {
        let answer = reqwest::get(self.observe.join("/readyz").unwrap()).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What the process has in memory, KiB: `VmRSS` now, `VmHWM` at most so far.
    pub fn resident_kib(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many records of the decision log hold `words`, once `least` of them do.
    pub async fn recorded(&self, words: &str, least: usize) -> usize {
        let began = Instant::now();
        loop {
            let folder = fs::read_dir(self.folder.path().join("data/decisions")).unwrap();
            let segments = folder.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some());
            let texts = segments.map(|path| fs::read_to_string(path).unwrap_or_default());
            let count = texts.map(|text| text.lines().filter(|line| line.contains(words)).count()).sum();
            if count >= least {
                return count;
            }
            assert!(began.elapsed() < START_MAX, "{count} records of {words}, not {least}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What clients call this host.
    pub fn host(&self) -> &str {
        self.url.authority()
    }

    /// Sends bytes as they are.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> Exchange {
        raw::exchange(&self.url, bytes.as_ref()).await.unwrap()
    }

    /// A request line, header lines (each ended) and a body, with `Host` and `Connection: close`.
    pub async fn ask(&self, line: &str, fields: &str, body: &str) -> Exchange {
        let host = self.host();
        self.send(format!("{line}\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n{body}")).await
    }
}

/// A gateway that serves what [`Configured::write`] wrote into `folder`.
async fn serving(folder: &Path) -> Child {
    let log = folder.join("log");
    let mut child = Command::new(binary().unwrap())
        .args(["run", "--config"])
        .arg(folder.join(CONFIG_FILE))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let began = Instant::now();
    loop {
        let said = fs::read_to_string(&log).unwrap();
        if said.contains("clients are served") {
            return child;
        }
        assert!(child.try_wait().unwrap().is_none() && began.elapsed() < START_MAX, "{said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Addresses that are free now, no two alike.
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The reason code of a refusal.
pub fn reason(got: &Exchange) -> String {
    let body = got.text.rsplit("\r\n\r\n").next().unwrap_or_default();
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    problem["reason"].as_str().unwrap_or_default().to_owned()
}
