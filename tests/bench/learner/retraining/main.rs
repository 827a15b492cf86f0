//! What a retraining costs the requests beside it: `bench-retraining GATEHOUSE [--pairs 8] [--seconds 20] [--per-second 400]
//! [--customers 5000] [--kind logistic]`.
//!
//! A gateway is started over a recorded season of transfers. Under one steady open-loop load, calm windows and windows with
//! a retraining take turns; each of the latter is compared with the calm ones beside it, so that what else the machine does
//! weighs on both. Also what follows a retraining: the new challenger is taken in, and the log is walked.

mod load;
mod processes;
mod windows;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use learner::simulate::TransferSettings;
use serde_json::{Value, json};
use tests::issuer::Issuer;
use tests::season;

use load::{Load, Sample};
use windows::{What, Window, median_with_interval, ratios};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models/fraud");
/// Days of the season; about half a transfer a customer and day.
const DAYS: u32 = 150;
/// The last of its transfers is so old, milliseconds: older than the labels' delay, as those of the load are not. A training
/// then learns from the season alone, however long the load lasts.
const AGO_MS: i64 = 25 * 3_600_000;
const CUSTOMERS_OF_LOAD: usize = 64;
const TOKEN_S: u64 = 4 * 3_600;
/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// The survey follows at the gateway's next look, within five seconds.
const SURVEY: Duration = Duration::from_secs(8);
const KINDS: [&str; 2] = ["read", "transfer"];
const CONFIG: &str = include_str!("gateway.toml");

struct Arguments {
    gatehouse: PathBuf,
    pairs: usize,
    seconds: u64,
    per_second: u32,
    customers: usize,
    kind: String,
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut words = std::env::args().skip(1);
    let gatehouse = words.next().context("usage: bench-retraining GATEHOUSE [--NAME VALUE]…")?;
    let gatehouse = fs::canonicalize(&gatehouse).context(gatehouse)?;
    let mut found = Arguments {
        gatehouse,
        pairs: 8,
        seconds: 20,
        per_second: 400,
        customers: 5_000,
        kind: "logistic".into(),
    };
    while let Some(name) = words.next() {
        let value = words.next().with_context(|| format!("{name} what?"))?;
        match &*name {
            "--pairs" => found.pairs = value.parse()?,
            "--seconds" => found.seconds = value.parse()?,
            "--per-second" => found.per_second = value.parse()?,
            "--customers" => found.customers = value.parse()?,
            "--kind" => found.kind = value,
            _ => anyhow::bail!("{name} is no option"),
        }
    }
    Ok(found)
}

fn main() -> anyhow::Result<()> {
    let arguments = arguments()?;
    let folder = tempfile::tempdir()?;
    let now_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let data = folder.path().join("data");
    let town = TransferSettings { seed: 3, customers: arguments.customers, days: DAYS };
    let season = season::write(&data, Path::new(MODEL), town, now_ms - AGO_MS)?;
    fs::write(data.join("labels.jsonl"), labels(&season.frauds))?;
    println!("{} recorded transfers; {} requests a second", season.transfers, arguments.per_second);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let issuer = runtime.block_on(Issuer::start())?;
    let gateway = Gateway::start(&arguments.gatehouse, folder.path(), &issuer)?;
    let load = Load::start(gateway.address, arguments.per_second, &requests(&issuer, gateway.address)?);
    let windows = runtime.block_on(take_turns(&gateway, &arguments));
    let samples = load.end();
    report(&windows?, &samples);
    Ok(())
}

/// Known frauds as the gateway keeps them.
fn labels(frauds: &[(String, i64)]) -> String {
    let line = |(decision, at_ms): &(String, i64)| {
        let line = json!({ "decision": decision, "fraud": true, "known_ms": at_ms, "source": "upload", "by": "bench" });
        format!("{line}\n")
    };
    frauds.iter().map(line).collect()
}

