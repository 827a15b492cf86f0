//! From vectors to a fitted logistic regression: impute, flag, standardise, resample, fit.

use super::TrainError;
use super::smote::oversample;
use crate::features::transfer::{COUNT, FEATURES};
use crate::fraud::Column;
use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2, Axis, concatenate};

/// Flags beside the values: one for each feature that can be missing.
const FLAGS: usize = {
    let (mut flags, mut at) = (0, 0);
    while at < COUNT {
        flags += FEATURES[at].may_be_missing as usize;
        at += 1;
    }
    flags
};

/// What imputation and scaling learned from the training part.
pub(super) struct Scaling {
    columns: Vec<Column>,
}

impl Scaling {
    /// Learns from vectors of the training part alone; a column that never varies gets a spread of one.
    pub(super) fn learn(vectors: &[&[f64; COUNT]]) -> Self {
        Self { columns: (0..COUNT).map(|feature| learn_column(vectors, feature)).collect() }
    }

    /// The design matrix: standardised values, then centred missing flags; shape `[rows][COUNT + FLAGS]`.
    pub(super) fn design(&self, vectors: &[&[f64; COUNT]]) -> Array2<f64> {
        let mut design = Array2::zeros((vectors.len(), COUNT + FLAGS));
        for (vector, mut row) in vectors.iter().zip(design.axis_iter_mut(Axis(0))) {
            let mut flag = COUNT;
            for (feature, column) in self.columns.iter().enumerate() {
                let value = vector[feature];
                let present = if value.is_nan() { column.imputed } else { value };
                row[feature] = (present - column.mean) / column.sd;
                if FEATURES[feature].may_be_missing {
                    row[flag] = f64::from(u8::from(value.is_nan())) - column.missing_mean;
                    flag += 1;
                }
            }
        }
        design
    }

    /// Columns with the weights of a fit, rounded for the artifact.
    pub(super) fn with_weights(&self, fit: &Fitted) -> Vec<Column> {
        let mut flag = COUNT;
        let weigh = |(feature, column): (usize, &Column)| {
            let mut missing_weight = 0.0;
            if FEATURES[feature].may_be_missing {
                missing_weight = super::rounded(fit.weights[flag]);
                flag += 1;
            }
            Column { weight: super::rounded(fit.weights[feature]), missing_weight, ..*column }
        };
        self.columns.iter().enumerate().map(weigh).collect()
    }
}

fn learn_column(vectors: &[&[f64; COUNT]], feature: usize) -> Column {
    let mut present: Vec<f64> =
        vectors.iter().map(|vector| vector[feature]).filter(|value| !value.is_nan()).collect();
    present.sort_by(f64::total_cmp);
    let imputed = present.get(present.len() / 2).copied().unwrap_or(0.0);
    let missing = vectors.len() - present.len();
    let rows = vectors.len().max(1) as f64;
    let mean = (present.iter().sum::<f64>() + missing as f64 * imputed) / rows;
    let squares = present.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let sd = ((squares + missing as f64 * (imputed - mean).powi(2)) / rows).sqrt();
    Column {
        imputed: super::rounded(imputed),
        mean: super::rounded(mean),
        sd: if sd > 1e-6 { super::rounded(sd) } else { 1.0 },
        weight: 0.0,
        missing_mean: super::rounded(missing as f64 / rows),
        missing_weight: 0.0,
    }
}

/// Weights of a fit.
pub(super) struct Fitted {
    pub(super) weights: Array1<f64>,
    pub(super) intercept: f64,
}

/// What a fit may be varied in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Parameters {
    /// Frauds a non-fraud after resampling; 0 leaves the data as it is.
    pub(super) smote_ratio: f64,
    /// Weight of the L2 penalty.
    pub(super) l2: f64,
}

