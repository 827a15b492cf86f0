//! What stands before the gateway: TLS terminators and balancers that speak for their clients, and clients' certificates.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tests::issuer::Issuer;
use tests::raw::{self, Exchange};
use tests::tls::{Certificate, Http2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::gateway::{AUDIENCE, Application, Configured, Edge, free_addresses, reason};
use super::upstream::Upstream;

/// A client, and a trusted peer.
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

const TRUSTED: &str = r#"
[trusted_peers]
addresses = ["127.0.0.2", "192.0.2.0/24"]
forwarding = "x-forwarded"
client_certificate = { field = "Client-Cert", format = "rfc9440" }
"#;

/// A listener's table; `tls` is the end of its TLS table.
fn listener(at: SocketAddr, proxy_protocol: bool, certificate: &Certificate, tls: &str) -> String {
    let (chain, key) = (certificate.chain.display(), certificate.key.display());
    format!(
        "\n[[listeners]]\naddress = \"{at}\"\nproxy_protocol = {proxy_protocol}\n\
         tls = {{ certificate = \"{chain}\", key = \"{key}\"{tls} }}\n"
    )
}

/// A PROXY header, version 2, of a TCP client over IPv4.
fn proxy_header(client: [u8; 4], more: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + more.len()).unwrap().to_be_bytes();
    let ports = [0xc0, 0x00, 0x01, 0xbb];
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &length, &client, &[10, 0, 0, 1], &ports, more].concat()
}

/// The fields that the upstream saw of its only request, lower case.
fn told(edge: &Edge) -> String {
    let taken = edge.upstream.taken();
    assert_eq!(taken.len(), 1, "{taken:?}");
    taken.concat().to_ascii_lowercase()
}

/// The same of the balancer itself, or of somebody whom it does not name.
fn unnamed(command: u8, family: u8) -> Vec<u8> {
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family, 0, 0]].concat()
}

fn get(host: &str, fields: &str) -> String {
    format!("GET /inspected/page HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n")
}

