//! Calibration drift: whether probabilities still mean what they say.

use serde::{Deserialize, Serialize};

/// Fraud that was expected beside fraud that came, over transfers whose truth is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationDrift {
    /// Transfers whose truth is known.
    pub rows: usize,
    /// Frauds among them.
    pub frauds: usize,
    /// Mean probability said, 0 to 1.
    pub expected: f64,
    /// Share of fraud that came, 0 to 1.
    pub observed: f64,
    /// Expected less observed: above zero where the model warns of more than comes.
    pub drift: f64,
    /// Standard deviations of chance alone (the probabilities taken at their word) that the drift amounts to.
    pub deviations: f64,
}

impl CalibrationDrift {
    /// From probabilities said and what came; `None` without rows. Probabilities lie in 0 to 1.
    pub fn of(rows: impl IntoIterator<Item = (f64, bool)>) -> Option<Self> {
        let (mut count, mut frauds, mut expected, mut variance) = (0_usize, 0_usize, 0.0, 0.0);
        for (probability, fraud) in rows {
            let probability = probability.clamp(0.0, 1.0);
            count += 1;
            frauds += usize::from(fraud);
            expected += probability;
            // The sum of independent Bernoulli trials (Poisson's binomial distribution).
            variance += probability * (1.0 - probability);
        }
        if count == 0 {
            return None;
        }
        let n = count as f64;
        let drift = (expected - frauds as f64) / n;
        let spread = variance.sqrt() / n;
        let deviations = if spread > 0.0 { drift / spread } else { 0.0 };
        Some(Self {
            rows: count,
            frauds,
            expected: expected / n,
            observed: frauds as f64 / n,
            drift,
            deviations,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_means_what_it_says_has_no_drift() {
        let rows = (0..1_000).map(|n| (0.1, n % 10 == 0));
        let found = CalibrationDrift::of(rows).unwrap();
        assert!(found.drift.abs() < 1e-12 && found.deviations.abs() < 1e-9, "{found:?}");
        assert_eq!((found.rows, found.frauds), (1_000, 100));
        assert_eq!(CalibrationDrift::of([]), None);
    }

    #[test]
    fn too_few_and_too_many_frauds_drift_to_either_side() {
        // 1,000 trials at 0.1 spread by sqrt(0.09 * 1000) = 9.49 frauds.
        let said = |frauds: usize| CalibrationDrift::of((0..1_000).map(|n| (0.1, n < frauds))).unwrap();
        let few = said(50);
        assert!((few.drift - 0.05).abs() < 1e-12 && (few.deviations - 50.0 / 9.4868).abs() < 1e-3, "{few:?}");
        let many = said(200);
        assert!(many.drift < 0.0 && many.deviations < -10.0, "{many:?}");
    }
}
