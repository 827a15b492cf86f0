//! The bank on a port: the REST API and the pages, for the gateway in front of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use url::Url;

use crate::Clock;
use crate::api::{self, ApiState};
use crate::banking::Bank;
use crate::caller::{CallerVerifier, VerifierError};
use crate::connections::{self, Bounds};
use crate::people::Directory;
use crate::web::{self, Consents, FormKey, WebConfig, WebConfigError, WebState};

/// The gateway's connections, from its one address: more than it lets requests through at once, streams included. Idle ones
/// stay longer than the gateway keeps them, so that none is closed just as a payment is sent on it.
pub const CONNECTIONS: Bounds = Bounds {
    open_max: 4_096,
    per_address_max: 4_096,
    header_timeout: Duration::from_secs(75),
    body_timeout: Duration::from_secs(30),
};

/// How often pending transfers that have timed out are given back.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// What the bank is served with.
pub struct BankConfig {
    /// The gateway whose word counts; its keys are at `/.gatehouse/jwks.json` under it, and it is the issuer.
    pub gateway_url: Url,
    /// The audience that the gateway makes identities out to, such as `urn:gatehouse:demo-bank`.
    pub audience: String,
    /// The client that people log in to the pages with, such as `demo-web`. Other clients' tokens reach the API alone, where
    /// their scopes count: the pages ask for none.
    pub web_client: String,
    /// Who the customers are.
    pub people: Directory,
    /// The identity provider's consents.
    pub consents: Arc<dyn Consents>,
    /// The key of form tokens.
    pub form_key: FormKey,
    /// The origins that browsers reach the bank at; see [`WebConfig::origins`].
    pub origins: Vec<String>,
    /// The identity provider's origins; see [`WebConfig::login_origins`].
    pub login_origins: Vec<String>,
    /// Where the time comes from.
    pub clock: Clock,
    /// What its connections are held to, such as [`CONNECTIONS`].
    pub connections: Bounds,
}

/// Why the bank cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The gateway's keys cannot be fetched from such an address.
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    /// The pages' configuration does not hold.
    #[error(transparent)]
    Web(#[from] WebConfigError),
    /// The socket failed.
    #[error("the bank's socket failed")]
    Socket(#[from] std::io::Error),
}

/// Serves pages and API on `listener` until `shutdown`, then ends its streams and lets running requests finish.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    listener: TcpListener,
    bank: Arc<Bank>,
    config: BankConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let callers =
        CallerVerifier::fetching(&config.gateway_url, config.audience.clone(), config.clock.clone())?;
    let (close, closing) = watch::channel(false);
    let (clock, bounds) = (config.clock.clone(), config.connections);
    let routes = routes(bank.clone(), callers, config, closing.clone())?;
    let sweeper = tokio::spawn(sweep(bank, clock, closing));
    let shutdown = async move {
        shutdown.await;
        let _ = close.send(true);
    };
    let served = connections::serve(listener, routes, bounds, shutdown).await;
    sweeper.abort();
    Ok(served?)
}

/// Everything that the bank serves, for a caller who is whoever `callers` says.
fn routes(
    bank: Arc<Bank>,
    callers: CallerVerifier,
    config: BankConfig,
    closing: watch::Receiver<bool>,
) -> Result<axum::Router, WebConfigError> {
    let clock = config.clock;
    let web = WebState::new(WebConfig {
        bank: bank.clone(),
        people: config.people.clone(),
        consents: config.consents,
        callers: callers.clone(),
        web_client: config.web_client,
        form_key: config.form_key,
        origins: config.origins,
        login_origins: config.login_origins,
        clock: clock.clone(),
    })?;
    let api = ApiState::new(bank, config.people, callers, clock, closing);
    Ok(api::router(api).merge(web::router(web)))
}

async fn sweep(bank: Arc<Bank>, clock: Clock, mut closing: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        let closed = tokio::select! {
            _ = ticks.tick() => false,
            _ = closing.wait_for(|closing| *closing) => true,
        };
        if closed {
            return;
        }
        if let Err(error) = bank.sweep(clock()).await {
            tracing::error!(%error, "timed-out transfers cannot be given back");
            return;
        }
    }
}

#[cfg(test)]
mod tests;
