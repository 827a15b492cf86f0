//! From a model's raw score to a probability that means what it says.

use serde::{Deserialize, Serialize};

/// Log odds beyond this are no longer told apart; keeps every probability strictly between 0 and 1.
const LOG_ODDS_MAX: f64 = 30.0;

/// Rises with the raw score, so that order stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibrator {
    /// Logistic in the raw score (Platt 1999).
    Platt {
        /// Factor on the raw score, above zero.
        slope: f64,
        /// Added after the factor.
        intercept: f64,
    },
    /// Straight between points, level beyond the outermost (isotonic regression; Zadrozny and Elkan 2002).
    Isotonic {
        /// Raw scores, rising.
        raw: Vec<f64>,
        /// Their probabilities, rising, one each.
        probability: Vec<f64>,
    },
}

impl Calibrator {
    /// Probability of a raw score, strictly between 0 and 1.
    pub fn probability(&self, score: f64) -> f64 {
        match self {
            Self::Platt { slope, intercept } => {
                let log_odds = (slope * score + intercept).clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX);
                1.0 / (1.0 + (-log_odds).exp())
            }
            Self::Isotonic { raw, probability } => {
                let above = raw.partition_point(|known| *known <= score);
                let at = |index: usize| Some((*raw.get(index)?, *probability.get(index)?));
                let found = match (above.checked_sub(1).and_then(at), at(above)) {
                    (Some((x, p)), Some((next_x, next_p))) => p + (next_p - p) * (score - x) / (next_x - x),
                    (Some((_, p)), None) | (None, Some((_, p))) => p,
                    (None, None) => 0.5,
                };
                found.clamp(1e-9, 1.0 - 1e-9)
            }
        }
    }

    /// Whether the numbers make sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sound = match self {
            Self::Platt { slope, intercept } => slope.is_finite() && *slope > 0.0 && intercept.is_finite(),
            Self::Isotonic { raw, probability } => {
                raw.len() == probability.len()
                    && raw.len() >= 2
                    && raw.iter().all(|n| n.is_finite())
                    && raw.windows(2).all(|pair| matches!(pair, [a, b] if a < b))
                    && probability.is_sorted()
                    && probability.iter().all(|p| (0.0..=1.0).contains(p))
            }
        };
        if sound { Ok(()) } else { Err("the calibration is out of range".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotonic_is_straight_between_points() {
        let calibrator = Calibrator::Isotonic { raw: vec![-1.0, 0.0, 2.0], probability: vec![0.1, 0.1, 0.9] };
        assert_eq!(calibrator.check(), Ok(()));
        for (score, probability) in [(-9.0, 0.1), (-0.5, 0.1), (1.0, 0.5), (2.0, 0.9), (9.0, 0.9)] {
            assert!((calibrator.probability(score) - probability).abs() < 1e-12, "{score}");
        }
        let falling = Calibrator::Isotonic { raw: vec![0.0, 1.0], probability: vec![0.9, 0.1] };
        assert!(falling.check().is_err());
    }

    #[test]
    fn probabilities_never_reach_their_ends() {
        for calibrator in [
            Calibrator::Platt { slope: 1e6, intercept: 0.0 },
            Calibrator::Isotonic { raw: vec![0.0, 1.0], probability: vec![0.0, 1.0] },
        ] {
            for score in [-1e9, 1e9] {
                let p = calibrator.probability(score);
                assert!(p > 0.0 && p < 1.0);
            }
        }
    }
}
