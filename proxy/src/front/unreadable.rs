//! What stands in for Pingora's own answer to a head that it cannot read; on HTTP/2, what takes note of it.
//!
//! Pingora refuses such a head before any hook of its proxy runs, with a bare 400. It has written nothing before that, so
//! whatever is written before a request has entered is that refusal, and the gateway's takes its place on the wire.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::http2::{Cut, Frames};
use super::{Exchange, Remote};

/// Refuses, with a record, what could not be read as a request.
pub trait Unreadable: Send + Sync {
    /// The whole HTTP/1 response, after which the connection closes.
    fn refuse(&self, remote: Remote) -> Bytes;

    /// Takes note of what the HTTP/2 layer refused by itself.
    fn refused(&self, remote: Remote, cut: Cut);
}

/// A client's connection.
pub(super) struct Watched {
    inner: Stream,
    remote: Remote,
    unreadable: Arc<dyn Unreadable>,
    protocol: Protocol,
    /// The first bytes, until they are read.
    early: Bytes,
}

/// Most of what is taken of a connection before its first request is read.
const EARLY_BYTES_MAX: usize = 4 * 1024;

enum Protocol {
    Http1 {
        exchange: Exchange,
        /// What is still to be written of the gateway's own refusal, once there is one.
        refusal: Option<Bytes>,
    },
    Http2(Frames),
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Watched {
    /// An HTTP/1 connection, whose requests are those of `exchange`.
    pub fn http1(inner: Stream, exchange: Exchange, unreadable: Arc<dyn Unreadable>) -> Self {
        Self {
            inner,
            remote: exchange.remote(),
            unreadable,
            protocol: Protocol::Http1 { exchange, refusal: None },
            early: Bytes::new(),
        }
    }

    /// An HTTP/2 connection, from its first byte.
    pub fn http2(inner: Stream, remote: Remote, unreadable: Arc<dyn Unreadable>) -> Self {
        Self { inner, remote, unreadable, protocol: Protocol::Http2(Frames::default()), early: Bytes::new() }
    }

    /// Waits for the first bytes, which are read again by whoever reads next; or for the end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn arrive(&mut self) -> io::Result<()> {
        std::future::poll_fn(|context| {
            let mut bytes = [0; EARLY_BYTES_MAX];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.inner).poll_read(context, &mut read))?;
            self.early = Bytes::copy_from_slice(read.filled());
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Writes the refusal to its end, if what is written now is Pingora's.
    fn poll_refusal(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Self { inner, remote, unreadable, protocol, .. } = self;
        let Protocol::Http1 { exchange, refusal } = protocol else { return Poll::Ready(Ok(false)) };
        if exchange.has_entered() {
            return Poll::Ready(Ok(false));
        }
        let left = refusal.get_or_insert_with(|| unreadable.refuse(*remote));
        while !left.is_empty() {
            let written = ready!(Pin::new(&mut *inner).poll_write(context, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            left.advance(written);
        }
        Poll::Ready(Ok(true))
    }

    /// Takes note of what has been written.
    fn written(&mut self, bytes: &[u8]) {
        let Self { remote, unreadable, protocol, .. } = self;
        if let Protocol::Http2(frames) = protocol {
            frames.pass(bytes, |cut| unreadable.refused(*remote, cut));
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.inner).poll_read(context, buf);
        }
        let length = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if ready!(self.poll_refusal(context))? {
            return Poll::Ready(Ok(buf.len()));
        }
        let count = ready!(Pin::new(&mut self.inner).poll_write(context, buf))?;
        self.written(buf.get(..count).unwrap_or(buf));
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if ready!(self.poll_refusal(context))? {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let count = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, bufs))?;
        let mut left = count;
        for buf in bufs {
            let part = buf.get(..left).unwrap_or(buf);
            left -= part.len();
            self.written(part);
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for Watched {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.inner).await;
    }
}

impl UniqueID for Watched {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Watched {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Watched {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for Watched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for Watched {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

impl Peek for Watched {}
