//! The demo, started as a user starts it: the binary, in its own process, on free ports.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use tempfile::TempDir;
use url::Url;

/// Longest time a start may take before the test gives up; a busy machine is slow.
const START_MAX: Duration = Duration::from_secs(120);

/// Where everything answers.
#[derive(Clone, Debug, Deserialize)]
pub struct Addresses {
    /// The bank through the gateway.
    pub gateway: Url,
    /// Admin API and console.
    pub admin: Url,
    /// Scrapers.
    pub observe: Url,
    /// The bank itself.
    pub bank: Url,
    /// The identity provider.
    pub idp: Url,
}

/// A demo that runs until it is dropped.
pub struct RunningDemo {
    child: Child,
    folder: TempDir,
    /// Where everything answers.
    pub at: Addresses,
}

impl RunningDemo {
    /// Starts a fresh demo with further arguments.
    ///
    /// # Errors
    /// The binary is missing, ends early, or does not become ready.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        Self::start_in(folder, arguments)
    }

    /// Starts a demo over what an earlier one left in `folder`.
    ///
    /// # Errors
    /// As [`RunningDemo::start`].
    pub fn start_in(folder: TempDir, arguments: &[&str]) -> anyhow::Result<Self> {
        let ready = folder.path().join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let log = std::fs::File::create(folder.path().join("demo.log"))?;
        let mut child = Command::new(binary()?)
            .arg("demo")
            .args(["--gateway", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--observe", "127.0.0.1:0"])
            .args(["--bank", "127.0.0.1:0", "--idp", "127.0.0.1:0"])
            .arg("--data")
            .arg(folder.path().join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("the gateway's binary cannot be started")?;
        let began = Instant::now();
        loop {
            if let Ok(text) = std::fs::read(&ready) {
                let at = serde_json::from_slice(&text)?;
                return Ok(Self { child, folder, at });
            }
            if let Some(status) = child.try_wait()? {
                bail!("the demo ended with {status}:\n{}", log_of(folder.path()));
            }
            if began.elapsed() > START_MAX {
                let _ = child.kill();
                bail!("the demo was not ready in time:\n{}", log_of(folder.path()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The demo's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the demo logged.
    pub fn log(&self) -> String {
        log_of(self.folder.path())
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process at once, as a power cut would, and gives its folder back.
    ///
    /// # Errors
    /// The process cannot be killed.
    pub fn kill(mut self) -> anyhow::Result<TempDir> {
        self.child.kill()?;
        self.child.wait()?;
        let empty = tempfile::tempdir()?;
        Ok(std::mem::replace(&mut self.folder, empty))
    }

    /// Asks the process to end and waits for it.
    ///
    /// # Errors
    /// It did not end well.
    pub fn end(mut self) -> anyhow::Result<TempDir> {
        let told = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        anyhow::ensure!(told.success(), "the demo could not be told to end");
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the demo ended with {status}:\n{}", self.log());
        let empty = tempfile::tempdir()?;
        Ok(std::mem::replace(&mut self.folder, empty))
    }
}

impl Drop for RunningDemo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("demo.log")).unwrap_or_default()
}

/// The gateway's binary, beside the test's own: `cargo test --workspace` builds both into one folder.
///
/// # Errors
/// It has not been built.
pub fn binary() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.ancestors().nth(2).context("the test runs outside of a target folder")?;
    let binary = folder.join("gatehouse");
    anyhow::ensure!(
        binary.exists(),
        "{} is not there: run `cargo build -p proxy --bin gatehouse`, or the whole suite with `make test`",
        binary.display()
    );
    Ok(binary)
}
