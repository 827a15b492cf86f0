//! Additive increase, multiplicative decrease.

use super::allocation::Allocation;
use super::controller::{Controller, Explanation};
use super::observation::Observation;

/// The controller's parameters; the defaults are customary values, not tuned in the simulator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AimdSettings {
    /// Factor of the limit after a bad tick, 0 to 1.
    pub backoff: f64,
    /// Permits added after a good tick in which the limit was used.
    pub increase: f64,
    /// Share of failed or late answers that makes a tick bad.
    pub bad_share: f64,
}

impl Default for AimdSettings {
    fn default() -> Self {
        Self { backoff: 0.9, increase: 1.0, bad_share: 0.1 }
    }
}

/// Grows by a step while answers come in time, shrinks by a factor when they do not.
#[derive(Clone, Debug)]
pub struct Aimd {
    settings: AimdSettings,
    limit: f64,
    bad_share: f64,
}

impl Aimd {
    /// A controller that starts at `limit`.
    #[must_use]
    pub const fn new(settings: AimdSettings, limit: f64) -> Self {
        Self { settings, limit, bad_share: 0.0 }
    }
}

impl Controller for Aimd {
    fn name(&self) -> &'static str {
        "aimd"
    }

    fn tick(&mut self, seen: &Observation) -> Allocation {
        if seen.limit.is_finite() && seen.limit >= 1.0 {
            self.limit = seen.limit;
        }
        let ended = seen.total(|class| class.completions.saturating_add(class.failures));
        let good = seen.total(|class| class.within_target);
        self.bad_share = f64::from(ended.saturating_sub(good)) / f64::from(ended.max(1));
        if self.bad_share > self.settings.bad_share {
            self.limit *= self.settings.backoff;
        } else if seen.utilisation() >= 0.5 {
            self.limit += self.settings.increase;
        }
        Allocation::of_limit(self.limit)
    }

    fn explain(&self) -> Explanation {
        let bad = self.bad_share > self.settings.bad_share;
        Explanation {
            state: format!("{:.0} % of the answers failed or late", self.bad_share * 100.0),
            action: format!("limit {:.1}", self.limit),
            reason: if bad { "back off by a factor" } else { "in time: probe upwards by a step" }.to_owned(),
            ..Explanation::default()
        }
    }
}
