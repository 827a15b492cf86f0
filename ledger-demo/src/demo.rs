//! The whole demo bank: bank and identity provider on their ports, with half a year of history behind them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use url::Url;

use crate::banking::Bank;
use crate::idp::{Announcer, Idp, IdpConfig, RESOURCE_BANK, Registration, Revoked, WAITING_MAX};
use crate::mark::Mark;
use crate::people::Directory;
use crate::seed::{DEMO_SEED, seed, transfer_history};
use crate::server::{BankConfig, CONNECTIONS, serve};
use crate::web::{AGGREGATOR_CALLBACK, FormKey};
use crate::{Clock, idp, open_store};

/// How often it is noted how far the books have come.
const MARK_EVERY: Duration = Duration::from_secs(5);

/// What the demo bank has to be told.
pub struct DemoConfig {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where people reach the bank: the gateway.
    pub gateway_url: Url,
    /// Where people reach the identity provider.
    pub idp_url: Url,
    /// Where the gateway's admin API answers.
    pub admin_url: Url,
    /// Public key with which the gateway authenticates as client `demo-web`.
    pub demo_web_jwk: Value,
    /// Public key of the third party `demo-aggregator`.
    pub aggregator_jwk: Value,
}

/// Why the demo bank does not start, or did not end well.
#[derive(Debug, thiserror::Error)]
#[error("the demo bank: {0}")]
pub struct DemoError(String);

/// The running demo bank.
pub struct Demo {
    /// Where the bank answers.
    pub bank: SocketAddr,
    /// Where the identity provider answers.
    pub idp: SocketAddr,
    books: Arc<Bank>,
    serving: JoinSet<Result<(), DemoError>>,
}