pub async fn say_who_the_client_is() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let [balanced, balanced_tls] = free_addresses();
    let certificate = Certificate::named(folder.path(), "balanced").unwrap();
    let more = format!("{TRUSTED}\n[[listeners]]\naddress = \"{balanced}\"\nproxy_protocol = true\n")
        + &listener(balanced_tls, true, &certificate, "");
    let configured = Configured::write(folder.path(), &upstream, &more);
    let edge = Edge::start_in(folder, upstream, configured).await;
    let plain: SocketAddr = edge.host().parse().unwrap();
    let ask = async |from: IpAddr, to: SocketAddr, before: &[u8], fields: &str| -> Exchange {
        let stream = raw::connect_from(from, to).await.unwrap();
        raw::over(stream, &[before, get(edge.host(), fields).as_bytes()].concat()).await.unwrap()
    };

    let forwarded = "X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\nX-Forwarded-Proto: https\r\n";
    let spelt = "X_Forwarded_For: 198.51.100.8\r\nForwarded: for=198.51.100.8\r\nX-Real-IP: 198.51.100.8\r\n";
    for (what, from, fields, client, scheme) in [
        ("a trusted peer is believed", PEER, forwarded, "198.51.100.7", "https"),
        ("a client is not", CLIENT, forwarded, "127.0.0.1", "http"),
        ("a trusted peer that names nobody", PEER, "", "127.0.0.2", "http"),
        ("other fields and spellings count for nothing", PEER, spelt, "127.0.0.2", "http"),
        (
            "peers behind peers",
            PEER,
            "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 192.0.2.1\r\n",
            "198.51.100.7",
            "http",
        ),
    ] {
        let got = ask(from, plain, b"", fields).await;
        assert_eq!(got.status(), 200, "{what}: {}", got.text);
        let told = told(&edge);
        assert!(told.contains(&format!("\nx-forwarded-for: {client}\r\n")), "{what}: {told}");
        assert!(told.contains(&format!("\nx-forwarded-proto: {scheme}\r\n")), "{what}: {told}");
        assert!(!told.contains("198.51.100.8") && told.matches("forwarded").count() == 2, "{what}: {told}");
        let strict = got.text.to_ascii_lowercase().contains("strict-transport-security");
        assert_eq!(strict, scheme == "https", "{what}: {}", got.text);
    }
    let got = ask(PEER, plain, b"", "X-Forwarded-For: nonsense\r\n").await;
    assert_eq!((got.status(), &*reason(&got)), (400, "request.malformed"), "{}", got.text);

    let header = proxy_header([198, 51, 100, 7], &[]);
    let over_tls = proxy_header([198, 51, 100, 7], &[0x20, 0, 5, 1, 0, 0, 0, 0]);
    let of_a_peer = proxy_header([192, 0, 2, 1], &[]);
    for (what, from, before, fields, client, scheme) in [
        ("a header", PEER, &header[..], "", "198.51.100.7", "http"),
        ("a client behind it is no peer", PEER, &header, forwarded, "198.51.100.7", "http"),
        ("one that tells of TLS", PEER, &over_tls, "", "198.51.100.7", "https"),
        ("a terminator behind the balancer", PEER, &of_a_peer, forwarded, "198.51.100.7", "https"),
        ("a balancer's own connection", PEER, &unnamed(0x20, 0x00), forwarded, "127.0.0.2", "http"),
        ("whom the balancer does not name", PEER, &unnamed(0x21, 0x00), forwarded, "127.0.0.2", "http"),
        ("a client that connects by itself", CLIENT, b"", forwarded, "127.0.0.1", "http"),
    ] {
        let got = ask(from, balanced, before, fields).await;
        assert_eq!(got.status(), 200, "{what}: {}", got.text);
        let told = told(&edge);
        assert!(told.contains(&format!("\nx-forwarded-for: {client}\r\n")), "{what}: {told}");
        assert!(told.contains(&format!("\nx-forwarded-proto: {scheme}\r\n")), "{what}: {told}");
    }

    let got = ask(CLIENT, balanced, &header, "").await;
    assert_eq!((got.status(), &*reason(&got)), (400, "request.malformed"), "a client's own: {}", got.text);
    let refused = r#"gatehouse_connections_refused_total{cause="proxy_protocol"}"#;
    let cut = header.get(..20).unwrap();
    let got = ask(PEER, balanced, b"", "").await;
    assert!(got.text.is_empty() && got.closed, "a request without header: {}", got.text);
    for (what, before) in
        [("half of one", &header[..7]), ("version 1", b"PROXY TCP4 198.51.100.7 10.0.0.1 1 2\r\n")]
    {
        let count = edge.metric(refused).await;
        let got = ask(PEER, balanced, before, "").await;
        assert!(got.text.is_empty() && got.closed, "{what}: {}", got.text);
        assert_eq!(edge.metric(refused).await, count + 1.0, "{what}");
    }
    // A header that does not come to its end has the time of a request's header.
    let stream = raw::connect_from(PEER, balanced).await.unwrap();
    let got = raw::over(stream, cut).await.unwrap();
    assert!(got.text.is_empty() && got.closed, "{}", got.text);
    assert_eq!(edge.metric(r#"gatehouse_connections_refused_total{cause="late"}"#).await, 1.0);
    assert!(edge.upstream.taken().is_empty());

    // The header stands before TLS.
    let mut stream = raw::connect_from(PEER, balanced_tls).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &header).await.unwrap();
    let stream = certificate.over(stream, b"http/1.1", None).await.unwrap();
    let got = raw::over(stream, get(edge.host(), forwarded).as_bytes()).await.unwrap();
    assert_eq!(got.status(), 200, "{}", got.text);
    let told = told(&edge);
    assert!(told.contains("\nx-forwarded-for: 198.51.100.7\r\nx-forwarded-proto: https\r\n"), "{told}");
}

