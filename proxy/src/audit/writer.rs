//! The one thread that writes the log: chains entries, writes them in batches, flushes, and answers who waits.
//!
//! What is chained but not yet known to be on disk is kept as bytes. When writing or flushing fails, the file is cut back
//! to its last flushed length and the same bytes are written again later, as a page that failed to be flushed may be
//! called clean by the kernel without being on disk. While it fails, durable entries are refused and ordinary ones kept
//! up to a bound; beyond it they are lost, and a gap entry says how many once the disk takes writes again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policies::chain::{Checkpoint, Link};

use super::entry::{Entry, Gap, LineError, write_line};
use super::queue::{Acknowledge, Batch, Item, NotRecorded, Queue, Shown, extend, join};
use super::recent::Recent;
use super::storage::Storage;
use super::{Counters, Settings};

/// How long the writer waits before it tries a failing disk again on its own; a durable entry tries at once.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Writer<S> {
    pub(super) storage: S,
    pub(super) queue: Arc<Queue>,
    pub(super) recent: Arc<Recent>,
    pub(super) counters: Arc<Counters>,
    pub(super) settings: Settings,
    pub(super) position: u64,
    pub(super) head: Link,
    pub(super) unsynced: Unsynced,
    pub(super) synced_at: Instant,
    pub(super) checkpointed: (u64, Instant),
    pub(super) lost: Option<Gap>,
}

/// Lines that are not known to be on disk.
#[derive(Default)]
pub(super) struct Unsynced {
    lines: Vec<u8>,
    /// How many of these bytes were handed to the file.
    written: usize,
    /// The file must be cut back before anything is written.
    rewind: bool,
    waiters: Vec<(u64, Acknowledge)>,
    last_ms: i64,
}

