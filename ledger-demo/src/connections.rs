//! Connections: how many are open at once, and how long a request may take to arrive.
//!
//! What waits for a slow or silent client is bounded here; what a handler does with a request is its own affair. A WebSocket
//! counts until it is one: from then on the API bounds it, as it does event streams.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use axum::{BoxError, Router};
use bytes::Bytes;
use http::Request;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tower::ServiceExt;

/// The bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections open at once. Further ones wait, unaccepted, until one of these ends.
    pub open_max: usize,
    /// Of them, connections from one address. Further ones are closed.
    pub per_address_max: usize,
    /// From when a connection may send a request to the last byte of its header: also how long it may be idle.
    pub header_timeout: Duration,
    /// From there to the last byte of the body.
    pub body_timeout: Duration,
}

/// Longest request line and header together, in bytes.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Pause after a listener failed, as when the process has no file left to open.
const FAILURE_PAUSE: Duration = Duration::from_millis(200);

/// Serves `routes` on `listener` until `shutdown`, then lets requests under way finish. Handlers find the client's address
/// in [`ConnectInfo<SocketAddr>`].
///
/// # Errors
/// None that is known: a listener that fails is tried again.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(bounds.open_max));
    let addresses = Addresses::default();
    let (stop, stopping) = watch::channel(false);
    let mut open = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer, place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted?,
        };
        let Some(entered) = addresses.enter(peer.ip(), bounds.per_address_max) else { continue };
        let connection = converse(stream, peer, routes.clone(), bounds, stopping.clone());
        open.spawn(async move {
            connection.await;
            drop((place, entered));
        });
        while open.try_join_next().is_some() {}
    }
    drop(listener);
    stop.send_replace(true);
    while open.join_next().await.is_some() {}
    Ok(())
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Ok((stream, peer, place)),
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
    }
}

/// One connection, to its end.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    bounds: Bounds,
    mut stopping: watch::Receiver<bool>,
) {
    let service = service_fn(move |request| answer(routes.clone(), request, peer, bounds.body_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_timeout)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stopping.wait_for(|stopping| *stopping) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended before its time");
    }
}

async fn answer(
    routes: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
    body_timeout: Duration,
) -> Result<Response, Infallible> {
    let mut request = request.map(|body| match body.is_end_stream() {
        true => Body::empty(),
        false => Body::new(Timely { body, deadline: Box::pin(tokio::time::sleep(body_timeout)) }),
    });
    request.extensions_mut().insert(ConnectInfo(peer));
    routes.oneshot(request).await
}

/// A body that fails if it is not there in time.
struct Timely {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl hyper::body::Body for Timely {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        self.deadline.as_mut().poll(context).map(|()| Some(Err("the body took too long".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How many connections each address has open.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address, until it is dropped.
struct Entered {
    address: IpAddr,
    addresses: Addresses,
}

impl Addresses {
    /// One more of `address`, unless it has `connections_max`.
    fn enter(&self, address: IpAddr, connections_max: usize) -> Option<Entered> {
        let mut open = self.0.lock();
        let count = open.entry(address).or_default();
        if *count >= connections_max {
            return None;
        }
        *count += 1;
        Some(Entered { address, addresses: self.clone() })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.addresses.0.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
