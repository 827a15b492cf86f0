//! The life of the process: bind, serve, reload, hand over, drain.
//!
//! Pingora serves the clients on threads that share nothing: each has its own runtime, listening sockets and upstream
//! connections. A connection that one thread accepts and another serves costs a wake-up across threads at every turn,
//! about a third of a request's CPU. Everything else (admin, console, scrapers, health checks, controllers, key refresh)
//! runs on one control runtime beside them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join_all;
use pingora::apps::HttpServerOptions;
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use pingora_runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, Listener};
use crate::front::{self, Connections, Front, SOCKETS_MAX, Sockets, Transport, Trusts};
use crate::gateway::{Core, Gateway, Unread};
use crate::stages::admission::Ticker;
use crate::{admin_ports, compose, habits, observe};

/// Upstream connections kept open for reuse, for each serving thread.
const UPSTREAM_POOL: usize = 256;
/// An HTTP/2 connection without a request is closed after this long, as an HTTP/1 one is.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long a process that ends waits for the first request of a connection that it has accepted.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(1);
/// Profiles are written down this often; what is learned in between may be lost.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// What has expired is swept this often.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// A gateway that serves.
pub struct Serving {
    core: Arc<Core>,
    shutdown: watch::Sender<bool>,
    clients: Clients,
    /// Where clients connect.
    pub listeners: Vec<SocketAddr>,
    /// Where the admin API and console answer.
    pub admin: Option<SocketAddr>,
    /// Where scrapers are answered.
    pub observe: Option<SocketAddr>,
    sockets: Arc<Sockets>,
    grace: Duration,
}

/// What serves clients.
struct Clients {
    threads: Vec<Runtime>,
    /// Tasks that end when no connection is accepted any more.
    accepting: Vec<JoinHandle<()>>,
    connections: Arc<Connections>,
}

/// Starts serving `core` on sockets of `sockets`. Must be called on the control runtime.
///
/// # Errors
/// An address that cannot be bound, a certificate that cannot be read.
pub async fn start(core: Arc<Core>, sockets: Sockets) -> anyhow::Result<Serving> {
    let live = core.live();
    let (shutdown, watch) = watch::channel(false);
    let sockets = Arc::new(sockets);
    let listeners: Vec<SocketAddr> = live
        .config
        .listeners
        .iter()
        .map(|listener| sockets.bind(listener.address, groups(&live.config)))
        .collect::<Result<_, _>>()?;
    let clients = serve_clients(&core, &listeners, &sockets, &watch)?;

    let observe = match live.config.observe {
        None => None,
        Some(address) => Some(serve_http(address, observe::router(Arc::clone(&core)), watch.clone()).await?),
    };
    let admin = match &live.config.admin {
        None => None,
        Some(admin) => {
            let router = admin::router(admin_ports::state(&core, admin)?);
            Some(serve_http(admin.address, router, watch.clone()).await?)
        }
    };
    background(&core, &watch);
    let grace = live.config.server.grace;
    Ok(Serving { core, shutdown, clients, listeners, admin, observe, sockets, grace })
}

impl Serving {
    /// What is served.
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Offers the listening sockets to the next process; it asks for them with `--upgrade`.
    ///
    /// # Errors
    /// Nobody took them.
    pub fn hand_over(&self) -> anyhow::Result<()> {
        Ok(self.sockets.hand_over(&upgrade_socket(&self.core.live().config))?)
    }

    /// Takes no further connection, gives open requests the configured grace, and writes everything down.
    pub async fn drain(self) {
        let _ = self.shutdown.send(true);
        let began = Instant::now();
        let Clients { threads, accepting, connections } = self.clients;
        // A connection that is accepted while it is told to end is answered too.
        let _late = tokio::time::timeout(self.grace, join_all(accepting)).await;
        while began.elapsed() < self.grace
            && (self.core.open_requests() > 0
                || connections.fresh() > 0 && began.elapsed() < FIRST_REQUEST_MAX)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ended = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|threads| threads.shutdown_timeout(Duration::from_secs(1)));
        })
        .await;
        if let Err(error) = ended {
            tracing::error!(%error, "serving threads did not end in order");
        }
        let data_dir = self.core.live().config.server.data_dir.clone();
        let saved =
            habits::save(&self.core.profiles, &data_dir).and_then(|()| compose::save_learnt(&self.core));
        if let Err(error) = saved {
            tracing::error!(%error, "behaviour profiles or capacity tables could not be written");
        }
        self.core.lifecycle.close();
        self.core.log.close();
    }
}

/// Where sockets are handed over: inside the private data folder, because whoever can connect there gets the sockets.
pub fn upgrade_socket(config: &Config) -> PathBuf {
    config.server.data_dir.join("keys").join("upgrade.sock")
}

/// Groups of serving threads: one for each thread, unless hand-over bounds the sockets.
fn groups(config: &Config) -> usize {
    config.server.threads.min(SOCKETS_MAX / config.listeners.len().max(1)).max(1)
}

