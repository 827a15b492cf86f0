//! One row as models see it.

/// A row of a table. Readers fill one record again and again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Number of the data row in its file, from 1; skipped rows count.
    pub row: u64,
    /// Line of the file on which the row begins, from 1; a Parquet file has none.
    pub line: Option<u64>,
    /// When, unix milliseconds; `None` in a table without time.
    pub at_ms: Option<i64>,
    /// Who; see [`super::hash_id`].
    pub customer: Option<u64>,
    /// The other side, likewise.
    pub counterparty: Option<u64>,
    /// Major units, finite.
    pub amount: Option<f64>,
    /// Hash of the currency's text; the text is in the summary.
    pub currency: Option<u64>,
    /// `[[latitude, longitude]; 2]` of customer and counterparty, degrees within ±90 and ±180; `None` unless all are known.
    pub coordinates: Option<[[f64; 2]; 2]>,
    /// Hashes of the categorical columns' texts, in the mapping's order; see [`super::hash_text`].
    pub categories: Vec<Option<u64>>,
    /// The numeric columns in the mapping's order, finite or `NaN` for missing.
    pub numbers: Vec<f32>,
    /// The label; `None` is unknown.
    pub label: Option<bool>,
    /// Hash of the kind of positive, where the label is one.
    pub scenario: Option<u64>,
}
