//! A request whose path goes out exactly as written.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use url::Url;

use super::tally::Outcome;

const TIMEOUT: Duration = Duration::from_secs(5);
/// `HTTP/1.1 200`
const STATUS_LINE_BYTES: usize = 12;

/// Sends `GET path` over plain HTTP/1.1, from `local` if given.
pub(super) async fn get(gateway: &Url, local: Option<IpAddr>, path: &str) -> Outcome {
    let status = tokio::time::timeout(TIMEOUT, exchange(gateway, local, path)).await;
    status.ok().flatten().map_or(Outcome::NoAnswer, Outcome::Status)
}

async fn exchange(gateway: &Url, local: Option<IpAddr>, path: &str) -> Option<u16> {
    let host = gateway.host_str()?;
    let port = gateway.port_or_known_default()?;
    let address = lookup_host((host.trim_matches(['[', ']']), port)).await.ok()?.next()?;
    let mut stream = connect(address, local).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut status_line = [0; STATUS_LINE_BYTES];
    stream.read_exact(&mut status_line).await.ok()?;
    std::str::from_utf8(status_line.get(9..)?).ok()?.parse().ok()
}

async fn connect(address: SocketAddr, local: Option<IpAddr>) -> Option<TcpStream> {
    match local.filter(|local| local.is_ipv4() == address.is_ipv4()) {
        Some(local) => {
            let socket = TcpSocket::new_v4().ok()?;
            socket.bind(SocketAddr::new(local, 0)).ok()?;
            socket.connect(address).await.ok()
        }
        None => TcpStream::connect(address).await.ok(),
    }
}
