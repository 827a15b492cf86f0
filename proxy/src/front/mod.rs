//! Where connections come in: sockets, their hand-over to a new process, and what holds before a request is read.

mod connection;
mod exchange;
mod http2;
mod proxy_protocol;
mod sockets;
mod tls;
mod transport;
mod unreadable;

pub use connection::{Connections, Front};
pub use exchange::Exchange;
pub use http2::Cut;
pub use sockets::{SOCKETS_MAX, Sockets, SocketsError};
pub use tls::server_config;
pub use transport::{CAUSES, Remote, Transport, Trusts};
pub use unreadable::Unreadable;