/// What is no TLS, or takes too long, ends its connection; and a client has handshakes at the rate of requests.
pub async fn are_no_tls() {
    const BURST: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let configured = Configured::write(folder.path(), &upstream, TRUSTED);
    let text = std::fs::read_to_string(&configured.file).unwrap();
    let limit = format!("address = {{ per_second = 1, burst = {BURST} }}");
    let text = text.replace("address = { per_second = 100_000, burst = 100_000 }", &limit);
    std::fs::write(&configured.file, text).unwrap();
    let edge = Edge::start_in(folder, upstream, configured).await;
    let (tls, certificate) = &edge.tls;
    let refused = async |cause: &str| {
        edge.metric(&format!("gatehouse_connections_refused_total{{cause=\"{cause}\"}}")).await
    };
    // The first bytes of a handshake whose record says that 512 follow.
    let begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let hello = b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01";
    let old = [&hello[..], &[7; 32], b"\x00\x00\x02\x00\x2f\x01\x00"].concat();
    for (what, bytes, cause) in [
        ("HTTP in the clear", get(edge.host(), "").into_bytes(), "tls"),
        ("noise", vec![0xff; 4_096], "tls"),
        ("a handshake in TLS 1.0", old, "tls"),
        ("silence", Vec::new(), "late"),
        ("half a handshake", begun.to_vec(), "late"),
    ] {
        let before = refused(cause).await;
        let got = raw::over(TcpStream::connect(*tls).await.unwrap(), &bytes).await.unwrap();
        assert!(got.closed && !got.text.contains("HTTP"), "{what}: {}", got.text);
        assert_eq!(refused(cause).await, before + 1.0, "{what}");
    }
    // Another address of this machine, which has begun none yet.
    let other = IpAddr::from([127, 0, 0, 3]);
    let mut done = 0;
    for _ in 0..2 * BURST {
        let stream = raw::connect_from(other, *tls).await.unwrap();
        done += usize::from(certificate.over(stream, b"http/1.1", None).await.is_ok());
    }
    assert!((BURST..2 * BURST).contains(&done), "{done} handshakes");
    assert!(refused("excess").await >= 1.0);
    // A peer's are not counted, and somebody else has some left.
    for from in [PEER; 2 * BURST].into_iter().chain([IpAddr::from([127, 0, 0, 4])]) {
        let stream = raw::connect_from(from, *tls).await.unwrap();
        certificate.over(stream, b"http/1.1", None).await.unwrap();
    }
    assert!(edge.upstream.taken().is_empty());
}

/// Whom a reload trusts no more is not believed any more, on connections that are open already.
pub async fn are_trusted_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let [balanced] = free_addresses();
    let more = format!("{TRUSTED}\n[[listeners]]\naddress = \"{balanced}\"\nproxy_protocol = true\n");
    let configured = Configured::write(folder.path(), &upstream, &more);
    let file = configured.file.clone();
    let edge = Edge::start_in(folder, upstream, configured).await;
    let plain: SocketAddr = edge.host().parse().unwrap();
    let mut open = raw::connect_from(PEER, plain).await.unwrap();
    let mut ask = async || {
        let fields = "X-Forwarded-For: 198.51.100.7\r\n";
        let request = format!("GET /inspected/page HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", edge.host());
        tokio::io::AsyncWriteExt::write_all(&mut open, request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            assert!(open.read_buf(&mut answer).await.unwrap() > 0);
        }
        told(&edge)
    };
    assert!(ask().await.contains("\nx-forwarded-for: 198.51.100.7\r\n"));
    // Listeners stay as they are until a new process; whoever waits for headers there is trusted no more.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(TRUSTED, "").replace("proxy_protocol = true\n", "")).unwrap();
    edge.reload().await;
    assert!(ask().await.contains("\nx-forwarded-for: 127.0.0.2\r\n"));
    let header = proxy_header([198, 51, 100, 7], &[]);
    let stream = raw::connect_from(PEER, balanced).await.unwrap();
    let got = raw::over(stream, &[&header, get(edge.host(), "").as_bytes()].concat()).await.unwrap();
    assert_eq!((got.status(), &*reason(&got)), (400, "request.malformed"), "{}", got.text);
}

