//! The linear model that is served: binned, straight and crossed terms, whose sum is the log odds.
//!
//! Every term belongs to one feature or to a pair of them, so contributions are exact. Banks know the form as a
//! scorecard: each bin of a feature has its points.

use serde::{Deserialize, Serialize};

/// A straight term counts values at most this many standard deviations away.
pub(crate) const REACH: f32 = 5.0;

/// One feature's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// Put in where the value is missing: the median of the training part.
    pub imputed: f32,
    /// Mean of the training part after imputation.
    pub mean: f32,
    /// Standard deviation of the training part after imputation; above zero.
    pub spread: f32,
    /// Log odds a standard deviation.
    pub weight: f64,
    /// Rising upper ends of the bins but the last: a value is in the first bin whose end is above it.
    pub ends: Vec<f32>,
    /// Log odds of each bin, one more than `ends`.
    pub points: Vec<f64>,
    /// Log odds where the value is missing.
    pub missing: f64,
}

/// Two features together: log odds of each pair of coarse bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cross {
    /// Indices of the features.
    pub features: [usize; 2],
    /// Rising upper ends of the coarse bins of both.
    pub ends: [Vec<f32>; 2],
    /// Log odds, `[bins of the first and missing][bins of the second and missing]`.
    pub points: Vec<Vec<f64>>,
}

/// A linear model over a vector of features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scorecard {
    /// Log odds before any term.
    pub intercept: f64,
    /// One a feature.
    pub terms: Vec<Term>,
    /// Pairs.
    pub crosses: Vec<Cross>,
}

/// The bin of a value; one more than the last for a missing one.
pub(crate) fn bin(ends: &[f32], value: f32) -> usize {
    if value.is_nan() { ends.len() + 1 } else { ends.partition_point(|end| *end <= value) }
}

impl Term {
    /// The value in standard deviations from the mean, bounded.
    pub(crate) fn standard(&self, value: f32) -> f32 {
        let present = if value.is_nan() { self.imputed } else { value };
        ((present - self.mean) / self.spread).clamp(-REACH, REACH)
    }

    /// Log odds of a value.
    pub fn log_odds(&self, value: f32) -> f64 {
        let points = match self.points.get(bin(&self.ends, value)) {
            Some(points) => *points,
            None => self.missing,
        };
        points + self.weight * f64::from(self.standard(value))
    }
}

impl Cross {
    /// Log odds of a pair of values.
    pub fn log_odds(&self, row: &[f32]) -> f64 {
        let [a, b] = self.features.map(|feature| row.get(feature).copied().unwrap_or(f32::NAN));
        let [ends_a, ends_b] = &self.ends;
        let line = self.points.get(bin(ends_a, a));
        line.and_then(|line| line.get(bin(ends_b, b))).copied().unwrap_or(0.0)
    }
}

impl Scorecard {
    /// Whether the numbers can score a vector of `width` features at all.
    pub(crate) fn check(&self, width: usize) -> Result<(), String> {
        if self.terms.len() != width {
            return Err(format!("{} terms for {width} features", self.terms.len()));
        }
        let rising = |ends: &[f32]| ends.iter().all(|end| end.is_finite()) && ends.is_sorted();
        for (feature, term) in self.terms.iter().enumerate() {
            let straight = [term.imputed, term.mean, term.spread].iter().all(|n| n.is_finite());
            let points = term.points.iter().chain([&term.weight, &term.missing]).all(|n| n.is_finite());
            let sound = straight && points && term.spread > 0.0 && rising(&term.ends);
            if !sound || term.points.len() != term.ends.len() + 1 {
                return Err(format!("the term of feature {feature} is out of range"));
            }
        }
        for cross in &self.crosses {
            let [a, b] = &cross.ends;
            let shape = cross.points.len() == a.len() + 2
                && cross.points.iter().all(|line| line.len() == b.len() + 2)
                && cross.features.iter().all(|feature| *feature < width);
            let finite = cross.points.iter().flatten().all(|n| n.is_finite());
            if !shape || !finite || !rising(a) || !rising(b) {
                return Err(format!("the cross of features {:?} is out of range", cross.features));
            }
        }
        if self.intercept.is_finite() { Ok(()) } else { Err("the intercept is not finite".to_owned()) }
    }

