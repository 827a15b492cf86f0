//! The gradient limiter: shrink while latency stands above its long-run mean, else grow.
//!
//! After Gradient2 of Netflix's concurrency-limits: new limit = limit x gradient + queue, smoothed, where the
//! gradient is tolerance x long-run latency / present latency, between 0.5 and 1. Here latency is taken
//! relative to what is normal for its kind of request, so that a change in the mix is not seen as a slow-down.

use super::allocation::Allocation;
use super::base::{BaseSettings, LatencyBase};
use super::controller::{Controller, Explanation};
use super::observation::Observation;

/// The limiter's parameters; tolerance, headroom and the base's rise were chosen by weighted goodput in a grid
/// search over the trained scenarios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientSettings {
    /// How far above normal latency may stand before the limit shrinks.
    pub tolerance: f64,
    /// Share of the new limit in the smoothed one.
    pub smoothing: f64,
    /// The queue allowed at the upstream, in square roots of the limit.
    pub headroom: f64,
    /// How the normal latency is learnt.
    pub base: BaseSettings,
}

impl Default for GradientSettings {
    fn default() -> Self {
        Self { tolerance: 1.5, smoothing: 0.2, headroom: 1.0, base: BaseSettings::default() }
    }
}

/// The limiter alone, for controllers that build on it.
#[derive(Clone, Debug)]
pub struct GradientLimiter {
    settings: GradientSettings,
    limit: f64,
    gradient: f64,
}

impl GradientLimiter {
    /// A limiter that starts at `limit`.
    #[must_use]
    pub const fn new(settings: GradientSettings, limit: f64) -> Self {
        Self { settings, limit, gradient: 1.0 }
    }

    /// The next limit, for a latency that stands at `ratio` times the normal one.
    pub fn step(&mut self, seen: &Observation, ratio: f64, tolerance: f64) -> f64 {
        if seen.limit.is_finite() && seen.limit >= 1.0 {
            self.limit = seen.limit; // as confined by the rails
        }
        self.gradient = (tolerance / ratio).clamp(0.5, 1.0);
        // A limit that is not used is not what makes answers slow, nor would more of it make them fast.
        if seen.utilisation() >= 0.5 {
            let wanted = self.limit * self.gradient + self.settings.headroom * self.limit.sqrt();
            self.limit += self.settings.smoothing * (wanted - self.limit);
        }
        self.limit
    }
}

/// [`GradientLimiter`] with one tolerance and the default split.
#[derive(Clone, Debug)]
pub struct Gradient2 {
    limiter: GradientLimiter,
    base: LatencyBase,
    ratio: f64,
}

impl Gradient2 {
    /// A controller that starts at `limit`.
    #[must_use]
    pub fn new(settings: GradientSettings, limit: f64) -> Self {
        Self {
            limiter: GradientLimiter::new(settings, limit),
            base: LatencyBase::new(settings.base),
            ratio: 1.0,
        }
    }
}

impl Controller for Gradient2 {
    fn name(&self) -> &'static str {
        "gradient2"
    }

    fn tick(&mut self, seen: &Observation) -> Allocation {
        self.ratio = self.base.ratio(seen);
        Allocation::of_limit(self.limiter.step(seen, self.ratio, self.limiter.settings.tolerance))
    }

    fn explain(&self) -> Explanation {
        let verb = if self.limiter.gradient < 1.0 { "shrink" } else { "grow or keep" };
        Explanation {
            state: format!("latency {:.2} times normal", self.ratio),
            action: format!("limit {:.1}", self.limiter.limit),
            reason: format!("{verb}: the gradient is {:.2}", self.limiter.gradient),
            ..Explanation::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::class::PerClass;
    use crate::capacity::observation::ClassObservation;

    fn seen(limit: f64, in_flight_peak: u32, latency_ms: f64) -> Observation {
        let class = ClassObservation {
            arrivals: 20,
            completions: 20,
            latency_mean_ms: latency_ms,
            ..ClassObservation::default()
        };
        Observation { dt_s: 0.2, limit, in_flight_peak, classes: PerClass([class; 4]) }
    }

    /// The limit after five seconds at the normal latency and five at `latency_ms`.
    fn limit_after(in_flight: u32, latency_ms: f64) -> f64 {
        let mut controller = Gradient2::new(GradientSettings::default(), 64.0);
        let mut limit = 64.0;
        for tick in 0..50 {
            let latency_ms = if tick < 25 { 20.0 } else { latency_ms };
            limit = controller.tick(&seen(limit, in_flight.min(limit as u32), latency_ms)).limit;
        }
        limit
    }

    #[test]
    fn a_full_pool_shrinks_when_latency_rises_and_grows_while_it_does_not() {
        assert!(limit_after(10_000, 200.0) < 64.0, "{}", limit_after(10_000, 200.0));
        assert!(limit_after(10_000, 20.0) > 64.0);
    }

    #[test]
    fn an_idle_pool_keeps_its_limit_however_slow_its_answers_are() {
        for latency_ms in [20.0, 200.0, 5_000.0] {
            assert_eq!(limit_after(5, latency_ms), 64.0);
        }
    }
}
