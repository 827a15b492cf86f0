//! The decision log: everything Gatehouse decided, appended to files, chained by hashes, and on disk before a money-moving
//! request is forwarded.
//!
//! Requests submit entries to a bounded queue; one thread writes them ([`writer`]). Ordinary entries are written in
//! batches and flushed within [`Settings::sync_every`]; durable ones are answered after a flush that all waiting ones
//! share. The files are the truth; what is held in memory for the console ([`DecisionReader`]) is made from them.

mod entry;
mod queue;
mod read;
mod recent;
mod recovery;
mod storage;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use policies::DecisionRecord;
use policies::chain::Checkpoint;
use policies::ports::Clock;
use tokio::sync::{broadcast, oneshot};

use queue::{Item, Queue};
use recent::Recent;
use storage::{Segments, Storage};
use writer::{Unsynced, Writer};

pub use entry::{AdminCall, CaseEvent, Completion, Entry, Gap, Payload, Start};
pub use queue::NotRecorded;
pub use recent::Numbered;
pub use recovery::OpenError;
pub use verify::{Progress, Report, VerifyError, verify};

/// Bounds and paces of the log.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory of the segment files.
    pub dir: PathBuf,
    /// A segment that reached this size is followed by a new one.
    pub segment_bytes_max: u64,
    /// Entries that may wait for the writer.
    pub queue_entries_max: usize,
    /// Bytes kept while the disk fails; beyond them entries are lost, and counted.
    pub backlog_bytes_max: usize,
    /// Newest decisions held in memory.
    pub recent_max: usize,
    /// How long the writer waits for more ordinary entries before it writes.
    pub linger: Duration,
    /// How long it waits for more durable ones, while they come several at a time (group commit).
    pub gather: Duration,
    /// Ordinary entries are flushed at least this often …
    pub sync_every: Duration,
    /// … and whenever so many bytes are not flushed.
    pub sync_bytes: usize,
    /// How often a checkpoint is written.
    pub checkpoint_every: Duration,
    /// Bytes that one question of a reader may make the log read from disk.
    pub scan_bytes_max: u64,
}

impl Settings {
    /// Sensible bounds for the log in `dir`.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes_max: 32 << 20,
            queue_entries_max: 16_384,
            backlog_bytes_max: 32 << 20,
            recent_max: 2_000,
            linger: Duration::from_millis(5),
            gather: Duration::from_millis(1),
            sync_every: Duration::from_millis(250),
            sync_bytes: 4 << 20,
            checkpoint_every: Duration::from_secs(5),
            scan_bytes_max: 256 << 20,
        }
    }
}

/// A plain figure for the metrics page.
#[derive(Debug, Default)]
pub struct Figure(AtomicU64);

impl Figure {
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

/// How the log is doing.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries chained since the start.
    pub entries: Figure,
    /// Flushes.
    pub syncs: Figure,
    /// Writes, flushes, rotations and checkpoints that failed.
    pub failed: Figure,
    /// Entries lost; each loss is also in a gap entry once the disk takes writes again.
    pub dropped: Figure,
    /// Durable entries refused.
    pub refused: Figure,
    /// 1 while the disk does not take writes.
    pub failing: Figure,
    oldest_unsynced_ms: AtomicI64,
}

impl Counters {
    /// Age of the oldest entry that is not known to be on disk, milliseconds (`gatehouse_audit_lag_seconds`).
    pub fn lag_ms(&self, now_ms: i64) -> i64 {
        match self.oldest_unsynced_ms.load(Ordering::Relaxed) {
            0 => 0,
            oldest => now_ms.saturating_sub(oldest).max(0),
        }
    }

    fn note_unsynced(&self, at_ms: i64) {
        let _already =
            self.oldest_unsynced_ms.compare_exchange(0, at_ms.max(1), Ordering::Relaxed, Ordering::Relaxed);
    }

    fn all_synced(&self) {
        self.oldest_unsynced_ms.store(0, Ordering::Relaxed);
    }
}

