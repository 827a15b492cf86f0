//! The history of an account, newest first, page by page.

use super::{Bank, BankError};
use crate::ledger::{AccountId, CustomerId, Entry};

/// Most entries of one page.
pub const PAGE_ENTRIES_MAX: usize = 100;

/// Which page.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest {
    /// Only entries with a smaller number than this; `None` starts with the newest.
    pub before: Option<u64>,
    /// How many, 1..=[`PAGE_ENTRIES_MAX`]; other values are brought into that range.
    pub limit: usize,
}

/// One page of an account's history.
#[derive(Debug, Clone)]
pub struct EntryPage {
    /// Newest first, each with the running balance after it.
    pub entries: Vec<Entry>,
    /// The `before` of the next page; `None` when this is the last.
    pub next: Option<u64>,
}

impl Bank {
    /// One page of the history of an account of the customer.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when it is not the customer's.
    pub fn entries(
        &self,
        _customer: &CustomerId,
        _account: &AccountId,
        _page: PageRequest,
    ) -> Result<EntryPage, BankError> {
        Err(BankError::Unavailable)
    }
}
