//! Figures of the last minutes, for the console: counted as requests end, read once a second.

use std::collections::HashMap;

use admin::views::{FigurePoint, Latency, OutcomeCounts, ReasonCount};
use parking_lot::Mutex;
use policies::{Name, Outcome};

/// Length of a step.
pub const STEP_S: u32 = 5;
/// Steps kept: five minutes.
const STEPS: usize = 60;
/// Bins of the score histograms.
pub const SCORE_BINS: usize = 20;
/// Different reasons counted in a step; further ones are not told apart.
const REASONS_MAX: usize = 64;

/// The window. One short lock per request, never held across an await.
#[derive(Default)]
pub struct LiveWindow {
    steps: Mutex<Vec<Step>>,
}

/// What happened in one step.
#[derive(Clone, Default)]
struct Step {
    /// Number of the step since the epoch.
    number: i64,
    requests: OutcomeCounts,
    shed: u64,
    durations: Durations,
    anomaly: [u32; SCORE_BINS],
    fraud: [u32; SCORE_BINS],
    reasons: HashMap<Name, u64>,
}

/// What one finished request adds.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// When it entered, Unix milliseconds.
    pub at_ms: i64,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Entry to last byte, microseconds.
    pub duration_us: u64,
    /// Leading reason of anything but a plain allow.
    pub reason: Option<Name>,
    /// Shed for want of capacity.
    pub shed: bool,
    /// Anomaly score.
    pub anomaly: Option<f64>,
    /// Fraud score.
    pub fraud: Option<f64>,
}

/// The window as the console shows it.
#[derive(Debug, Default)]
pub struct Shown {
    /// One point a step, oldest first.
    pub points: Vec<FigurePoint>,
    /// Durations over the last minute.
    pub latency: Latency,
    /// Score histograms over the window.
    pub anomaly_bins: Vec<u64>,
    /// The same for fraud.
    pub fraud_bins: Vec<u64>,
    /// Most frequent reasons.
    pub reasons: Vec<ReasonCount>,
}

impl LiveWindow {
    /// Counts a finished request.
    pub fn count(&self, finished: Finished) {
        let number = finished.at_ms.div_euclid(i64::from(STEP_S) * 1000);
        let mut steps = self.steps.lock();
        if steps.is_empty() {
            steps.resize_with(STEPS, Step::default);
        }
        let place = usize::try_from(number.rem_euclid(STEPS as i64)).unwrap_or_default();
        let Some(step) = steps.get_mut(place) else { return };
        if step.number != number {
            *step = Step { number, ..Step::default() };
        }
        if let Some(outcome) = finished.outcome {
            *step.requests.of(outcome) += 1;
        }
        step.shed += u64::from(finished.shed);
        step.durations.add(finished.duration_us);
        bin(&mut step.anomaly, finished.anomaly);
        bin(&mut step.fraud, finished.fraud);
        let room = step.reasons.len() < REASONS_MAX;
        if let Some(reason) = finished.reason.filter(|r| room || step.reasons.contains_key(r)) {
            *step.reasons.entry(reason).or_default() += 1;
        }
    }

