//! A part of a table as rows of features.

use crate::frame::Frame;

/// Rows of one part, in the order in which they were replayed.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Features, one row an event.
    pub frame: Frame,
    /// Whether the row is positive.
    pub labels: Vec<bool>,
    /// When, unix milliseconds; counted up in a table without time.
    pub at_ms: Vec<i64>,
    /// Whose row it is, where the row says; one a row.
    pub customers: Vec<Option<u64>>,
    /// Amounts, hundredths of a major unit; empty where the table has none.
    pub cents: Vec<i64>,
    /// Hash of the kind of positive, 0 where there is none.
    pub scenarios: Vec<u64>,
    /// Level hashes by category, 0 for missing: shape `[categories][rows]`.
    pub(super) categories: Vec<Vec<u64>>,
    /// Row numbers, so that thinning does not depend on the order.
    keys: Vec<u64>,
    /// How often negatives and positives were halved to keep within bounds.
    halvings: [u32; 2],
}

/// What stands beside the features of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside<'a> {
    pub(super) key: u64,
    pub(super) label: bool,
    pub(super) at_ms: i64,
    pub(super) customer: Option<u64>,
    pub(super) cents: Option<i64>,
    pub(super) scenario: u64,
    pub(super) categories: &'a [Option<u64>],
}

impl Part {
    /// No rows yet, of these columns and so many categories.
    pub(crate) fn new(names: Vec<String>, categories: usize) -> Self {
        Self { frame: Frame::new(names), categories: vec![Vec::new(); categories], ..Self::default() }
    }

    /// Rows that were recorded while serving: time, features, amount in hundredths of a major unit, and whether it was fraud.
    pub(crate) fn recorded<'a>(
        names: Vec<String>,
        rows: impl Iterator<Item = (i64, &'a [f32], i64, bool)>,
    ) -> Self {
        let mut part = Self::new(names, 0);
        for (key, (at_ms, vector, cents, label)) in rows.enumerate() {
            let key = key as u64;
            let cents = Some(cents);
            let beside = Beside { key, label, at_ms, customer: None, cents, scenario: 0, categories: &[] };
            part.push(vector, &beside);
        }
        part
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Number of positive rows.
    pub fn positives(&self) -> usize {
        self.labels.iter().filter(|&&label| label).count()
    }

    /// Rows that each kept negative and each kept positive stand for.
    pub fn weights(&self) -> [f64; 2] {
        self.halvings.map(|halvings| f64::from(1u32 << halvings.min(31)))
    }

    /// Weights of the rows, where they are not all the same.
    pub(super) fn row_weights(&self) -> Option<Vec<f32>> {
        let [negative, positive] = self.weights().map(|weight| weight as f32);
        let weight = |&label: &bool| if label { positive } else { negative };
        (negative != positive).then(|| self.labels.iter().map(weight).collect())
    }

    /// Adds a row, unless thinning leaves it out.
    pub(super) fn push(&mut self, vector: &[f32], beside: &Beside<'_>) {
        if !self.keeps(beside.label, beside.key) {
            return;
        }
        self.frame.push(vector);
        self.labels.push(beside.label);
        self.at_ms.push(beside.at_ms);
        self.customers.push(beside.customer);
        self.cents.extend(beside.cents);
        self.scenarios.push(beside.scenario);
        self.keys.push(beside.key);
        for (column, level) in self.categories.iter_mut().zip(beside.categories) {
            column.push(level.unwrap_or(0));
        }
    }

    /// Whether a row is among those kept: the lowest bits of a hash of its number are zero.
    fn keeps(&self, label: bool, key: u64) -> bool {
        let mixed = key.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32).trailing_zeros() >= self.halvings[usize::from(label)]
    }

    /// Leaves out every other row of the larger class until there are at most `rows_max` rows.
    pub(super) fn thin(&mut self, rows_max: usize) {
        while self.rows() > rows_max.max(2) {
            let larger = usize::from(2 * self.positives() > self.rows());
            self.halvings[larger] += 1;
            let kept = |&row: &usize| self.keeps(self.labels[row], self.keys[row]);
            *self = self.select(&(0..self.rows()).filter(kept).collect::<Vec<_>>());
            if self.halvings[larger] >= 30 {
                break;
            }
        }
    }

    /// Adds the rows of a part with the same columns.
    pub(super) fn extend(&mut self, other: Self) {
        self.frame.extend(other.frame);
        self.labels.extend(other.labels);
        self.at_ms.extend(other.at_ms);
        self.customers.extend(other.customers);
        self.cents.extend(other.cents);
        self.scenarios.extend(other.scenarios);
        self.keys.extend(other.keys);
        for (column, more) in self.categories.iter_mut().zip(other.categories) {
            column.extend(more);
        }
    }

    /// The rows at these places, in their order.
    pub fn select(&self, rows: &[usize]) -> Self {
        fn pick<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
            if values.is_empty() { Vec::new() } else { rows.iter().map(|&row| values[row]).collect() }
        }
        Self {
            frame: self.frame.select(rows),
            labels: pick(&self.labels, rows),
            at_ms: pick(&self.at_ms, rows),
            customers: pick(&self.customers, rows),
            cents: pick(&self.cents, rows),
            scenarios: pick(&self.scenarios, rows),
            categories: self.categories.iter().map(|column| pick(column, rows)).collect(),
            keys: pick(&self.keys, rows),
            halvings: self.halvings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_both_classes_and_says_what_each_row_stands_for() {
        for positive_share in [100, 2] {
            let mut part = Part::new(vec!["x".into()], 0);
            for key in 0..40_000u64 {
                let label = key % positive_share == 0;
                let beside = Beside {
                    key,
                    label,
                    at_ms: 0,
                    customer: None,
                    cents: None,
                    scenario: 0,
                    categories: &[],
                };
                part.push(&[1.0], &beside);
                part.thin(1_000);
            }
            let [negative, positive] = part.weights();
            let positives = part.positives() as f64;
            let negatives = part.rows() as f64 - positives;
            assert!(part.rows() <= 1_000 && positives > 50.0 && negatives > 50.0, "{positives} {negatives}");
            let all = [negatives * negative, positives * positive];
            let expected = 40_000.0 / positive_share as f64;
            assert!((all[1] - expected).abs() < 0.3 * expected, "{all:?}");
            assert!((all[0] + all[1] - 40_000.0).abs() < 12_000.0, "{all:?}");
        }
    }
}
