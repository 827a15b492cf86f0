//! Connections that stay open.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::Program;
use tests::demo::Addresses;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::record;

const PATIENCE: Duration = Duration::from_secs(20);

pub async fn web_socket(at: Addresses) {
    let customer = Program::of_new_customer(&at, "listener", 3_000).await.unwrap();
    let url = at.gateway.join("/api/ws").unwrap().as_str().replacen("http", "ws", 1);
    assert!(connect_async(&url).await.is_err(), "no socket without a token");

    let (mut socket, handshake) = connect_async(handshake(url, customer.token())).await.unwrap();
    assert!(handshake.headers().contains_key("gatehouse-decision"));
    let first = text(&mut socket).await;
    assert_eq!(
        (&first["type"], &first["accounts"][0]["balance"]),
        (&"balances".into(), &3_000.into()),
        "{first}"
    );
    socket.send(Message::text("are you there?")).await.unwrap();
    assert_eq!(text(&mut socket).await["text"], "are you there?");
    let paid = customer.pay("listener-current", "bob-current", 300, "ws").await.unwrap();
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");
    assert_eq!(text(&mut socket).await["accounts"][0]["balance"], 2_700);
    socket.close(None).await.unwrap();
}

pub fn handshake(url: String, token: &str) -> tokio_tungstenite::tungstenite::handshake::client::Request {
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

pub async fn text<S>(socket: &mut S) -> Value
where
    S: StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("a message in time");
        if let Message::Text(text) = message.expect("an open socket").unwrap() {
            return serde_json::from_str(text.as_str()).unwrap();
        }
    }
}

pub async fn events(at: Addresses) {
    let customer = Program::of_new_customer(&at, "watcher", 3_000).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = at.gateway.join("/api/stream").unwrap();
    let mut stream = client.get(url).bearer_auth(customer.token()).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    assert!(stream.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let paid = customer.pay("watcher-current", "bob-current", 321, "sse").await.unwrap();
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");
    let id = paid.json()["id"].as_str().unwrap().to_owned();
    let mut read = String::new();
    while !(read.contains("event: entry") && read.contains(&id)) {
        let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("an event in time").unwrap();
        read.push_str(&String::from_utf8_lossy(&chunk.expect("an open stream")));
    }
    assert!(read.contains("-321"), "{read}");
}

/// What waits in silence is closed too, as soon as the log-in that opened it is revoked.
pub async fn end_when_revoked(at: Addresses) {
    let customer = Program::of_new_customer(&at, "leaver", 1_000).await.unwrap();
    let (olivia, ana) =
        (Program::staff(&at, "olivia").await.unwrap(), Program::staff(&at, "ana").await.unwrap());
    let url = at.gateway.join("/api/ws").unwrap().as_str().replacen("http", "ws", 1);
    let (mut socket, opened) = connect_async(handshake(url, customer.token())).await.unwrap();
    text(&mut socket).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = at.gateway.join("/api/stream").unwrap();
    let mut stream = client.get(url).bearer_auth(customer.token()).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);

    let claims = URL_SAFE_NO_PAD.decode(customer.token().split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let order = json!({"kind": "sid", "value": claims["sid"], "note": "phone reported stolen"});
    let done = olivia.post("/api/v1/sessions/revoke", order).await.unwrap();
    assert_eq!(done.status, StatusCode::OK, "{done:?}");

    let socket_ends = async { while let Some(Ok(_)) = socket.next().await {} };
    tokio::time::timeout(PATIENCE, socket_ends).await.expect("the WebSocket ends in time");
    let stream_ends = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(PATIENCE, stream_ends).await.expect("the event stream ends in time");
    for (status, headers) in [(101, opened.headers()), (200, stream.headers())] {
        let id = headers["gatehouse-decision"].to_str().unwrap();
        let record = record::decision(&ana, id).await["record"].clone();
        assert_eq!(
            (&record["reasons"][0]["code"], &record["status"]),
            (&"token.revoked".into(), &status.into()),
            "{record}"
        );
    }
}
