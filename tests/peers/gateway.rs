//! A gateway in its own process, between the certified provider and an upstream that says whom it is told of.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tests::demo::{Addresses, binary};
use tests::{Person, Program};
use url::Url;

use super::provider::{self, GATEWAY, Provider, SCOPE, SITE, STRONG};
use super::upstream::Upstream;

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
[issuers.introspection]
client_id = "@CLIENT@"
client_key_file = "client.jwk"
cache_s = @CACHE@
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
audience = "@AUDIENCE@"
step_up_acr_values = ["@STRONG@"]
[applications.identity.session]
client_id = "@CLIENT@"
client_key_file = "client.jwk"
scopes = ["@SCOPE@", "offline_access"]
resource = "@SITE@"
post_logout_path = "/goodbye"
[[applications.routes]]
name = "accounts"
paths = ["/accounts", "/transfer"]
methods = ["GET"]
scopes = ["@SCOPE@"]
[[applications.routes]]
name = "payments"
paths = ["/payments"]
methods = ["GET"]
scopes = ["site:pay"]
[[applications.routes]]
name = "web-transfer"
paths = ["/transfer"]
methods = ["POST"]
class = "money-moving"
scopes = ["@SCOPE@"]
transfer = { format = "form", from = "from", to = "to", amount = "amount", currency = "currency", unit = "decimal" }
step_up_return = "/transfer"
[[applications.routes]]
name = "api-transfers"
paths = ["/api/transfers"]
methods = ["POST"]
class = "money-moving"
scopes = ["@SCOPE@"]
transfer = { format = "json", from = "/from", to = "/to", amount = "/amount", currency = "/currency", unit = "minor" }
[[applications.routes]]
name = "public"
paths = ["/goodbye", "/app"]
access = "public"
"#;

/// Large transfers need a second factor that is fresh.
const POLICY: &str = r#"
version = "peers-1"
[lists]
strong_acr = ["@STRONG@"]
[[rules]]
id = "large-transfer"
description = "A large transfer without a fresh second factor."
when = "transfer.amount_minor >= 100000 && !(identity.acr in lists.strong_acr && identity.auth_age_s <= 300)"
outcome = "step_up"
mode = "enforce"
routes = ["web-transfer", "api-transfers"]
reason = "transfer.large"
message = "Please confirm this transfer with your second factor."
"#;

/// How a world differs from the usual one.
pub struct Setting<'a> {
    /// The gateway fetches keys anew after so many seconds.
    pub jwks_refresh_s: u32,
    /// See [`Provider::start`].
    pub lifetimes_s: &'a [u32],
    /// How many requests the application bears at once.
    pub limit: u32,
    /// The resource that the application is.
    pub audience: &'a str,
    /// How long the gateway believes what it was told of an opaque token, seconds.
    pub cache_s: u32,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        // So much that one customer's fifty requests at once do not press it.
        let limit = 256;
        Self { jwks_refresh_s: 300, lifetimes_s: &[3_600], limit, audience: SITE, cache_s: 300 }
    }
}

/// The gateway, with the provider that it trusts.
pub struct World {
    _gateway: Gateway,
    pub provider: Provider,
    /// The application.
    pub upstream: Upstream,
    /// The provider's signing key.
    pub key: Value,
    /// The application through the gateway.
    pub url: Url,
    folder: TempDir,
}

impl World {
    /// Starts both.
    pub async fn start(setting: Setting<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = Url::parse(&format!("http://{free}/")).unwrap();
        let client_key = provider::key("gatehouse");
        let clients = vec![
            provider::gateway_client(&url, &client_key),
            provider::program_client(),
            provider::app_client(&url.join("/app").unwrap()),
        ];
        let key = provider::key("first");
        let provider = Provider::start(&key, clients, setting.lifetimes_s);
        let upstream = Upstream::start().await;
        let text = CONFIG
            .replace("@GATEWAY@", &free.to_string())
            .replace("@ISSUER@", provider.iss())
            .replace("@REFRESH@", &setting.jwks_refresh_s.to_string())
            .replace("@CACHE@", &setting.cache_s.to_string())
            .replace("@UPSTREAM@", &upstream.address)
            .replace("@LIMIT@", &setting.limit.to_string())
            .replace("@AUDIENCE@", setting.audience)
            .replace("@SITE@", SITE)
            .replace("@SCOPE@", SCOPE)
            .replace("@STRONG@", STRONG)
            .replace("@CLIENT@", GATEWAY);
        fs::write(folder.path().join("gatehouse.toml"), text).unwrap();
        fs::write(folder.path().join("policy.toml"), POLICY.replace("@STRONG@", STRONG)).unwrap();
        fs::write(folder.path().join("client.jwk"), client_key.to_string()).unwrap();
        Self { _gateway: Gateway::start(&folder).await, provider, upstream, key, url, folder }
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
