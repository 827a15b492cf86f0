//! HTTP/2 as no client library would speak it (RFC 9113 8.1.1 to 8.3.1): frames written by hand.

use std::time::{Duration, Instant};

use tests::tls::Http2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::gateway::Edge;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(20);

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Reset(u32),
    /// The first byte of the answer's header block: its status, where the static table has it.
    Answered(u8),
    /// The connection was ended, with this error code or without a word.
    Over(Option<u32>),
}

const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const STATUS_200: u8 = 0x88;

struct Raw {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

impl Raw {
    async fn connect(edge: &Edge) -> Self {
        let (address, certificate) = &edge.tls;
        let mut stream = certificate.connect(*address, b"h2").await.unwrap();
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).await.unwrap();
        Self { stream, read: Vec::new() }
    }

    /// What is written to a connection that the gateway has ended is lost, and that is no fault.
    async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// The next frame's kind, stream and payload; `None` at the connection's end.
    async fn next(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        loop {
            if let Some([a, b, c, kind, _, id @ ..]) = self.read.first_chunk::<9>().copied() {
                let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
                if self.read.len() >= end {
                    let bytes: Vec<u8> = self.read.drain(..end).collect();
                    return Some((kind, u32::from_be_bytes(id), bytes[9..].to_vec()));
                }
            }
            let mut chunk = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk)).await;
            match read.expect("the gateway answers in time") {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.read.extend_from_slice(&chunk[..length]),
            }
        }
    }

    async fn fate(&mut self, stream: u32) -> Fate {
        let code = |payload: &[u8]| u32::from_be_bytes(payload[..4].try_into().unwrap());
        while let Some((kind, id, payload)) = self.next().await {
            match kind {
                RST_STREAM if id == stream => return Fate::Reset(code(&payload)),
                // A change of the table's size may stand first (RFC 7541 6.3).
                HEADERS if id == stream => {
                    return Fate::Answered(*payload.iter().find(|&&byte| byte & 0xe0 != 0x20).unwrap());
                }
                GOAWAY => return Fate::Over(Some(code(&payload[4..]))),
                _ => {}
            }
        }
        Fate::Over(None)
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals that are not indexed (RFC 7541 6.2.2).
fn headers(stream: u32, fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|&length| length < 127).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(HEADERS, END_HEADERS | flags, stream, &block)
}

fn request<'a>(method: &'a str, path: &'a str, host: &'a str, more: &[(&'a str, &'a str)]) -> Fields<'a> {
    let pseudo = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)];
    [&pseudo[..], more].concat()
}

/// A name, header fields, and DATA where there is a body.
type Case<'a> = (&'static str, Fields<'a>, Option<&'static [u8]>);

fn heads(host: &str) -> Vec<Case<'_>> {
    let get = |more: &[(&'static str, &'static str)]| request("GET", "/inspected/x", host, more);
    let without = |name: &str| get(&[]).into_iter().filter(|(n, _)| *n != name).collect::<Fields<'_>>();
    let twice = |name: &str| {
        let again = get(&[]).into_iter().filter(|(n, _)| *n == name);
        again.chain(get(&[])).collect::<Fields<'_>>()
    };
    vec![
        ("Connection", get(&[("connection", "keep-alive")]), None),
        ("Connection that names a field", get(&[("connection", "x-a"), ("x-a", "b")]), None),
        ("Transfer-Encoding", get(&[("transfer-encoding", "chunked")]), None),
        ("Keep-Alive", get(&[("keep-alive", "5")]), None),
        ("Upgrade", get(&[("upgrade", "h2c")]), None),
        ("TE other than trailers", get(&[("te", "gzip")]), None),
        ("an upper-case name", get(&[("X-A", "b")]), None),
        ("a name with a space", get(&[("x a", "b")]), None),
        ("a name with a line's end", get(&[("x-a: b\r\nx-c", "d")]), None),
        ("a value with a line's end", get(&[("x-a", "b\r\ntransfer-encoding: chunked")]), None),
        ("a value with a null byte", get(&[("x-a", "b\0c")]), None),
        ("two paths", twice(":path"), None),
        ("two methods", twice(":method"), None),
        ("two authorities", twice(":authority"), None),
        ("no path", without(":path"), None),
        ("no method", without(":method"), None),
        ("no scheme", without(":scheme"), None),
        ("no authority", without(":authority"), None),
        ("an unknown pseudo field", get(&[(":foo", "bar")]), None),
        ("a response's pseudo field", get(&[(":status", "200")]), None),
        ("a pseudo field behind a field", [vec![("x-a", "b")], get(&[])].concat(), None),
        ("an empty path", request("GET", "", host, &[]), None),
        ("a path without its slash", request("GET", "inspected/x", host, &[]), None),
        ("an absolute path", request("GET", "https://evil.test/inspected/x", host, &[]), None),
        ("a network path", request("GET", "//evil.test/inspected/x", host, &[]), None),
        ("an asterisk", request("OPTIONS", "*", host, &[]), None),
        ("a line's end in the path", request("GET", "/inspected/x HTTP/1.1\r\nx-a: b", host, &[]), None),
        ("a space in the method", request("GET /inspected/y HTTP/1.1", "/inspected/x", host, &[]), None),
        ("a user in the authority", request("GET", "/inspected/x", "user@evil.test", &[]), None),
        ("another Host", get(&[("host", "evil.test")]), None),
        ("two Hosts", get(&[("host", "evil.test"), ("host", "evil.test")]), None),
        ("a tunnel", vec![(":method", "CONNECT"), (":authority", "evil.test:443")], None),
        (
            "a WebSocket (RFC 8441)",
            request("CONNECT", "/streamed", host, &[(":protocol", "websocket")]),
            None,
        ),
    ]
}

