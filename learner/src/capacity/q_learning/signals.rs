//! What the learner takes a situation to be: a few observed signals, each cut into a few bins an operator can
//! name. Nothing in here is hidden from the gateway: no capacity, no label of who attacks.

use crate::capacity::base::{BaseSettings, LatencyBase};
use crate::capacity::class::Class;
use crate::capacity::observation::Observation;

/// One signal's bins: the upper edge of each but the last, and what each is called.
#[derive(Debug)]
pub struct Signal {
    /// What is measured.
    pub name: &'static str,
    edges: &'static [f64],
    words: &'static [&'static str],
}

impl Signal {
    fn bin(&self, value: f64) -> usize {
        self.edges.iter().take_while(|edge| value >= **edge).count()
    }

    const fn bins(&self) -> usize {
        self.words.len()
    }
}

/// The signals of the table that moves the limit.
pub const LIMIT_SIGNALS: [Signal; 4] = [
    Signal {
        name: "latency",
        edges: &[1.25, 1.6, 2.2, 3.2],
        words: &["normal", "raised", "high", "very high", "extreme"],
    },
    Signal { name: "use of the limit", edges: &[0.5, 0.9], words: &["low", "middling", "full"] },
    Signal { name: "late answers", edges: &[0.03, 0.12, 0.35], words: &["none", "few", "many", "most"] },
    Signal { name: "latency follows load", edges: &[0.25, 0.75], words: &["hardly", "somewhat", "fully"] },
];

/// The signals of the table that splits the limit among the classes.
pub const SPLIT_SIGNALS: [Signal; 4] = [
    Signal { name: "suspicious demand", edges: &[0.06, 0.40], words: &["little", "some", "most"] },
    Signal { name: "anonymous demand", edges: &[1.6, 4.0], words: &["usual", "raised", "surging"] },
    Signal { name: "customers shed", edges: &[0.01, 0.20], words: &["none", "some", "many"] },
    Signal { name: "use of the limit", edges: &[0.5, 0.9], words: &["low", "middling", "full"] },
];

/// How many states a table over `signals` has.
#[must_use]
pub fn states(signals: &[Signal]) -> usize {
    signals.iter().map(Signal::bins).product()
}

/// A state in words.
#[must_use]
pub fn words(signals: &[Signal], mut state: usize) -> String {
    let mut parts = Vec::new();
    for signal in signals {
        let word = signal.words.get(state % signal.bins()).copied().unwrap_or("?");
        parts.push(format!("{} {word}", signal.name));
        state /= signal.bins();
    }
    parts.join(", ")
}

fn state_of(signals: &[Signal], values: &[f64]) -> usize {
    let mut place = 1;
    let mut state = 0;
    for (signal, value) in signals.iter().zip(values) {
        state += place * signal.bin(*value);
        place *= signal.bins();
    }
    state
}

/// The situation after a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Situation {
    /// State of the limit table.
    pub limit_state: usize,
    /// State of the split table.
    pub split_state: usize,
    /// Present latency over the normal one.
    pub ratio: f64,
}

/// Follows the signals from tick to tick.
#[derive(Clone, Debug)]
pub struct Signals {
    base: LatencyBase,
    slope: Slope,
    late: f64,
    suspicious: f64,
    anonymous_rate: f64,
    anonymous_usual: Option<f64>,
    customers_shed: f64,
}

/// Share of the newest tick in the smoothed shares.
const SMOOTHING: f64 = 0.4;
/// Time constant in seconds of what demand is usual; it grows this slowly and shrinks faster.
const USUAL_RISE_S: f64 = 300.0;
const USUAL_FALL_S: f64 = 30.0;

impl Signals {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(base: BaseSettings) -> Self {
        Self {
            base: LatencyBase::new(base),
            slope: Slope::default(),
            late: 0.0,
            suspicious: 0.0,
            anonymous_rate: 0.0,
            anonymous_usual: None,
            customers_shed: 0.0,
        }
    }

    /// Takes in a tick.
    pub fn read(&mut self, seen: &Observation) -> Situation {
        let ratio = self.base.ratio(seen);
        self.slope.add(f64::from(seen.in_flight_peak.max(1)).ln(), ratio.ln());
        let trusted = [Class::MoneyMoving, Class::AuthenticatedRead, Class::Anonymous];
        let sum = |figure: fn(&super::ClassObservation) -> u32| {
            trusted.iter().map(|class| f64::from(figure(&seen.classes[*class]))).sum::<f64>()
        };
        let ended = sum(|class| class.completions) + sum(|class| class.failures);
        smooth(&mut self.late, ended - sum(|class| class.within_target), ended);
        let arrivals = f64::from(seen.total(|class| class.arrivals));
        smooth(&mut self.suspicious, f64::from(seen.classes[Class::Suspicious].arrivals), arrivals);
        let customers = |figure: fn(&super::ClassObservation) -> u32| {
            f64::from(figure(&seen.classes[Class::MoneyMoving]))
                + f64::from(figure(&seen.classes[Class::AuthenticatedRead]))
        };
        smooth(&mut self.customers_shed, customers(|class| class.shed), customers(|class| class.arrivals));
        let surge = self.anonymous_surge(seen);
        let usage = seen.utilisation();
        Situation {
            limit_state: state_of(&LIMIT_SIGNALS, &[ratio, usage, self.late, self.slope.get()]),
            split_state: state_of(&SPLIT_SIGNALS, &[self.suspicious, surge, self.customers_shed, usage]),
            ratio,
        }
    }

