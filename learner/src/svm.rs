//! A linear support vector machine by linfa-svm (SMO), served as a dot product.

use crate::simulate::Random;
use crate::trees::{Examples, FitError, sample, shares, within};
use linfa::prelude::*;
use linfa_svm::Svm;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

/// How a machine is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What a row on the wrong side costs, 0.00001 to 1,000; both classes cost the same altogether.
    pub cost: f64,
    /// Rows that are learned from, 10 to 10,000: all positives up to half of it, and negatives. Time and memory grow with
    /// its square, 8 bytes a pair of rows.
    pub rows_max: usize,
    /// Where the solver stops: the largest violation of the optimum's conditions, 0.00001 to 1.
    pub tolerance: f64,
    /// Seed of the sample.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cost: 0.1, rows_max: 4_000, tolerance: 0.01, seed: 1 }
    }
}

impl Settings {
    /// Makes sure that every setting is in its range; [`FitError::Setting`] names the first that is not.
    pub fn check(&self) -> Result<(), FitError> {
        within("cost", self.cost, 1e-5..=1e3, "0.00001 to 1000")?;
        within("rows_max", self.rows_max as f64, 10.0..=1e4, "10 to 10000")?;
        within("tolerance", self.tolerance, 1e-5..=1.0, "0.00001 to 1")
    }
}

/// A fitted machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearSvm {
    /// One a column.
    pub weights: Vec<f64>,
    /// Added to the weighted sum.
    pub intercept: f64,
}

impl LinearSvm {
    /// Signed distance from the border in units of the margin, above 0 for positives, of a row of shape `[width]`; `NaN` for
    /// a shorter row. It is no probability: that takes a calibration.
    pub fn margin(&self, row: &[f32]) -> f64 {
        let Some(row) = row.get(..self.weights.len()) else { return f64::NAN };
        self.intercept
            + self.weights.iter().zip(row).map(|(weight, value)| weight * f64::from(*value)).sum::<f64>()
    }
}

/// Fits a machine on a sample of examples. Columns should be standardised, and every value finite; the solver knows no
/// weights of rows, so that of a row only says whether it counts at all.
pub fn fit(examples: &Examples<'_>, settings: &Settings) -> Result<LinearSvm, FitError> {
    settings.check()?;
    examples.check_classes()?;
    examples.check_finite()?;
    let mut random = Random::new(settings.seed);
    let classes = examples.by_class();
    let counts = shares([classes[0].len(), classes[1].len()], settings.rows_max);
    let rows: Vec<usize> =
        classes.iter().zip(counts).flat_map(|(class, count)| sample(class, count, &mut random)).collect();
    let width = examples.frame.width();
    let value = |(row, column): (usize, usize)| f64::from(examples.frame.column(column)[rows[row]]);
    let records = Array2::from_shape_fn((rows.len(), width), value);
    let targets: Array1<bool> = rows.iter().map(|&row| examples.labels[row]).collect();
    let [negative, positive] = counts.map(|count| settings.cost * rows.len() as f64 / (2.0 * count as f64));
    let machine = Svm::<f64, bool>::params()
        .pos_neg_weights(positive, negative)
        .linear_kernel()
        .eps(settings.tolerance)
        .fit(&Dataset::new(records, targets))
        .map_err(|error| FitError::Library(error.to_string()))?;
    let unit = |at: usize| Array1::from_shape_fn(width, |column| if column == at { 1.0 } else { 0.0 });
    let weights = (0..width).map(|at| machine.weighted_sum(&unit(at))).collect();
    Ok(LinearSvm { weights, intercept: -machine.rho })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    fn check(rows: &[([f32; 2], bool)], settings: &Settings, expected: Result<([f64; 2], f64), FitError>) {
        let mut frame = Frame::new(vec!["a".into(), "b".into()]);
        rows.iter().for_each(|(row, _)| frame.push(row));
        let labels: Vec<bool> = rows.iter().map(|(_, label)| *label).collect();
        match (fit(&Examples { frame: &frame, labels: &labels, weights: None }, settings), expected) {
            (Ok(machine), Ok((weights, intercept))) => {
                let close = |a: f64, b: f64| (a - b).abs() < 1e-3;
                assert!(close(machine.intercept, intercept), "{machine:?}");
                assert!(machine.weights.iter().zip(weights).all(|(a, b)| close(*a, b)), "{machine:?}");
            }
            (found, expected) => assert_eq!(found.err(), expected.err()),
        }
    }

    #[test]
    fn the_border_is_in_the_middle_of_the_widest_gap() {
        let settings = Settings { cost: 100.0, tolerance: 1e-5, ..Settings::default() };
        // The nearest of both classes are (1, 0) and (3, 0): the border is at a = 2, the margin is 1 wide.
        let rows = [
            ([1.0, 0.0], false),
            ([0.0, 1.0], false),
            ([3.0, 0.0], true),
            ([4.0, -1.0], true),
            ([4.0, 1.0], true),
        ];
        check(&rows, &settings, Ok(([1.0, 0.0], -2.0)));
        check(&rows[2..], &settings, Err(FitError::OneClass));
        let mut missing = rows;
        missing[1].0[1] = f32::NAN;
        check(&missing, &settings, Err(FitError::Missing { row: 1, column: "b".into() }));
        let cost = FitError::Setting { name: "cost", value: 0.0, range: "0.00001 to 1000" };
        check(&rows, &Settings { cost: 0.0, ..settings }, Err(cost));
    }

    #[test]
    fn a_rare_class_is_not_given_up_and_the_sample_is_the_seeds() {
        let mut random = Random::new(1);
        let mut frame = Frame::new(vec!["a".into(), "b".into()]);
        let mut labels = Vec::new();
        for at in 0..3_000 {
            let positive = at % 50 == 0;
            let shift = if positive { 2.0 } else { 0.0 };
            frame.push(&[(random.normal() + shift) as f32, random.normal() as f32]);
            labels.push(positive);
        }
        let examples = Examples { frame: &frame, labels: &labels, weights: None };
        let settings = Settings { rows_max: 300, ..Settings::default() };
        let machine = fit(&examples, &settings).unwrap();
        assert!(machine.margin(&[2.5, 0.0]) > 0.0 && machine.margin(&[-0.5, 0.0]) < 0.0, "{machine:?}");
        assert!(machine.margin(&[1.0]).is_nan());
        assert_eq!(fit(&examples, &settings).unwrap(), machine);
        assert_ne!(fit(&examples, &Settings { seed: 2, ..settings }).unwrap(), machine);
    }
}