/// Fits a logistic regression on a design matrix of the training part, with synthetic frauds up to the ratio.
pub(super) fn fit(
    design: &Array2<f64>,
    fraud: &[bool],
    parameters: Parameters,
    seed: u64,
) -> Result<Fitted, TrainError> {
    let frauds: Vec<usize> = (0..fraud.len()).filter(|&row| fraud[row]).collect();
    let others = fraud.len() - frauds.len();
    if frauds.len() < 2 || others < 2 {
        let problem = format!("{} frauds and {others} others are too few to learn from", frauds.len());
        return Err(TrainError::Unusable { part: "training", problem });
    }
    let wanted = (others as f64 * parameters.smote_ratio).round() as usize;
    let synthetic = oversample(&design.select(Axis(0), &frauds), wanted.saturating_sub(frauds.len()), seed);
    let records = concatenate(Axis(0), &[design.view(), synthetic.view()])
        .map_err(|error| TrainError::Fit(error.to_string()))?;
    let targets: Array1<bool> = fraud.iter().copied().chain((0..synthetic.nrows()).map(|_| true)).collect();
    let model = LogisticRegression::default()
        .alpha(parameters.l2)
        .max_iterations(100)
        .gradient_tolerance(1e-2)
        .fit(&Dataset::new(records, targets))
        .map_err(|error| TrainError::Fit(error.to_string()))?;
    // linfa calls the more frequent class positive.
    let sign = if model.labels().pos.class { 1.0 } else { -1.0 };
    Ok(Fitted { weights: model.params() * sign, intercept: model.intercept() * sign })
}

impl Fitted {
    /// Raw log odds of each row of a design matrix.
    pub(super) fn raw(&self, design: &Array2<f64>) -> Vec<f64> {
        (design.dot(&self.weights) + self.intercept).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Random;

    #[test]
    fn missing_values_get_the_training_median_and_a_flag() {
        let session_age = FEATURES.iter().position(|spec| spec.name == "session_age").unwrap();
        let mut vectors = vec![[0.0; COUNT]; 5];
        for (vector, value) in vectors.iter_mut().zip([1.0, 2.0, 6.0, f64::NAN, f64::NAN]) {
            vector[session_age] = value;
        }
        let refs: Vec<_> = vectors.iter().collect();
        let column = learn_column(&refs, session_age);
        assert_eq!((column.imputed, column.mean, column.missing_mean), (2.0, 2.6, 0.4));
        let design = Scaling::learn(&refs).design(&refs);
        assert_eq!(design.ncols(), COUNT + FLAGS);
        assert!(design.iter().all(|value| value.is_finite()));
        for feature in 0..COUNT {
            assert!(design.column(feature).mean().unwrap().abs() < 1e-5, "column {feature} is not centred");
        }
    }

    #[test]
    fn a_known_model_is_found_again() {
        let mut random = Random::new(3);
        let mut design = Array2::zeros((20_000, 3));
        design.mapv_inplace(|_: f64| random.normal());
        let truth = [1.5, -0.7, 0.0];
        let fraud: Vec<bool> = design
            .rows()
            .into_iter()
            .map(|row| {
                let raw: f64 = -2.0 + row.iter().zip(truth).map(|(x, w)| x * w).sum::<f64>();
                random.chance(1.0 / (1.0 + (-raw).exp()))
            })
            .collect();
        let fitted = fit(&design, &fraud, Parameters { smote_ratio: 0.0, l2: 0.01 }, 1).unwrap();
        for (found, expected) in fitted.weights.iter().zip(truth) {
            assert!((found - expected).abs() < 0.08, "{found} for {expected}");
        }
        assert!((fitted.intercept + 2.0).abs() < 0.08);
    }

    #[test]
    fn one_class_cannot_be_fitted() {
        let design = Array2::zeros((10, 2));
        let error = fit(&design, &[false; 10], Parameters { smote_ratio: 0.0, l2: 1.0 }, 1);
        assert!(matches!(error, Err(TrainError::Unusable { part: "training", .. })));
    }
}
