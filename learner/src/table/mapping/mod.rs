//! Mapping files: what the columns of somebody's table mean, where its label is, and how it is split.
//!
//! ```toml
//! [columns]
//! time = "ts"                      # ISO 8601 (UTC where no zone is given) or a number
//! time_unit = "seconds"            # of numbers; left out: by the size of the first one
//! customer = "customer_id"
//! counterparty = "merchant_id"
//! amount = "amount"
//! currency = "currency"
//! coordinates = { customer = ["home_lat", "home_long"], counterparty = ["merch_lat", "merch_long"] }
//! categorical = ["category"]
//! numeric = ["city_pop"]
//! label = "is_fraud"
//! scenario = "kind"                # kind of positive, for analysis only; may be the label's own column
//! id = "transaction_id"            # later rows with an id seen before are skipped and counted
//! [label]
//! delay_days = 7                   # a label is known only so long after its row
//! positive = "Yes"                 # or a list; or `negative = "normal"`: every other value is positive
//! [split]
//! train = ["2023-02-01", "2024-01-01"]     # half-open
//! validate = ["2024-01-08", "2024-03-01"]
//! test = ["2024-03-08", "2024-07-01"]
//! # or fractions = [0.6, 0.1, 0.3], of the time, or of the rows of a table without time
//! leave_out_known_customers = false
//! [[search.folds]]                 # folds for hyper-parameters, all before the test part
//! train = ["2023-02-01", "2023-08-01"]
//! validate = ["2023-08-08", "2023-10-01"]
//! [file]
//! names = ["a", "b"]               # of a file without a header
//! delimiter = ";"                  # left out: , ; | or tab, whichever fits
//! ignore = ["comment"]             # left unread, and not reported as unread
//! skipped_max = 0.01               # largest share of rows that may be unreadable
//! [train]
//! rows_max = 2_000_000
//! rows = "normal"                  # or "all": which training rows an anomaly model learns from
//! ```

mod check;
mod faults;
mod raw;
#[cfg(test)]
mod tests;

use super::split::{Fold, Split};
use super::when::{DateOrder, TimeUnit};
use policies::DocumentError;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest mapping file, bytes.
pub const MAPPING_BYTES_MAX: u64 = 1024 * 1024;
/// Largest share of rows that may be unreadable where the mapping does not say.
pub const SKIPPED_MAX_DEFAULT: f64 = 0.01;
/// Most rows to train on where the mapping does not say.
pub const ROWS_MAX_DEFAULT: usize = 2_000_000;

/// A checked mapping. See the module for the file's form.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// Where it was read.
    pub path: PathBuf,
    /// What the columns are.
    pub columns: Columns,
    /// What a label's values mean.
    pub label: LabelRule,
    /// Which row belongs to which part.
    pub split: Split,
    /// Folds for hyper-parameters, in the file's order; none where the trainer is to make its own.
    pub folds: Vec<Fold>,
    /// How files are written.
    pub file: FileRule,
    /// What is trained on.
    pub train: TrainRule,
}

/// Names of columns by what they are. No column has two roles, but for a label that is the scenario as well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// When the row happened.
    pub time: Option<String>,
    /// What a number in the time column counts; `None`: by the size of the first one.
    pub time_unit: Option<TimeUnit>,
    /// What comes first in dates whose year comes last; `None`: as the first date tells.
    pub date_order: Option<DateOrder>,
    /// Whose behaviour it is.
    pub customer: Option<String>,
    /// The other side: payee, merchant, terminal.
    pub counterparty: Option<String>,
    /// The amount, major units.
    pub amount: Option<String>,
    /// The amount's currency, any text.
    pub currency: Option<String>,
    /// `[[latitude, longitude]; 2]` of customer and counterparty, degrees.
    pub coordinates: Option<[[String; 2]; 2]>,
    /// Texts with few or many levels.
    pub categorical: Vec<String>,
    /// Numbers.
    pub numeric: Vec<String>,
    /// The label.
    pub label: Option<String>,
    /// The kind of positive, for analysis only.
    pub scenario: Option<String>,
    /// Identifies a row.
    pub id: Option<String>,
}

/// What a label's values mean. Both lists empty: 1, true, yes and y are positive, 0, false, no and n negative.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LabelRule {
    /// How long after its row a label is known, milliseconds.
    pub delay_ms: i64,
    /// Values that are positive, upper or lower case; with none negative, every other value is negative.
    pub positive: Vec<String>,
    /// Values that are negative, likewise. With both lists given, other values are unknown.
    pub negative: Vec<String>,
}

/// How files are written.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRule {
    /// Names of the columns of files without a header.
    pub names: Option<Vec<String>>,
    /// What stands between cells; `None`: whichever of `,` `;` `|` tab fits.
    pub delimiter: Option<u8>,
    /// Columns that are known and not wanted.
    pub ignore: Vec<String>,
    /// Largest share of rows that may be skipped, 0 to 1.
    pub skipped_max: f64,
}

/// What is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainRule {
    /// Most rows, 1 or more.
    pub rows_max: usize,
    /// Rows that an anomaly model learns from.
    pub rows: RowsKept,
}

/// Which of the training rows an anomaly model learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsKept {
    /// Those that are not labelled positive; where there is a label, the default.
    Normal,
    /// All of them.
    All,
}

/// Why there is no mapping.
#[derive(Debug)]
pub enum MappingError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// What is wrong with it, in the file's order; at least one fault.
    Faults(PathBuf, Vec<DocumentError>),
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Faults(path, faults) => {
                for (at, fault) in faults.iter().enumerate() {
                    let end = if at == 0 { "" } else { "\n" };
                    write!(f, "{end}{}:{fault}", path.display())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for MappingError {}

impl Mapping {
    /// Reads and checks a mapping file.
    ///
    /// # Errors
    /// Everything that is wrong, each with line and column; a file that is not TOML of the right shape gives one fault.
    pub fn read(path: &Path) -> Result<Self, MappingError> {
        let unreadable = |error| MappingError::Unreadable(path.to_owned(), error);
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MAPPING_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAPPING_BYTES_MAX {
            let message = format!("longer than {MAPPING_BYTES_MAX} bytes");
            return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, message)));
        }
        Self::parse(&text, path)
    }

    /// The same from text; `path` is what faults are reported under.
    ///
    /// # Errors
    /// As [`Mapping::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, MappingError> {
        check::mapping(text, path).map_err(|faults| MappingError::Faults(path.to_owned(), faults))
    }
}
