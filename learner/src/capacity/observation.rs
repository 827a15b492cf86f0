//! What a pool measured during one tick: all that a controller ever sees.

use serde::{Deserialize, Serialize};

use super::class::{Class, PerClass};

/// Latencies outside this range are a broken clock, not a slow upstream.
const PLAUSIBLE_LATENCY_MS: std::ops::RangeInclusive<f64> = 0.001..=120_000.0;

/// One class during one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassObservation {
    /// Requests decided: admitted plus shed.
    pub arrivals: u32,
    /// Requests that got a permit.
    pub admitted: u32,
    /// Requests refused for want of capacity.
    pub shed: u32,
    /// Requests that the upstream answered well.
    pub completions: u32,
    /// Answers within the class's latency target.
    pub within_target: u32,
    /// Requests that the upstream failed or answered too late.
    pub failures: u32,
    /// Permits held at the end of the tick.
    pub in_flight: u32,
    /// Requests waiting for a permit at the end of the tick.
    pub queued: u32,
    /// Mean latency of the upstream's answers in milliseconds; not a number when there were none.
    pub latency_mean_ms: f64,
    /// Median latency in milliseconds; not a number when there were no answers.
    pub latency_p50_ms: f64,
    /// 95th percentile of the latency in milliseconds; not a number when there were no answers.
    pub latency_p95_ms: f64,
}

impl ClassObservation {
    /// The mean latency in milliseconds if there was one and it can be true.
    #[must_use]
    pub fn plausible_latency_ms(&self) -> Option<f64> {
        (self.completions > 0 && PLAUSIBLE_LATENCY_MS.contains(&self.latency_mean_ms))
            .then_some(self.latency_mean_ms)
    }
}

/// One pool during one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Length of the tick in seconds, as the clock gave it.
    pub dt_s: f64,
    /// The limit that was in force.
    pub limit: f64,
    /// The greatest number of permits held at once, as far as it was seen.
    pub in_flight_peak: u32,
    /// The classes.
    pub classes: PerClass<ClassObservation>,
}

impl Observation {
    /// Permits held over all classes at the end of the tick.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.total(|class| class.in_flight)
    }

    /// Requests waiting over all classes at the end of the tick.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.total(|class| class.queued)
    }

    /// The peak of the permits held over the limit in force, 0 to 2.
    #[must_use]
    pub fn utilisation(&self) -> f64 {
        let share = f64::from(self.in_flight_peak.max(self.in_flight())) / self.limit;
        if share.is_finite() { share.clamp(0.0, 2.0) } else { 0.0 }
    }

    /// The sum of one figure over all classes, saturating.
    #[must_use]
    pub fn total(&self, figure: impl Fn(&ClassObservation) -> u32) -> u32 {
        self.classes.iter().map(|(_, class)| figure(class)).fold(0, u32::saturating_add)
    }

    /// The arrivals of the classes that are not suspicious.
    #[must_use]
    pub fn trusted_arrivals(&self) -> u32 {
        self.total(|class| class.arrivals).saturating_sub(self.classes[Class::Suspicious].arrivals)
    }
}
