//! `gatehouse run`: the gateway by itself, with the configuration that the demo wrote, in front of the demo's bank.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::StatusCode;
use tests::demo::{Addresses, binary};
use tests::{Program, RunningDemo};
use url::Url;

use crate::{audit, soon};

/// A gateway in its own process, ended with the test.
pub struct Gateway {
    child: Child,
    log: PathBuf,
}

impl Gateway {
    pub fn start(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary().unwrap());
        command.arg("run").arg("--config").arg(folder.join("config/gatehouse.toml")).args(arguments);
        Self::started_by(command, folder.join(name))
    }

    /// The gateway that `command` becomes.
    pub fn started_by(mut command: Command, log: PathBuf) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn tell(&self, signal: &str) {
        let told = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
    }

    pub fn said(&self, words: &str) -> bool {
        fs::read_to_string(&self.log).unwrap_or_default().contains(words)
    }

    pub async fn serves(&mut self) {
        soon("the gateway serves", async || {
            let log = || fs::read_to_string(&self.log).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "the gateway ended: {}", log());
            self.said("clients are served").then_some(())
        })
        .await;
    }

    pub async fn ended(&mut self) -> ExitStatus {
        soon("the gateway ends", async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn reloads_upgrades_and_ends() {
    let demo = RunningDemo::start(&[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = prepare(&demo, folder.path());
    let mut gateway = Gateway::start(folder.path(), "first.log", &[]);
    gateway.serves().await;
    let alice = Arc::new(Program::of(&at, "alice").await.unwrap());
    assert_eq!(alice.get("/api/accounts").await.unwrap().status, StatusCode::OK);

    reloads(&gateway, &at, folder.path(), &alice).await;

    let customer = Arc::new(Load::default());
    let mut coming = Vec::new();
    for who in ["alice", "bob", "carol"] {
        let token = Program::of(&at, who).await.unwrap().token().to_owned();
        for kept in [true, false] {
            coming.push(tokio::spawn(Arc::clone(&customer).comes_on(
                at.gateway.clone(),
                token.clone(),
                kept,
            )));
        }
    }
    soon("requests before the upgrade", async || (customer.answered() >= 60).then_some(())).await;
    let mut next = Gateway::start(folder.path(), "next.log", &["--upgrade"]);
    gateway.tell("-QUIT");
    let ended = gateway.ended().await;
    assert!(ended.success(), "{ended}: {}", fs::read_to_string(&gateway.log).unwrap());
    next.serves().await;
    let before = customer.answered();
    soon("requests after the upgrade", async || (customer.answered() >= before + 60).then_some(())).await;
    customer.enough.store(true, Ordering::Relaxed);
    for client in coming {
        let lost = client.await.unwrap();
        assert!(lost.is_empty(), "of {} requests: {lost:?}", customer.answered());
    }
    assert!(customer.closed.load(Ordering::Relaxed) <= 3, "a kept connection is closed once by an upgrade");

    next.tell("-TERM");
    let ended = next.ended().await;
    assert!(ended.success(), "{ended}: {}", fs::read_to_string(&next.log).unwrap());
    let report = audit::sound(&folder.path().join("gateway/decisions"));
    assert_eq!((&report["starts"], &report["abrupt"]), (&2.into(), &0.into()), "{report}");
    demo.end().unwrap();
}

async fn reloads(gateway: &Gateway, at: &Addresses, folder: &Path, alice: &Program) {
    let policy = folder.join("config/policies/demo.toml");
    let good = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, good.replace("inspection.sqli >=", "inspection.sqlinjection >=")).unwrap();
    gateway.tell("-HUP");
    counted(at, "refused", 1).await;
    assert!(gateway.said("reload refused") && gateway.said("sqlinjection"), "it says why");
    let probe = alice.get("/api/accounts?q=1%27%20OR%20%271%27=%271%27--").await.unwrap();
    assert_eq!(probe.reason(), "inspection.sqli", "the old policy stays in force: {probe:?}");

    fs::write(
        &policy,
        good.replace("version = \"demo-1\"", "version = \"demo-2\"")
            .replace("\"inspection.sqli\"", "\"inspection.renamed\""),
    )
    .unwrap();
    gateway.tell("-HUP");
    counted(at, "ok", 1).await;
    let probe = alice.get("/api/accounts?q=1%27%20OR%20%271%27=%271%27--").await.unwrap();
    assert_eq!(probe.reason(), "inspection.renamed", "the new policy is in force: {probe:?}");

    let file = folder.join("config/gatehouse.toml");
    let before = fs::read_to_string(&file).unwrap();
    let changed =
        before.replace("threads = 2", "threads = 3").replace("\"/api/advice\"", "\"/api/advice-moved\"");
    fs::write(&file, changed).unwrap();
    gateway.tell("-HUP");
    counted(at, "ok", 2).await;
    assert!(
        gateway.said("server.threads") && gateway.said("--upgrade"),
        "it says what waits for a new process"
    );
    let moved = alice.get("/api/advice").await.unwrap();
    assert_eq!(moved.status, StatusCode::NOT_FOUND, "the rest is in force: {moved:?}");
    fs::write(&file, before).unwrap();
}

/// Waits until so many reloads ended with `result`.
async fn counted(at: &Addresses, result: &str, times: usize) {
    let scraper = Program::nobody(&at.observe).unwrap();
    let line = format!("gatehouse_reloads_total{{result=\"{result}\"}} {times}");
    soon(&line, async || scraper.get("/metrics").await.unwrap().text.contains(&line).then_some(())).await;
}

/// Several clients that come again and again. What counts as lost: a request on a new connection that gets anything but
/// 200, and one on a kept connection that gets anything but 200 or, where the server had closed the connection before
/// it answered a byte, does not get it at once on a new one (RFC 9112 9.3.1: every client of kept connections must).
#[derive(Default)]
struct Load {
    answered: AtomicUsize,
    /// Kept connections found closed.
    closed: AtomicUsize,
    enough: AtomicBool,
}

impl Load {
    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Answers what was lost.
    async fn comes_on(self: Arc<Self>, gateway: Url, token: String, kept: bool) -> Vec<String> {
        let idle = if kept { 1 } else { 0 };
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(idle).build().unwrap();
        let url = gateway.join("/api/accounts").unwrap();
        let ask = || client.get(url.clone()).bearer_auth(&token).send();
        let mut lost = Vec::new();
        while !self.enough.load(Ordering::Relaxed) {
            let mut answer = ask().await;
            if kept && answer.is_err() {
                self.closed.fetch_add(1, Ordering::Relaxed);
                answer = ask().await;
            }
            match answer {
                Ok(answer) if answer.status() == StatusCode::OK => {
                    if let Err(error) = answer.bytes().await {
                        lost.push(format!("{error:?}"));
                    }
                }
                Ok(answer) => lost.push(answer.status().to_string()),
                Err(error) => lost.push(format!("{error:?}")),
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
            // Six clients stay below the limits of their customers and of their one address.
            tokio::time::sleep(std::time::Duration::from_millis(75)).await;
        }
        lost
    }
}

/// Puts the demo's configuration into `folder`, with other addresses and a data folder of its own; answers where the
/// gateway will be.
pub fn prepare(demo: &RunningDemo, folder: &Path) -> Addresses {
    copy(&demo.data().join("config"), &folder.join("config"));
    // The bank believes the demo's gateway, so this one signs with the same key.
    copy(&demo.data().join("gateway/keys"), &folder.join("gateway/keys"));
    let file = folder.join("config/gatehouse.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    let mut at = demo.at.clone();
    let external = format!("external_url = \"http://{}\"", at.gateway.authority());
    for address in [&mut at.gateway, &mut at.admin, &mut at.observe] {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        text = text.replace(address.authority(), &free.to_string());
        address.set_port(Some(free.port())).unwrap();
    }
    let moved = format!("external_url = \"http://{}\"", at.gateway.authority());
    fs::write(&file, text.replace(&moved, &external)).unwrap();
    at
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
