//! The linear model: impute, standardise, weigh, calibrate.

use super::{Contribution, FraudScore, Subject, TOP, Unavailable};
use crate::features::transfer::{COUNT, FEATURES};
use serde::{Deserialize, Serialize};

/// Log odds beyond this are no longer told apart; keeps every probability strictly between 0 and 1.
const LOG_ODDS_MAX: f64 = 30.0;

/// What training learned about one feature.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Put in where the value is missing: the median of the training part.
    pub imputed: f64,
    /// Mean of the training part after imputation.
    pub mean: f64,
    /// Standard deviation of the training part after imputation; above zero.
    pub sd: f64,
    /// Log odds a standard deviation.
    pub weight: f64,
    /// Mean of the missing flag in the training part, 0 to 1.
    pub missing_mean: f64,
    /// Log odds of the missing flag.
    pub missing_weight: f64,
}

/// Turns the raw log odds of a model trained on resampled data into a probability that means what it says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Factor on the raw log odds (Platt scaling), above zero so that order stays.
    pub slope: f64,
    /// Added after the factor.
    pub intercept: f64,
}

impl Calibration {
    /// Probability of raw log odds.
    pub fn probability(&self, raw: f64) -> f64 {
        let log_odds = (self.slope * raw + self.intercept).clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX);
        1.0 / (1.0 + (-log_odds).exp())
    }
}

/// Where a bank acts on the probability, learned on validation data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// From here on a challenge to the customer costs less than the fraud it stops.
    pub step_up: f64,
    /// From here on holding for review costs less; never below `step_up`.
    pub hold: f64,
}

/// A fraud model as its artifact keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FraudModel {
    /// One a feature, in table order.
    pub columns: Vec<Column>,
    /// Raw log odds of an average transfer.
    pub intercept: f64,
    /// From raw log odds to probability.
    pub calibration: Calibration,
    /// Where to act.
    pub thresholds: Thresholds,
    /// Synthetic frauds a real non-fraud that training added (SMOTE), 0 for none.
    pub smote_ratio: f64,
    /// Weight of the L2 penalty.
    pub l2: f64,
}

impl FraudModel {
    /// Whether the numbers can score at all.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.columns.len() != COUNT {
            return Err(format!("{} columns for {COUNT} features", self.columns.len()));
        }
        for (column, spec) in self.columns.iter().zip(&FEATURES) {
            let Column { imputed, mean, sd, weight, missing_mean, missing_weight } = *column;
            let finite =
                [imputed, mean, sd, weight, missing_mean, missing_weight].iter().all(|n| n.is_finite());
            if !finite || sd <= 0.0 {
                return Err(format!("column {} is out of range", spec.name));
            }
        }
        let Thresholds { step_up, hold } = self.thresholds;
        let sound = self.intercept.is_finite()
            && self.calibration.slope > 0.0
            && self.calibration.slope.is_finite()
            && self.calibration.intercept.is_finite()
            && (0.0..=1.0).contains(&step_up)
            && (step_up..=1.0).contains(&hold);
        if sound { Ok(()) } else { Err("intercept, calibration or thresholds are out of range".to_owned()) }
    }

    /// Log odds before calibration.
    pub(crate) fn raw(&self, vector: &[f64; COUNT]) -> f64 {
        self.columns
            .iter()
            .zip(vector)
            .fold(self.intercept, |raw, (column, value)| raw + column.log_odds(*value))
    }

    pub(crate) fn score(
        &self,
        vector: &[f64; COUNT],
        table: &[Subject; COUNT],
    ) -> Result<FraudScore, Unavailable> {
        let mut raw = self.intercept;
        let mut contributions = [Contribution::default(); TOP];
        let mut subjects = [0.0; Subject::ALL.len()];
        let columns = self.columns.iter().zip(&FEATURES).zip(table);
        for (feature, (&value, ((column, spec), subject))) in vector.iter().zip(columns).enumerate() {
            let missing = value.is_nan();
            if value.is_infinite() || (missing && !spec.may_be_missing) {
                return Err(Unavailable::BadInput);
            }
            let log_odds = column.log_odds(value);
            raw += log_odds;
            if let Some(sum) = subjects.get_mut(*subject as usize) {
                *sum += log_odds * self.calibration.slope;
            }
            keep_largest(&mut contributions, Contribution { feature, log_odds, value });
        }
        if !raw.is_finite() {
            return Err(Unavailable::NotFinite);
        }
        for contribution in &mut contributions {
            contribution.log_odds *= self.calibration.slope;
        }
        Ok(FraudScore { probability: self.calibration.probability(raw), contributions, subjects })
    }
}

impl Column {
    /// Raw log odds of a value (`NaN` for missing) against the training mean.
    pub(crate) fn log_odds(&self, value: f64) -> f64 {
        let missing = value.is_nan();
        let present = if missing { self.imputed } else { value };
        let flag = if missing { 1.0 } else { 0.0 };
        self.weight * (present - self.mean) / self.sd + self.missing_weight * (flag - self.missing_mean)
    }
}

/// Insertion into a short list that is kept sorted by size, largest first.
fn keep_largest(top: &mut [Contribution; TOP], mut candidate: Contribution) {
    for place in top.iter_mut() {
        if candidate.log_odds.abs() > place.log_odds.abs() {
            std::mem::swap(place, &mut candidate);
        }
    }
}
