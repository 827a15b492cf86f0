//! From the serving threads to the log of vectors: a bounded queue that nobody waits for, and one thread behind it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use policies::ports::Clock;

use super::log::Writer;
use super::metrics::ModelMetrics;
use super::record::{self, Entry, Judged};
use super::watch::Watch;

/// Entries written at once.
const BATCH_MAX: u64 = 256;
/// What was written is put on the disk itself this often; the end of the process loses none of it in either case.
const SYNC_EVERY: Duration = Duration::from_secs(10);
/// How long a reader waits for what is queued.
const FLUSH_MAX: Duration = Duration::from_secs(5);

enum Message {
    Judged(Box<Judged>),
    Flush(SyncSender<()>),
    Stop,
}

/// The queue's entrance.
pub struct Recorder {
    queue: SyncSender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
    metrics: ModelMetrics,
}

impl Recorder {
    /// Starts the writing thread; the queue holds `queue_max` entries.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        writer: Writer,
        queue_max: usize,
        watch: Arc<Watch>,
        clock: Arc<dyn Clock>,
        metrics: ModelMetrics,
    ) -> std::io::Result<Self> {
        let (queue, entries) = sync_channel(queue_max.max(1));
        let mut writing = Writing { writer, watch, clock, metrics: metrics.clone(), synced: Instant::now() };
        let thread =
            std::thread::Builder::new().name("vectors".to_owned()).spawn(move || writing.run(&entries))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)), metrics })
    }

    /// Hands an entry over; one that finds the queue full is counted and lost.
    pub fn record(&self, judged: Judged) {
        match self.queue.try_send(Message::Judged(Box::new(judged))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.metrics.vectors.with_label_values(&["dropped"]).inc();
            }
        }
    }

    /// Waits until everything handed over before can be read in the log.
    pub fn flush(&self) {
        let (done, waiting) = sync_channel(1);
        if self.queue.send(Message::Flush(done)).is_ok() && waiting.recv_timeout(FLUSH_MAX).is_err() {
            tracing::warn!("the log of vectors is slow to take what is queued");
        }
    }

    /// Writes what is queued, and ends.
    pub fn close(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        if self.queue.send(Message::Stop).is_ok() && thread.join().is_err() {
            tracing::error!("the thread that records vectors panicked");
        }
    }
}

struct Writing {
    writer: Writer,
    watch: Arc<Watch>,
    clock: Arc<dyn Clock>,
    metrics: ModelMetrics,
    synced: Instant,
}

impl Writing {
    fn run(&mut self, entries: &Receiver<Message>) {
        while let Ok(first) = entries.recv() {
            let mut frames = Vec::new();
            let (mut count, mut waiting, mut stop) = (0_u64, Vec::new(), false);
            for message in std::iter::once(first).chain(entries.try_iter()) {
                match message {
                    Message::Judged(judged) => {
                        let shadow = self.watch.saw(&judged);
                        record::write(&Entry::Judged(*judged), &mut frames);
                        if let Some(shadow) = shadow {
                            record::write(&Entry::Shadow(shadow), &mut frames);
                        }
                        count += 1;
                    }
                    Message::Flush(done) => waiting.push(done),
                    Message::Stop => stop = true,
                }
                if count >= BATCH_MAX || stop || !waiting.is_empty() {
                    break;
                }
            }
            self.append(&frames, count);
            for done in waiting {
                // Whoever waits no longer needs no answer.
                let _ = done.send(());
            }
            if stop {
                break;
            }
        }
        self.sync();
    }

    fn append(&mut self, frames: &[u8], count: u64) {
        if count == 0 {
            return;
        }
        match self.writer.append(frames, self.clock.now_ms()) {
            Ok(()) => self.metrics.vectors.with_label_values(&["written"]).inc_by(count),
            Err(error) => {
                self.metrics.vectors.with_label_values(&["failed"]).inc_by(count);
                tracing::error!(%error, "vectors cannot be recorded; the gateway goes on without");
            }
        }
        if self.synced.elapsed() >= SYNC_EVERY {
            self.sync();
        }
    }

    fn sync(&mut self) {
        self.synced = Instant::now();
        if let Err(error) = self.writer.sync() {
            tracing::error!(%error, "the log of vectors cannot be put on disk");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::{Bounds, Reader};
    use super::super::record::tests::judged;
    use super::*;
    use crate::clock::SystemClock;
    use std::ops::ControlFlow;

    const BOUNDS: Bounds = Bounds { bytes_max: 1 << 24, age_max_ms: i64::MAX };

    fn metrics() -> ModelMetrics {
        ModelMetrics::new(&prometheus::Registry::new()).unwrap()
    }

    fn entries(folder: &std::path::Path) -> u64 {
        let read = Reader::new(folder).visit(0, i64::MAX, &mut |_| ControlFlow::Continue(()));
        read.unwrap().entries
    }

    #[test]
    fn what_was_handed_over_can_be_read_after_a_flush() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::open(folder.path(), BOUNDS).unwrap();
        let watch = Arc::new(Watch::new(metrics()));
        let recorder = Recorder::start(writer, 10_000, watch, Arc::new(SystemClock), metrics()).unwrap();
        for n in 0..5_000 {
            recorder.record(judged(n));
        }
        recorder.flush();
        assert_eq!(entries(folder.path()), 5_000);
        recorder.record(judged(9));
        recorder.close();
        assert_eq!(entries(folder.path()), 5_001, "closing loses nothing");
        recorder.record(judged(9));
        assert_eq!(recorder.metrics.vectors.with_label_values(&["dropped"]).get(), 1, "closed");
    }

    #[test]
    fn a_full_queue_is_counted_and_nobody_waits() {
        // Nobody takes from this queue.
        let (queue, _entries) = sync_channel(2);
        let recorder = Recorder { queue, thread: Mutex::new(None), metrics: metrics() };
        (0..5).for_each(|n| recorder.record(judged(n)));
        assert_eq!(recorder.metrics.vectors.with_label_values(&["dropped"]).get(), 3);
    }
}
