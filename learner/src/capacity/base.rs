//! What latency is normal for each kind of request, learnt from the traffic, and how far from it things are.

use super::class::{Class, PerClass};
use super::observation::Observation;

/// How the long-run latency follows the measured one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BaseSettings {
    /// Time constant in seconds towards higher latencies: long, so that an overload does not become normal.
    pub rise_s: f64,
    /// Time constant in seconds towards lower latencies.
    pub fall_s: f64,
    /// Answers that weigh as much as everything remembered in the short-run ratio.
    pub memory: f64,
}

impl Default for BaseSettings {
    fn default() -> Self {
        Self { rise_s: 120.0, fall_s: 10.0, memory: 20.0 }
    }
}

/// A failed request counts as this many times the normal latency.
const FAILURE_RATIO: f64 = 8.0;
/// Ticks in which a class's first answers are simply averaged.
const WARM_UP_TICKS: u32 = 10;

/// The normal latency of each class and the present ratio to it, over all classes but the suspicious one,
/// whose mix of requests is anybody's choice.
#[derive(Clone, Debug)]
pub struct LatencyBase {
    settings: BaseSettings,
    normal_ms: PerClass<Option<(f64, u32)>>,
    log_ratio: f64,
}

impl LatencyBase {
    /// Nothing learnt yet.
    #[must_use]
    pub fn new(settings: BaseSettings) -> Self {
        Self { settings, normal_ms: PerClass::default(), log_ratio: 0.0 }
    }

    /// Takes in a tick and returns the present latency over the normal one; 1 is normal.
    pub fn ratio(&mut self, seen: &Observation) -> f64 {
        let dt_s = if seen.dt_s.is_finite() { seen.dt_s.clamp(0.0, 1.0) } else { 0.0 };
        let (mut sum, mut weight) = (0.0, 0.0);
        for class in [Class::MoneyMoving, Class::AuthenticatedRead, Class::Anonymous] {
            let of_class = &seen.classes[class];
            if let Some(latency_ms) = of_class.plausible_latency_ms() {
                let normal_ms = self.learn(class, latency_ms, f64::from(of_class.completions), dt_s);
                sum += f64::from(of_class.completions) * (latency_ms / normal_ms).ln();
                weight += f64::from(of_class.completions);
            }
            sum += f64::from(of_class.failures) * FAILURE_RATIO.ln();
            weight += f64::from(of_class.failures);
        }
        if weight > 0.0 {
            let share = weight / (weight + self.settings.memory);
            self.log_ratio += share * (sum / weight - self.log_ratio);
            self.log_ratio = self.log_ratio.clamp(-3.0, 4.0);
        }
        self.log_ratio.exp()
    }

    /// Forgets the present excess: what is measured now becomes the normal latency.
    pub fn accept_present(&mut self) {
        let factor = self.log_ratio.exp();
        for class in Class::ALL {
            if let Some((normal_ms, _)) = &mut self.normal_ms[class] {
                *normal_ms *= factor;
            }
        }
        self.log_ratio = 0.0;
    }

    fn learn(&mut self, class: Class, latency_ms: f64, answers: f64, dt_s: f64) -> f64 {
        let Some((normal_ms, ticks)) = &mut self.normal_ms[class] else {
            self.normal_ms[class] = Some((latency_ms, 1));
            return latency_ms;
        };
        let constant_s = if latency_ms > *normal_ms { self.settings.rise_s } else { self.settings.fall_s };
        let steady = (dt_s / constant_s).min(1.0);
        let first = 1.0 / f64::from(*ticks + 1);
        // Few answers say little about the mean of their kind.
        let trust = answers / (answers + 2.0);
        *normal_ms += if *ticks < WARM_UP_TICKS { first } else { steady * trust } * (latency_ms - *normal_ms);
        *ticks = ticks.saturating_add(1);
        *normal_ms
    }
}
