//! The history of an account, newest first, page by page.

use super::{Bank, BankError};
use crate::ledger::{AccountId, AccountKind, Currency, CustomerId, Entry, TransferStatus};

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

/// A payment that a customer once made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PastTransfer {
    /// When, unix milliseconds.
    pub at_ms: i64,
    /// Who paid.
    pub customer: CustomerId,
    /// To which account.
    pub payee: AccountId,
    /// Minor units.
    pub amount_minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Bank {
    /// One page of the history of an account of the customer.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when it is not the customer's.
    pub fn entries(
        &self,
        customer: &CustomerId,
        account: &AccountId,
        page: PageRequest,
    ) -> Result<EntryPage, BankError> {
        self.account(customer, account)?;
        let limit = page.limit.clamp(1, PAGE_ENTRIES_MAX);
        let entries = self.ledger.entries(account, page.before, limit)?;
        // Entries are numbered from 1 without gaps, so the number tells whether there are older ones.
        let next = entries.last().map(|oldest| oldest.number).filter(|number| *number > 1);
        Ok(EntryPage { entries, next })
    }

    /// Every posted payment that left a customer's current or savings account for an account that takes payments, oldest
    /// first; cash and loans are none. Reads the whole ledger: for a start-up, not for a request.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub fn past_transfers(&self) -> Result<Vec<PastTransfer>, BankError> {
        let mut past = Vec::new();
        for transfer in self.ledger.transfers() {
            let transfer = transfer?;
            if transfer.status != TransferStatus::Posted || transfer.reverses.is_some() {
                continue;
            }
            let Some(debit) = self.ledger.account(&transfer.debit)? else { continue };
            let Some(credit) = self.ledger.account(&transfer.credit)? else { continue };
            let spends = matches!(debit.kind, AccountKind::Current | AccountKind::Savings);
            if let (true, true, Some(customer)) = (spends, credit.kind.is_payee(), debit.owner) {
                past.push(PastTransfer {
                    at_ms: transfer.created_ms,
                    customer,
                    payee: transfer.credit,
                    amount_minor: transfer.amount_minor,
                    currency: transfer.currency,
                });
            }
        }
        past.sort_by(|a, b| (a.at_ms, &a.customer, &a.payee).cmp(&(b.at_ms, &b.customer, &b.payee)));
        Ok(past)
    }
}