/// Calm, retraining, survey, calm and so on; the first calm window warms up and is dropped.
async fn take_turns(gateway: &Gateway, arguments: &Arguments) -> anyhow::Result<Vec<Window>> {
    let (mut windows, span) = (Vec::new(), Duration::from_secs(arguments.seconds));
    let _warm = gateway.window(What::Calm, None, span).await;
    for pair in 0..arguments.pairs {
        windows.push(gateway.window(What::Calm, None, span).await);
        let order = json!({ "kind": arguments.kind }).to_string();
        let begun = gateway.call(reqwest::Method::POST, "/retrain", order).await?;
        anyhow::ensure!(begun["life"]["retraining"]["since_ms"].is_number(), "{begun}");
        let began = Instant::now();
        let trainer = gateway.trainer().await?;
        let window = gateway.window(What::Retraining, Some(trainer), span).await;
        let scheduled = processes::scheduled(trainer);
        let ended = gateway.retrained().await?;
        println!(
            "pair {}: trained in {:.0} s by threads {scheduled:?}; {ended}",
            pair + 1,
            began.elapsed().as_secs_f64()
        );
        anyhow::ensure!(!scheduled.is_empty(), "it ended before its window did: have more --customers");
        windows.push(window);
        windows.push(gateway.window(What::Survey, None, SURVEY).await);
    }
    windows.push(gateway.window(What::Calm, None, span).await);
    Ok(windows)
}

fn report(windows: &[Window], samples: &[Sample]) {
    let bad = samples.iter().filter(|sample| !sample.good).count();
    println!("\n{} requests, {bad} not answered with 200", samples.len());
    println!(
        "\n{:<12} {:>9} {:>9} {:>9} {:>9}   CPU: {:>8} {:>8} {:>8}",
        "window", "read p50", "p99 ms", "transfer", "p99 ms", "gateway", "trainer", "others"
    );
    for window in windows {
        let [a, b, c, d] =
            [(0, 0.5), (0, 0.99), (1, 0.5), (1, 0.99)].map(|(kind, q)| window.quantile_ms(samples, kind, q));
        let [gateway, trainer, others] = [0, 1, 2].map(|at| window.share(at) * 100.0);
        let what = format!("{:?}", window.what);
        println!(
            "{what:<12} {a:>9.2} {b:>9.2} {c:>9.2} {d:>9.2}        {gateway:>7.0}% {trainer:>7.0}% {others:>7.0}%"
        );
    }
    println!("\nratio to the calm windows beside it: median (95 % interval)");
    for what in [What::Retraining, What::Survey] {
        for (kind, name) in KINDS.iter().enumerate() {
            for q in [0.5, 0.9, 0.99] {
                let found = ratios(windows, what, |window| window.quantile_ms(samples, kind, q));
                let [median, low, high] = median_with_interval(found);
                println!("{what:?} {name} p{}: {median:.3} ({low:.3} to {high:.3})", q * 100.0);
            }
        }
    }
}

/// A gateway in a process of its own, before an upstream in this one.
struct Gateway {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    token: String,
}

