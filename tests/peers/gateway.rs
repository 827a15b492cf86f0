//! A gateway in its own process, between the certified provider and an upstream that says whom it is told of.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tests::demo::{Addresses, binary};
use tests::{Person, Program};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use super::provider::{self, GATEWAY, Provider, SCOPE, SITE};

const START_MAX: Duration = Duration::from_secs(60);

const CONFIG: &str = r#"
[server]
data_dir = "data"
threads = 1
grace_s = 1
[[listeners]]
address = "@GATEWAY@"
[limits]
address = { per_second = 100_000, burst = 100_000 }
[policy]
file = "policy.toml"
[[issuers]]
issuer = "@ISSUER@"
algorithms = ["ES256"]
jwks_refresh_s = @REFRESH@
[[applications]]
name = "site"
hosts = ["@GATEWAY@"]
external_url = "http://@GATEWAY@"
[applications.upstream]
peers = ["@UPSTREAM@"]
[applications.capacity]
controller = "static"
limit = @LIMIT@.0
[applications.identity]
issuers = ["@ISSUER@"]
audience = "@SITE@"
[applications.identity.session]
client_id = "@CLIENT@"
client_key_file = "client.jwk"
scopes = ["@SCOPE@"]
resource = "@SITE@"
post_logout_path = "/goodbye"
[[applications.routes]]
name = "accounts"
paths = ["/accounts"]
methods = ["GET"]
scopes = ["@SCOPE@"]
[[applications.routes]]
name = "payments"
paths = ["/payments"]
methods = ["GET"]
scopes = ["site:pay"]
[[applications.routes]]
name = "goodbye"
paths = ["/goodbye"]
access = "public"
"#;

/// The gateway, with the provider that it trusts.
pub struct World {
    _gateway: Gateway,
    pub provider: Provider,
    /// The provider's signing key.
    pub key: Value,
    /// The application through the gateway.
    pub url: Url,
    folder: TempDir,
}

impl World {
    /// Starts both; the gateway fetches keys anew after `jwks_refresh_s`. See [`Provider::start`] for `lifetimes_s`.
    pub async fn start(jwks_refresh_s: u32, lifetimes_s: &[u32]) -> Self {
        // So much that one customer's fifty requests at once do not press it.
        Self::with_capacity(256, jwks_refresh_s, lifetimes_s).await
    }

    /// The same, with an application that bears `limit` requests at once.
    pub async fn with_capacity(limit: u32, jwks_refresh_s: u32, lifetimes_s: &[u32]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = Url::parse(&format!("http://{free}/")).unwrap();
        let client_key = provider::key("gatehouse");
        let clients = vec![provider::gateway_client(&url, &client_key), provider::program_client()];
        let key = provider::key("first");
        let provider = Provider::start(&key, clients, lifetimes_s);
        let text = CONFIG
            .replace("@GATEWAY@", &free.to_string())
            .replace("@ISSUER@", provider.iss())
            .replace("@REFRESH@", &jwks_refresh_s.to_string())
            .replace("@UPSTREAM@", &upstream().await)
            .replace("@LIMIT@", &limit.to_string())
            .replace("@SITE@", SITE)
            .replace("@SCOPE@", SCOPE)
            .replace("@CLIENT@", GATEWAY);
        fs::write(folder.path().join("gatehouse.toml"), text).unwrap();
        fs::write(folder.path().join("policy.toml"), "version = \"peers-1\"\n").unwrap();
        fs::write(folder.path().join("client.jwk"), client_key.to_string()).unwrap();
        Self { _gateway: Gateway::start(&folder).await, provider, key, url, folder }
    }

    /// Somebody with a fresh browser.
    pub fn person(&self) -> Person {
        Person::new(&self.at(), [127, 0, 0, 1].into()).unwrap()
    }

    /// A program that holds an access token.
    pub fn program(&self, token: &str) -> Program {
        Program::holding(&self.at(), token.into()).unwrap()
    }

    /// What the gateway logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Everything that a person or program can meet here is the application or the provider.
    fn at(&self) -> Addresses {
        let (url, issuer) = (&self.url, &self.provider.issuer);
        Addresses {
            gateway: url.clone(),
            admin: url.clone(),
            observe: url.clone(),
            bank: url.clone(),
            idp: issuer.clone(),
        }
    }
}

struct Gateway(Child);

impl Gateway {
    async fn start(folder: &TempDir) -> Self {
        let log = folder.path().join("log");
        let child = Command::new(binary().unwrap())
            .args(["run", "--config"])
            .arg(folder.path().join("gatehouse.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut started = Self(child);
        let began = Instant::now();
        loop {
            let said = fs::read_to_string(&log).unwrap();
            if said.contains("clients are served") {
                return started;
            }
            assert!(started.0.try_wait().unwrap().is_none() && began.elapsed() < START_MAX, "{said}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An upstream whose answer is the subject that the gateway told it; answers its address.
async fn upstream() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Who asks and goes away is nothing to it.
                let _ = answer(stream).await;
            });
        }
    });
    address
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let subject = fields.filter(|(name, _)| name.eq_ignore_ascii_case("gatehouse-subject")).map(|(_, s)| s);
    let body = subject.collect::<String>();
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await
}
