//! `gatehouse run` and `gatehouse check`.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use policies::Pseudonymizer;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::SystemClock;
use crate::compose::{self, compose};
use crate::config::Config;
use crate::front::{self, Sockets};
use crate::serve::{self, Serving};

/// Beyond its grace, what the process before may take to write everything down and end.
const HAND_OVER_MAX: Duration = Duration::from_secs(10);
const CLAIM_EVERY: Duration = Duration::from_millis(5);

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Take the listening sockets over from the running gateway (send it SIGQUIT).
    #[arg(long)]
    upgrade: bool,
}

/// Runs the gateway until it is told to end.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    let (sockets, patience) = if arguments.upgrade {
        let sockets = Sockets::inherit(&serve::upgrade_socket(&config))?;
        (sockets, config.server.grace + HAND_OVER_MAX)
    } else {
        (Sockets::empty(), Duration::ZERO)
    };
    // Given back last of all, when the runtime and with it every store is gone.
    let _claim = claim(&config.server.data_dir, patience)?;
    let runtime = super::control_runtime()?;
    runtime.block_on(async {
        let core = compose(config, Arc::new(SystemClock)).await?;
        let serving = serve::start(core, sockets).await?;
        for address in &serving.listeners {
            tracing::info!(%address, "clients are served");
        }
        signals(serving, &arguments.config).await
    })
}

/// Takes the data folder for as long as the answer lives: its log and stores have one writer. The process that hands over
/// its sockets keeps the folder until its own requests are done, and clients wait in the sockets' queue meanwhile.
fn claim(data_dir: &Path, patience: Duration) -> anyhow::Result<File> {
    std::fs::create_dir_all(data_dir).with_context(|| format!("cannot create {}", data_dir.display()))?;
    let path = data_dir.join("process.lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(CLAIM_EVERY),
            Err(TryLockError::WouldBlock) => {
                anyhow::bail!("{}: another gateway works with this data folder", data_dir.display())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

/// SIGHUP reloads, SIGQUIT hands over, SIGTERM and SIGINT drain.
async fn signals(serving: Serving, file: &Path) -> anyhow::Result<()> {
    let (mut hang_up, mut quit) = (signal(SignalKind::hangup())?, signal(SignalKind::quit())?);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    loop {
        tokio::select! {
            _ = hang_up.recv() => reload(&serving, file),
            _ = quit.recv() => match serving.hand_over() {
                Ok(()) => {
                    tracing::info!("sockets handed over; open requests are finished");
                    break;
                }
                Err(error) => tracing::error!(%error, "hand-over failed; this process goes on serving"),
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    serving.drain().await;
    Ok(())
}

fn reload(serving: &Serving, file: &Path) {
    let metrics = &serving.core().metrics.reloads;
    let loaded = serving.core().live().config.reload(file).map_err(anyhow::Error::from);
    let taken_up = loaded.and_then(|(config, waits)| compose::reload(serving.core(), config).map(|()| waits));
    match taken_up {
        Ok(waits) => {
            metrics.with_label_values(&["ok"]).inc();
            if !waits.is_empty() {
                let fields = waits.join(", ");
                tracing::warn!(fields, "only a new process can take these up; start one with --upgrade");
            }
            tracing::info!(file = %file.display(), "configuration and policies reloaded");
        }
        Err(error) => {
            metrics.with_label_values(&["refused"]).inc();
            tracing::error!(
                error = format!("{error:#}"),
                "reload refused; the old configuration stays in force"
            );
        }
    }
}

/// Checks everything that a start would need, and starts nothing.
pub fn check(file: &Path) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    let policy = compose::policy(&config, &Pseudonymizer::new(&[0; 32]))?;
    let models = compose::scorers(&config.models, 0)?;
    if let Some(capacity) = &config.models.capacity {
        compose::capacity_table(capacity)?;
    }
    for tls in config.listeners.iter().filter_map(|l| l.tls.as_ref()) {
        front::server_config(tls)?;
    }
    if let Some(backfill) = &config.backfill {
        std::fs::metadata(backfill).with_context(|| format!("backfill {}", backfill.display()))?;
    }
    let routes: usize = config.applications.iter().map(|a| a.routes.iter().count()).sum();
    println!(
        "{} is fine: {} listeners, {} applications, {routes} routes, {} issuers, policy {} with {} rules, models: fraud {}, anomaly {}",
        file.display(),
        config.listeners.len(),
        config.applications.len(),
        config.issuers.len(),
        policy.version(),
        policy.rules().len(),
        models.fraud_name.as_deref().unwrap_or("none"),
        models.anomaly_name.as_deref().unwrap_or("none"),
    );
    Ok(())
}
