//! The application behind the gateway: it says whom it was told of, and keeps every transfer that reaches it.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Where a transfer is entered.
const TRANSFER_PAGE: &str = "<main><form method=\"post\" action=\"/transfer\"></form></main>";

/// The application.
pub struct Upstream {
    /// Where it listens.
    pub address: String,
    posted: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let posted = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&posted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    // Who asks and goes away is nothing to it.
                    let _ = answer(stream, &kept).await;
                });
            }
        });
        Self { address, posted }
    }

    /// The bodies that were posted so far.
    pub fn posted(&self) -> Vec<String> {
        self.posted.lock().unwrap().clone()
    }
}

async fn answer(mut stream: TcpStream, posted: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut read = Vec::new();
    let head_ends = loop {
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&read[..head_ends]).into_owned();
    let field = |wanted: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned())
    };
    if head.starts_with("POST ") {
        let length: usize = field("content-length").and_then(|value| value.parse().ok()).unwrap_or_default();
        while read.len() < head_ends + length {
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
        posted.lock().unwrap().push(String::from_utf8_lossy(&read[head_ends..]).into_owned());
    }
    let body = match head.starts_with("GET /transfer ") {
        true => TRANSFER_PAGE.to_owned(),
        false => field("gatehouse-subject").unwrap_or_default(),
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await
}