/// Serves clients on every socket of `listeners`, each group of threads on its own.
fn serve_clients(
    core: &Arc<Core>,
    listeners: &[SocketAddr],
    sockets: &Sockets,
    shutdown: &watch::Receiver<bool>,
) -> anyhow::Result<Clients> {
    let config = &core.live().config;
    let (threads, groups) = (config.server.threads, groups(config));
    let group = |number| Runtime::new_no_steal((threads + number) / groups, "clients");
    let runtimes: Vec<Runtime> = (0..groups).map(group).collect();
    let connections = Connections::new(
        &config.limits,
        core.metrics.connections.clone(),
        core.metrics.connections_refused.clone(),
    );
    let transports = transports(core, config)?;
    let mut accepting = Vec::new();
    // A process before this one may have had more sockets than there are groups now.
    for (table, runtime) in sockets.tables(listeners).into_iter().zip(runtimes.iter().cycle()) {
        let proxy = Arc::new(proxy(core, config));
        for ((listener, bound), transport) in config.listeners.iter().zip(listeners).zip(&transports) {
            if table.lock().get(&bound.to_string()).is_none() {
                continue;
            }
            let front = Front::new(
                Arc::clone(&proxy),
                Arc::clone(transport),
                Arc::new(Unread::new(Arc::clone(core))),
                Arc::clone(&connections),
                config.limits.header_timeout,
            );
            let mut service = Service::new("clients".to_owned(), front);
            service.add_listener(endpoint(listener, *bound));
            let (table, shutdown) = (Arc::clone(&table), shutdown.clone());
            let serving = async move { service.start_service(Some(table), shutdown, 1).await };
            accepting.push(runtime.get_handle().spawn(serving));
        }
    }
    Ok(Clients { threads: runtimes, accepting, connections })
}

/// What each listener speaks below HTTP, for all threads together.
fn transports(core: &Arc<Core>, config: &Config) -> anyhow::Result<Vec<Arc<Transport>>> {
    let trusting = Arc::clone(core);
    let trusts: Trusts = Arc::new(move |address| trusting.live().config.trusted_peers.trusts(address));
    let transport = |listener: &Listener| {
        let tls = listener.tls.as_ref().map(front::server_config).transpose()?.map(Arc::new);
        Ok(Arc::new(Transport::new(listener.proxy_protocol, tls, Arc::clone(&trusts))))
    };
    config.listeners.iter().map(transport).collect()
}

/// The proxy that clients talk to, with upstream connections of its own.
fn proxy(core: &Arc<Core>, config: &Config) -> HttpProxy<Gateway> {
    let conf = Arc::new(ServerConf {
        threads: config.server.threads,
        work_stealing: false,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        max_retries: 2,
        ..ServerConf::default()
    });
    let mut proxy = HttpProxy::new(Gateway::new(Arc::clone(core)), conf);
    proxy.handle_init_modules();
    // CONNECT is refused by the stage that reads requests, like everything else, and not by Pingora without a record.
    let mut options = HttpServerOptions::default();
    options.allow_connect_method_proxying = true;
    options.h2_idle_timeout = Some(IDLE_MAX);
    proxy.server_options = Some(options);
    proxy
}

/// A TLS record and its overhead (RFC 8446 5.2).
const TLS_READ_BYTES: usize = 17 * 1024;

/// To Pingora every listener is plain: what comes before HTTP has the bounds of [`Front`].
fn endpoint(listener: &Listener, bound: SocketAddr) -> ListenerConfig {
    // Pingora keeps 64 KiB for each connection, so that TLS reads several records at once. One record's worth is enough, and
    // what reads HTTP/1 has a buffer of its own.
    let read = if listener.tls.is_some() { TLS_READ_BYTES } else { 0 };
    ListenerConfig::tcp(bound.to_string()).l4_buffer(L4BufferSettings { read: Some(read), write: None })
}

/// Serves a router until the process ends.
async fn serve_http(
    address: SocketAddr,
    router: axum::Router,
    mut shutdown: watch::Receiver<bool>,
) -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener.local_addr()?;
    let ended = async move {
        let _ = shutdown.wait_for(|&down| down).await;
    };
    tokio::spawn(async move {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(ended).await {
            tracing::error!(%error, %bound, "a listener of the control side failed");
        }
    });
    Ok(bound)
}

/// What goes on beside the requests.
fn background(core: &Arc<Core>, shutdown: &watch::Receiver<bool>) {
    for position in 0..core.pools.len() {
        let (health, ticking) = (Arc::clone(core), Arc::clone(core));
        tokio::spawn(until(shutdown.clone(), async move {
            let Some(pool) = health.pools.get(position) else { return };
            loop {
                pool.check_health().await;
                tokio::time::sleep(pool.check_every()).await;
            }
        }));
        if let Some(pool) = core.pools.get(position) {
            let clock = Arc::clone(&ticking.clock);
            let ticker = Ticker::new(Arc::clone(&pool.admission), Arc::new(move || clock.now_ms()));
            tokio::spawn(ticker.run(shutdown.clone()));
        }
    }
    let saving = Arc::clone(core);
    tokio::spawn(until(shutdown.clone(), async move {
        let data_dir = saving.live().config.server.data_dir.clone();
        loop {
            tokio::time::sleep(SAVE_EVERY).await;
            let (core, data_dir) = (Arc::clone(&saving), data_dir.clone());
            let save =
                move || habits::save(&core.profiles, &data_dir).and_then(|()| compose::save_learnt(&core));
            if !matches!(tokio::task::spawn_blocking(save).await, Ok(Ok(()))) {
                tracing::error!("behaviour profiles or capacity tables could not be written");
            }
        }
    }));
    let sweeping = Arc::clone(core);
    tokio::spawn(until(shutdown.clone(), async move {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            if let Err(error) = sweeping.hot.sweep(sweeping.clock.now_ms()).await {
                tracing::warn!(%error, "expired sessions could not be swept");
            }
            if let Err(error) = sweeping.spent.sweep(sweeping.clock.now_ms()).await {
                tracing::warn!(%error, "spent authorisations could not be swept");
            }
        }
    }));
    tokio::spawn(until(shutdown.clone(), Arc::clone(&core.lifecycle).go_on()));
    let maintained = Arc::clone(&core.identity).maintain(Arc::clone(&core.clock));
    tokio::spawn(until(shutdown.clone(), maintained));
}

/// Runs `work` until the process is told to end.
async fn until(mut shutdown: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = shutdown.wait_for(|&down| down) => {}
    }
}
