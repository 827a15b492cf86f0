//! One connection: how many there may be, and how long a header may take.
//!
//! Pingora's own header deadline is per read, so a client that drips one byte a minute keeps its connection for ever.
//! Here every HTTP/1 request has one deadline for its whole header section, and every address a bound on connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dashmap::DashMap;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use prometheus::{IntCounter, IntGauge};

use crate::stages::limits::prefix;

/// Open connections, altogether and by address.
pub struct Connections {
    open: AtomicU32,
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
            by_address: DashMap::new(),
            max,
            per_address_max,
            gauge,
            refused,
        })
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

/// Set once a request's header section has been read; travels with the connection.
#[derive(Clone, Default)]
pub struct HeaderSeen(Arc<AtomicBool>);

impl HeaderSeen {
    /// The header is complete: its deadline no longer holds.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The proxy behind its connection-level protection.
pub struct Front<P> {
    proxy: Arc<P>,
    connections: Arc<Connections>,
    header_timeout: Duration,
    keepalive: Duration,
}

impl<P> Front<P> {
    /// Protects `proxy`.
    pub fn new(proxy: Arc<P>, connections: Arc<Connections>, header_timeout: Duration) -> Self {
        Self { proxy, connections, header_timeout, keepalive: Duration::from_secs(60) }
    }
}

#[async_trait]
impl<P: HttpServerApp + Send + Sync + 'static> ServerApp for Front<P> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let address = stream
            .get_socket_digest()
            .and_then(|digest| digest.peer_addr().and_then(|a| a.as_inet()).map(std::net::SocketAddr::ip));
        let _place = self.connections.enter(address.unwrap_or(IpAddr::from([0, 0, 0, 0])))?;
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return ServerApp::process_new(&self.proxy, stream, shutdown).await;
        }
        self.http1(stream, shutdown).await;
        None
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

impl<P: HttpServerApp + Send + Sync + 'static> Front<P> {
    /// Serves requests on an HTTP/1 connection until it ends.
    async fn http1(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let seen = HeaderSeen::default();
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive((!*shutdown.borrow()).then_some(self.keepalive.as_secs()));
        let mut idle = Duration::ZERO;
        loop {
            session.set_connection_user_context(Some(Box::new(seen.clone())));
            let request = self.proxy.process_new_http(session, shutdown);
            let Some(reused) = self.with_deadline(request, &seen, idle).await else { return };
            let (stream, settings) = reused.consume();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            idle = self.keepalive;
        }
    }

    /// Runs one request; ends the connection when its header is not complete in time. A reused connection may be idle
    /// for `idle` before.
    async fn with_deadline<T>(
        &self,
        request: impl Future<Output = Option<T>>,
        seen: &HeaderSeen,
        idle: Duration,
    ) -> Option<T> {
        tokio::pin!(request);
        let deadline = pingora::time::sleep(idle + self.header_timeout);
        tokio::pin!(deadline);
        tokio::select! {
            biased;
            done = &mut request => { seen.take(); return done; }
            () = &mut deadline, if !seen.is_set() => {}
        }
        if !seen.is_set() {
            return None;
        }
        let done = request.await;
        seen.take();
        done
    }
}