    fn anonymous_surge(&mut self, seen: &Observation) -> f64 {
        let dt_s = if seen.dt_s.is_finite() { seen.dt_s.clamp(0.0, 1.0) } else { 0.0 };
        if dt_s < 0.01 {
            return 1.0;
        }
        let rate = f64::from(seen.classes[Class::Anonymous].arrivals) / dt_s;
        self.anonymous_rate += 0.3 * (rate - self.anonymous_rate);
        let usual = self.anonymous_usual.get_or_insert(self.anonymous_rate.max(rate));
        let constant_s = if self.anonymous_rate > *usual { USUAL_RISE_S } else { USUAL_FALL_S };
        *usual += dt_s / constant_s * (self.anonymous_rate - *usual);
        // One request a second more or less is no surge.
        (self.anonymous_rate + 5.0) / (*usual + 5.0)
    }
}

fn smooth(share: &mut f64, part: f64, whole: f64) {
    if whole > 0.0 {
        *share += SMOOTHING * ((part / whole).clamp(0.0, 1.0) - *share);
    }
}

/// Slope of log latency against log in-flight over the last dozens of ticks: near 0 when the upstream is slow
/// by itself, near 1 when it is full. In between while the in-flight count has not moved enough to tell.
#[derive(Clone, Copy, Debug, Default)]
struct Slope {
    weight: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Slope {
    const FORGETTING: f64 = 0.95;
    const VARIANCE_MIN: f64 = 0.01;

    fn add(&mut self, x: f64, y: f64) {
        if !(x.is_finite() && y.is_finite()) {
            return;
        }
        let forget = |sum: f64, new: f64| sum * Self::FORGETTING + new;
        self.weight = forget(self.weight, 1.0);
        self.x = forget(self.x, x);
        self.y = forget(self.y, y);
        self.xx = forget(self.xx, x * x);
        self.xy = forget(self.xy, x * y);
    }

    fn get(&self) -> f64 {
        if self.weight < 5.0 {
            return 0.5;
        }
        let (mean_x, mean_y) = (self.x / self.weight, self.y / self.weight);
        let variance = self.xx / self.weight - mean_x * mean_x;
        if variance < Self::VARIANCE_MIN {
            return 0.5;
        }
        ((self.xy / self.weight - mean_x * mean_y) / variance).clamp(-1.0, 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_words_of_its_own() {
        for signals in [&LIMIT_SIGNALS, &SPLIT_SIGNALS] {
            let all: std::collections::BTreeSet<String> =
                (0..states(signals)).map(|state| words(signals, state)).collect();
            assert_eq!(all.len(), states(signals));
            assert!(all.iter().all(|state| !state.contains('?')));
            for signal in signals {
                assert_eq!(signal.edges.len() + 1, signal.bins(), "{}", signal.name);
            }
        }
    }

    #[test]
    fn the_slope_tells_a_full_upstream_from_a_slow_one() {
        for (exponent, expected) in [(0.0, 0.0), (1.0, 1.0)] {
            let mut slope = Slope::default();
            for step in 0..100 {
                let load = (10.0 + f64::from(step % 20)).ln();
                slope.add(load, exponent * load + 1.0);
            }
            assert!((slope.get() - expected).abs() < 0.05, "{exponent}: {}", slope.get());
        }
    }

    #[test]
    fn garbage_maps_to_some_state() {
        let mut signals = Signals::new(BaseSettings::default());
        for value in [0.0, f64::NAN, f64::INFINITY, -1.0, 1e300] {
            let mut seen = Observation { dt_s: value, limit: value, ..Observation::default() };
            for class in Class::ALL {
                seen.classes[class] = super::super::ClassObservation {
                    arrivals: u32::MAX,
                    completions: u32::MAX,
                    failures: u32::MAX,
                    latency_mean_ms: value,
                    ..super::super::ClassObservation::default()
                };
            }
            let situation = signals.read(&seen);
            assert!(situation.limit_state < states(&LIMIT_SIGNALS));
            assert!(situation.split_state < states(&SPLIT_SIGNALS));
            assert!(situation.ratio.is_finite() && situation.ratio > 0.0);
        }
    }
}
