use super::*;

/// The next `data:` line of an event stream.
async fn next_event(body: &mut Body) -> Option<Value> {
    loop {
        let frame = body.frame().await?.unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        if let Some(data) = text.lines().find_map(|line| line.strip_prefix("data:")) {
            return Some(serde_json::from_str(data.trim()).unwrap());
        }
    }
}

#[tokio::test]
async fn a_stream_tells_of_the_customers_own_entries_until_the_bank_closes() {
    let house = House::new().await;
    let open = async |who: &str| {
        let request = house.request(Method::GET, who, "/api/stream").body(Body::empty()).unwrap();
        house.router.clone().oneshot(request).await.unwrap()
    };
    let mut alice = open("alice").await.into_body();
    house.post("carol", "/api/accounts/carol-current/deposits", json!({"amount": 7})).await;
    house.post("alice", "/api/transfers", payment(42)).await;
    let event = next_event(&mut alice).await.unwrap();
    assert_eq!((&event["account"], &event["entry"]["amount"]), (&json!("alice-current"), &json!(-42)));

    let mut more = Vec::new();
    for _ in 0..7 {
        more.push(open("alice").await);
    }
    assert_eq!(open("alice").await.status(), 503, "one customer cannot take all places");
    assert_eq!(open("bob").await.status(), 200);
    drop(more);
    assert_eq!(open("alice").await.status(), 200, "a place is given back");

    house.close.send(true).unwrap();
    assert_eq!(next_event(&mut alice).await, None);
}

#[tokio::test]
async fn a_websocket_pushes_balances_and_echoes() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    let house = House::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/api/ws", listener.local_addr().unwrap());
    let router = house.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let request = |site: Option<&'static str>| {
        let mut request = url.as_str().into_client_request().unwrap();
        let identity = house.identity("bob", ALL).parse().unwrap();
        request.headers_mut().insert("gatehouse-identity", identity);
        if let Some(site) = site {
            request.headers_mut().insert("sec-fetch-site", HeaderValue::from_static(site));
        }
        request
    };
    assert!(tokio_tungstenite::connect_async(request(Some("cross-site"))).await.is_err());
    let (mut socket, _) = tokio_tungstenite::connect_async(request(Some("same-origin"))).await.unwrap();
    type Socket =
        tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;
    let hear = async |socket: &mut Socket| loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            return serde_json::from_str::<Value>(text.as_str()).unwrap();
        }
    };
    let first = hear(&mut socket).await;
    let shown: Vec<_> =
        first["accounts"].as_array().unwrap().iter().map(|account| account["id"].as_str().unwrap()).collect();
    assert!(!shown.is_empty() && shown.iter().all(|id| id.starts_with("bob-")), "{shown:?}");
    let balance = first["accounts"][0]["balance"].as_i64().unwrap();
    house.post("alice", "/api/transfers", payment(25)).await;
    let second = hear(&mut socket).await;
    assert_eq!(
        (&second["type"], &second["accounts"][0]["balance"]),
        (&json!("balances"), &json!(balance + 25))
    );
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(hear(&mut socket).await, json!({"type": "echo", "text": "hello"}));
    socket.send(Message::text("x".repeat(5_000))).await.unwrap();
    assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_)))), "a message beyond the bound ends it");
}
