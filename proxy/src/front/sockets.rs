//! Listening sockets: bound before anything else, and handed to the next process on an upgrade.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pingora::server::Fds;

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

    /// A socket for `address`: the inherited one, else a new one. Port 0 becomes a free port; the answer says which.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(&self, address: SocketAddr) -> Result<SocketAddr, SocketsError> {
        let mut table = self.table.lock();
        if table.get(&address.to_string()).is_some() {
            return Ok(address);
        }
        let failed = |e| SocketsError::Bind(address, e);
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        table.add(bound.to_string(), listener.into_raw_fd());
        Ok(bound)
    }

    /// The table as Pingora takes it.
    pub fn table(&self) -> Arc<Mutex<Fds>> {
        Arc::clone(&self.table)
    }
}
