//! What a customer can do with the bank: the services over the ledger.
//!
//! Every method takes the customer it acts for. An account that is not that customer's is [`BankError::NotFound`], the same
//! as one that does not exist, so nobody can probe for the accounts of others.

mod advice;
mod history;
mod loans;
mod payments;
mod score;

use crate::ledger::{Account, AccountId, AccountKind, Currency, CustomerId, IdError, Refusal};

pub use advice::{Advice, AdviceLine, CategorySpending};
pub use history::{EntryPage, PAGE_ENTRIES_MAX, PageRequest};
pub use loans::{Instalment, Loan, LoanApplication, LoanDecision};
pub use payments::{CashRequest, TransferRequest, TransferView};
pub use score::{CreditScore, ScoreReason};

/// Most accounts of one customer, loans included.
pub const ACCOUNTS_PER_CUSTOMER_MAX: usize = 20;
/// Longest Idempotency-Key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// Why the bank did not do it.
#[derive(Debug, thiserror::Error)]
pub enum BankError {
    /// There is no such account, transfer or loan of this customer.
    #[error("not found")]
    NotFound,
    /// The ledger refused it; nothing was booked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A text that cannot be an id, currency or key.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A request that the bank does not offer, with the reason for the customer.
    #[error("{0}")]
    NotOffered(&'static str),
    /// The ledger takes no more operations: it is closing, or its disk failed.
    #[error("the bank is out of order")]
    Unavailable,
    /// What is stored could not be read or written; for the log, not for the customer.
    #[error("store: {0}")]
    Store(String),
}

/// An `Idempotency-Key` header; it is one customer's, two customers may use the same text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Checks `text` and takes it as a key: 1 to 128 visible ASCII characters.
    ///
    /// # Errors
    /// [`IdError`] otherwise.
    pub fn new(text: &str) -> Result<Self, IdError> {
        match text.len() {
            0 => Err(IdError::Empty),
            n if n > IDEMPOTENCY_KEY_BYTES_MAX => Err(IdError::TooLong),
            _ if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(Self(text.to_owned())),
            _ => Err(IdError::Character),
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An account to open.
#[derive(Debug, Clone)]
pub struct OpenAccount {
    /// [`AccountKind::Current`] or [`AccountKind::Savings`].
    pub kind: AccountKind,
    /// A name for people, at most 100 bytes.
    pub name: String,
    /// Its currency.
    pub currency: Currency,
}

/// The bank: shared by pages, API and seed.
pub struct Bank {}

impl Bank {
    /// Opens the bank in `db` and makes its own accounts where they are missing.
    ///
    /// # Errors
    /// [`BankError::Store`] when `db` cannot be read.
    pub fn open(_db: &sled::Db) -> Result<Self, BankError> {
        Err(BankError::Unavailable)
    }

    /// Opens an account for `customer`; the id is `customer-current`, `customer-savings`, or that with a number.
    ///
    /// # Errors
    /// [`BankError::NotOffered`] for another kind or more than [`ACCOUNTS_PER_CUSTOMER_MAX`] accounts.
    pub async fn open_account(
        &self,
        _customer: &CustomerId,
        _request: OpenAccount,
        _now_ms: i64,
    ) -> Result<Account, BankError> {
        Err(BankError::Unavailable)
    }

    /// The customer's accounts in order of their ids, loans included.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub fn accounts(&self, _customer: &CustomerId) -> Result<Vec<Account>, BankError> {
        Err(BankError::Unavailable)
    }

    /// One account of the customer.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when there is none or it is another's.
    pub fn account(&self, _customer: &CustomerId, _id: &AccountId) -> Result<Account, BankError> {
        Err(BankError::Unavailable)
    }
}