    /// The window that ends at `now_ms`.
    pub fn shown(&self, now_ms: i64) -> Shown {
        let last = now_ms.div_euclid(i64::from(STEP_S) * 1000);
        let steps = self.steps.lock().clone();
        let mut shown =
            Shown { anomaly_bins: vec![0; SCORE_BINS], fraud_bins: vec![0; SCORE_BINS], ..Shown::default() };
        let mut minute = Durations::default();
        let mut reasons: HashMap<Name, u64> = HashMap::new();
        for number in (last - STEPS as i64 + 1)..=last {
            let place = usize::try_from(number.rem_euclid(STEPS as i64)).unwrap_or_default();
            let step = steps.get(place).filter(|s| s.number == number).cloned().unwrap_or_default();
            shown.points.push(FigurePoint {
                at_ms: number * i64::from(STEP_S) * 1000,
                requests: step.requests,
                shed: step.shed,
                p50_us: step.durations.quantile(0.5),
                p99_us: step.durations.quantile(0.99),
            });
            if number > last - 12 {
                minute.merge(&step.durations);
            }
            for (sum, count) in shown.anomaly_bins.iter_mut().zip(step.anomaly) {
                *sum += u64::from(count);
            }
            for (sum, count) in shown.fraud_bins.iter_mut().zip(step.fraud) {
                *sum += u64::from(count);
            }
            for (reason, count) in step.reasons {
                *reasons.entry(reason).or_default() += count;
            }
        }
        shown.latency = Latency {
            p50_us: minute.quantile(0.5),
            p90_us: minute.quantile(0.9),
            p99_us: minute.quantile(0.99),
        };
        shown.reasons = reasons.into_iter().map(|(code, count)| ReasonCount { code, count }).collect();
        shown.reasons.sort_by(|a, b| b.count.cmp(&a.count).then(a.code.cmp(&b.code)));
        shown.reasons.truncate(10);
        shown
    }
}

fn bin(bins: &mut [u32; SCORE_BINS], score: Option<f64>) {
    let Some(score) = score.filter(|s| s.is_finite()) else { return };
    // Truncation is the bin; the last bin takes 1.0 itself.
    let place = ((score.clamp(0.0, 1.0) * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1);
    if let Some(count) = bins.get_mut(place) {
        *count += 1;
    }
}

/// Durations in buckets that grow by a quarter: a quantile is right to within 12 %.
#[derive(Clone)]
struct Durations([u32; DURATION_BUCKETS]);

/// Microseconds to some ten minutes.
const DURATION_BUCKETS: usize = 92;
const GROWTH: f64 = 1.25;

impl Default for Durations {
    fn default() -> Self {
        Self([0; DURATION_BUCKETS])
    }
}

impl Durations {
    fn add(&mut self, us: u64) {
        let place = ((us.max(1) as f64).ln() / GROWTH.ln()) as usize;
        if let Some(count) = self.0.get_mut(place.min(DURATION_BUCKETS - 1)) {
            *count += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }

    fn quantile(&self, q: f64) -> Option<u64> {
        let total: u64 = self.0.iter().map(|&c| u64::from(c)).sum();
        if total == 0 {
            return None;
        }
        let rank = (q * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let place = self.0.iter().position(|&count| {
            seen += u64::from(count);
            seen >= rank
        })?;
        // The middle of the bucket, on the log scale.
        Some(GROWTH.powf(place as f64 + 0.5).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(at_ms: i64, duration_us: u64) -> Finished {
        Finished { at_ms, outcome: Some(Outcome::Allow), duration_us, ..Finished::default() }
    }

    #[test]
    fn the_window_forgets_what_is_older() {
        let window = LiveWindow::default();
        window.count(finished(1_000, 100));
        window.count(finished(400_000, 100));
        let shown = window.shown(401_000);
        assert_eq!(shown.points.len(), STEPS);
        assert_eq!(shown.points.iter().map(|p| p.requests.allow).sum::<u64>(), 1);
        assert_eq!(shown.points.last().unwrap().requests.allow, 1);
    }

    #[test]
    fn quantiles_are_near() {
        let window = LiveWindow::default();
        for us in 1..=1_000 {
            window.count(finished(0, us));
        }
        let latency = window.shown(0).latency;
        for (got, want) in [(latency.p50_us, 500.0), (latency.p90_us, 900.0), (latency.p99_us, 990.0)] {
            let got = got.unwrap() as f64;
            assert!((got / want - 1.0).abs() < 0.13, "{got} for {want}");
        }
    }

    #[test]
    fn garbage_scores_are_not_counted() {
        let mut bins = [0; SCORE_BINS];
        for score in [f64::NAN, f64::INFINITY, -3.0, 7.0, 1.0, 0.0] {
            bin(&mut bins, Some(score));
        }
        assert_eq!((bins[0], bins[SCORE_BINS - 1]), (2, 2));
    }
}
