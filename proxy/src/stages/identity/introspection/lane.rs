//! How many calls to an issuer may begin, and be under way.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::super::pace::Pace;

/// Longest wait for one of the calls under way to end.
const WAIT: Duration = Duration::from_secs(1);

/// One kind of calls, bounded by itself.
#[derive(Debug)]
pub struct Lane {
    pace: Pace,
    under_way: Semaphore,
}

impl Lane {
    /// At most `per_s` calls begin within a second, and `parallel` are under way.
    pub fn new(per_s: u32, parallel: usize) -> Self {
        Self { pace: Pace::new(per_s, 1000), under_way: Semaphore::new(parallel) }
    }

    /// Whether one more call may begin; then it has.
    pub fn begin(&self, now_ms: i64) -> bool {
        self.pace.take(now_ms)
    }

    /// The right to call, for as long as it is held; `None`: all were taken for too long.
    pub async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(WAIT, self.under_way.acquire()).await.ok()?.ok()
    }
}
