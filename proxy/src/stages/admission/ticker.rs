//! Turns the control loop of a pool.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::Admission;

/// Unix time in milliseconds.
pub type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Runs one pool's controller every tick.
pub struct Ticker {
    admission: Arc<Admission>,
    wall_clock: WallClock,
}

impl Ticker {
    /// The ticker of `admission`; `wall_clock` dates the records.
    #[must_use]
    pub fn new(admission: Arc<Admission>, wall_clock: WallClock) -> Self {
        Self { admission, wall_clock }
    }

    /// Ticks until `shutdown` becomes true or its sender is gone. A second ticker of the same pool ends at once.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        if self.admission.ticking.swap(true, Relaxed) {
            return;
        }
        let mut tick = interval(self.admission.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = tick.tick() => self.tick(),
                stop = shutdown.wait_for(|stop| *stop) => {
                    let _ended_or_sender_gone = stop;
                    break;
                }
            }
        }
        self.admission.ticking.store(false, Relaxed);
    }

    /// One tick, for callers with a timer of their own.
    pub fn tick(&self) {
        self.admission.control((self.wall_clock)());
    }
}
