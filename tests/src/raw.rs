//! Bytes on a socket: what no HTTP client would send.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use url::Url;

/// How long the other side may stay silent before the exchange counts as over.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What came back.
#[derive(Debug)]
pub struct Exchange {
    /// Everything that was read.
    pub text: String,
    /// The other side closed the connection.
    pub closed: bool,
}

impl Exchange {
    /// How many responses came.
    pub fn responses(&self) -> usize {
        self.text.matches("HTTP/1.1 ").count()
    }

    /// The first response's status; 0 without one.
    pub fn status(&self) -> u16 {
        self.text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }
}

/// A connection from another address of this machine.
///
/// # Errors
/// It cannot be made.
pub async fn connect_from(from: IpAddr, to: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    Ok(socket.connect(to).await?)
}

/// Sends `bytes` to `to` and reads until the other side closes or falls silent.
///
/// # Errors
/// The connection cannot be made.
pub async fn exchange(to: &Url, bytes: &[u8]) -> anyhow::Result<Exchange> {
    let host = to.host_str().context("an address without a host")?;
    let port = to.port_or_known_default().context("an address without a port")?;
    over(TcpStream::connect((host, port)).await?, bytes).await
}

/// The same over a connection that is there.
///
/// # Errors
/// The connection broke before everything was sent.
pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> anyhow::Result<Exchange> {
    over_within(stream, bytes, SILENCE_MAX).await
}

/// The same, of somebody who may stay silent for longer.
///
/// # Errors
/// As [`over`].
pub async fn over_within(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
    silence: Duration,
) -> anyhow::Result<Exchange> {
    stream.write_all(bytes).await?;
    let mut read = Vec::new();
    let mut closed = false;
    let mut chunk = vec![0; 16 * 1024];
    while read.len() < ANSWER_BYTES_MAX {
        match tokio::time::timeout(silence, stream.read(&mut chunk)).await {
            // A reset ends the connection as well as a FIN does.
            Ok(Ok(0) | Err(_)) => {
                closed = true;
                break;
            }
            Ok(Ok(length)) => read.extend_from_slice(chunk.get(..length).unwrap_or_default()),
            Err(_) => break,
        }
    }
    Ok(Exchange { text: String::from_utf8_lossy(&read).into_owned(), closed })
}
