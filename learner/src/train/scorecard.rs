//! Logistic regression over binned, straight and crossed terms: from a part to a scorecard.

use super::smote::oversample;
use super::{Part, TrainError, binning, crossing, rounded};
use crate::fraud::{Cross, Scorecard, Term, bin};
use crate::simulate::Random;
use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2, Axis, concatenate};
use serde::Serialize;

/// Real frauds that synthetic ones are made between, at most: neighbours are looked for among all pairs.
const SMOTE_FROM_MAX: usize = 3_000;

/// What a fit may be varied in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Settings {
    /// Frauds a non-fraud after resampling (SMOTE); 0 leaves the data as it is.
    pub(super) smote_ratio: f64,
    /// How often each fraud counts, 1 or more: linfa takes no weights, so rows are repeated.
    pub(super) class_weight: usize,
    /// Weight of the L2 penalty.
    pub(super) l2: f64,
    /// Crosses at most.
    pub(super) crosses: usize,
    /// Rows of each class that the optimiser sees at most, drawn by the seed; each then stands for several.
    pub(super) rows_max: usize,
    /// Seed of everything drawn.
    pub(super) seed: u64,
}

/// Fits on a part, of which `terms` is what [`binning::learn`] says, where that is known already. The intercept is that of the
/// rows the optimiser saw: calibration sets it right.
pub(super) fn fit(part: &Part, settings: &Settings, terms: Option<&[Term]>) -> Result<Scorecard, TrainError> {
    let positives = part.positives();
    let negatives = part.rows() - positives;
    if positives < 2 || negatives < 2 {
        let problem = format!("{positives} positive and {negatives} negative rows are too few to learn from");
        return Err(TrainError::Unusable { part: "training", problem });
    }
    let terms = terms.map_or_else(|| binning::learn(part), <[Term]>::to_vec);
    let sample = part.select(&sampled(part, settings));
    let mut design = straight_and_binned(&sample, &terms);
    let mut weights = regress(&design, &sample.labels, settings)?;
    let mut crosses = Vec::new();
    if settings.crosses > 0 {
        let card = scorecard(&terms, &[], &weights);
        crosses = crossing::learn(&sample, &card, settings.crosses);
        let crossed = crossed(&sample, &crosses);
        design = concatenate(Axis(1), &[design.view(), crossed.view()])
            .map_err(|error| TrainError::Fit(error.to_string()))?;
        weights = regress(&design, &sample.labels, settings)?;
    }
    Ok(scorecard(&terms, &crosses, &weights))
}

/// Rows of each class up to the bound, in their order.
fn sampled(part: &Part, settings: &Settings) -> Vec<usize> {
    let mut random = Random::new(settings.seed);
    let mut rows: Vec<usize> = [false, true]
        .into_iter()
        .flat_map(|class| {
            let mut rows: Vec<usize> = (0..part.rows()).filter(|&row| part.labels[row] == class).collect();
            let most = settings.rows_max.min(rows.len());
            if most < rows.len() {
                for place in 0..most {
                    let other = place + random.below(rows.len() - place);
                    rows.swap(place, other);
                }
                rows.truncate(most);
            }
            rows
        })
        .collect();
    rows.sort_unstable();
    rows
}

/// Binned evidence, then standardised values; shape `[rows][2 x features]`.
pub(super) fn straight_and_binned(part: &Part, terms: &[Term]) -> Array2<f64> {
    let mut design = Array2::zeros((part.rows(), 2 * terms.len()));
    for (feature, term) in terms.iter().enumerate() {
        for (row, &value) in part.frame.column(feature).iter().enumerate() {
            design[[row, feature]] = term.points.get(bin(&term.ends, value)).copied().unwrap_or(term.missing);
            design[[row, terms.len() + feature]] = f64::from(term.standard(value));
        }
    }
    design
}

/// Log odds of crosses; shape `[rows][crosses]`.
fn crossed(part: &Part, crosses: &[Cross]) -> Array2<f64> {
    let mut design = Array2::zeros((part.rows(), crosses.len()));
    let mut row = vec![0.0; part.frame.width()];
    for at in 0..part.rows() {
        part.frame.row(at, &mut row);
        for (column, cross) in crosses.iter().enumerate() {
            design[[at, column]] = cross.log_odds(&row);
        }
    }
    design
}

/// Weights of the columns of a design, the intercept last.
fn regress(design: &Array2<f64>, labels: &[bool], settings: &Settings) -> Result<Vec<f64>, TrainError> {
    let failed = |error: String| TrainError::Fit(error);
    let positives: Vec<usize> = (0..labels.len()).filter(|&row| labels[row]).collect();
    let negatives = labels.len() - positives.len();
    let wanted = (negatives as f64 * settings.smote_ratio).round() as usize;
    let step = positives.len().div_ceil(SMOTE_FROM_MAX).max(1);
    let from: Vec<usize> = positives.iter().copied().step_by(step).collect();
    let synthetic = wanted.saturating_sub(positives.len());
    let mut parts = vec![design.to_owned()];
    if synthetic > 0 {
        parts.push(oversample(&design.select(Axis(0), &from), synthetic, settings.seed));
    }
    for _ in 1..settings.class_weight {
        parts.push(design.select(Axis(0), &positives));
    }
    let views: Vec<_> = parts.iter().map(Array2::view).collect();
    let records = concatenate(Axis(0), &views).map_err(|error| failed(error.to_string()))?;
    let added = records.nrows() - labels.len();
    let targets: Array1<bool> = labels.iter().copied().chain((0..added).map(|_| true)).collect();
    fit_plain(records, targets, settings.l2)
}

/// The optimiser itself: minimises the log loss plus `l2 / 2` times the squared weights. Weights, the intercept last.
pub(super) fn fit_plain(
    records: Array2<f64>,
    targets: Array1<bool>,
    l2: f64,
) -> Result<Vec<f64>, TrainError> {
    let rows = records.nrows() as f64;
    let model = LogisticRegression::default()
        .alpha(l2)
        .max_iterations(100)
        .gradient_tolerance(1e-6 * rows.max(100.0))
        .fit(&Dataset::new(records, targets))
        .map_err(|error| TrainError::Fit(error.to_string()))?;
    // linfa calls the more frequent class positive.
    let sign = if model.labels().pos.class { 1.0 } else { -1.0 };
    Ok(model.params().iter().map(|weight| weight * sign).chain([model.intercept() * sign]).collect())
}

/// Terms with the weights of a fit folded into their points.
pub(super) fn scorecard(terms: &[Term], crosses: &[Cross], weights: &[f64]) -> Scorecard {
    let width = terms.len();
    let weigh = |(feature, term): (usize, &Term)| {
        let evidence = weights[feature];
        Term {
            weight: rounded(weights[width + feature]),
            points: term.points.iter().map(|points| rounded(points * evidence)).collect(),
            missing: rounded(term.missing * evidence),
            ..term.clone()
        }
    };
    let cross = |(at, cross): (usize, &Cross)| {
        let weight = weights[2 * width + at];
        let line = |line: &Vec<f64>| line.iter().map(|points| rounded(points * weight)).collect();
        Cross { points: cross.points.iter().map(line).collect(), ..cross.clone() }
    };
    Scorecard {
        intercept: rounded(weights.last().copied().unwrap_or(0.0)),
        terms: terms.iter().enumerate().map(weigh).collect(),
        crosses: crosses.iter().enumerate().map(cross).collect(),
    }
}

#[cfg(test)]
mod tests;