impl Demo {
    /// Opens the books, fills them the first time, and serves until `stop` says true.
    ///
    /// # Errors
    /// [`DemoError`] with the part that failed.
    pub async fn start(
        config: DemoConfig,
        bank_listener: TcpListener,
        idp_listener: TcpListener,
        clock: Clock,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, DemoError> {
        let now_ms = clock();
        let failed = |what: &'static str| move |error: String| DemoError(format!("{what}: {error}"));
        std::fs::create_dir_all(&config.data_dir).map_err(|e| failed("data folder")(e.to_string()))?;
        let books_dir = config.data_dir.join("books");
        let db = open_store(&books_dir).map_err(|e| failed("books")(e.to_string()))?;
        let people = Directory::open(&db).map_err(|e| failed("people")(e.to_string()))?;
        people.seed_demo(now_ms).map_err(|e| failed("people")(e.to_string()))?;
        let books = Arc::new(Bank::open(&db, now_ms).await.map_err(|e| failed("ledger")(e.to_string()))?);
        let mark = Mark::beside(&books_dir);
        mark.check(&books).await.map_err(|e| failed("books")(e.to_string()))?;
        seed(&books, DEMO_SEED, now_ms).await.map_err(|e| failed("history")(e.to_string()))?;

        let (announcer, registration) = Announcer::new(&config.idp_url, &config.admin_url, clock.clone())
            .map_err(|e| failed("announcer")(e.to_string()))?;
        let (revoked, hears) = broadcast::channel(WAITING_MAX);
        let provider = provider(&db, &people, &config, &clock, (revoked, registration))?;
        let form_key = FormKey::open(&config.data_dir.join("form.key"))
            .map_err(|e| failed("form key")(e.to_string()))?;
        let bank_config = BankConfig {
            origins: origins(&config.gateway_url),
            login_origins: vec![config.idp_url.origin().ascii_serialization()],
            gateway_url: config.gateway_url,
            audience: RESOURCE_BANK.to_owned(),
            web_client: idp::DEMO_WEB.to_owned(),
            people,
            consents: provider.clone(),
            form_key,
            clock: clock.clone(),
            connections: CONNECTIONS,
        };
        let address =
            |listener: &TcpListener| listener.local_addr().map_err(|e| failed("socket")(e.to_string()));
        let (bank, idp) = (address(&bank_listener)?, address(&idp_listener)?);
        let mut serving = JoinSet::new();
        let announcer_stop = stop.clone();
        serving.spawn(async move {
            tokio::select! {
                () = announcer.run(hears) => {}
                () = stopped(announcer_stop) => {}
            }
            Ok(())
        });
        serving.spawn(keep_mark(mark, Arc::clone(&books), clock, stop.clone()));
        let (served, bank_stop, idp_stop) = (Arc::clone(&books), stop.clone(), stop);
        serving.spawn(async move {
            let served = serve(bank_listener, served, bank_config, stopped(bank_stop)).await;
            served.map_err(|e| DemoError(format!("bank: {e}")))
        });
        serving.spawn(async move {
            let served = idp::serve(idp_listener, provider, idp::CONNECTIONS, stopped(idp_stop)).await;
            served.map_err(|e| DemoError(format!("identity provider: {e}")))
        });
        Ok(Self { bank, idp, books, serving })
    }

    /// Every past transfer of a customer, one JSON object a line, for whoever wants to learn their habits.
    ///
    /// # Errors
    /// The books cannot be read.
    pub fn history(&self) -> Result<String, DemoError> {
        let past = transfer_history(&self.books).map_err(|e| DemoError(format!("history: {e}")))?;
        let mut lines = String::new();
        for transfer in past {
            let line = serde_json::json!({
                "at_ms": transfer.at_ms,
                "customer": transfer.customer,
                "payee": transfer.payee,
                "amount_minor": transfer.amount_minor,
                "currency": transfer.currency,
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        Ok(lines)
    }

    /// Waits until both parts have ended.
    ///
    /// # Errors
    /// The first that failed.
    pub async fn stopped(mut self) -> Result<(), DemoError> {
        while let Some(ended) = self.serving.join_next().await {
            ended.map_err(|e| DemoError(e.to_string()))??;
        }
        Ok(())
    }
}

fn provider(
    db: &sled::Db,
    people: &Directory,
    config: &DemoConfig,
    clock: &Clock,
    (revoked, announcer): (broadcast::Sender<Revoked>, Registration),
) -> Result<Arc<Idp>, DemoError> {
    let aggregator_redirect = config.gateway_url.join(AGGREGATOR_CALLBACK);
    let idp_config = IdpConfig {
        issuer: config.idp_url.clone(),
        gateway_url: config.gateway_url.clone(),
        demo_web_jwk: config.demo_web_jwk.clone(),
        aggregator_jwk: config.aggregator_jwk.clone(),
        aggregator_redirect_uris: vec![
            aggregator_redirect.map(String::from).map_err(|e| DemoError(format!("gateway address: {e}")))?,
        ],
        revoked: Some(revoked),
        announcer: Some(announcer),
    };
    Idp::open(db, people.clone(), idp_config, clock.clone())
        .map_err(|e| DemoError(format!("identity provider: {e}")))
}

/// Browsers may come by either name of this machine.
fn origins(gateway: &Url) -> Vec<String> {
    let mut origins = vec![gateway.origin().ascii_serialization()];
    let mut local = gateway.clone();
    if gateway.host_str() == Some("127.0.0.1") && local.set_host(Some("localhost")).is_ok() {
        origins.push(local.origin().ascii_serialization());
    }
    origins
}

/// Notes now and then, and at the end, how far the books have come.
async fn keep_mark(
    mark: Mark,
    books: Arc<Bank>,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) -> Result<(), DemoError> {
    loop {
        if let Err(error) = mark.advance(&books, clock()).await {
            tracing::error!(%error, "it cannot be noted how far the books have come");
        }
        let stopping = tokio::time::timeout(MARK_EVERY, stop.wait_for(|&stop| stop)).await;
        if stopping.is_ok() {
            return Ok(());
        }
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone stops everything too.
    let _ = stop.wait_for(|&stop| stop).await;
}
