//! `gatehouse demo`: bank, identity provider, gateway, admin API and console in one process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use ledger_demo::demo::{Demo, DemoConfig};
use ledger_demo::traffic::Plan;
use tokio::net::TcpListener;
use tokio::sync::watch;
use url::Url;

use crate::clock::SystemClock;
use crate::compose::compose;
use crate::config::Config;
use crate::front::Sockets;
use crate::keys;
use crate::serve::{self, Serving};

/// Arguments of `demo`. An address may end in `:0` for any free port.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where clients connect.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    gateway: SocketAddr,
    /// Admin API and console.
    #[arg(long, default_value = "127.0.0.1:9901", value_name = "ADDRESS")]
    admin: SocketAddr,
    /// Liveness, readiness and metrics.
    #[arg(long, default_value = "127.0.0.1:9902", value_name = "ADDRESS")]
    observe: SocketAddr,
    /// The demo bank.
    #[arg(long, default_value = "127.0.0.1:7001", value_name = "ADDRESS")]
    bank: SocketAddr,
    /// The demo identity provider.
    #[arg(long, default_value = "127.0.0.1:7002", value_name = "ADDRESS")]
    idp: SocketAddr,
    /// Where everything is kept.
    #[arg(long, default_value = "gatehouse-demo-data", value_name = "DIR")]
    data: PathBuf,
    /// Remove what an earlier demo left there first.
    #[arg(long)]
    fresh: bool,
    /// Also play customers, fraudsters and attackers through the gateway.
    #[arg(long, value_enum, value_name = "KIND")]
    traffic: Option<Traffic>,
    /// Once everything answers, write the addresses there as JSON.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Traffic {
    /// Customers going about their banking.
    Calm,
    /// The same under fraud, probes, credential stuffing and floods.
    Attack,
}

/// The gateway's files, as shipped.
const CONFIG: &str = include_str!("../../../configs/demo.toml");
const POLICY: &str = include_str!("../../../configs/policies/demo.toml");
const MODELS: [(&str, &[u8]); 3] = [
    ("models/fraud/model.artifact", include_bytes!("../../../configs/models/fraud/model.artifact")),
    ("models/anomaly/model.artifact", include_bytes!("../../../configs/models/anomaly/model.artifact")),
    ("models/capacity/q-learning.json", include_bytes!("../../../configs/models/capacity/q-learning.json")),
];
/// A folder is only ever removed when this file says that a demo made it.
const MARKER: &str = ".gatehouse-demo";

/// Runs the demo until Ctrl-C.
pub fn demo(arguments: Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    prepare_folder(&arguments.data, arguments.fresh)?;
    super::control_runtime()?.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let started = start(&arguments, stopped).await?;
        let addresses = started.addresses();
        if let Some(file) = &arguments.ready_file {
            write_ready_file(file, &addresses)?;
        }
        addresses.print(began);
        let playing = arguments.traffic.map(|traffic| started.play(traffic, &addresses, stop.subscribe()));
        ended().await?;
        println!("ending the demo");
        let _ = stop.send(true);
        if let Some(playing) = playing {
            playing.abort();
        }
        started.serving.drain().await;
        Ok(started.demo.stopped().await?)
    })
}

/// Everything that runs.
struct Started {
    demo: Demo,
    serving: Serving,
}

/// Starts bank and identity provider, then the gateway in front of them.
async fn start(arguments: &Arguments, stopped: watch::Receiver<bool>) -> anyhow::Result<Started> {
    let bank = listen(arguments.bank).await?;
    let idp = listen(arguments.idp).await?;
    let sockets = Sockets::empty();
    let gateway = sockets.bind(arguments.gateway, 1)?;
    let admin = free_port(arguments.admin)?;
    let observe = free_port(arguments.observe)?;

    let folder = arguments.data.join("config");
    let key = keys::signing_key(&folder.join("keys").join("demo-web.pem"))?;
    let aggregator = keys::signing_key(&folder.join("keys").join("demo-aggregator.pem"))?;
    let demo_config = DemoConfig {
        data_dir: arguments.data.join("bank"),
        gateway_url: url(gateway)?,
        idp_url: url(idp.local_addr()?)?,
        admin_url: url(admin)?,
        demo_web_jwk: key.public_jwk(),
        aggregator_jwk: aggregator.public_jwk(),
    };
    let clock: ledger_demo::Clock = Arc::new(|| policies::ports::Clock::now_ms(&SystemClock));
    let places = Places { gateway, admin, observe, bank: bank.local_addr()?, idp: idp.local_addr()? };
    let demo = Demo::start(demo_config, bank, idp, clock, stopped).await?;
    let config = write_config(&folder, &places, &demo)?;
    let core = compose(Config::load(&config)?, Arc::new(SystemClock)).await?;
    let serving = serve::start(core, sockets).await?;
    Ok(Started { demo, serving })
}

