//! The PROXY protocol, version 2: what a load balancer that forwards connections says of the client behind one.
//!
//! HAProxy, "The PROXY protocol", 2.2. Version 1, UDP and Unix sockets are refused. Checksums are TCP's business.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_BYTES: usize = 16;
/// What follows the fixed part. Balancers send some hundred bytes; a client certificate is not among them.
const REST_BYTES_MAX: usize = 4 * 1024;
/// The extension that tells of the client's TLS, and its bit for "the client connected over TLS".
const TLS_EXTENSION: u8 = 0x20;
const TLS_CLIENT: u8 = 0x01;

/// What the header said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The client's address; `None`: the connection is the balancer's own, such as a health check.
    pub client: Option<IpAddr>,
    /// The client spoke TLS with the balancer.
    pub tls: bool,
}

/// Why a connection does not begin with a header.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The connection broke.
    #[error("no PROXY header: {0}")]
    Broken(#[from] io::Error),
    /// It ended without a byte.
    #[error("nothing was sent")]
    Silent,
    /// What stands there is none.
    #[error("no PROXY header: {0}")]
    Malformed(&'static str),
}

/// Reads the header, and nothing behind it.
///
/// # Errors
/// There is none, or one of a kind that is not taken.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Told, Fault> {
    let mut fixed = [0; FIXED_BYTES];
    let (first, rest) = fixed.split_at_mut(1);
    // A check that only connects says nothing.
    if stream.read(first).await? == 0 {
        return Err(Fault::Silent);
    }
    stream.read_exact(rest).await?;
    let (kind, length) = fixed_part(&fixed)?;
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    told(kind, &rest)
}

/// What the fixed part announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The balancer speaks for itself.
    Local,
    /// It speaks for a client that it does not name.
    Unnamed,
    V4,
    V6,
}

fn fixed_part(fixed: &[u8; FIXED_BYTES]) -> Result<(Kind, usize), Fault> {
    let [signature @ .., command, family, high, low] = fixed;
    if signature != SIGNATURE {
        return Err(Fault::Malformed("the signature is another"));
    }
    let kind = match (command, family) {
        (0x20, _) => Kind::Local,
        (0x21, 0x00) => Kind::Unnamed,
        (0x21, 0x11) => Kind::V4,
        (0x21, 0x21) => Kind::V6,
        (0x20..=0x2f, _) => return Err(Fault::Malformed("a command or transport that is not taken")),
        _ => return Err(Fault::Malformed("not version 2")),
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > REST_BYTES_MAX {
        return Err(Fault::Malformed("longer than 4 KiB"));
    }
    Ok((kind, length))
}

/// Addresses and ports of both ends (of which the source is wanted), then extensions.
fn told(kind: Kind, rest: &[u8]) -> Result<Told, Fault> {
    const SHORT: Fault = Fault::Malformed("addresses are cut short");
    let (client, extensions): (Option<IpAddr>, &[u8]) = match kind {
        // The receiver must use the connection's own address, whatever stands there (2.2).
        Kind::Local => return Ok(Told::default()),
        Kind::Unnamed => (None, rest),
        Kind::V4 => {
            let (addresses, extensions) = rest.split_first_chunk::<12>().ok_or(SHORT)?;
            let [a, b, c, d, ..] = *addresses;
            (Some(Ipv4Addr::new(a, b, c, d).into()), extensions)
        }
        Kind::V6 => {
            let (addresses, extensions) = rest.split_first_chunk::<36>().ok_or(SHORT)?;
            let (source, _) = addresses.split_first_chunk::<16>().ok_or(SHORT)?;
            (Some(IpAddr::from(Ipv6Addr::from(*source)).to_canonical()), extensions)
        }
    };
    Ok(Told { client, tls: spoke_tls(extensions)? })
}

fn spoke_tls(mut extensions: &[u8]) -> Result<bool, Fault> {
    let mut tls = false;
    while let Some(([kind, high, low], rest)) = extensions.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) =
            rest.split_at_checked(length).ok_or(Fault::Malformed("an extension is cut short"))?;
        tls |= *kind == TLS_EXTENSION && value.first().is_some_and(|client| client & TLS_CLIENT != 0);
        extensions = rest;
    }
    if extensions.is_empty() { Ok(tls) } else { Err(Fault::Malformed("an extension is cut short")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0xc0, 0x00, 0x01, 0xbb];

    fn v6(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        [&source.octets()[..], &[0; 20]].concat()
    }

    async fn read_all(bytes: &[u8]) -> Result<(Told, usize), Fault> {
        let mut left = bytes;
        read(&mut left).await.map(|told| (told, left.len()))
    }

    #[tokio::test]
    async fn a_header_tells_who_the_client_is() {
        let of = |client: &str, tls| Told { client: Some(client.parse().unwrap()), tls };
        let with = |rest: &[u8], more: &[u8]| [rest, more].concat();
        let over_tls = [0x20, 0, 5, 0x01, 0, 0, 0, 0];
        let in_the_clear = [0x20, 0, 5, 0x04, 0, 0, 0, 0];
        let noted = [0x04, 0, 2, 9, 9];
        for (bytes, expected) in [
            (header(0x21, 0x11, &V4), of("192.0.2.7", false)),
            (header(0x21, 0x11, &with(&V4, &over_tls)), of("192.0.2.7", true)),
            (header(0x21, 0x11, &with(&V4, &in_the_clear)), of("192.0.2.7", false)),
            (header(0x21, 0x11, &with(&with(&V4, &noted), &over_tls)), of("192.0.2.7", true)),
            (header(0x21, 0x21, &v6("2001:db8::7")), of("2001:db8::7", false)),
            (header(0x21, 0x21, &v6("::ffff:192.0.2.7")), of("192.0.2.7", false)),
            (header(0x21, 0x00, &noted), Told::default()),
            (header(0x20, 0x00, &[]), Told::default()),
            (header(0x20, 0x11, &V4), Told::default()),
        ] {
            let request = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read_all(&request).await.unwrap(), (expected, 16), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_ends_the_connection() {
        let long = vec![0; REST_BYTES_MAX + 1];
        let mut other = header(0x21, 0x11, &V4);
        other[11] = b'x';
        for (what, bytes) in [
            ("nothing", vec![]),
            ("a request", b"GET /accounts HTTP/1.1\r\nHost: bank.example\r\n\r\n".to_vec()),
            ("version 1", b"PROXY TCP4 192.0.2.7 10.0.0.1 49152 443\r\n".to_vec()),
            ("another signature", other),
            ("version 3", header(0x31, 0x11, &V4)),
            ("an unknown command", header(0x22, 0x11, &V4)),
            ("UDP", header(0x21, 0x12, &V4)),
            ("a Unix socket", header(0x21, 0x31, &[0; 216])),
            ("addresses cut short", header(0x21, 0x11, &V4[..11])),
            ("addresses of another family", header(0x21, 0x21, &V4)),
            ("too long", header(0x21, 0x11, &long)),
            ("an extension cut short", header(0x21, 0x11, &[&V4[..], &[0x20, 0, 5, 1]].concat())),
            ("half an extension", header(0x21, 0x11, &[&V4[..], &[0x20, 0]].concat())),
            ("the end in between", header(0x21, 0x11, &V4)[..20].to_vec()),
        ] {
            assert!(read_all(&bytes).await.is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(fixed in any::<[u8; FIXED_BYTES]>(), rest in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = fixed_part(&fixed);
            for kind in [Kind::Local, Kind::Unnamed, Kind::V4, Kind::V6] {
                let _ = told(kind, &rest);
            }
        }
    }
}
