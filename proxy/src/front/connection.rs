//! One connection: how many there may be, and how long a header may take.
//!
//! Pingora's own header deadline is per read, so a client that drips one byte a minute keeps its connection for ever.
//! Here every HTTP/1 request and every HTTP/2 connection's first has one deadline for its whole header section, TLS and all
//! that comes before it included, and every address a bound on connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dashmap::DashMap;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use prometheus::{IntCounterVec, IntGauge};

use super::Exchange;
use super::transport::{Fault, Remote, Transport};
use super::unreadable::{Unreadable, Watched};
use crate::config::Limits;
use crate::stages::limits::{AddressLimit, prefix};

/// Open connections, altogether and by address.
pub struct Connections {
    open: AtomicU32,
    fresh: AtomicU32,
    by_address: DashMap<u64, u32>,
    max: u32,
    per_address_max: u32,
    /// A handshake costs more than many a request.
    handshakes: AddressLimit,
    gauge: IntGauge,
    /// By cause.
    refused: IntCounterVec,
}

impl Connections {
    /// As many as `limits` allow, altogether and from one address (IPv6: one /64), and as many TLS handshakes as requests.
    pub fn new(limits: &Limits, gauge: IntGauge, refused: IntCounterVec) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicU32::new(0),
            fresh: AtomicU32::new(0),
            by_address: DashMap::new(),
            max: limits.connections_max,
            per_address_max: limits.connections_per_address,
            handshakes: AddressLimit::new(limits.address, limits.addresses_max),
            gauge,
            refused,
        })
    }

    /// Connections of which nothing has been read yet.
    pub fn fresh(&self) -> u32 {
        self.fresh.load(Ordering::Acquire)
    }

    /// A connection that was just accepted.
    fn accepted(&self) -> Fresh<'_> {
        self.fresh.fetch_add(1, Ordering::AcqRel);
        Fresh(&self.fresh)
    }

    /// A place for one more connection, held until it is dropped.
    fn enter(self: &Arc<Self>) -> Result<Place, Fault> {
        let open = self.open.fetch_add(1, Ordering::AcqRel);
        self.gauge.inc();
        let place = Place { connections: Arc::clone(self), key: None };
        if open < self.max { Ok(place) } else { Err(Fault::Excess) }
    }

    /// Counts what became of a connection that carries no HTTP.
    fn refuse(&self, fault: &Fault) {
        tracing::debug!(%fault, "connection refused");
        self.refused.with_label_values(&[fault.cause()]).inc();
    }
}

/// A connection of which nothing has been read yet.
struct Fresh<'a>(&'a AtomicU32);

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One open connection's place.
pub(super) struct Place {
    connections: Arc<Connections>,
    /// Whose it is, where that counts.
    key: Option<u64>,
}

impl Place {
    /// Whether `address` may have one connection more, which is this one.
    pub fn claim(&mut self, address: IpAddr) -> bool {
        let key = prefix(address);
        self.key = Some(key);
        let mut count = self.connections.by_address.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        *count <= self.connections.per_address_max
    }

    /// Whether `address` may begin one TLS handshake more.
    pub fn may_handshake(&self, address: IpAddr) -> bool {
        self.connections.handshakes.take(address).is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::AcqRel);
        self.connections.gauge.dec();
        let Some(key) = self.key else { return };
        self.connections.by_address.remove_if_mut(&key, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

/// A connection that carries HTTP, of which nothing has been read yet.
struct Arrival<'a> {
    began: Instant,
    fresh: Fresh<'a>,
    remote: Remote,
}

impl Arrival<'_> {
    /// Waits for the first bytes, which are read again by whoever reads next: Pingora drops a connection that it waits for
    /// when the process is told to end, but one that was accepted is answered. What is left of `patience`, if they came.
    async fn first_bytes(self, watched: &mut Watched, patience: Duration) -> Option<Duration> {
        let left = patience.saturating_sub(self.began.elapsed());
        let arrived = matches!(pingora::time::timeout(left, watched.arrive()).await, Ok(Ok(())));
        drop(self.fresh);
        arrived.then(|| patience.saturating_sub(self.began.elapsed()))
    }
}

