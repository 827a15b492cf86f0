//! The bounded queue between requests and the writer.
//!
//! A request pays for a lock and a push. The writer is woken by the first entry after a pause, lingers a few milliseconds
//! for more, and takes all at once; a durable entry wakes it immediately, and is kept for a moment only where others are
//! sure to follow.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::entry::{Completion, Entry, Gap};

/// Why an entry was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRecorded {
    /// The queue is full: the disk does not keep up.
    #[error("the decision log's queue is full")]
    Full,
    /// Writing or flushing failed.
    #[error("the decision log cannot be written: {0}")]
    Disk(String),
    /// Larger than an entry may be.
    #[error("the entry is too large for the decision log")]
    TooLarge,
    /// The log was closed.
    #[error("the decision log is closed")]
    Closed,
}

pub(super) type Acknowledge = oneshot::Sender<Result<u64, NotRecorded>>;

/// An entry as JSON already: what a request allocated is freed on the thread that serves it, while it is still in that
/// thread's cache.
pub(super) struct Item {
    pub(super) at_ms: i64,
    pub(super) json: Vec<u8>,
    pub(super) shown: Shown,
    /// Answered when the entry is on disk.
    pub(super) acknowledge: Option<Acknowledge>,
}

/// What of an entry is held in memory for the console.
pub(super) enum Shown {
    Nothing,
    /// A decision that is complete.
    Decision,
    /// One that will be completed.
    Intent,
    Completion(Completion),
}

impl Item {
    pub(super) fn new(
        at_ms: i64,
        entry: Entry,
        acknowledge: Option<Acknowledge>,
    ) -> Result<Self, NotRecorded> {
        let mut json = Vec::with_capacity(usual_bytes(&entry));
        serde_json::to_writer(&mut json, &entry).map_err(|error| NotRecorded::Disk(error.to_string()))?;
        let shown = match entry {
            Entry::Decision(_) => Shown::Decision,
            Entry::Intent(_) => Shown::Intent,
            Entry::Completion(completion) => Shown::Completion(completion),
            _ => Shown::Nothing,
        };
        Ok(Self { at_ms, json, shown, acknowledge })
    }
}

/// How long an entry's JSON is as a rule, so that its buffer does not have to grow; bytes.
fn usual_bytes(entry: &Entry) -> usize {
    match entry {
        Entry::Decision(_) => 1024,
        Entry::Intent(_) => 2560,
        _ => 256,
    }
}

/// What the writer gets at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    /// Entries that did not fit since the last batch.
    pub(super) lost: Option<Gap>,
    pub(super) closed: bool,
}

pub(super) struct Queue {
    entries_max: usize,
    linger: Duration,
    gather: Duration,
    waiting: Mutex<Waiting>,
    arrival: Condvar,
}

#[derive(Default)]
struct Waiting {
    items: Vec<Item>,
    /// How many of the items are durable …
    durable: usize,
    /// … and how many were in the batch before.
    durable_before: usize,
    lost: Option<Gap>,
    closed: bool,
}

/// From so many durable entries in a batch on, the next one is gathered.
const SIBLINGS: usize = 3;

/// The writer does not linger once so many entries wait.
const BATCH_ENTRIES: usize = 512;

impl Queue {
    pub(super) fn new(entries_max: usize, linger: Duration, gather: Duration) -> Self {
        Self { entries_max, linger, gather, waiting: Mutex::default(), arrival: Condvar::new() }
    }

    /// Adds an item or says why not; an ordinary item that does not fit is counted as lost.
    pub(super) fn push(&self, item: Item) -> Result<(), NotRecorded> {
        let wake = {
            let mut waiting = self.waiting.lock();
            if waiting.closed {
                return Err(NotRecorded::Closed);
            }
            if waiting.items.len() >= self.entries_max {
                if item.acknowledge.is_none() {
                    waiting.lost = Some(extend(waiting.lost, item.at_ms));
                }
                return Err(NotRecorded::Full);
            }
            let durable = item.acknowledge.is_some();
            waiting.items.push(item);
            waiting.durable += usize::from(durable);
            let first_durable = durable && waiting.durable == 1;
            first_durable || waiting.items.len() == 1 || waiting.items.len() == BATCH_ENTRIES
        };
        if wake {
            self.arrival.notify_one();
        }
        Ok(())
    }

    /// Everything that waits; empty after `patience` without an arrival.
    pub(super) fn take(&self, patience: Duration) -> Batch {
        let mut waiting = self.waiting.lock();
        self.wait(&mut waiting, patience, |waiting| waiting.items.is_empty());
        self.wait(&mut waiting, self.linger, |waiting| waiting.durable == 0 && !waiting.items.is_empty());
        // Where several came together the last time, several more are on their way: they share a flush, which costs more
        // than they do. One that comes alone is not kept waiting.
        if waiting.durable_before >= SIBLINGS {
            self.wait(&mut waiting, self.gather, |waiting| waiting.durable > 0);
        }
        waiting.durable_before = std::mem::take(&mut waiting.durable);
        Batch { items: std::mem::take(&mut waiting.items), lost: waiting.lost.take(), closed: waiting.closed }
    }

    /// Waits while `more` says so, at most for `time`; a full batch or the end waits for nothing.
    fn wait(&self, waiting: &mut MutexGuard<'_, Waiting>, time: Duration, more: impl Fn(&Waiting) -> bool) {
        let until = Instant::now() + time;
        while more(waiting) && !waiting.closed && waiting.items.len() < BATCH_ENTRIES {
            if self.arrival.wait_until(waiting, until).timed_out() {
                return;
            }
        }
    }

    /// No more items are taken; what waits is still handed out.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrival.notify_one();
    }
}

/// One more entry lost at `at_ms`.
pub(super) fn extend(gap: Option<Gap>, at_ms: i64) -> Gap {
    match gap {
        None => Gap { lost: 1, from_ms: at_ms, to_ms: at_ms },
        Some(gap) => Gap { lost: gap.lost + 1, to_ms: at_ms, ..gap },
    }
}

/// Two gaps as one.
pub(super) fn join(a: Option<Gap>, b: Option<Gap>) -> Option<Gap> {
    match (a, b) {
        (Some(a), Some(b)) => Some(Gap {
            lost: a.lost + b.lost,
            from_ms: a.from_ms.min(b.from_ms),
            to_ms: a.to_ms.max(b.to_ms),
        }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn push(queue: &Queue, entries: usize) {
        for _ in 0..entries {
            let (acknowledge, _) = oneshot::channel();
            queue.push(Item::new(0, Entry::Stop, Some(acknowledge)).unwrap()).unwrap();
        }
    }

    #[test]
    fn durable_entries_wait_for_each_other_only_where_several_came_before() {
        const FOR_EVER: Duration = Duration::from_secs(3600);
        let queue = Arc::new(Queue::new(100, FOR_EVER, FOR_EVER));
        let taken = |queue: &Queue| queue.take(FOR_EVER).items.len();
        push(&queue, 1);
        assert_eq!(taken(&queue), 1);
        push(&queue, SIBLINGS);
        assert_eq!(taken(&queue), SIBLINGS, "one came before: these are not kept waiting");
        push(&queue, 1);
        let later = Arc::clone(&queue);
        let thread = std::thread::spawn(move || {
            push(&later, 1);
            later.close();
        });
        assert_eq!(taken(&queue), 2);
        thread.join().unwrap();
    }
}
