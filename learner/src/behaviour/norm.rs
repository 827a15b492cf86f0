//! What is usual: a mean and a spread that forget, and that one outlier cannot move far.

use super::codec::{Reader, Writer};
use super::snapshot::SnapshotError;

/// The norm forgets: no value weighs less than one in this many.
const MEMORY: u32 = 200;
/// From this many values on, one value counts as at most this many spreads away.
const SETTLED: u32 = 8;
const OUTLIER: f64 = 4.0;

/// Running mean and variance (Welford 1962), with exponential forgetting; kept in single precision, because there are
/// several for each customer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Norm {
    mean: f32,
    variance: f32,
    count: u32,
}

impl Norm {
    pub(super) fn learn(&mut self, value: f64) {
        self.count = self.count.saturating_add(1);
        let weight = 1.0 / f64::from(self.count.min(MEMORY));
        let mut delta = value - self.mean();
        let reach = OUTLIER * self.spread().max(0.05 * self.mean().abs());
        // What was always nothing has no reach yet.
        if self.count > SETTLED && reach > 0.0 {
            delta = delta.clamp(-reach, reach);
        }
        self.mean = (self.mean() + weight * delta) as f32;
        self.variance = ((1.0 - weight) * (f64::from(self.variance) + weight * delta * delta)) as f32;
    }

    pub(super) fn mean(&self) -> f64 {
        f64::from(self.mean)
    }

    /// Standard deviation.
    pub(super) fn spread(&self) -> f64 {
        f64::from(self.variance.max(0.0)).sqrt()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.f32(self.mean);
        out.f32(self.variance);
        out.u32(self.count);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let (mean, variance, count) = (from.f32()?, from.f32()?, from.u32()?);
        // A snapshot's checksum holds; a number that is none would still spread into every score.
        if mean.is_finite() && variance.is_finite() {
            Ok(Self { mean, variance, count })
        } else {
            Ok(Self::default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_spread_are_those_of_the_values() {
        let values = [3.0, 5.0, 4.0, 8.0, 1.0, 2.0];
        let mut norm = Norm::default();
        values.iter().for_each(|value| norm.learn(*value));
        let mean = values.iter().sum::<f64>() / 6.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 6.0;
        assert!((norm.mean() - mean).abs() < 1e-6 && (norm.spread() - variance.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn one_outlier_hardly_moves_a_settled_norm() {
        let mut norm = Norm::default();
        for n in 1..=50 {
            norm.learn(f64::from(90 + n % 21));
        }
        let before = norm;
        norm.learn(1_000_000.0);
        assert!(norm.mean() - before.mean() < 1.0, "{} after {}", norm.mean(), before.mean());
    }

    #[test]
    fn what_was_always_nothing_can_become_something() {
        let mut norm = Norm::default();
        (0..20).for_each(|_| norm.learn(0.0));
        (0..400).for_each(|n| norm.learn(f64::from(90 + n % 21)));
        assert!((norm.mean() - 100.0).abs() < 20.0, "{}", norm.mean());
    }
}
