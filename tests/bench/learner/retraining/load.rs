//! Open-loop load: requests are due at fixed times, whatever became of the ones before, and a latency counts from when its
//! request was due. An answer that comes late so makes all that waited behind it late too (no coordinated omission).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Connections, each with a thread that sleeps until its next request is due.
const CONNECTIONS: u32 = 16;
/// An answer that takes longer counts as failed.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What was sent, and how it went.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was due.
    pub due: Instant,
    /// From then to the end of the answer.
    pub latency: Duration,
    /// Which of the requests it was.
    pub kind: usize,
    /// Whether it was answered with 200.
    pub good: bool,
}

/// A load under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sends `per_second` requests a second altogether, those of `kinds` in turn; each kind is a list of whole requests that
    /// take turns.
    pub fn start(at: SocketAddr, per_second: u32, kinds: &[Vec<Vec<u8>>]) -> Self {
        let kinds = Arc::new(kinds.to_vec());
        let (stop, samples) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let began = Instant::now();
        let gap = Duration::from_secs(1) / per_second;
        let sending = |connection: u32| {
            let (kinds, stop, samples) = (Arc::clone(&kinds), Arc::clone(&stop), Arc::clone(&samples));
            std::thread::spawn(move || {
                let mut sender = Sender { at, stream: None };
                let mut turn = connection as usize;
                for number in 0_u32.. {
                    let due = began + gap * connection + gap * CONNECTIONS * number;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // Odd and even rounds, so that each connection sends every kind.
                    let kind = (turn + number as usize) % kinds.len();
                    let good = sender.send(&kinds[kind][turn % kinds[kind].len()]).unwrap_or(false);
                    let sample = Sample { due, latency: due.elapsed(), kind, good };
                    samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                    turn += CONNECTIONS as usize + 1;
                }
            })
        };
        let threads = (0..CONNECTIONS).map(sending).collect();
        Self { stop, samples, threads }
    }

    /// Ends it; everything that was sent.
    pub fn end(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ended = thread.join();
        }
        std::mem::take(&mut self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One kept connection; another takes its place where it ended.
struct Sender {
    at: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Sender {
    fn send(&mut self, request: &[u8]) -> anyhow::Result<bool> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.at)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ANSWER_MAX))?;
                BufReader::new(stream)
            }
        };
        stream.get_mut().write_all(request)?;
        let good = answer(&mut stream)?;
        self.stream = Some(stream);
        Ok(good)
    }
}

/// Reads one answer with a length; whether its status is 200.
fn answer(stream: &mut BufReader<TcpStream>) -> anyhow::Result<bool> {
    let (mut line, mut good, mut length) = (String::new(), None, 0_usize);
    loop {
        line.clear();
        anyhow::ensure!(stream.read_line(&mut line)? > 0, "the connection ended");
        let text = line.trim_end().to_ascii_lowercase();
        if text.is_empty() {
            break;
        }
        if good.is_none() {
            good = Some(text.split(' ').nth(1) == Some("200"));
        } else if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse().context("content-length")?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(good.unwrap_or(false))
}