fn bodies(host: &str) -> Vec<Case<'_>> {
    let hidden: &[u8] = b"abcGET /inspected/hidden HTTP/1.1\r\n\r\n";
    let mut cases: Vec<Case<'_>> = Vec::new();
    for path in ["/inspected/x", "/streamed"] {
        let post = |more: &[(&'static str, &'static str)]| request("POST", path, host, more);
        cases.extend([
            ("a length longer than the body", post(&[("content-length", "10")]), Some(&b"abc"[..])),
            ("a length shorter than the body", post(&[("content-length", "3")]), Some(hidden)),
            ("a length without a body", post(&[("content-length", "5")]), None),
            ("two lengths", post(&[("content-length", "3"), ("content-length", "36")]), Some(hidden)),
            ("a list of lengths", post(&[("content-length", "3, 36")]), Some(hidden)),
            ("a signed length", post(&[("content-length", "+3")]), Some(&b"abc"[..])),
            ("a length in another spelling", post(&[("content_length", "3")]), Some(hidden)),
            ("a coding and a body", post(&[("transfer-encoding", "chunked")]), Some(&b"0\r\n\r\n"[..])),
        ]);
    }
    cases
}

/// Whatever breaks HTTP/2 reaches no upstream, is counted and recorded, and leaves the connection's other streams alone.
pub async fn broken_requests(edge: Edge) {
    let host = edge.host().to_owned();
    let (mut failed, mut bare, mut count) = (Vec::new(), 0, 0);
    for (what, fields, body) in heads(&host).into_iter().chain(bodies(&host)) {
        let mut raw = Raw::connect(&edge).await;
        let mut bytes = headers(1, &fields, if body.is_some() { 0 } else { END_STREAM });
        bytes.extend(body.map(|body| frame(DATA, END_STREAM, 1, body)).unwrap_or_default());
        raw.write(&bytes).await;
        let fate = raw.fate(1).await;
        bare += usize::from(matches!(fate, Fate::Reset(PROTOCOL_ERROR) | Fate::Over(Some(_))));
        count += 1;
        let refused = !matches!(fate, Fate::Answered(STATUS_200) | Fate::Over(None));
        let seen = edge.upstream.taken();
        raw.write(&headers(3, &request("GET", "/inspected/neighbour", &host, &[]), END_STREAM)).await;
        let neighbour = raw.fate(3).await;
        let well = match fate {
            Fate::Over(_) => neighbour == Fate::Over(None),
            _ => neighbour == Fate::Answered(STATUS_200) && edge.upstream.taken().len() == 1,
        };
        if !refused || !seen.is_empty() || !well {
            failed.push(format!("{what} {fields:?}: {fate:?}, neighbour {neighbour:?}, upstream {seen:?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    what_is_cut_off(&edge).await;
    assert!(bare >= 20, "{bare} requests were ended by the HTTP/2 layer");
    let counted = edge.metric("gatehouse_http2_resets_total{code=\"protocol_error\"").await;
    assert!(counted >= bare as f64, "{counted} of {bare} were counted");
    edge.recorded("\"outcome\":\"deny\"", count).await;
    assert!(edge.recorded("request.malformed", bare).await >= bare);
    let alive = edge.ask("GET /inspected/x HTTP/1.1", "", "").await;
    assert_eq!(alive.status(), 200, "{alive:?}");
}

/// The layer drops a fragment, and bytes behind a length of 0, before anybody can judge them; the upstream has neither.
async fn what_is_cut_off(edge: &Edge) {
    let host = edge.host();
    let get = headers(1, &request("GET", "/inspected/x#/inspected/hidden", host, &[]), END_STREAM);
    let post = headers(1, &request("POST", "/inspected/x", host, &[("content-length", "0")]), 0);
    let behind = frame(DATA, END_STREAM, 1, b"GET /inspected/hidden HTTP/1.1\r\n\r\n");
    for (bytes, fate) in
        [(get, Fate::Answered(STATUS_200)), ([post, behind].concat(), Fate::Reset(PROTOCOL_ERROR))]
    {
        let mut raw = Raw::connect(edge).await;
        raw.write(&bytes).await;
        assert_eq!(raw.fate(1).await, fate);
        raw.write(&headers(3, &request("GET", "/inspected/neighbour", host, &[]), END_STREAM)).await;
        assert_eq!(raw.fate(3).await, Fate::Answered(STATUS_200));
        let seen = edge.upstream.taken();
        assert!(seen.len() <= 2 && !seen.iter().any(|request| request.contains("hidden")), "{seen:?}");
    }
}

/// More streams than a connection may have, and thousands that are reset as soon as they are opened (CVE-2023-44487).
pub async fn crowds(edge: Edge) {
    let host = edge.host().to_owned();
    let (address, certificate) = &edge.tls;
    let neighbour = Http2::connect_from([127, 0, 0, 2].into(), certificate, *address).await.unwrap();
    let ask = async || {
        let uri = format!("https://{host}/inspected/neighbour");
        let request = http::Request::get(uri).body(bytes::Bytes::new()).unwrap();
        let answer = neighbour.send(request).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    ask().await;

    let mut raw = Raw::connect(&edge).await;
    let waiting = request("POST", "/inspected/waits", &host, &[]);
    let many: Vec<u8> = (0..150).flat_map(|n| headers(2 * n + 1, &waiting, 0)).collect();
    raw.write(&many).await;
    assert_eq!(raw.fate(299).await, Fate::Reset(REFUSED_STREAM));
    ask().await;
    assert!(
        edge.metric("gatehouse_http2_resets_total{code=\"refused_stream\",scope=\"stream\"}").await >= 50.0
    );
    edge.recorded("limit.address", 50).await;

    for path in ["/inspected/x", "/inspected/silence"] {
        let mut raw = Raw::connect(&edge).await;
        let get = request("GET", path, &host, &[]);
        for n in 0..3_000 {
            let cancelled = frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes());
            raw.write(&[headers(2 * n + 1, &get, END_STREAM), cancelled].concat()).await;
            if n % 500 == 0 {
                ask().await;
            }
        }
        ask().await;
        drop(raw);
    }
    // What was asked for and given up is over: nothing of it is held for ever.
    let began = Instant::now();
    while edge.metric("gatehouse_capacity_permits").await > 0.0 {
        assert!(began.elapsed() < PATIENCE, "permits are still held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let alive = edge.ask("GET /inspected/x HTTP/1.1", "", "").await;
    assert_eq!(alive.status(), 200, "{alive:?}");
}

/// A client that says nothing, or never ends its head, does not keep its connection.
pub async fn silence(edge: Edge) {
    let (address, certificate) = &edge.tls;
    let host = edge.host().to_owned();
    let unended = |raw: Vec<u8>| [&raw[..4], &[0], &raw[5..]].concat();
    let head = unended(headers(1, &request("GET", "/inspected/x", &host, &[]), 0));
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("half a preface", PREFACE[..10].to_vec()),
        ("a preface alone", [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()),
        ("a head without its end", [PREFACE, &frame(SETTINGS, 0, 0, b""), &head].concat()),
    ] {
        let mut stream = certificate.connect(*address, b"h2").await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{what}: the connection is open after {PATIENCE:?}");
    }
    assert!(edge.upstream.taken().is_empty());
}
