//! Plays customers, and on request attackers, through the gateway: real clients that log in at the identity provider and
//! use the bank's API over sockets, at bounded rates.
//!
//! Each kind of attacker has a loopback address of its own, so that what the gateway does to one address is not done to
//! the customers. Where the system has only 127.0.0.1 all share it.

mod account;
mod attackers;
mod customers;
mod raw;
mod tally;

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use thiserror::Error;
use tokio::task::JoinSet;
use url::Url;

use crate::idp::script;
use tally::Tally;

/// Time between two lines of the log.
const SUMMARY_EVERY: Duration = Duration::from_secs(5);

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Three customers who look at their accounts and make small payments, together about ten requests a second.
    Calm,
    /// The same, and beside them a fraudster, a scanner, stuffed credentials and floods from one address.
    Attack,
}

/// Traffic cannot be played.
#[derive(Debug, Error)]
pub enum TrafficError {
    /// An HTTP client could not be made.
    #[error("the HTTP client cannot be made")]
    Client(#[from] reqwest::Error),
    /// The gateway's address has no host or port to connect to.
    #[error("the gateway's address has no host")]
    Address,
}

/// Where everybody goes, and where what came back is counted.
#[derive(Clone)]
struct Stage {
    gateway_url: Url,
    idp_url: Url,
    tally: Arc<Tally>,
}

impl Stage {
    /// An address at the gateway; `path` may carry a query.
    fn at(&self, path: &str) -> Url {
        self.gateway_url.join(path).unwrap_or_else(|_| self.gateway_url.clone())
    }
}

/// Plays until `shutdown` resolves and logs every few seconds what came back. Nobody has to be listening yet: whoever gets
/// no answer waits and tries again.
///
/// # Errors
/// When the clients cannot be made; never because of what is answered.
pub async fn play(
    plan: Plan,
    gateway_url: Url,
    idp_url: Url,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), TrafficError> {
    let stage = Stage { gateway_url, idp_url, tally: Arc::new(Tally::default()) };
    let mut actors = JoinSet::new();
    customers::enter(&stage, &mut actors)?;
    if plan == Plan::Attack {
        attackers::enter(&stage, &mut actors)?;
    }
    tokio::pin!(shutdown);
    let mut summaries = tokio::time::interval(SUMMARY_EVERY);
    summaries.tick().await;
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = summaries.tick() => {
                let summary = stage.tally.take_summary();
                tracing::info!(seconds = SUMMARY_EVERY.as_secs(), "traffic: {summary}");
            }
        }
    }
    actors.shutdown().await;
    Ok(())
}

/// A client at `127.0.0.number`, or at the default address where the system has only one.
fn client_at(number: u8) -> Result<reqwest::Client, reqwest::Error> {
    script::client(loopback(number))
}

fn loopback(number: u8) -> Option<IpAddr> {
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, number));
    TcpListener::bind((address, 0)).is_ok().then_some(address)
}

/// Waits about this long, as people do: between half and one and a half times.
async fn pause(rng: &mut StdRng, about: Duration) {
    let factor = rng.gen_range(0.5..1.5);
    tokio::time::sleep(about.mul_f64(factor)).await;
}

#[cfg(test)]
mod tests;
