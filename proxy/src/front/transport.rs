//! From an accepted connection to one that carries HTTP: who is at the other end, and TLS.

use std::net::IpAddr;
use std::sync::Arc;

use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as Socket;
use pingora::protocols::{GetSocketDigest, Ssl, Stream};

use super::connection::Place;
use super::proxy_protocol;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its address, or the one for which a trusted peer speaks by the PROXY protocol.
    pub address: IpAddr,
    /// That is a trusted peer, whose header fields about its own clients count.
    pub trusted: bool,
    /// The client spoke TLS, with the gateway or with a balancer that says so.
    pub tls: bool,
    /// SHA-256 of the certificate whose key it proved to hold.
    pub certificate: Option<[u8; 32]>,
}

impl Remote {
    fn at(address: IpAddr, trusted: bool) -> Self {
        Self { address, trusted, tls: false, certificate: None }
    }
}

impl Default for Remote {
    /// Nobody in particular.
    fn default() -> Self {
        Self::at(IpAddr::from([0, 0, 0, 0]), false)
    }
}

/// Whether an address is a trusted peer's now.
pub type Trusts = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// What a listener speaks below HTTP.
pub struct Transport {
    proxy_protocol: bool,
    tls: Option<Acceptor>,
    trusts: Trusts,
}

/// Why a connection carries no HTTP.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Proxy(#[from] proxy_protocol::Fault),
    #[error("no TLS: {0}")]
    Tls(pingora::BError),
    #[error("it took too long")]
    Late,
    #[error("too many connections")]
    Excess,
    #[error("not a socket")]
    NoSocket,
}

/// Every cause for which a connection is refused, as the metric's label.
pub const CAUSES: [&str; 6] = ["proxy_protocol", "silent", "tls", "late", "excess", "internal"];

impl Fault {
    /// One of [`CAUSES`].
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Proxy(proxy_protocol::Fault::Silent) => "silent",
            Self::Proxy(_) => "proxy_protocol",
            Self::Tls(_) => "tls",
            Self::Late => "late",
            Self::Excess => "excess",
            Self::NoSocket => "internal",
        }
    }
}

impl Transport {
    /// With `proxy_protocol`, the connections of trusted peers begin with its header. Everybody else is a client, whose
    /// header would be no HTTP.
    pub fn new(proxy_protocol: bool, tls: Option<Arc<rustls::ServerConfig>>, trusts: Trusts) -> Self {
        Self { proxy_protocol, tls: tls.map(Acceptor::from_server_config), trusts }
    }

    /// Opens what comes in on the socket, whose `place` is claimed for the client before anything costly.
    pub(super) async fn open(&self, stream: Stream, place: &mut Place) -> Result<(Stream, Remote), Fault> {
        let mut socket = *stream.into_any().downcast::<Socket>().map_err(|_| Fault::NoSocket)?;
        let peer = socket
            .get_socket_digest()
            .and_then(|digest| digest.peer_addr().and_then(|a| a.as_inet()).map(|a| a.ip().to_canonical()))
            .ok_or(Fault::NoSocket)?;
        let mut remote = Remote::at(peer, (self.trusts)(peer));
        // Behind a trusted peer are many clients.
        let mut bounded = !remote.trusted;
        if self.proxy_protocol && remote.trusted {
            let told = proxy_protocol::read(&mut socket).await?;
            remote = match told.client {
                Some(client) => Remote::at(client, (self.trusts)(client)),
                // Who forwards connections sets no fields: what stands in them is of whoever is at the other end.
                None => Remote::at(peer, false),
            };
            remote.tls = told.tls;
            bounded = told.client.is_some() && !remote.trusted;
        }
        if bounded && !place.claim(remote.address) {
            return Err(Fault::Excess);
        }
        let Some(acceptor) = &self.tls else { return Ok((Box::new(socket), remote)) };
        if bounded && !place.may_handshake(remote.address) {
            return Err(Fault::Excess);
        }
        let stream = acceptor.tls_handshake(socket).await.map_err(Fault::Tls)?;
        remote.tls = true;
        remote.certificate =
            stream.get_ssl_digest().and_then(|tls| <[u8; 32]>::try_from(tls.cert_digest.as_slice()).ok());
        Ok((Box::new(stream), remote))
    }
}
