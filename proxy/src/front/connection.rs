//! One connection: how many there may be, and how long a header may take.
//!
//! Pingora's own header deadline is per read, so a client that drips one byte a minute keeps its connection for ever.
//! Here every HTTP/1 request and every HTTP/2 connection's first has one deadline for its whole header section, and every
//! address a bound on connections.

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
use prometheus::{IntCounter, IntGauge};

use super::Exchange;
use super::unreadable::{Unreadable, Watched};
use crate::stages::limits::prefix;

/// Open connections, altogether and by address.
pub struct Connections {
    open: AtomicU32,
    fresh: AtomicU32,
    by_address: DashMap<u64, u32>,
    max: u32,
    per_address_max: u32,
    gauge: IntGauge,
    refused: IntCounter,
}

impl Connections {
    /// At most `max` altogether and `per_address_max` from one address (IPv6: one /64).
    pub fn new(max: u32, per_address_max: u32, gauge: IntGauge, refused: IntCounter) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicU32::new(0),
            fresh: AtomicU32::new(0),
            by_address: DashMap::new(),
            max,
            per_address_max,
            gauge,
            refused,
        })
    }

    /// Connections of which nothing has been read yet.
    pub fn fresh(&self) -> u32 {
        self.fresh.load(Ordering::Acquire)
    }

    /// Waits for the first bytes of a connection, at most for `patience`; whether they came.
    async fn arrive(&self, watched: &mut Watched, patience: Duration) -> bool {
        let _fresh = Fresh::count(&self.fresh);
        matches!(pingora::time::timeout(patience, watched.arrive()).await, Ok(Ok(())))
    }

    /// A place for one more connection from `address`, held until it is dropped.
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let key = prefix(address);
        let open = self.open.fetch_add(1, Ordering::AcqRel);
        let mut count = self.by_address.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        let fits = open < self.max && *count <= self.per_address_max;
        drop(count);
        self.gauge.inc();
        let place = Place { connections: Arc::clone(self), key };
        if !fits {
            self.refused.inc();
        }
        fits.then_some(place)
    }
}

/// A connection of which nothing has been read yet.
struct Fresh<'a>(&'a AtomicU32);

impl<'a> Fresh<'a> {
    fn count(of: &'a AtomicU32) -> Self {
        of.fetch_add(1, Ordering::AcqRel);
        Self(of)
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One open connection's place.
struct Place {
    connections: Arc<Connections>,
    key: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::AcqRel);
        self.connections.gauge.dec();
        self.connections.by_address.remove_if_mut(&self.key, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

/// The proxy behind its connection-level protection.
pub struct Front<P> {
    proxy: Arc<P>,
    unreadable: Arc<dyn Unreadable>,
    connections: Arc<Connections>,
    header_timeout: Duration,
    keepalive: Duration,
}

impl<P> Front<P> {
    /// Protects `proxy`; what cannot be read as a request is answered by `unreadable`.
    pub fn new(
        proxy: P,
        unreadable: Arc<dyn Unreadable>,
        connections: Arc<Connections>,
        header_timeout: Duration,
    ) -> Self {
        let proxy = Arc::new(proxy);
        Self { proxy, unreadable, connections, header_timeout, keepalive: Duration::from_secs(60) }
    }
}

#[async_trait]
impl<P: HttpServerApp + Send + Sync + 'static> ServerApp for Front<P> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let address = stream
            .get_socket_digest()
            .and_then(|digest| digest.peer_addr().and_then(|a| a.as_inet()).map(|a| a.ip().to_canonical()))
            .unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let _place = self.connections.enter(address)?;
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            self.http2(stream, address, shutdown).await;
        } else {
            self.http1(stream, address, shutdown).await;
        }
        None
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

impl<P: HttpServerApp + Send + Sync + 'static> Front<P> {
    /// Serves requests on an HTTP/1 connection until it ends.
    async fn http1(&self, stream: Stream, client: IpAddr, shutdown: &ShutdownWatch) {
        let exchange = Exchange::default();
        let mut watched = Watched::http1(stream, exchange.clone(), client, Arc::clone(&self.unreadable));
        // Pingora drops a connection that it waits for when the process is told to end; one that was accepted is answered.
        let began = Instant::now();
        if !self.connections.arrive(&mut watched, self.header_timeout).await {
            return;
        }
        let mut session = ServerSession::new_http1(Box::new(watched));
        session.set_keepalive((!*shutdown.borrow()).then_some(self.keepalive.as_secs()));
        let mut within = self.header_timeout.saturating_sub(began.elapsed());
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
    async fn http2(&self, stream: Stream, client: IpAddr, shutdown: &ShutdownWatch) {
        let connection = Exchange::default();
        let mut watched = Watched::http2(stream, client, Arc::clone(&self.unreadable));
        let began = Instant::now();
        if !self.connections.arrive(&mut watched, self.header_timeout).await {
            return;
        }
        let within = self.header_timeout.saturating_sub(began.elapsed());
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
        Exchange::default().serve(self.proxy.process_new_http(session, shutdown)).await
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
