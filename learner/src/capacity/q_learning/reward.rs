//! What a stretch of ticks was worth.

use crate::capacity::class::{Class, PerClass};
use crate::capacity::observation::Observation;

/// What an answer in time is worth, by class. Nothing is paid for suspicious requests.
const WEIGHT: PerClass<f64> = PerClass([3.0, 1.0, 1.5, 0.0]);
/// Subtracted for each doubling, roughly, of the latency over the normal one.
const LATENCY_PENALTY: f64 = 0.1;

/// Fewer requests than this between two decisions say nothing.
const REQUESTS_MIN: u32 = 4;

/// Adds up ticks between two decisions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stretch {
    done: f64,
    offered: f64,
    requests: u32,
    log_ratio: f64,
    ticks: u32,
}

impl Stretch {
    pub fn add(&mut self, seen: &Observation, ratio: f64) {
        for class in Class::ALL {
            let of_class = &seen.classes[class];
            // What is still in flight is neither done nor lost: it counts when it ends.
            let ended = of_class.completions.saturating_add(of_class.failures).saturating_add(of_class.shed);
            self.done += WEIGHT[class] * f64::from(of_class.within_target);
            self.offered += WEIGHT[class] * f64::from(ended);
            self.requests = self.requests.saturating_add(ended);
        }
        self.log_ratio += ratio.ln().clamp(0.0, 3.0);
        self.ticks += 1;
    }

    pub const fn ticks(&self) -> u32 {
        self.ticks
    }

    /// Weighted work done in time over work offered by those who are not suspicious, less the penalty for
    /// latency; `None` when next to nothing was offered, which teaches nothing.
    pub fn reward(&self) -> Option<f64> {
        if self.offered <= 0.0 || self.requests < REQUESTS_MIN || self.ticks == 0 {
            return None;
        }
        let goodput = (self.done / self.offered).min(1.0);
        let reward = goodput - LATENCY_PENALTY * self.log_ratio / f64::from(self.ticks);
        reward.is_finite().then_some(reward)
    }
}