/// The addresses in use.
struct Places {
    gateway: SocketAddr,
    admin: SocketAddr,
    observe: SocketAddr,
    bank: SocketAddr,
    idp: SocketAddr,
}

/// Writes the shipped configuration with this demo's addresses, so that it can be read, edited and run by itself.
fn write_config(folder: &Path, places: &Places, demo: &Demo) -> anyhow::Result<PathBuf> {
    let mut text = CONFIG.to_owned();
    for (shipped, used) in [
        ("127.0.0.1:8080", places.gateway),
        ("127.0.0.1:9901", places.admin),
        ("127.0.0.1:9902", places.observe),
        ("127.0.0.1:7001", places.bank),
        ("127.0.0.1:7002", places.idp),
    ] {
        text = text.replace(shipped, &used.to_string());
    }
    text = text.replace("localhost:8080", &format!("localhost:{}", places.gateway.port()));
    write(&folder.join("gatehouse.toml"), text.as_bytes())?;
    write(&folder.join("policies/demo.toml"), POLICY.as_bytes())?;
    for (name, bytes) in MODELS {
        write(&folder.join(name), bytes)?;
    }
    write(&folder.join("history.jsonl"), demo.history()?.as_bytes())?;
    Ok(folder.join("gatehouse.toml"))
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

impl Started {
    fn addresses(&self) -> Addresses {
        let gateway = self.serving.listeners.first().copied();
        Addresses {
            gateway: shown(gateway),
            admin: shown(self.serving.admin),
            observe: shown(self.serving.observe),
            bank: shown(Some(self.demo.bank)),
            idp: shown(Some(self.demo.idp)),
        }
    }

    fn play(
        &self,
        traffic: Traffic,
        addresses: &Addresses,
        mut stop: watch::Receiver<bool>,
    ) -> tokio::task::JoinHandle<()> {
        let plan = match traffic {
            Traffic::Calm => Plan::Calm,
            Traffic::Attack => Plan::Attack,
        };
        let urls = (Url::parse(&addresses.gateway), Url::parse(&addresses.idp));
        tokio::spawn(async move {
            let (Ok(gateway), Ok(idp)) = urls else { return };
            let stopped = async move {
                let _ = stop.wait_for(|&stop| stop).await;
            };
            if let Err(error) = ledger_demo::traffic::play(plan, gateway, idp, stopped).await {
                tracing::error!(%error, "the traffic player ended");
            }
        })
    }
}

/// What the ready file says.
#[derive(serde::Serialize)]
struct Addresses {
    gateway: String,
    admin: String,
    observe: String,
    bank: String,
    idp: String,
}

impl Addresses {
    fn print(&self, began: Instant) {
        println!("Gatehouse demo, ready after {:.1} s\n", began.elapsed().as_secs_f64());
        println!("  bank, through the gateway   {}", self.gateway);
        println!("  operators' console          {}", self.admin);
        println!("  metrics and readiness       {}/metrics  /readyz  /livez", self.observe);
        println!("  bank, directly              {}   (not through the gateway)", self.bank);
        println!("  identity provider           {}\n", self.idp);
        println!(
            "  customers  alice  bob  carol  mallory     staff  olivia (operator)  ana (analyst)  petra (approver)"
        );
        println!("  password   gatehouse-demo                 second factor   000000\n");
        println!("Ctrl-C ends it.");
    }
}

fn shown(address: Option<SocketAddr>) -> String {
    address.map(|a| format!("http://{a}")).unwrap_or_default()
}

/// Written whole under another name first: whoever waits for the file never reads half of it.
fn write_ready_file(file: &Path, addresses: &Addresses) -> anyhow::Result<()> {
    let draft = file.with_extension("new");
    write(&draft, serde_json::to_string(addresses)?.as_bytes())?;
    std::fs::rename(&draft, file).with_context(|| format!("cannot write {}", file.display()))
}

fn prepare_folder(data: &Path, fresh: bool) -> anyhow::Result<()> {
    let marker = data.join(MARKER);
    if fresh && data.exists() {
        let empty = std::fs::read_dir(data)?.next().is_none();
        anyhow::ensure!(
            empty || marker.exists(),
            "{} was not made by a demo; name another folder with --data",
            data.display()
        );
        std::fs::remove_dir_all(data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    write(&marker, b"Everything here belongs to `gatehouse demo`; `--fresh` removes it.\n")
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; name another address, or end in :0 for any free port")
    })
}

/// The address itself, or one with a port that is free now.
fn free_port(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    if address.port() != 0 {
        return Ok(address);
    }
    Ok(std::net::TcpListener::bind(address)?.local_addr()?)
}

fn url(address: SocketAddr) -> anyhow::Result<Url> {
    Ok(Url::parse(&format!("http://{address}"))?)
}

/// Ctrl-C or SIGTERM.
async fn ended() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
