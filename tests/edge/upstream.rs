//! An upstream that keeps every byte it is sent, and answers by the path.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

pub struct Upstream {
    pub address: SocketAddr,
    events: broadcast::Sender<&'static str>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let (events, _) = broadcast::channel(16);
        let told = events.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&noted), told.clone()));
            }
        });
        Self { address, events, seen }
    }

    /// Sends an event to every open stream of events.
    pub fn tell(&self, event: &'static str) {
        self.events.send(event).unwrap();
    }

    /// The requests since the last call, whole.
    pub fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
    events: broadcast::Sender<&'static str>,
) {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        while let Some(end) = whole(&bytes) {
            let request: Vec<u8> = bytes.drain(..end).collect();
            let request = String::from_utf8_lossy(&request).into_owned();
            let answer = answer(&request);
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            seen.lock().unwrap().push(request);
            match &*path {
                "/inspected/ws" => return echo(stream, &bytes).await,
                "/inspected/events" => return tell(stream, events.subscribe()).await,
                _ => {}
            }
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap_or_default(),
                None => return,
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
        }
    }
}

/// A tunnel that gives back what it gets, first of all what came with the request.
async fn echo(mut stream: TcpStream, early: &[u8]) {
    const SWITCHED: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    if stream.write_all(&[SWITCHED, early].concat()).await.is_ok() {
        let (mut from, mut to) = stream.split();
        let _ended = tokio::io::copy(&mut from, &mut to).await;
    }
}

/// A stream of events without an end.
async fn tell(mut stream: TcpStream, mut events: broadcast::Receiver<&'static str>) {
    const OPENED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let mut next = Some(OPENED);
    while let Some(event) = next {
        if stream.write_all(event.as_bytes()).await.is_err() {
            return;
        }
        next = events.recv().await.ok();
    }
}

/// Where a request that has come whole ends.
fn whole(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let fields = text.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
    let length = fields.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    if fields.contains("transfer-encoding: chunked") {
        let end = bytes[head..].windows(5).position(|w| w == b"0\r\n\r\n")?;
        return Some(head + end + 5);
    }
    let end = head + length.unwrap_or(0);
    (bytes.len() >= end).then_some(end)
}

/// `None`: the connection is closed without a word.
fn answer(request: &str) -> Option<String> {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let plain = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    Some(match path {
        "/inspected/nothing" => return None,
        "/inspected/silence" => String::new(),
        "/inspected/noise" => "SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned(),
        "/inspected/unacceptable" => "HTTP/1.1 406 Not Acceptable\r\nContent-Length: 2\r\n\r\nno".to_owned(),
        "/inspected/conflict" => "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno".to_owned(),
        "/inspected/forged" => plain(
            "Gatehouse-Decision: forged\r\ngatehouse_subject: forged\r\nServer: secret/1.0\r\nX-Powered-By: secret\r\n",
        ),
        "/inspected/split" => plain("X-A: b\nSet-Cookie: __Host-gatehouse=split\r\n"),
        "/inspected/two-lengths" => {
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\nok".to_owned()
        }
        "/inspected/cut" => "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nok".to_owned(),
        _ => plain(""),
    })
}