/// The decision log, shared by clones. It is closed when the last one is dropped, or by [`AuditLog::close`].
#[derive(Clone)]
pub struct AuditLog {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Arc<Queue>,
    recent: Arc<Recent>,
    counters: Arc<Counters>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl AuditLog {
    /// Opens the log, or begins one. A torn last line, which a killed process leaves, is cut off, and the new `start`
    /// entry says so.
    ///
    /// # Errors
    /// [`OpenError`]: the log is in use, cannot be read, was altered, or is shorter than its checkpoint.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let dir = settings.dir.clone();
        let io_error = |source| OpenError::Io { path: dir.clone(), source };
        let lock = storage::lock(&dir).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::InUse { path: dir.clone() },
            _ => io_error(error),
        })?;
        let end = recovery::find_end(&dir)?;
        let last = end.last.as_ref().map(|(segment, good)| (segment, *good));
        let storage = Segments::open(&dir, lock, last).map_err(io_error)?;
        Self::begin(settings, clock, storage, end).map_err(io_error)
    }

    fn begin<S: Storage + 'static>(
        settings: Settings,
        clock: Arc<dyn Clock>,
        storage: S,
        end: recovery::End,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(settings.queue_entries_max, settings.linger, settings.gather));
        let recent = Arc::new(Recent::new(settings.recent_max, end.floor, end.checkpoint));
        for kept in end.decisions {
            recent.keep(Arc::new(kept));
        }
        for completion in end.completions {
            recent.complete(completion);
        }
        let counters = Arc::new(Counters::default());
        let writer = Writer {
            storage,
            queue: Arc::clone(&queue),
            recent: Arc::clone(&recent),
            counters: Arc::clone(&counters),
            settings: settings.clone(),
            position: end.position,
            head: end.head,
            unsynced: Unsynced::default(),
            synced_at: Instant::now(),
            checkpointed: (end.checkpoint.map_or(0, |c| c.size), Instant::now()),
            lost: None,
        };
        let thread = std::thread::Builder::new().name("audit".into()).spawn(move || writer.run())?;
        let shared = Shared { queue, recent, counters, settings, clock, writer: Mutex::new(Some(thread)) };
        let log = Self { shared: Arc::new(shared) };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        log.submit_entry(Entry::Start(Start { version, cut_bytes: end.cut_bytes }));
        Ok(log)
    }

    /// Records an ordinary request that is over. Never waits: what does not fit is lost and counted.
    pub fn submit(&self, record: DecisionRecord) {
        self.submit_entry(Entry::Decision(Box::new(record)));
    }

    /// Records any entry the same way.
    pub fn submit_entry(&self, entry: Entry) {
        if self.push(entry, None).is_err() {
            self.shared.counters.dropped.add(1);
        }
    }

    /// Records an entry and answers its position once it is on disk. A money-moving request is forwarded only after its
    /// [`Entry::Intent`] was answered so. The entry is recorded even if the future is dropped.
    pub fn submit_durable(&self, entry: Entry) -> Durable {
        let (acknowledge, answer) = oneshot::channel();
        match self.push(entry, Some(acknowledge)) {
            Ok(()) => Durable(Waiting::Answer(answer)),
            Err(why) => {
                self.shared.counters.refused.add(1);
                Durable(Waiting::Refused(why))
            }
        }
    }

    fn push(&self, entry: Entry, acknowledge: Option<queue::Acknowledge>) -> Result<(), NotRecorded> {
        let at_ms = self.shared.clock.now_ms();
        self.shared.queue.push(Item::new(at_ms, entry, acknowledge)?)
    }

    /// How the log is doing.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// The newest checkpoint, for whoever keeps one elsewhere.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.shared.recent.checkpoint()
    }

    /// Every decision from now on, as it is recorded. A watcher that falls behind is told how many it missed.
    pub fn subscribe(&self) -> broadcast::Receiver<Numbered> {
        self.shared.recent.subscribe()
    }

    /// The directory of the log.
    pub fn dir(&self) -> &Path {
        &self.shared.settings.dir
    }

    /// Writes what waits, a `stop` entry and a checkpoint, and ends the writer. Later submissions are refused.
    pub fn close(&self) {
        self.shared.close();
    }
}

impl Shared {
    fn close(&self) {
        self.queue.close();
        let writer = self.writer.lock().take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the decision log's writer panicked");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

/// Answers the entry's position when it is on disk.
#[derive(Debug)]
#[must_use = "the entry is on disk only when this has answered"]
pub struct Durable(Waiting);

#[derive(Debug)]
enum Waiting {
    Answer(oneshot::Receiver<Result<u64, NotRecorded>>),
    Refused(NotRecorded),
}

impl Future for Durable {
    type Output = Result<u64, NotRecorded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            // A writer that is gone dropped the other end.
            Waiting::Answer(answer) => {
                Pin::new(answer).poll(context).map(|a| a.unwrap_or(Err(NotRecorded::Closed)))
            }
            Waiting::Refused(why) => Poll::Ready(Err(why.clone())),
        }
    }
}