/// What clients make unreadable does not count against the peer that passes it on.
pub async fn do_not_pay_for_noise() {
    const BURST: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let configured = Configured::write(folder.path(), &upstream, TRUSTED);
    let text = std::fs::read_to_string(&configured.file).unwrap();
    let limit = format!("address = {{ per_second = 1, burst = {BURST} }}");
    let text = text.replace("address = { per_second = 100_000, burst = 100_000 }", &limit);
    std::fs::write(&configured.file, text).unwrap();
    let edge = Edge::start_in(folder, upstream, configured).await;
    let plain: SocketAddr = edge.host().parse().unwrap();
    let mut statuses = Vec::new();
    for number in 0..3 * BURST {
        let bytes = if number % 2 == 0 {
            get(edge.host(), "X-Forwarded-For: nonsense\r\n")
        } else {
            "?\r\n\r\n".into()
        };
        let stream = raw::connect_from(PEER, plain).await.unwrap();
        statuses.push(raw::over(stream, bytes.as_bytes()).await.unwrap().status());
    }
    assert!(statuses.contains(&400) && statuses.contains(&429), "{statuses:?}");
    for fields in ["", "X-Forwarded-For: 198.51.100.7\r\n"] {
        let stream = raw::connect_from(PEER, plain).await.unwrap();
        let got = raw::over(stream, get(edge.host(), fields).as_bytes()).await.unwrap();
        assert_eq!(got.status(), 200, "{fields}: {}", got.text);
    }
}

