//! Anybody's table, read by a mapping file.
//!
//! [`Mapping::read`] reads and checks the mapping, [`read`] streams a file's rows as [`Record`]s, and [`Split::cut`] says
//! which part a row belongs to. Files are CSV (delimiter `,` `;` `|` or tab, quotes doubled within quotes), the same packed
//! by gzip in one member or several, or Parquet; which one is told by content, not by name. Of a file larger than memory
//! only one row or one batch is held.
//!
//! # Bad input
//! A file that is not what the mapping says (no header, no such column, cut off, damaged, empty) is a [`TableError`] with
//! file, row, line, column and what to do. A single row that cannot be read (too many cells, no time, no number, an unknown
//! label, an id seen before in the same file) is skipped, and counted in [`Skipped`] by kind and column with the first example; more than
//! `skipped_max` of them (1 % unless the mapping says otherwise) is an error with the same examples. Nothing is dropped
//! without a count, and no bytes make it panic.
//!
//! A page of a Parquet file is held whole, and its header says how large it is unpacked, up to 2 GiB: whoever reads files of
//! people that are not believed gives the process a bound of memory.
//!
//! # Cells
//! Spaces around a cell or a name are none of it; of two columns named `a` the second is `a.1`, and a first column without
//! a name is `Unnamed: 0`, as pandas has it. Empty, `NA`, `NaN`, `null`, `none`, `n/a` and `?` are missing (`NA`, `none`
//! and `n/a` are levels of a category).
//! Infinite numbers, numbers too large for a feature and coordinates off the earth are counted and taken for missing.
//! Numbers have a decimal point and no thousands separators. Times are as [`when::FORMS`] says, all of a column alike.
//! Rows come in the file's order; those with a time before that of the row before them are counted.
#![deny(clippy::indexing_slicing)]

mod assemble;
mod cell;
mod columnar;
mod delimited;
pub mod error;
mod label;
pub mod levels;
pub mod mapping;
mod parquet_value;
pub mod record;
mod source;
pub mod split;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod when;

pub use assemble::IDS_MAX;
pub use cell::{hash_id, hash_text};
pub use error::TableError;
pub use mapping::{Mapping, MappingError};
pub use record::Record;
pub use source::ROW_BYTES_MAX;
pub use split::{Cut, Fold, Part, Period, Split};
pub use summary::{Skipped, Summary};

use std::ops::ControlFlow;
use std::path::Path;

/// Hands every readable row of a file to `visit`, in the file's order, until it breaks off.
///
/// # Errors
/// A [`TableError`], possibly after rows were handed over.
pub fn read(
    path: &Path,
    mapping: &Mapping,
    visit: &mut dyn FnMut(&Record) -> ControlFlow<()>,
) -> Result<Summary, TableError> {
    match source::open(path)? {
        source::Source::Text(text) => delimited::read(path, text, mapping, visit),
        source::Source::Parquet(file) => columnar::read(path, file, mapping, visit),
    }
}
