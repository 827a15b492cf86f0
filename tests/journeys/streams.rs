//! Connections that stay open.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::Value;
use tests::Program;
use tests::demo::Addresses;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const PATIENCE: Duration = Duration::from_secs(20);

pub async fn web_socket(at: Addresses) {
    let customer = Program::of_new_customer(&at, "listener", 3_000).await.unwrap();
    let url = at.gateway.join("/api/ws").unwrap().as_str().replacen("http", "ws", 1);
    assert!(connect_async(&url).await.is_err(), "no socket without a token");

    let mut request = url.into_client_request().unwrap();
    let bearer = format!("Bearer {}", customer.token());
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let (mut socket, handshake) = connect_async(request).await.unwrap();
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

async fn text<S>(socket: &mut S) -> Value
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