pub async fn count_for_their_clients() {
    const MAX: usize = 4;
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let [balanced] = free_addresses();
    let more = format!("{TRUSTED}\n[[listeners]]\naddress = \"{balanced}\"\nproxy_protocol = true\n");
    let configured = Configured::write(folder.path(), &upstream, &more);
    let text = std::fs::read_to_string(&configured.file).unwrap();
    let text = text.replace("[limits]", &format!("[limits]\nconnections_per_address = {MAX}"));
    std::fs::write(&configured.file, text).unwrap();
    let edge = Edge::start_in(folder, upstream, configured).await;
    let plain: SocketAddr = edge.host().parse().unwrap();
    // A connection that stays open, of which one request was answered.
    let hold = async |from: IpAddr, to: SocketAddr, before: Vec<u8>| -> Option<TcpStream> {
        let mut stream = raw::connect_from(from, to).await.unwrap();
        let request = format!("GET /inspected/page HTTP/1.1\r\nHost: {}\r\n\r\n", edge.host());
        let sent = tokio::io::AsyncWriteExt::write_all(&mut stream, &[before, request.into()].concat()).await;
        let mut first = [0; 12];
        let read = stream.read_exact(&mut first).await;
        (sent.is_ok() && read.is_ok() && first.starts_with(b"HTTP/1.1 200")).then_some(stream)
    };

    let mut held = Vec::new();
    for number in 0..3 * MAX {
        held.push(
            hold(PEER, plain, Vec::new()).await.unwrap_or_else(|| panic!("connection {number} of a peer")),
        );
    }
    for client in [7, 8] {
        let header = proxy_header([198, 51, 100, client], &[]);
        for number in 0..MAX {
            let stream = hold(PEER, balanced, header.clone()).await;
            held.push(stream.unwrap_or_else(|| panic!("connection {number} of client {client}")));
        }
        assert!(hold(PEER, balanced, header).await.is_none(), "one too many of client {client}");
    }
    let mut own = Vec::new();
    while let Some(stream) = hold(CLIENT, plain, Vec::new()).await {
        own.push(stream);
        assert!(own.len() <= MAX, "a client is bounded");
    }
    assert_eq!(own.len(), MAX);
    assert_eq!(edge.metric(r#"gatehouse_connections_refused_total{cause="excess"}"#).await, 3.0);
    drop(own);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(hold(CLIENT, plain, Vec::new()).await.is_some(), "what ended gives its place back");
}

pub async fn show_certificates() {
    let issuer = Issuer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let [optional, required, listed] = free_addresses();
    let [own, ada, eve] = ["own", "ada", "eve"].map(|name| Certificate::named(folder.path(), name).unwrap());
    let authorities =
        format!(", client_certificates = \"required\", client_authorities = \"{}\"", ada.chain.display());
    let bound = Application { name: "bound", ..Application::default() };
    let more = bound.before(&upstream, &issuer.url)
        + TRUSTED
        + &listener(optional, false, &own, ", client_certificates = \"optional\"")
        + &listener(required, false, &own, ", client_certificates = \"required\"")
        + &listener(listed, false, &own, &authorities);
    let configured = Configured::write(folder.path(), &upstream, &more);
    let edge = Edge::start_in(folder, upstream, configured).await;
    let bound = json!({ "cnf": { "x5t#S256": ada.thumbprint() } });
    let (token, _) = issuer.token_with("ada", AUDIENCE, 600, bound.as_object().unwrap().clone()).unwrap();
    let (loose, _) = issuer.token("ada", AUDIENCE, 600).unwrap();
    let request =
        |token: &str, fields: &str| get("bound.test", &format!("Authorization: Bearer {token}\r\n{fields}"));
    let ask = async |from: IpAddr, to: SocketAddr, of: Option<&Certificate>, token: &str, fields: &str| {
        let stream = raw::connect_from(from, to).await.unwrap();
        let stream = own.over(stream, b"http/1.1", of).await.ok()?;
        raw::over(stream, request(token, fields).as_bytes()).await.ok()
    };
    let shown = |of: &Certificate| format!("Client-Cert: :{}:\r\n", STANDARD.encode(of.der()));
    let (adas, eves) = (shown(&ada), shown(&eve));
    let plain: SocketAddr = edge.host().parse().unwrap();

    for round in ["never seen", "remembered"] {
        for (what, from, of, token, fields, expected) in [
            ("the certificate's holder", CLIENT, Some(&ada), &token, "", "ok"),
            ("a thief of the token, without a certificate", CLIENT, None, &token, "", "token.binding"),
            ("a thief with another certificate", CLIENT, Some(&eve), &token, "", "token.binding"),
            ("a thief who shows it in a field", CLIENT, Some(&eve), &token, &adas, "token.binding"),
            ("a trusted peer shows it", PEER, None, &token, &adas, "ok"),
            ("a trusted peer shows another", PEER, None, &token, &eves, "token.binding"),
            ("a trusted peer shows none", PEER, None, &token, "", "token.binding"),
            ("a trusted peer's own is not its client's", PEER, Some(&ada), &token, "", "token.binding"),
            ("a trusted peer shows two", PEER, None, &token, &format!("{adas}{eves}"), "request.malformed"),
            ("a token bound to nothing", CLIENT, Some(&eve), &loose, "", "ok"),
            ("a token bound to nothing, no certificate", CLIENT, None, &loose, "", "ok"),
        ] {
            let got = ask(from, optional, of, token, fields).await.unwrap();
            let answer = if got.status() == 200 { "ok".to_owned() } else { reason(&got) };
            assert_eq!(answer, expected, "{what}, {round}: {}", got.text);
            let taken = edge.upstream.taken().concat().to_ascii_lowercase();
            assert_eq!(taken.is_empty(), expected != "ok", "{what}");
            assert!(!taken.contains("client-cert"), "{what}: {taken}");
        }
    }
    let in_the_clear = raw::connect_from(PEER, plain).await.unwrap();
    let got = raw::over(in_the_clear, request(&token, &adas).as_bytes()).await.unwrap();
    assert_eq!(got.status(), 200, "a terminator that speaks HTTP: {}", got.text);

    let stream = own.over(TcpStream::connect(optional).await.unwrap(), b"h2", Some(&ada)).await.unwrap();
    let connection = Http2::over(stream).await.unwrap();
    let uri = "https://bound.test/inspected/page";
    let head = http::Request::builder().uri(uri).header("authorization", format!("Bearer {token}"));
    let answer = connection.send(head.body(bytes::Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200, "over HTTP/2: {answer:?}");

    for (what, to, of, served) in [
        ("any certificate, where one is required", required, Some(&eve), true),
        ("none, where one is required", required, None, false),
        ("one of a known authority", listed, Some(&ada), true),
        ("one of an unknown authority", listed, Some(&eve), false),
        ("none, where one of a known authority is required", listed, None, false),
    ] {
        let got = ask(CLIENT, to, of, &loose, "").await;
        // With TLS 1.3 a client learns only by the answer that its certificate was refused.
        assert_eq!(got.as_ref().is_some_and(|got| got.status() == 200), served, "{what}: {got:?}");
        assert!(served || got.is_none_or(|got| got.text.is_empty()), "{what}");
    }
    assert!(edge.metric(r#"gatehouse_connections_refused_total{cause="tls"}"#).await >= 3.0);
}
