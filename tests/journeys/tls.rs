//! HTTP/2 and WebSockets over TLS: the same journey, the same record.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::demo::Addresses;
use tests::tls::{Certificate, Http2};
use tests::{Program, RunningDemo};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::run::{Gateway, prepare};
use crate::{record, streams};

const INJECTION: &str = "/api/accounts?q=1%27%20OR%20%271%27=%271%27--";

pub async fn is_the_same_journey() {
    let demo = RunningDemo::start(&[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = prepare(&demo, folder.path());
    let certificate = Certificate::make(folder.path()).unwrap();
    let tls = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = folder.path().join("config/gatehouse.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + &certificate.listener(tls)).unwrap();
    let mut gateway = Gateway::start(folder.path(), "tls.log", &[]);
    gateway.serves().await;

    let alice = Program::of(&at, "alice").await.unwrap();
    let connection = Http2::connect(&certificate, tls).await.unwrap();
    let ask = async |method: &str, path: &str, body: Option<Value>| {
        connection.send(request(&at, alice.token(), method, path, body)).await.unwrap()
    };

    let accounts = ask("GET", "/api/accounts", None).await;
    assert_eq!(accounts.status, StatusCode::OK, "{accounts:?}");
    assert_eq!(accounts.json()["accounts"][0]["id"], "alice-current", "{accounts:?}");
    assert!(accounts.header("strict-transport-security").contains("max-age"), "{accounts:?}");
    let attack = ask("GET", INJECTION, None).await;
    assert_eq!((attack.status.as_u16(), attack.reason().as_str()), (403, "inspection.sqli"), "{attack:?}");
    let nobody = connection.send(request(&at, "", "GET", "/api/accounts", None)).await.unwrap();
    assert_eq!((nobody.status.as_u16(), nobody.reason().as_str()), (401, "token.missing"), "{nobody:?}");
    let transfer = json!({"from": "alice-current", "to": "bob-current", "amount": 199, "currency": "EUR"});
    let paid = ask("POST", "/api/transfers", Some(transfer)).await;
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");

    // Several streams of one connection, of which one is refused.
    let paths =
        ["/api/accounts", "/api/accounts/alice-current", "/nowhere", "/api/advice", "/api/credit-score"];
    let answers = join_all(paths.iter().cycle().take(20).map(|path| ask("GET", path, None))).await;
    for (path, answer) in paths.iter().cycle().zip(answers) {
        let expected = if *path == "/nowhere" { 404 } else { 200 };
        assert_eq!(answer.status.as_u16(), expected, "{path}: {answer:?}");
    }

    is_recorded_alike(&at, &alice, &[accounts.decision(), attack.decision()]).await;
    web_socket(&at, alice.token(), &certificate, tls).await;
    demo.end().unwrap();
}

fn request(
    at: &Addresses,
    token: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> http::Request<Bytes> {
    let uri = format!("https://{}{path}", at.gateway.authority());
    // As other clients do: a request without any such field is unusual in itself, over whichever protocol.
    let mut request = http::Request::builder().method(method).uri(uri).header("accept", "*/*");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header("content-type", "application/json").header("idempotency-key", "over-h2");
    }
    request.body(body.map(|body| body.to_string().into()).unwrap_or_default()).unwrap()
}

/// What is decided, of whom, where and why, does not depend on the protocol.
async fn is_recorded_alike(at: &Addresses, alice: &Program, over_h2: &[&str; 2]) {
    let ana = Program::staff(at, "ana").await.unwrap();
    for (id, path) in over_h2.iter().zip(["/api/accounts", INJECTION]) {
        let over_http1 = alice.get(path).await.unwrap();
        let [one, two] = [
            record::decision(&ana, over_http1.decision()).await["record"].clone(),
            record::decision(&ana, id).await["record"].clone(),
        ];
        for part in [
            "/app",
            "/route",
            "/method",
            "/source",
            "/identity/subject",
            "/identity/client_id",
            "/identity/scopes",
            "/class",
            "/outcome",
            "/stage",
            "/status",
            "/upstream_status",
            "/policy",
        ] {
            let (one_part, two_part) = (one.pointer(part), two.pointer(part));
            assert!(one_part.is_some() && one_part == two_part, "{part} of {path}: {one} {two}");
        }
        assert_eq!(one["reasons"][0]["code"], two["reasons"][0]["code"], "{path}: {one} {two}");
    }
}

/// A client that asks for HTTP/1.1 by ALPN gets it, and its WebSocket.
async fn web_socket(at: &Addresses, token: &str, certificate: &Certificate, tls: SocketAddr) {
    let stream = certificate.connect(tls, b"http/1.1").await.unwrap();
    let url = format!("ws://{}/api/ws", at.gateway.authority());
    let (mut socket, opened) = client_async(streams::handshake(url, token), stream).await.unwrap();
    assert!(opened.headers().contains_key("gatehouse-decision"));
    assert_eq!(streams::text(&mut socket).await["type"], "balances");
    socket.send(Message::text("over TLS?")).await.unwrap();
    assert_eq!(streams::text(&mut socket).await["text"], "over TLS?");
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}
