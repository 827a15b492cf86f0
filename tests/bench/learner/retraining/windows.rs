//! Windows of a load, and what they say: quantiles, and ratios of a disturbed window to the calm ones beside it.

use std::time::{Duration, Instant};

use super::load::Sample;

/// A span of time with one state of the gateway, and what CPU time went where in it.
#[derive(Clone, Debug)]
pub struct Window {
    pub what: What,
    pub from: Instant,
    pub to: Instant,
    /// CPU time of the gateway, its training process, and everybody else but this program.
    pub cpu: [Duration; 3],
}

/// What was going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing but the load.
    Calm,
    /// A challenger was trained.
    Retraining,
    /// What was trained was taken in, and recorded transfers were walked.
    Survey,
}

impl Window {
    /// Milliseconds at the quantile `q` of requests of one kind that were due in it.
    pub fn quantile_ms(&self, samples: &[Sample], kind: usize, q: f64) -> f64 {
        let inside = samples.iter().filter(|s| s.kind == kind && s.due >= self.from && s.due < self.to);
        let mut found: Vec<Duration> = inside.map(|sample| sample.latency).collect();
        found.sort();
        let place = ((found.len() as f64 * q).ceil() as usize).clamp(1, found.len().max(1)) - 1;
        found.get(place).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }

    /// Share of one core.
    pub fn share(&self, at: usize) -> f64 {
        self.cpu.get(at).map_or(0.0, Duration::as_secs_f64) / (self.to - self.from).as_secs_f64()
    }
}

/// Of each window of a kind the quantile over the geometric mean of that of the calm windows before and after it.
pub fn ratios(windows: &[Window], what: What, quantile: impl Fn(&Window) -> f64) -> Vec<f64> {
    let calm = |mut beside: Box<dyn Iterator<Item = &Window> + '_>| {
        beside.find(|one| one.what == What::Calm).map(&quantile)
    };
    let ratio = |(at, window): (usize, &Window)| {
        let before = calm(Box::new(windows[..at].iter().rev()))?;
        let after = calm(Box::new(windows[at + 1..].iter()))?;
        Some(quantile(window) / (before * after).sqrt())
    };
    windows.iter().enumerate().filter(|(_, window)| window.what == what).filter_map(ratio).collect()
}

/// The median, and the interval between order statistics that holds the true one with at least 95 % (the sign test's; all of
/// them where there are fewer than six).
pub fn median_with_interval(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n == 0 {
        return [f64::NAN; 3];
    }
    let median = f64::midpoint(values[(n - 1) / 2], values[n / 2]);
    // Chance that fewer than k of n fair coins show heads: the true median lies below the k-th value.
    let (mut tail, mut chance, mut k) = (0.0, 0.5_f64.powi(n as i32), 0);
    while k < n / 2 && tail + chance <= 0.025 {
        tail += chance;
        k += 1;
        chance *= (n - k + 1) as f64 / k as f64;
    }
    let place = k.saturating_sub(1);
    [median, values[place], values[n - 1 - place]]
}
