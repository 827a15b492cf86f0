//! Balances as they change, over a WebSocket (RFC 6455).

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::accounts::AccountBody;
use super::permitted::{AccountsRead, Permitted};
use super::streams::Feed;
use super::{ApiState, Problem};
use crate::ledger::CustomerId;

/// Longest message that a client may send, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// A quiet connection is pinged this often, so that nothing between takes it for dead.
const PING_EVERY: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Switches to a WebSocket that says `{"type":"balances","accounts":[…]}` at once and whenever an account of the caller's
/// has a new entry, and answers every text with `{"type":"echo","text":…}`.
pub(super) async fn upgrade(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsRead>,
    mut request: Request,
) -> Result<Response, Problem> {
    let accept = accept_key(request.headers())?;
    let upgrade = request
        .extensions_mut()
        .remove::<OnUpgrade>()
        .ok_or_else(|| Problem::Malformed("this connection cannot become a WebSocket".to_owned()))?;
    let customer = permitted.customer().clone();
    let feed = state.streams.feed(&state.bank, &customer)?;
    tokio::spawn(async move {
        // A client that goes away is the usual end.
        let Ok(upgraded) = upgrade.await else { return };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        if let Err(error) = converse(socket, feed, &state, &customer).await {
            tracing::debug!(%error, "a WebSocket ended");
        }
    });
    let switch = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, switch).into_response())
}

async fn converse(
    mut socket: Socket,
    mut feed: Feed,
    state: &ApiState,
    customer: &CustomerId,
) -> Result<(), Error> {
    let mut pings = tokio::time::interval(PING_EVERY);
    pings.reset();
    socket.send(balances(state, customer)).await?;
    loop {
        tokio::select! {
            news = feed.next() => match news {
                Some(_) => socket.send(balances(state, customer)).await?,
                None => return socket.close(None).await,
            },
            heard = socket.next() => match heard.transpose()? {
                Some(Message::Text(text)) => socket.send(text_message(&json!({"type": "echo", "text": text.as_str()}))).await?,
                Some(Message::Close(_)) | None => return Ok(()),
                Some(_) => {}
            },
            _ = pings.tick() => socket.send(Message::Ping(bytes::Bytes::new())).await?,
        }
    }
}

fn balances(state: &ApiState, customer: &CustomerId) -> Message {
    match state.bank.accounts(customer) {
        Ok(accounts) => {
            let accounts: Vec<AccountBody> = accounts.into_iter().map(AccountBody::from).collect();
            text_message(&json!({"type": "balances", "accounts": accounts}))
        }
        Err(error) => {
            tracing::error!(%error, "balances cannot be read");
            text_message(&json!({"type": "unavailable"}))
        }
    }
}

fn text_message(value: &Value) -> Message {
    Message::text(value.to_string())
}

/// Checks the handshake of RFC 6455, section 4.2.1, and gives the key that accepts it.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let has = |name: HeaderName, wanted: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    let malformed = |text: &str| Problem::Malformed(text.to_owned());
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err(malformed("this resource is a WebSocket"));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(malformed("only version 13 of the WebSocket protocol is spoken here"));
    }
    // A page of another site could open a WebSocket with the visitor's session: no same-origin policy stops it.
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return Err(malformed("a page of another site may not listen"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| malformed("no Sec-WebSocket-Key"))?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| malformed("bad Sec-WebSocket-Key"))
}
