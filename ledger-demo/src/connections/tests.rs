use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;

/// Nothing in these tests comes near these.
const WIDE: Bounds = Bounds {
    open_max: 100,
    per_address_max: 100,
    header_timeout: Duration::from_secs(60),
    body_timeout: Duration::from_secs(60),
};
const SOON: Duration = Duration::from_millis(200);

/// A listener whose answers are `ok`, and how many requests it has seen.
struct Listener {
    address: SocketAddr,
    seen: Arc<AtomicUsize>,
    /// Lets `/held` answer.
    release: Arc<Notify>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<io::Result<()>>,
}

impl Listener {
    async fn start(bounds: Bounds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counting, counting_held, holding) = (seen.clone(), seen.clone(), release.clone());
        let routes = Router::new()
            .route(
                "/",
                get(async move || {
                    counting.fetch_add(1, Ordering::SeqCst);
                    "ok"
                }),
            )
            .route(
                "/held",
                get(async move || {
                    counting_held.fetch_add(1, Ordering::SeqCst);
                    holding.notified().await;
                    "ok"
                }),
            )
            .route("/body", post(async |body: Bytes| body.len().to_string()));
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(listener, routes, bounds, async {
            let _ = stopped.await;
        }));
        Self { address, seen, release, stop, served }
    }

    async fn client(&self) -> TcpStream {
        self.client_from([127, 0, 0, 1]).await
    }

    async fn client_from(&self, address: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

async fn ask(client: &mut TcpStream, path: &str) {
    client.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
}

/// Reads an answer that ends with `ok`.
async fn hear(client: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") {
        let read = client.read_buf(&mut answer).await.unwrap();
        assert_ne!(read, 0, "closed after {}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

async fn ask_and_hear(client: &mut TcpStream) {
    ask(client, "/").await;
    hear(client).await;
}

/// Whether the listener closes the connection without a word.
async fn is_closed(client: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(20), client.read(&mut [0])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

/// Sends `begun` and then a byte after the other, for each of them another client is served; what was answered at the end.
/// The bytes are too few to be cut off for their number.
async fn drip(listener: &Listener, begun: &str) -> String {
    let mut other = listener.client().await;
    let mut slow = listener.client().await;
    slow.write_all(begun.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let cut_off = async {
        for round in 0.. {
            ask_and_hear(&mut other).await;
            if round < 10_000 && slow.write_all(b"a").await.is_err() {
                return;
            }
            tokio::select! {
                biased;
                read = slow.read_buf(&mut answer) => if !matches!(read, Ok(1..)) { return },
                () = tokio::task::yield_now() => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), cut_off).await.expect("the slow one is cut off");
    ask_and_hear(&mut other).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_header_that_drips_is_cut_off_while_others_are_served() {
    let listener = Listener::start(Bounds { header_timeout: SOON, ..WIDE }).await;
    drip(&listener, "GET / HTTP/1.1\r\nhost: x\r\nslow: ").await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let listener = Listener::start(Bounds { header_timeout: SOON, ..WIDE }).await;
    let mut silent = listener.client().await;
    assert!(is_closed(&mut silent).await);
    let mut idle = listener.client().await;
    ask_and_hear(&mut idle).await;
    assert!(is_closed(&mut idle).await, "after a request as before the first");
}

#[tokio::test]
async fn a_body_that_drips_is_refused_while_others_are_served() {
    let listener = Listener::start(Bounds { body_timeout: SOON, ..WIDE }).await;
    let answer = drip(&listener, "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_while_an_open_one_goes_on() {
    let listener = Listener::start(Bounds { open_max: 1, ..WIDE }).await;
    let mut open = listener.client().await;
    ask_and_hear(&mut open).await;
    let mut waiting = listener.client().await;
    ask(&mut waiting, "/").await;
    for round in 2..=50 {
        ask_and_hear(&mut open).await;
        assert_eq!(listener.seen.load(Ordering::SeqCst), round, "the other one waits");
    }
    drop(open);
    hear(&mut waiting).await;
}

#[tokio::test]
async fn one_address_leaves_places_for_others() {
    let listener = Listener::start(Bounds { per_address_max: 2, ..WIDE }).await;
    let (mut first, mut second) = (listener.client().await, listener.client().await);
    ask_and_hear(&mut first).await;
    ask_and_hear(&mut second).await;
    let mut third = listener.client().await;
    assert!(is_closed(&mut third).await);
    let mut elsewhere = listener.client_from([127, 0, 0, 2]).await;
    ask_and_hear(&mut elsewhere).await;
    ask_and_hear(&mut first).await;
    drop(second);
    // Its place is free as soon as the listener has seen it go.
    let again = async {
        loop {
            let mut again = listener.client().await;
            let asked = again.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
            if asked.is_ok() && matches!(again.read(&mut [0]).await, Ok(1..)) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("a place comes back");
}

#[tokio::test]
async fn the_end_waits_for_requests_and_for_nobody_else() {
    let listener = Listener::start(WIDE).await;
    let mut idle = listener.client().await;
    ask_and_hear(&mut idle).await;
    let mut busy = listener.client().await;
    ask(&mut busy, "/held").await;
    while listener.seen.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    listener.stop.send(()).unwrap();
    assert!(is_closed(&mut idle).await);
    assert!(!listener.served.is_finished());
    listener.release.notify_one();
    hear(&mut busy).await;
    listener.served.await.unwrap().unwrap();
}
