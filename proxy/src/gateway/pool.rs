//! An application's servers: which are well, which takes the next request, and how much they bear.

use std::sync::Arc;
use std::time::Duration;

use learner::capacity::Outcome;
use pingora::lb::LoadBalancer;
use pingora::lb::health_check::{HttpHealthCheck, TcpHealthCheck};
use pingora::lb::selection::RoundRobin;
use pingora::upstreams::peer::HttpPeer;

use crate::config::Upstream;
use crate::stages::admission::Admission;

/// Time between two health checks of a server.
const HEALTH_EVERY: Duration = Duration::from_secs(2);
/// Servers looked at to find one that is well.
const LOOKED_AT_MAX: usize = 16;

/// One application's servers and their capacity.
pub struct Pool {
    /// Its name: the application's.
    pub name: String,
    servers: Arc<LoadBalancer<RoundRobin>>,
    /// Capacity permits.
    pub admission: Arc<Admission>,
    upstream: Upstream,
}

impl Pool {
    /// The pool of `upstream`. Nothing is checked until [`Pool::watch`] runs: until then every server counts as well.
    ///
    /// # Errors
    /// The servers' addresses cannot be used.
    pub fn new(name: &str, upstream: &Upstream, admission: Arc<Admission>) -> std::io::Result<Self> {
        let mut servers = LoadBalancer::try_from_iter(upstream.peers.iter())?;
        servers.health_check_frequency = Some(HEALTH_EVERY);
        match &upstream.health_path {
            Some(path) => {
                let host = upstream.tls_name.clone().unwrap_or_else(|| "gatehouse-health".to_owned());
                let mut check = HttpHealthCheck::new(&host, upstream.tls_name.is_some());
                if let Ok(path) = path.parse::<http::Uri>() {
                    check.req.set_uri(path);
                }
                check.consecutive_failure = 2;
                servers.set_health_check(Box::new(check));
            }
            None => servers.set_health_check(TcpHealthCheck::new()),
        }
        Ok(Self { name: name.to_owned(), servers: Arc::new(servers), admission, upstream: upstream.clone() })
    }

    /// Servers and how many of them are well.
    pub fn health(&self) -> (usize, usize) {
        let backends = self.servers.backends();
        let all = backends.get_backend();
        (all.len(), all.iter().filter(|b| backends.ready(b)).count())
    }

    /// Checks the servers' health once.
    pub async fn check_health(&self) {
        self.servers.backends().run_health_check(true).await;
    }

    /// How often [`Pool::check_health`] wants to be called.
    pub fn check_every(&self) -> Duration {
        HEALTH_EVERY
    }

    /// The server for the next request; a different one at each call where there are several.
    pub fn peer(&self) -> Option<HttpPeer> {
        // Round robin has no use for a key.
        let server = self.servers.select(b"", LOOKED_AT_MAX)?;
        let tls = self.upstream.tls_name.is_some();
        let name = self.upstream.tls_name.clone().unwrap_or_default();
        let address = server.addr.as_inet().copied()?;
        let mut peer = HttpPeer::new(address, tls, name);
        peer.options.connection_timeout = Some(self.upstream.connect_timeout);
        peer.options.total_connection_timeout = Some(self.upstream.connect_timeout.saturating_mul(2));
        peer.options.read_timeout = Some(self.upstream.read_timeout);
        peer.options.write_timeout = Some(self.upstream.read_timeout);
        peer.options.idle_timeout = Some(Duration::from_secs(60));
        Some(peer)
    }
}

/// What a finished request teaches the capacity controller. `refused`: the gateway itself ended it.
pub fn permit_outcome(refused: bool, sent: bool, upstream_status: Option<u16>) -> Outcome {
    match (upstream_status, sent, refused) {
        (Some(500..), ..) | (None, true, true) => Outcome::Failed,
        (Some(_), ..) => Outcome::Answered,
        (None, _, false) => Outcome::Abandoned,
        (None, false, true) => Outcome::Refused,
    }
}
