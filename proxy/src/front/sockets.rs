//! Listening sockets: bound before anything else, and handed to the next process on an upgrade.
//!
//! Every address has several sockets (`SO_REUSEPORT`), one for each group of serving threads: the kernel shares new
//! connections out among them, and what one group serves no other group's thread ever touches.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pingora::server::Fds;
use tokio::net::TcpSocket;

/// Why sockets could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// Binding failed.
    #[error(
        "cannot listen on {0}: {1}; is another gateway running there? (--upgrade takes its sockets over)"
    )]
    Bind(SocketAddr, std::io::Error),
    /// The other process did not hand its sockets over, or did not take ours.
    #[error("sockets could not be handed over through {0}: {1}")]
    HandOver(PathBuf, String),
}

/// The listening sockets of this process, by address.
pub struct Sockets {
    table: Arc<Mutex<Fds>>,
}

impl Sockets {
    /// No socket yet.
    pub fn empty() -> Self {
        Self { table: Arc::new(Mutex::new(Fds::new())) }
    }

    /// Takes over the sockets of the process that offers them at `path`.
    ///
    /// # Errors
    /// Nobody offered any within some seconds.
    pub fn inherit(path: &Path) -> Result<Self, SocketsError> {
        let sockets = Self::empty();
        let text = path.to_string_lossy();
        sockets
            .table
            .lock()
            .get_from_sock(text.as_ref())
            .map_err(|e| SocketsError::HandOver(path.to_owned(), e.to_string()))?;
        Ok(sockets)
    }

    /// Offers these sockets at `path` and waits until another process took them.
    ///
    /// # Errors
    /// Nobody took them within some seconds.
    pub fn hand_over(&self, path: &Path) -> Result<(), SocketsError> {
        let text = path.to_string_lossy();
        self.table
            .lock()
            .send_to_sock(text.as_ref())
            .map(|_| ())
            .map_err(|e| SocketsError::HandOver(path.to_owned(), e.to_string()))
    }

    /// At least `count` sockets for `address`: inherited ones, else new ones. Port 0 becomes a free port; the answer
    /// says which. Must be called on a runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(&self, address: SocketAddr, count: usize) -> Result<SocketAddr, SocketsError> {
        let mut table = self.table.lock();
        let failed = |e| SocketsError::Bind(address, e);
        let mut bound = address;
        for number in 0..count.clamp(1, SOCKETS_MAX) {
            if table.get(&key(bound, number)).is_some() {
                continue;
            }
            if number == 0 && address.port() != 0 {
                // Sockets that share a port do not notice another process on it; a plain one does.
                drop(TcpListener::bind(address).map_err(failed)?);
            }
            let listener = listen(bound).map_err(failed)?;
            bound = listener.local_addr().map_err(failed)?;
            table.add(key(bound, number), listener.into_raw_fd());
        }
        Ok(bound)
    }

    /// The sockets of `addresses` as Pingora takes them: one table for each group of threads, each with one socket of an
    /// address. Inherited sockets that nobody would accept from are closed.
    pub fn tables(&self, addresses: &[SocketAddr]) -> Vec<Arc<Mutex<Fds>>> {
        let mut all = self.table.lock();
        let keys = |number| addresses.iter().map(move |&address| (address, key(address, number)));
        let kept: HashSet<String> = (0..SOCKETS_MAX).flat_map(keys).map(|(_, key)| key).collect();
        let _closed = all.close_unclaimed(&kept);
        let table = |number| {
            let mut table = Fds::new();
            for (address, key) in keys(number) {
                if let Some(&socket) = all.get(&key) {
                    table.add(address.to_string(), socket);
                }
            }
            table
        };
        (0..SOCKETS_MAX)
            .map(table)
            .take_while(|table| !table.is_empty())
            .map(|table| Arc::new(Mutex::new(table)))
            .collect()
    }
}

/// Pingora hands over at most this many sockets, altogether.
pub const SOCKETS_MAX: usize = 32;
/// Connections that wait to be accepted, for each socket.
const BACKLOG: u32 = 4096;

/// The name of an address's socket in the table.
fn key(address: SocketAddr, number: usize) -> String {
    format!("{address}#{number}")
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn an_address_has_a_socket_for_every_group() {
        let sockets = Sockets::empty();
        let (one, two) = (sockets.bind(ANY, 3).unwrap(), sockets.bind(ANY, 1).unwrap());
        assert_eq!(sockets.bind(one, 3).unwrap(), one);
        let sizes = |tables: Vec<Arc<Mutex<Fds>>>| -> Vec<usize> {
            tables.iter().map(|table| table.lock().serialize().0.len()).collect()
        };
        assert_eq!(sizes(sockets.tables(&[one, two])), [2, 1, 1]);
        // What is no longer listened on is closed, not left without an acceptor.
        assert_eq!(sizes(sockets.tables(&[two])), [1]);
        drop(TcpListener::bind(one).unwrap());
    }

    #[tokio::test]
    async fn a_port_that_somebody_else_serves_is_not_shared() {
        let sockets = Sockets::empty();
        let taken = sockets.bind(ANY, 2).unwrap();
        let refused = Sockets::empty().bind(taken, 2).unwrap_err();
        assert!(refused.to_string().contains("is another gateway running there?"), "{refused}");
    }
}
