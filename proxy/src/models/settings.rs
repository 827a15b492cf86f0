//! How much is kept, and how often there is a challenger: `[learning]` of the configuration.

use std::time::Duration;

use serde::Deserialize;

const DAY_MS: i64 = 86_400_000;

/// As configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Most vectors kept, MiB.
    pub vectors_mib_max: u64,
    /// Oldest vectors kept, days.
    pub vectors_days_max: u32,
    /// Vectors that wait to be written, at most.
    pub queue_max: usize,
    /// Labels kept at most.
    pub labels_max: usize,
    /// A transfer without a label counts as no fraud after so many days.
    pub label_delay_days: u32,
    /// Hours between two challengers; 0: only when asked for.
    pub retrain_every_h: u32,
    /// The newest vectors that a challenger learns from, at most.
    pub retrain_rows_max: usize,
    /// Longest training, minutes.
    pub retrain_minutes_max: u32,
    /// Most memory of the training process, MiB.
    pub retrain_memory_mib_max: u64,
    /// Drift is that of the last so many hours.
    pub drift_window_h: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            vectors_mib_max: 256,
            vectors_days_max: 400,
            queue_max: 8_192,
            labels_max: 1_000_000,
            label_delay_days: 30,
            retrain_every_h: 168,
            retrain_rows_max: 500_000,
            retrain_minutes_max: 60,
            retrain_memory_mib_max: 2_048,
            drift_window_h: 24,
        }
    }
}

impl Settings {
    /// Ranges, as `name, value, lowest, highest`.
    pub fn ranges(&self) -> [(&'static str, u64, u64, u64); 10] {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        [
            ("vectors_mib_max", self.vectors_mib_max, 1, 1_048_576),
            ("vectors_days_max", self.vectors_days_max.into(), 1, 3_650),
            ("queue_max", count(self.queue_max), 16, 1_000_000),
            ("labels_max", count(self.labels_max), 1_000, 100_000_000),
            ("label_delay_days", self.label_delay_days.into(), 0, 365),
            ("retrain_every_h", self.retrain_every_h.into(), 0, 8_760),
            ("retrain_rows_max", count(self.retrain_rows_max), 1_000, 100_000_000),
            ("retrain_minutes_max", self.retrain_minutes_max.into(), 1, 1_440),
            ("retrain_memory_mib_max", self.retrain_memory_mib_max, 64, 1_048_576),
            ("drift_window_h", self.drift_window_h.into(), 1, 720),
        ]
    }

    /// Bounds of the log of vectors.
    pub fn bounds(&self) -> super::log::Bounds {
        super::log::Bounds {
            bytes_max: self.vectors_mib_max << 20,
            age_max_ms: i64::from(self.vectors_days_max) * DAY_MS,
        }
    }

    /// How long labels take, milliseconds.
    pub fn label_delay_ms(&self) -> i64 {
        i64::from(self.label_delay_days) * DAY_MS
    }

    /// Time between two challengers, milliseconds; `None`: only when asked for.
    pub fn retrain_every_ms(&self) -> Option<i64> {
        (self.retrain_every_h > 0).then(|| i64::from(self.retrain_every_h) * 3_600_000)
    }

    /// Longest training.
    pub fn retrain_time_max(&self) -> Duration {
        Duration::from_secs(u64::from(self.retrain_minutes_max) * 60)
    }

    /// Length of the window of drift, milliseconds.
    pub fn drift_window_ms(&self) -> i64 {
        i64::from(self.drift_window_h) * 3_600_000
    }
}
