//! Rows with labels as every model here takes them, and bounded samples of them.

use crate::frame::Frame;
use crate::simulate::Random;
use thiserror::Error;

/// Why a model cannot be fitted.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FitError {
    /// A setting that is out of its range.
    #[error("{name} is {value}, but must be {range}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// Labels or weights do not fit the rows.
    #[error("{rows} rows, but {labels} labels and {weights} weights")]
    Lengths {
        /// Rows of the frame.
        rows: usize,
        /// Labels.
        labels: usize,
        /// Weights.
        weights: usize,
    },
    /// No rows or no columns, or more than there is room for.
    #[error("{rows} rows of {columns} columns cannot be learned from")]
    Shape {
        /// Rows of the frame.
        rows: usize,
        /// Columns of the frame.
        columns: usize,
    },
    /// The validation rows have other columns.
    #[error("the validation rows have {validation} columns, the training rows {training}")]
    Columns {
        /// Columns of the training rows.
        training: usize,
        /// Columns of the validation rows.
        validation: usize,
    },
    /// All rows that count have the same label.
    #[error("all rows have the same label")]
    OneClass,
    /// A weight is negative or not finite.
    #[error("row {0} has a weight that is negative or not finite")]
    Weight(usize),
    /// This model does not take missing or infinite values.
    #[error("row {row}, column {column} is missing or infinite")]
    Missing {
        /// Row of the frame.
        row: usize,
        /// Column of the frame.
        column: String,
    },
    /// The library that fits the model gave up.
    #[error("fitting failed: {0}")]
    Library(String),
    /// The fitted trees cannot score.
    #[error(transparent)]
    Trees(#[from] super::TreesError),
}

/// Rows, their labels and, if they do not all count the same, their weights (at least 0).
#[derive(Debug, Clone, Copy)]
pub struct Examples<'a> {
    /// The rows.
    pub frame: &'a Frame,
    /// Whether a row is what is looked for; one a row.
    pub labels: &'a [bool],
    /// How much a row counts; one a row.
    pub weights: Option<&'a [f32]>,
}

impl Examples<'_> {
    /// Weight of a row.
    pub fn weight(&self, row: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Weights of the negatives and of the positives.
    pub fn totals(&self) -> [f64; 2] {
        let mut totals = [0.0; 2];
        for (row, &label) in self.labels.iter().enumerate() {
            totals[usize::from(label)] += f64::from(self.weight(row));
        }
        totals
    }

    /// The rows of weight above 0, negatives first.
    pub(crate) fn by_class(&self) -> [Vec<usize>; 2] {
        let mut rows = [Vec::new(), Vec::new()];
        for (row, &label) in self.labels.iter().enumerate().filter(|(row, _)| self.weight(*row) > 0.0) {
            rows[usize::from(label)].push(row);
        }
        rows
    }

    /// Makes sure that labels and weights fit the rows; see [`FitError`].
    pub fn check(&self) -> Result<(), FitError> {
        let (rows, columns) = (self.frame.rows(), self.frame.width());
        let (labels, weights) = (self.labels.len(), self.weights.map_or(rows, <[f32]>::len));
        if (labels, weights) != (rows, rows) {
            return Err(FitError::Lengths { rows, labels, weights });
        }
        if rows == 0 || columns == 0 || columns > super::WIDTH_MAX || u32::try_from(rows).is_err() {
            return Err(FitError::Shape { rows, columns });
        }
        let sound = |weight: f32| weight.is_finite() && weight >= 0.0;
        match self.weights.and_then(|weights| weights.iter().position(|weight| !sound(*weight))) {
            Some(row) => Err(FitError::Weight(row)),
            None => Ok(()),
        }
    }

    /// Like [`Examples::check`]; and rows of both classes must count.
    pub fn check_classes(&self) -> Result<(), FitError> {
        self.check()?;
        let both = self.totals().iter().all(|total| *total > 0.0);
        if both { Ok(()) } else { Err(FitError::OneClass) }
    }

    /// Makes sure that every value is finite, for models that know no missing values.
    pub fn check_finite(&self) -> Result<(), FitError> {
        for (at, name) in self.frame.names().iter().enumerate() {
            if let Some(row) = self.frame.column(at).iter().position(|value| !value.is_finite()) {
                return Err(FitError::Missing { row, column: name.clone() });
            }
        }
        Ok(())
    }
}

/// How many rows of each class, negatives first, a sample of at most `most` takes: all of the rarer class, up to half.
pub(crate) fn shares(available: [usize; 2], most: usize) -> [usize; 2] {
    let rarer = usize::from(available[1] <= available[0]);
    let mut shares = [0; 2];
    shares[rarer] = available[rarer].min((most / 2).max(1));
    shares[1 - rarer] = available[1 - rarer].min((most - shares[rarer]).max(1));
    shares
}

/// Makes sure that a setting is in its range.
pub(crate) fn within(
    name: &'static str,
    value: f64,
    allowed: impl std::ops::RangeBounds<f64>,
    range: &'static str,
) -> Result<(), FitError> {
    if allowed.contains(&value) { Ok(()) } else { Err(FitError::Setting { name, value, range }) }
}

/// `count` of `items` without repetition, in their order; all when there are no more.
pub(crate) fn sample(items: &[usize], count: usize, random: &mut Random) -> Vec<usize> {
    let mut chosen = items.to_vec();
    for at in 0..count.min(items.len()) {
        let other = at + random.below(items.len() - at);
        chosen.swap(at, other);
    }
    chosen.truncate(count);
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_takes_the_rarer_class_first_and_no_row_twice() {
        assert_eq!(shares([900, 100], 5_000), [900, 100]);
        assert_eq!(shares([900, 100], 300), [200, 100]);
        assert_eq!(shares([900, 400], 300), [150, 150]);
        assert_eq!(shares([3, 900], 300), [3, 297]);
        assert_eq!(shares([9, 9], 2), [1, 1]);
        let items: Vec<usize> = (10..20).collect();
        let chosen = sample(&items, 6, &mut Random::new(1));
        assert_eq!(chosen.len(), 6);
        assert!(chosen.is_sorted_by(|a, b| a < b) && chosen.iter().all(|item| items.contains(item)));
        assert_ne!(chosen, sample(&items, 6, &mut Random::new(2)));
        assert_eq!(sample(&items, 60, &mut Random::new(2)), items);
    }
}