impl Gateway {
    fn start(program: &Path, folder: &Path, issuer: &Issuer) -> anyhow::Result<Self> {
        let [address, admin, observe] = free_addresses()?;
        let config = CONFIG
            .replace("@GATEWAY@", &address.to_string())
            .replace("@ADMIN@", &admin.to_string())
            .replace("@OBSERVE@", &observe.to_string())
            .replace("@UPSTREAM@", &upstream()?.to_string())
            .replace("@ISSUER@", &issuer.url)
            .replace("@FRAUD@", MODEL);
        let file = folder.join("gatehouse.toml");
        fs::write(&file, config)?;
        fs::write(folder.join("policy.toml"), "version = \"bench-1\"\n")?;
        let log = fs::File::create(folder.join("log"))?;
        let mut command = Command::new(program);
        command.args(["--log-filter", "warn", "run", "--config"]).arg(&file).current_dir(folder);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let claims =
            json!({ "scope": "admin", "roles": ["operator"] }).as_object().cloned().unwrap_or_default();
        let (token, _) = issuer.token_with("olivia", "urn:bench:admin", TOKEN_S, claims)?;
        let mut gateway = Self { child, address, admin, token };
        let began = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            let ended = gateway.child.try_wait()?.is_some() || began.elapsed() > PATIENCE;
            anyhow::ensure!(!ended, "no gateway: {}", fs::read_to_string(folder.join("log"))?);
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(gateway)
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: String) -> anyhow::Result<Value> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}/api/v1/models/fraud{path}", self.admin);
        let request = client.request(method, url).bearer_auth(&self.token);
        Ok(request.header("content-type", "application/json").body(body).send().await?.json().await?)
    }

    /// The training process, once it has become what `nice` starts.
    async fn trainer(&self) -> anyhow::Result<u32> {
        let began = Instant::now();
        loop {
            let training = |pid: &u32| {
                let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                command.contains("gatehouse\0retrain")
            };
            if let Some(pid) = processes::children(self.child.id()).into_iter().find(training) {
                // So that every thread of it is there.
                tokio::time::sleep(Duration::from_millis(500)).await;
                return Ok(pid);
            }
            anyhow::ensure!(began.elapsed() < Duration::from_secs(30), "no training process");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is being trained; how it ended.
    async fn retrained(&self) -> anyhow::Result<String> {
        let began = Instant::now();
        loop {
            let model = self.call(reqwest::Method::GET, "", String::new()).await?;
            let training = &model["life"]["retraining"];
            if training["since_ms"].is_null() {
                anyhow::ensure!(training["ok"] == true, "{training}");
                return Ok(training["said"].as_str().unwrap_or_default().to_owned());
            }
            anyhow::ensure!(began.elapsed() < PATIENCE, "it trains for ever");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn window(&self, what: What, trainer: Option<u32>, span: Duration) -> Window {
        let ours = [self.child.id(), trainer.unwrap_or(0), std::process::id()];
        let times = || (processes::busy(), ours.map(processes::cpu));
        let (from, before) = (Instant::now(), times());
        tokio::time::sleep(span).await;
        let (to, after) = (Instant::now(), times());
        let [gateway, trainer, own] = [0, 1, 2].map(|at| after.1[at].saturating_sub(before.1[at]));
        let others = (after.0.saturating_sub(before.0)).saturating_sub(gateway + trainer + own);
        Window { what, from, to, cpu: [gateway, trainer, others] }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _collected = self.child.wait();
    }
}

/// Whole requests of both kinds, of customers that take turns.
fn requests(issuer: &Issuer, at: SocketAddr) -> anyhow::Result<[Vec<Vec<u8>>; 2]> {
    let (mut reads, mut transfers) = (Vec::new(), Vec::new());
    for customer in 0..CUSTOMERS_OF_LOAD {
        let (token, _) = issuer.token(&format!("customer-{customer}"), "urn:bench", TOKEN_S)?;
        let fields = format!(
            "Host: {at}\r\nAuthorization: Bearer {token}\r\nUser-Agent: bank-app/4.2 (bench)\r\nAccept: */*\r\n"
        );
        reads.push(format!("GET /api/accounts HTTP/1.1\r\n{fields}\r\n").into_bytes());
        let body = format!(r#"{{"from":"A-{customer}","to":"B-{customer}","amount":12,"currency":"EUR"}}"#);
        let length = body.len();
        let head = format!(
            "POST /api/transfers HTTP/1.1\r\n{fields}Content-Type: application/json\r\nContent-Length: {length}\r\n"
        );
        transfers.push(format!("{head}\r\n{body}").into_bytes());
    }
    Ok([reads, transfers])
}

/// An upstream that says yes to everything, on a thread for each connection.
fn upstream() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut held, mut buffer) = (Vec::new(), [0; 8192]);
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    held.extend_from_slice(&buffer[..count]);
                    while let Some(length) = whole(&held) {
                        held.drain(..length);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
                        if stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    Ok(at)
}

/// Length of the request at the beginning, where all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    (bytes.len() >= head + length.unwrap_or(0)).then_some(head + length.unwrap_or(0))
}

fn free_addresses() -> anyhow::Result<[SocketAddr; 3]> {
    let bound = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0"));
    let mut found = [SocketAddr::from(([127, 0, 0, 1], 0)); 3];
    for (at, listener) in found.iter_mut().zip(&bound) {
        *at = listener.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?.local_addr()?;
    }
    Ok(found)
}