impl<S: Storage> Writer<S> {
    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            let batch = self.queue.take(self.patience());
            let closed = batch.closed;
            self.admit(batch);
            if closed {
                return self.finish();
            }
            self.write(false);
        }
    }

    /// An idle writer with everything on disk sleeps until it is woken.
    fn patience(&self) -> Duration {
        const IDLE: Duration = Duration::from_secs(3600);
        if self.unsynced.rewind {
            RETRY
        } else if !self.unsynced.lines.is_empty() {
            self.settings.sync_every.saturating_sub(self.synced_at.elapsed())
        } else if self.checkpointed.0 < self.position {
            self.settings.checkpoint_every.saturating_sub(self.checkpointed.1.elapsed())
        } else {
            IDLE
        }
    }

    fn finish(mut self) {
        let at_ms = self.unsynced.last_ms;
        self.note(at_ms, Entry::Stop);
        self.write(true);
        self.checkpoint(true);
    }

    fn admit(&mut self, batch: Batch) {
        self.lost = join(self.lost, batch.lost);
        for item in batch.items {
            self.record_gap(item.at_ms);
            let full = self.unsynced.lines.len() > self.settings.backlog_bytes_max;
            match item.acknowledge {
                Some(acknowledge) if full => self.refuse(acknowledge, NotRecorded::Full),
                None if full => {
                    self.lost = Some(extend(self.lost, item.at_ms));
                    self.counters.dropped.add(1);
                }
                _ => self.chain(item),
            }
        }
    }

    fn record_gap(&mut self, at_ms: i64) {
        if self.unsynced.lines.len() <= self.settings.backlog_bytes_max
            && let Some(gap) = self.lost.take()
        {
            self.note(at_ms, Entry::Gap(gap));
        }
    }

    fn refuse(&self, acknowledge: Acknowledge, why: NotRecorded) {
        self.counters.refused.add(1);
        // Whoever waited may have gone away meanwhile.
        let _gone = acknowledge.send(Err(why));
    }

    /// Chains an entry of the log's own.
    fn note(&mut self, at_ms: i64, entry: Entry) {
        match Item::new(at_ms, entry, None) {
            Ok(item) => self.chain(item),
            Err(error) => tracing::error!(%error, "an entry of the decision log cannot be made"),
        }
    }

    fn chain(&mut self, item: Item) {
        let Item { at_ms, json, shown, acknowledge } = item;
        match write_line(&mut self.unsynced.lines, self.head, self.position, at_ms, &json) {
            Ok(link) => self.head = link,
            Err(error) => {
                self.lost = Some(extend(self.lost, at_ms));
                self.counters.dropped.add(1);
                let too_large = error == LineError::TooLong;
                let why =
                    if too_large { NotRecorded::TooLarge } else { NotRecorded::Disk(error.to_string()) };
                if let Some(acknowledge) = acknowledge {
                    self.refuse(acknowledge, why);
                }
                return;
            }
        }
        self.counters.entries.add(1);
        self.counters.note_unsynced(at_ms);
        self.unsynced.last_ms = at_ms;
        self.unsynced.waiters.extend(acknowledge.map(|acknowledge| (self.position, acknowledge)));
        match shown {
            Shown::Nothing => {}
            Shown::Decision => self.recent.add(self.position, json, true),
            Shown::Intent => self.recent.add(self.position, json, false),
            Shown::Completion(completion) => self.recent.complete(completion),
        }
        self.position += 1;
    }

    /// Writes what is chained; flushes if somebody waits, if much or old data is not flushed, or if told to.
    fn write(&mut self, at_once: bool) {
        let due = at_once
            || !self.unsynced.waiters.is_empty()
            || self.unsynced.rewind
            || self.unsynced.lines.len() >= self.settings.sync_bytes
            || self.synced_at.elapsed() >= self.settings.sync_every;
        match self.try_write(due) {
            Ok(()) => {
                self.counters.failing.set(0);
                if self.unsynced.lines.is_empty() {
                    self.rotate_if_full();
                    self.checkpoint(false);
                }
            }
            Err(error) => {
                self.unsynced.rewind = true;
                self.counters.failing.set(1);
                self.counters.failed.add(1);
                tracing::error!(%error, "the decision log cannot be written");
                for (_, acknowledge) in std::mem::take(&mut self.unsynced.waiters) {
                    self.refuse(acknowledge, NotRecorded::Disk(error.to_string()));
                }
            }
        }
    }

    fn try_write(&mut self, sync: bool) -> io::Result<()> {
        let unsynced = &mut self.unsynced;
        if unsynced.lines.is_empty() {
            return Ok(());
        }
        if unsynced.rewind {
            self.storage.rewind()?;
            unsynced.rewind = false;
            unsynced.written = 0;
        }
        if let Some(rest @ [_, ..]) = unsynced.lines.get(unsynced.written..) {
            self.storage.append(rest)?;
            unsynced.written = unsynced.lines.len();
        }
        if sync {
            self.storage.sync()?;
            self.counters.syncs.add(1);
            unsynced.lines.clear();
            unsynced.written = 0;
            self.synced_at = Instant::now();
            self.counters.all_synced();
            for (position, acknowledge) in unsynced.waiters.drain(..) {
                // Whoever waited may have gone away meanwhile.
                let _gone = acknowledge.send(Ok(position));
            }
        }
        Ok(())
    }

    fn rotate_if_full(&mut self) {
        if self.storage.segment_bytes() < self.settings.segment_bytes_max {
            return;
        }
        // A checkpoint at the seam, so that a reader of one segment knows what it follows.
        self.checkpoint(true);
        if let Err(error) = self.storage.rotate(self.position) {
            self.counters.failed.add(1);
            tracing::error!(%error, "no new segment of the decision log; the old one goes on");
        }
    }

    /// Only called when everything is on disk: a checkpoint never promises what a crash could lose.
    fn checkpoint(&mut self, at_once: bool) {
        let (size, at) = self.checkpointed;
        let due = at_once || at.elapsed() >= self.settings.checkpoint_every;
        if size == self.position || !due || !self.unsynced.lines.is_empty() {
            return;
        }
        self.checkpointed = (self.position, Instant::now());
        let checkpoint = Checkpoint { size: self.position, head: self.head, at_ms: self.unsynced.last_ms };
        self.recent.note_checkpoint(checkpoint);
        if let Err(error) = self.storage.checkpoint(&checkpoint) {
            self.counters.failed.add(1);
            tracing::error!(%error, "the decision log's checkpoint cannot be written");
        }
    }
}
