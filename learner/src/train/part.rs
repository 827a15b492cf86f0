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
    /// Whose row it is; empty where the table names no customers.
    pub customers: Vec<u64>,
    /// Amounts, hundredths of a major unit; empty where the table has none.
    pub cents: Vec<i64>,
    /// Hash of the kind of positive, 0 where there is none.
    pub scenarios: Vec<u64>,
    /// Level hashes by category, 0 for missing: shape `[categories][rows]`.
    pub(super) categories: Vec<Vec<u64>>,
    /// Row numbers, so that thinning does not depend on the order.
    keys: Vec<u64>,
    /// How often the negatives were halved to keep within bounds.
    halvings: u32,
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

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Number of positive rows.
    pub fn positives(&self) -> usize {
        self.labels.iter().filter(|&&label| label).count()
    }

    /// Rows that each kept negative stands for.
    pub fn negative_weight(&self) -> f64 {
        f64::from(1u32 << self.halvings.min(31))
    }

    /// Adds a row, unless it is a negative that thinning leaves out.
    pub(super) fn push(&mut self, vector: &[f32], beside: &Beside<'_>) {
        if !beside.label && !self.keeps(beside.key) {
            return;
        }
        self.frame.push(vector);
        self.labels.push(beside.label);
        self.at_ms.push(beside.at_ms);
        self.customers.extend(beside.customer);
        self.cents.extend(beside.cents);
        self.scenarios.push(beside.scenario);
        self.keys.push(beside.key);
        for (column, level) in self.categories.iter_mut().zip(beside.categories) {
            column.push(level.unwrap_or(0));
        }
    }

    /// Whether a negative row is among those kept: the lowest bits of a hash of its number are zero.
    fn keeps(&self, key: u64) -> bool {
        let mixed = key.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32).trailing_zeros() >= self.halvings
    }

    /// Leaves out every other negative until there are at most `rows_max` rows, or the positives alone are more.
    pub(super) fn thin(&mut self, rows_max: usize) {
        while self.rows() > rows_max && self.halvings < 30 && self.rows() > self.positives() {
            self.halvings += 1;
            let keep: Vec<usize> =
                (0..self.rows()).filter(|&row| self.labels[row] || self.keeps(self.keys[row])).collect();
            let halvings = self.halvings;
            *self = self.select(&keep);
            self.halvings = halvings;
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
