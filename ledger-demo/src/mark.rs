//! How far the books had come, kept in a file beside them.
//!
//! sled takes a file that was cut short, emptied or taken away for a store that ends there, and what is left then balances
//! as well as before. So the number of entries, which only grows, is noted now and then outside of it: books that hold
//! fewer than were noted are damaged, and the bank does not open upon them.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::banking::{Bank, BankError};

/// The books cannot be trusted, or the mark cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// Fewer entries than there were.
    #[error(
        "the books hold {found} entries and had {noted}: the store is damaged, restore it or begin anew with --fresh"
    )]
    Lost {
        /// Entries in the store.
        found: u64,
        /// Entries when the mark was set.
        noted: u64,
    },
    /// The books contradict themselves; the first fault.
    #[error("the books are not in order: {0}")]
    Disorder(String),
    /// The mark's file cannot be read or written, or holds no number.
    #[error("the mark beside the books: {0}")]
    File(#[from] std::io::Error),
    /// The books cannot be read.
    #[error(transparent)]
    Bank(#[from] BankError),
}

/// The mark of one store.
pub struct Mark(PathBuf);

impl Mark {
    /// The mark of the store in folder `store`: `books` has `books.mark`.
    #[must_use]
    pub fn beside(store: &Path) -> Self {
        Self(store.with_extension("mark"))
    }

    /// Whether the bank may open: its books are in order and hold all that they held.
    ///
    /// # Errors
    /// [`MarkError`].
    pub async fn check(&self, bank: &Bank) -> Result<(), MarkError> {
        if let Some(fault) = bank.books().await?.faults.into_iter().next() {
            return Err(MarkError::Disorder(fault));
        }
        let (noted, found) = (self.noted()?, bank.entries_total()?);
        if found < noted { Err(MarkError::Lost { found, noted }) } else { Ok(()) }
    }

    /// Notes how far the books have come.
    ///
    /// # Errors
    /// [`MarkError`]; the earlier mark stays then.
    pub async fn advance(&self, bank: &Bank, now_ms: i64) -> Result<(), MarkError> {
        let total = bank.entries_total()?;
        // What was just read may not be on disk yet; a command that is acknowledged has flushed all before it.
        bank.sweep(now_ms).await?;
        let next = self.0.with_extension("mark.next");
        let mut file = std::fs::File::create(&next)?;
        file.write_all(total.to_string().as_bytes())?;
        file.sync_all()?;
        Ok(std::fs::rename(next, &self.0)?)
    }

    fn noted(&self) -> Result<u64, std::io::Error> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => text.parse().map_err(std::io::Error::other),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }
}
