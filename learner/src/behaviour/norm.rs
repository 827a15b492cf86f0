//! What is usual: a mean and a spread that forget, and that one outlier cannot move far.

use super::codec::{Reader, Writer};
use super::snapshot::SnapshotError;

/// The norm forgets: no value weighs less than one in this many.
const MEMORY: u32 = 300;
/// From this many values on, one value counts as at most this many spreads away.
const SETTLED: u32 = 8;
const OUTLIER: f64 = 2.5;

/// Running mean and variance (Welford 1962), with exponential forgetting.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Norm {
    mean: f64,
    variance: f64,
}

impl Norm {
    /// Learns the `n`th value, counted from one.
    pub(super) fn learn(&mut self, value: f64, n: u32) {
        let weight = 1.0 / f64::from(n.clamp(1, MEMORY));
        let mut delta = value - self.mean;
        if n > SETTLED {
            let reach = OUTLIER * self.spread().max(0.05 * self.mean.abs());
            delta = delta.clamp(-reach, reach);
        }
        self.mean += weight * delta;
        self.variance = (1.0 - weight) * (self.variance + weight * delta * delta);
    }

    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// Standard deviation.
    pub(super) fn spread(&self) -> f64 {
        self.variance.max(0.0).sqrt()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.f64(self.mean);
        out.f64(self.variance);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let (mean, variance) = (from.f64()?, from.f64()?);
        // A snapshot's checksum holds; a number that is none would still spread into every score.
        if mean.is_finite() && variance.is_finite() {
            Ok(Self { mean, variance })
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
        for (n, value) in values.iter().enumerate() {
            norm.learn(*value, n as u32 + 1);
        }
        let mean = values.iter().sum::<f64>() / 6.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 6.0;
        assert!((norm.mean() - mean).abs() < 1e-12 && (norm.spread() - variance.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn one_outlier_hardly_moves_a_settled_norm() {
        let mut norm = Norm::default();
        for n in 1..=50 {
            norm.learn(f64::from(90 + n % 21), n);
        }
        let before = norm;
        norm.learn(1_000_000.0, 51);
        assert!(norm.mean() - before.mean() < 1.0, "{} after {}", norm.mean(), before.mean());
    }
}
