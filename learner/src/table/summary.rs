//! What reading a table found: counts that callers print and put into the report.

use super::levels::Levels;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// What stands in a file besides its rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The file.
    pub path: PathBuf,
    /// Data rows of the file, as far as it was read.
    pub rows: u64,
    /// Rows handed over.
    pub delivered: u64,
    /// Rows that were not, and why.
    pub skipped: Skipped,
    /// Rows with a time before that of the row handed over before.
    pub backwards: u64,
    /// First and last time, unix milliseconds.
    pub span_ms: Option<(i64, i64)>,
    /// Labels of the rows handed over.
    pub labels: Labels,
    /// Rows whose id was not compared with the others, because there were too many ids to remember.
    pub ids_unchecked: u64,
    /// Counts of each mapped column but the scenario, over the rows handed over.
    pub columns: Vec<ColumnCounts>,
    /// Kinds of positive, where the mapping names their column.
    pub scenarios: Option<Levels>,
    /// Columns of the file that the mapping neither names nor ignores.
    pub unread: Vec<String>,
    /// Whether the caller stopped before the end.
    pub stopped: bool,
    /// SHA-256, hex, over the values of the rows handed over, as read: equal for the same rows in another format.
    pub fingerprint: String,
}

/// Counts of labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Labels {
    /// Positive.
    pub positive: u64,
    /// Negative.
    pub negative: u64,
    /// Empty, or neither of the mapping's values.
    pub unknown: u64,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnCounts {
    /// Its name.
    pub name: String,
    /// Cells where nothing stands.
    pub missing: u64,
    /// Numbers that are infinite, too large, or no place on earth; counted as missing by models.
    pub out_of_range: u64,
    /// Whether all values that are not missing are the same.
    pub constant: bool,
    /// Of texts: the levels, as far as they are kept.
    pub levels: Option<Levels>,
}

/// Kinds of rows that are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// More or fewer cells than the file has columns.
    Ragged,
    /// A time that is missing or not read.
    Time,
    /// A number that is not one.
    Number,
    /// A label that is neither positive nor negative.
    Label,
    /// An id that an earlier row has.
    DuplicateId,
}

impl FaultKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Ragged => "ragged row",
            Self::Time => "unreadable time",
            Self::Number => "unreadable number",
            Self::Label => "unknown label",
            Self::DuplicateId => "duplicate id",
        }
    }
}

/// Skipped rows of a kind and column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultCount {
    /// What is wrong.
    pub kind: FaultKind,
    /// In which column, where it is about one.
    pub column: Option<String>,
    /// How many rows.
    pub count: u64,
    /// Data row of the first, from 1.
    pub row: u64,
    /// Its line, from 1.
    pub line: Option<u64>,
    /// What stands there, shortened.
    pub value: String,
    /// What is wrong with it and what may help.
    pub reason: String,
}

/// Rows that were skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// How many; lines that a broken quote swallowed are counted one by one.
    pub rows: u64,
    /// Of how many rows.
    pub of: u64,
    /// By kind and column, in the order of first appearance.
    pub faults: Vec<FaultCount>,
}

/// Longest value of an example, characters.
const VALUE_CHARS_MAX: usize = 40;

/// A value as messages show it.
pub(super) fn shortened(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value.get(..4 * VALUE_CHARS_MAX).unwrap_or(value));
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = clean.take(VALUE_CHARS_MAX).collect();
    if text.chars().count() > VALUE_CHARS_MAX || value.len() > 4 * VALUE_CHARS_MAX {
        short.push('…');
    }
    short
}

impl Skipped {
    /// Counts a fault; of further ones of its kind and column the example is not kept.
    pub(super) fn note(&mut self, rows: u64, fault: FaultCount) {
        self.rows += rows;
        let same = |known: &&mut FaultCount| known.kind == fault.kind && known.column == fault.column;
        match self.faults.iter_mut().find(same) {
            Some(known) => known.count += rows,
            None => self.faults.push(FaultCount { count: rows, ..fault }),
        }
    }

    /// Share of rows that were skipped, 0 to 1.
    pub fn share(&self) -> f64 {
        self.rows as f64 / self.of.max(self.rows).max(1) as f64
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} rows skipped", self.rows, self.of.max(self.rows))?;
        for fault in &self.faults {
            write!(f, "; {} {}", fault.count, fault.kind.name())?;
            if let Some(column) = &fault.column {
                write!(f, " in column `{column}`")?;
            }
            write!(f, ", first in row {}", fault.row)?;
            if let Some(line) = fault.line {
                write!(f, " (line {line})")?;
            }
            write!(f, ": `{}`: {}", fault.value, fault.reason)?;
        }
        Ok(())
    }
}

impl Summary {
    /// What a reader of the report should know, a sentence each; empty where nothing is out of the ordinary.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.skipped.rows > 0 {
            remarks.push(self.skipped.to_string());
        }
        if self.backwards > 0 {
            remarks.push(format!("time runs backwards in {} rows", self.backwards));
        }
        let Labels { positive, negative, unknown } = self.labels;
        if positive + negative > 0 && (positive == 0 || negative == 0) {
            let only = if positive == 0 { "negative" } else { "positive" };
            remarks.push(format!("every label is {only}"));
        }
        if unknown > 0 && positive + negative > 0 {
            remarks.push(format!("the label of {unknown} rows is unknown"));
        }
        if self.ids_unchecked > 0 {
            remarks.push(format!("{} ids were too many to be compared with the others", self.ids_unchecked));
        }
        for column in &self.columns {
            let ColumnCounts { name, missing, out_of_range, constant, levels } = column;
            if *missing == self.delivered && self.delivered > 0 {
                remarks.push(format!("column `{name}` is empty"));
            } else if *missing > 0 {
                remarks.push(format!("column `{name}` is missing in {missing} rows"));
            }
            if *out_of_range > 0 {
                remarks.push(format!("column `{name}` is infinite or out of range in {out_of_range} rows"));
            }
            if *constant {
                remarks.push(format!("column `{name}` has one value only"));
            }
            if let Some(others) = levels.as_ref().map(Levels::others).filter(|others| *others > 0) {
                let kept = levels.as_ref().map_or(0, |levels| levels.kept().len());
                remarks.push(format!(
                    "column `{name}` has more than {kept} levels; {others} rows have one whose text is not kept"
                ));
            }
        }
        if !self.unread.is_empty() {
            remarks.push(format!("columns that the mapping does not name: {}", self.unread.join(", ")));
        }
        // The name alone: remarks are kept in artifacts, which are the same wherever the file lay.
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        // Names of columns and values are the data's: no control character of them may reach a terminal.
        let clean = |remark: &String| format!("{file}: {remark}").replace(char::is_control, "\u{fffd}");
        remarks.iter().map(clean).collect()
    }

    /// The counts of a column by its name.
    pub fn column(&self, name: &str) -> Option<&ColumnCounts> {
        self.columns.iter().find(|column| column.name == name)
    }
}
