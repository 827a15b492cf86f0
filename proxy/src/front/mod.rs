//! Where connections come in: sockets, their hand-over to a new process, and what holds before a request is read.

mod connection;
mod sockets;

pub use connection::{Connections, Front, HeaderSeen};
pub use sockets::{SOCKETS_MAX, Sockets, SocketsError};