    /// Log odds of a row of features.
    pub fn raw(&self, row: &[f32]) -> f64 {
        let terms = self.terms.iter().zip(row).fold(0.0, |sum, (term, &value)| sum + term.log_odds(value));
        let crosses = self.crosses.iter().fold(0.0, |sum, cross| sum + cross.log_odds(row));
        self.intercept + terms + crosses
    }

    /// Log odds of a row of features, to the last bit as [`Scorecard::raw`] gives them, with each feature's share in
    /// them put into `out` (shape `[features]`); a cross counts half for each of its two.
    pub fn contributions(&self, row: &[f32], out: &mut [f64]) -> f64 {
        let (mut terms, mut crosses) = (0.0, 0.0);
        for ((slot, term), &value) in out.iter_mut().zip(&self.terms).zip(row) {
            *slot = term.log_odds(value);
            terms += *slot;
        }
        for cross in &self.crosses {
            let log_odds = cross.log_odds(row);
            crosses += log_odds;
            for feature in cross.features {
                if let Some(slot) = out.get_mut(feature) {
                    *slot += log_odds / 2.0;
                }
            }
        }
        self.intercept + terms + crosses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> Scorecard {
        let term = |weight| Term {
            imputed: 1.0,
            mean: 0.0,
            spread: 2.0,
            weight,
            ends: vec![0.0, 10.0],
            points: vec![-1.0, 0.5, 3.0],
            missing: 0.25,
        };
        let cross = Cross {
            features: [0, 1],
            ends: [vec![0.0], vec![5.0]],
            points: vec![vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0], vec![7.0, 8.0, 9.0]],
        };
        Scorecard { intercept: -2.0, terms: vec![term(1.0), term(0.0)], crosses: vec![cross] }
    }

    #[test]
    fn scores_are_sums_by_hand() {
        for (row, raw) in [
            // -1 + straight -1; 0.5; cross of bins 0 and 1.
            ([-2.0, 6.0], -2.0 - 1.0 - 1.0 + 0.5 + 2.0),
            // Bounded at five standard deviations; an end belongs to the bin above it.
            ([100.0, 0.0], -2.0 + 3.0 + 5.0 + 0.5 + 4.0),
            // Missing: its own points, the median in the straight term, the cross's own line.
            ([f32::NAN, 5.0], -2.0 + 0.25 + 0.5 + 0.5 + 8.0),
            ([0.0, f32::NAN], -2.0 + 0.5 + 0.0 + 0.25 + 6.0),
        ] {
            assert!((card().raw(&row) - raw).abs() < 1e-9, "{row:?}");
            let mut out = [0.0; 2];
            assert_eq!(card().contributions(&row, &mut out).to_bits(), card().raw(&row).to_bits());
            assert!((out.iter().sum::<f64>() - 2.0 - raw).abs() < 1e-9, "{row:?}");
        }
    }

    #[test]
    fn senseless_cards_are_refused() {
        type Change = fn(&mut Scorecard);
        let cases: [(&str, Change); 6] = [
            ("other width", |card| card.terms.truncate(1)),
            ("flat", |card| card.terms[0].spread = 0.0),
            ("falling ends", |card| card.terms[0].ends.reverse()),
            ("no points", |card| card.terms[1].points.truncate(2)),
            ("foreign feature", |card| card.crosses[0].features = [0, 2]),
            ("ragged cross", |card| card.crosses[0].points[1].truncate(2)),
        ];
        assert_eq!(card().check(2), Ok(()));
        for (what, change) in cases {
            let mut card = card();
            change(&mut card);
            assert!(card.check(2).is_err(), "{what}");
        }
    }
}
