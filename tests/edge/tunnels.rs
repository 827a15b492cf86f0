//! Connections that become a WebSocket, and responses that stay open: bytes by hand, and an issuer whose tokens end soon.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tests::issuer::Issuer;
use tests::tls::Http2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::gateway::{Configured, Edge};
use super::upstream::Upstream;

const PATIENCE: Duration = Duration::from_secs(30);
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// Long enough for the streams to be opened on a busy machine.
const SHORT_S: u64 = 6;
const AUDIENCE: &str = "urn:edge:members";

const MEMBERS: &str = r#"
[[issuers]]
issuer = "@ISSUER@"
algorithms = ["ES256"]
[[applications]]
name = "members"
hosts = ["members.test"]
external_url = "https://members.test"
identity = { issuers = ["@ISSUER@"], audience = "urn:edge:members" }
upstream = { peers = ["@UPSTREAM@"] }
[[applications.routes]]
name = "streams"
paths = ["/inspected/ws", "/inspected/events"]
"#;

/// A connection over which bytes go to and fro.
struct Line(TcpStream);

impl Line {
    async fn open(edge: &Edge, request: &str, behind: &str) -> Self {
        let mut stream = TcpStream::connect(edge.host()).await.unwrap();
        stream.write_all(format!("{request}\r\n{behind}").as_bytes()).await.unwrap();
        Self(stream)
    }

    /// Reads until `end` has come; what was read. Empty when the connection ends before.
    async fn until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        let reading = async {
            while !read.windows(end.len()).any(|part| part == end.as_bytes()) {
                if !matches!(self.0.read_buf(&mut read).await, Ok(1..)) {
                    read.clear();
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{end} did not come"));
        String::from_utf8(read).unwrap()
    }

    /// Whether what is sent comes back.
    async fn echoes(&mut self) -> bool {
        self.0.write_all(b"are you there?").await.is_ok() && !self.until("there?").await.is_empty()
    }

    /// Waits for the other side to close; when that was, Unix seconds.
    async fn closed(&mut self) -> f64 {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await;
        let _reset_or_closed = ended.expect("the connection is closed in time");
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
    }
}

fn get(path: &str, host: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}")
}

/// Pingora 0.9.1 closes a tunnel at once when it comes upon the end of the request's empty body, which waits in a pipe, after
/// the 101. That takes a 101 which is readable before the request has been written: from an upstream that does not wait for
/// the request, or where another thread polls the socket meanwhile. No thread does here.
pub async fn web_sockets_stay_open(edge: Edge) {
    let request = get("/inspected/ws", edge.host(), UPGRADE);
    for number in 0..300 {
        let mut line = Line::open(&edge, &request, "").await;
        let head = line.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "socket {number}: {head}");
        assert!(line.echoes().await, "socket {number} was closed behind its 101");
    }
}

/// A process that is told to end answers what it has accepted, on connections of which nothing has been read yet too.
pub async fn accepted_before_the_end(edge: Edge) {
    let request = format!("{}Connection: close\r\n", get("/inspected/x", edge.host(), ""));
    let mut fresh = Line(TcpStream::connect(edge.host()).await.unwrap());
    let began = Instant::now();
    while edge.metric("gatehouse_connections ").await < 1.0 {
        assert!(began.elapsed() < PATIENCE, "the connection is not accepted");
    }
    edge.tell_to_end();
    while edge.is_observed().await {
        assert!(began.elapsed() < PATIENCE, "the end does not begin");
    }
    fresh.0.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    let answer = fresh.until("ok").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
}

/// What a client sends before it knows whether there is a tunnel.
pub async fn early_bytes(edge: Edge) {
    let host = edge.host();
    let hidden = format!("{}\r\n", get("/inspected/hidden", host, ""));
    let mut line = Line::open(&edge, &get("/inspected/ws", host, UPGRADE), &hidden).await;
    let head = line.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(line.echoes().await);
    let seen = edge.upstream.taken();
    assert_eq!(seen.len(), 1, "bytes of a tunnel are nobody's request: {seen:?}");

    // No tunnel after all: refused by the upstream, by the gateway's routes, and by its strictness.
    for (path, fields, status) in [
        ("/inspected/x", UPGRADE.to_owned(), "200"),
        ("/nowhere", UPGRADE.to_owned(), "404"),
        ("/inspected/ws", format!("{UPGRADE}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), "400"),
    ] {
        let mut line = Line::open(&edge, &get(path, host, &fields), &hidden).await;
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, line.0.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{path}: {answer}");
        let seen = edge.upstream.taken();
        assert!(!seen.iter().any(|r| r.starts_with("GET /inspected/hidden")), "{path}: {seen:?}");
    }
}

/// What a token opened ends with it; what its successor opened goes on.
pub async fn end_with_their_token() {
    let issuer = Issuer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let members =
        MEMBERS.replace("@ISSUER@", &issuer.url).replace("@UPSTREAM@", &upstream.address.to_string());
    let configured = Configured::write(folder.path(), &upstream, &members);
    let edge = Edge::start_in(folder, upstream, configured).await;

    let (first, expires_s) = issuer.token("ada", AUDIENCE, SHORT_S).unwrap();
    let (refreshed, _) = issuer.token("ada", AUDIENCE, 3_600).unwrap();
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let mut lines = Vec::new();
    for (path, more, opened) in
        [("/inspected/ws", UPGRADE, "HTTP/1.1 101 "), ("/inspected/events", "", "HTTP/1.1 200 ")]
    {
        for token in [&first, &refreshed] {
            let request = get(path, "members.test", &format!("{}{more}", bearer(token)));
            let mut line = Line::open(&edge, &request, "").await;
            let head = line.until("\r\n\r\n").await;
            assert!(head.starts_with(opened), "{path}: {head}");
            lines.push(line);
        }
    }
    let [mut socket, mut next_socket, mut events, mut next_events] = lines.try_into().ok().unwrap();
    assert!(socket.echoes().await && next_socket.echoes().await);
    let connection = Http2::connect(&edge.tls.1, edge.tls.0).await.unwrap();
    let over_h2 = |token: &str| {
        let request = http::Request::get("https://members.test/inspected/events");
        let request = request.header("authorization", format!("Bearer {token}"));
        connection.send(request.body(bytes::Bytes::new()).unwrap())
    };

    let (streams, next_streams) = (over_h2(&first), over_h2(&refreshed));
    let ended = async { tokio::join!(socket.closed(), events.closed(), streams) };
    let (socket_at, events_at, stream) = tokio::select! {
        ended = ended => ended,
        next = next_streams => panic!("the successor's stream ended: {next:?}"),
    };
    assert!(stream.is_err(), "a stream that is cut is no whole answer: {stream:?}");
    for at in [socket_at, events_at] {
        assert!(at >= expires_s as f64, "closed at {at}, before {expires_s}");
    }
    assert!(next_socket.echoes().await, "what the refreshed token opened goes on");
    edge.upstream.tell("data: still here\n\n");
    assert!(!next_events.until("still here").await.is_empty(), "the event stream goes on too");
    edge.recorded("token.expired", 3).await;

    let late = get("/inspected/events", "members.test", &format!("{}Connection: close\r\n", bearer(&first)));
    let mut line = Line::open(&edge, &late, "").await;
    assert!(line.until("\r\n\r\n").await.starts_with("HTTP/1.1 401 "));
    edge.recorded("token.expired", 4).await;
}
