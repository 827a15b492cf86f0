//! Why a table cannot be read.

use super::summary::Skipped;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a table cannot be read. Single rows that cannot be read are no error: see [`Skipped`].
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be opened or read at all.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{0}")]
    Broken(Box<Broken>),
    /// More rows were skipped than the mapping allows.
    #[error("{}: {skipped}; at most {:.3} % may be (`skipped_max` of [file])", path.display(), allowed * 100.0)]
    Skipped {
        /// The file.
        path: PathBuf,
        /// What was skipped, with examples.
        skipped: Box<Skipped>,
        /// The share that may be skipped, 0 to 1.
        allowed: f64,
    },
}

/// A fault of a whole file, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file.
    pub path: PathBuf,
    /// The data row, from 1, where one is known: the first that could not be read.
    pub row: Option<u64>,
    /// The line, from 1, likewise.
    pub line: Option<u64>,
    /// The column, where it is about one.
    pub column: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Broken {
    pub(super) fn new(path: &Path, problem: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            row: None,
            line: None,
            column: None,
            problem: problem.into(),
            hint: None,
        }
    }

    pub(super) fn at(mut self, row: u64, line: Option<u64>) -> Self {
        self.row = Some(row);
        self.line = line;
        self
    }

    pub(super) fn column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Broken> for TableError {
    fn from(broken: Broken) -> Self {
        Self::Broken(Box::new(broken))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(row) = self.row {
            write!(f, ", row {row}")?;
        }
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column `{column}`")?;
        }
        write!(f, ": {}", self.problem)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}