/// The proxy behind its connection-level protection.
pub struct Front<P> {
    proxy: Arc<P>,
    transport: Arc<Transport>,
    unreadable: Arc<dyn Unreadable>,
    connections: Arc<Connections>,
    header_timeout: Duration,
    keepalive: Duration,
}

impl<P> Front<P> {
    /// Protects `proxy` on a listener that speaks `transport`; what cannot be read as a request is answered by
    /// `unreadable`.
    pub fn new(
        proxy: Arc<P>,
        transport: Arc<Transport>,
        unreadable: Arc<dyn Unreadable>,
        connections: Arc<Connections>,
        header_timeout: Duration,
    ) -> Self {
        let keepalive = Duration::from_secs(60);
        Self { proxy, transport, unreadable, connections, header_timeout, keepalive }
    }
}

#[async_trait]
impl<P: HttpServerApp + Send + Sync + 'static> ServerApp for Front<P> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let began = Instant::now();
        let fresh = self.connections.accepted();
        let mut place = self.connections.enter().inspect_err(|fault| self.connections.refuse(fault)).ok()?;
        let opening = pingora::time::timeout(self.header_timeout, self.transport.open(stream, &mut place));
        let opened = opening.await.unwrap_or(Err(Fault::Late));
        let (stream, remote) = opened.inspect_err(|fault| self.connections.refuse(fault)).ok()?;
        let arrival = Arrival { began, fresh, remote };
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            self.http2(stream, arrival, shutdown).await;
        } else {
            self.http1(stream, arrival, shutdown).await;
        }
        None
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

impl<P: HttpServerApp + Send + Sync + 'static> Front<P> {
    /// Serves requests on an HTTP/1 connection until it ends.
    async fn http1(&self, stream: Stream, arrival: Arrival<'_>, shutdown: &ShutdownWatch) {
        let exchange = Exchange::of(arrival.remote);
        let mut watched = Watched::http1(stream, exchange.clone(), Arc::clone(&self.unreadable));
        let Some(mut within) = arrival.first_bytes(&mut watched, self.header_timeout).await else { return };
        let mut session = ServerSession::new_http1(Box::new(watched));
        session.set_keepalive((!*shutdown.borrow()).then_some(self.keepalive.as_secs()));
        loop {
            let request = exchange.serve(self.proxy.process_new_http(session, shutdown));
            let Some(reused) = self.with_deadline(request, &exchange, within).await else { return };
            exchange.renew();
            let (stream, settings) = reused.consume();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            within = self.keepalive + self.header_timeout;
        }
    }

    /// Serves an HTTP/2 connection until it ends. Its first request has the deadline that each has on HTTP/1.
    async fn http2(&self, stream: Stream, arrival: Arrival<'_>, shutdown: &ShutdownWatch) {
        let connection = Exchange::of(arrival.remote);
        let mut watched = Watched::http2(stream, arrival.remote, Arc::clone(&self.unreadable));
        let Some(within) = arrival.first_bytes(&mut watched, self.header_timeout).await else { return };
        let tied = Arc::new(Tied { proxy: Arc::clone(&self.proxy), connection: connection.clone() });
        let served = ServerApp::process_new(&tied, Box::new(watched), shutdown);
        self.with_deadline(served, &connection, within).await;
    }

    /// Runs one request; ends the connection when its header is not complete `within` this time.
    async fn with_deadline<T>(
        &self,
        request: impl Future<Output = Option<T>>,
        exchange: &Exchange,
        within: Duration,
    ) -> Option<T> {
        tokio::pin!(request);
        let deadline = pingora::time::sleep(within);
        tokio::pin!(deadline);
        tokio::select! {
            biased;
            done = &mut request => return done,
            () = &mut deadline, if !exchange.has_entered() => {}
        }
        if exchange.has_entered() { request.await } else { None }
    }
}

/// One HTTP/2 connection's proxy: every request is an exchange of its own.
struct Tied<P> {
    proxy: Arc<P>,
    /// Entered with the first request.
    connection: Exchange,
}

#[async_trait]
impl<P: HttpServerApp + Send + Sync + 'static> HttpServerApp for Tied<P> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.connection.enter();
        Exchange::of(self.connection.remote()).serve(self.proxy.process_new_http(session, shutdown)).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
