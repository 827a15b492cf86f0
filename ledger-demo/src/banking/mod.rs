//! What a customer can do with the bank: the services over the ledger.
//!
//! Every method takes the customer it acts for. An account that is not that customer's is [`BankError::NotFound`], the same
//! as one that does not exist, so nobody can probe for the accounts of others.

mod accounts;
mod advice;
mod amortisation;
mod catalogue;
mod history;
mod idempotency;
mod loans;
mod payments;
mod score;
mod statement;

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::ledger::{
    AccountId, AccountKind, Books, Command, Currency, IdError, Ledger, LedgerError, NewAccount, Operation,
    Posting, Refusal,
};

pub use accounts::{ACCOUNTS_PER_CUSTOMER_MAX, OpenAccount};
pub use advice::{Advice, AdviceLine, CategorySpending};
pub use catalogue::{Payee, payees};
pub use history::{EntryPage, PAGE_ENTRIES_MAX, PageRequest, PastTransfer};
pub use idempotency::{IDEMPOTENCY_KEY_BYTES_MAX, IdempotencyKey};
pub use loans::{Instalment, LOAN_MINOR, LOAN_MONTHS, Loan, LoanApplication, LoanDecision};
pub use payments::{CashRequest, TransferRequest, TransferView, transfer_name};
pub use score::{CreditScore, ScoreReason};

/// The currencies that the bank offers accounts in.
pub const CURRENCIES: [Currency; 3] = [Currency::EUR, Currency::USD, Currency::GBP];

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

impl From<LedgerError> for BankError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Refused(refusal) => Self::Refused(refusal),
            LedgerError::Unavailable => Self::Unavailable,
            LedgerError::Store(text) => Self::Store(text),
        }
    }
}

/// The bank: shared by pages, API and seed.
pub struct Bank {
    ledger: Arc<Ledger>,
}

impl Bank {
    /// Opens the bank in `db` and makes its own accounts, and those of the outsiders it knows, where they are missing.
    ///
    /// # Errors
    /// [`BankError::Store`] when `db` cannot be read or written.
    pub async fn open(db: &sled::Db, now_ms: i64) -> Result<Self, BankError> {
        let ledger = Arc::new(Ledger::open(db)?);
        let own = CURRENCIES.into_iter().flat_map(|currency| {
            [(AccountKind::Cash, "Cash"), (AccountKind::InterestIncome, "Interest income")]
                .map(|(kind, name)| Ok((own_account(kind, currency)?, kind, name, currency)))
        });
        let outsiders = payees().iter().map(|payee| {
            Ok((AccountId::new(payee.account)?, AccountKind::External, payee.name, Currency::EUR))
        });
        let operations = own.chain(outsiders).map(|account: Result<_, IdError>| {
            let (id, kind, name, currency) = account?;
            Ok(Operation::Open(NewAccount { id, owner: None, kind, name: name.to_owned(), currency }))
        });
        let operations = operations.collect::<Result<Vec<_>, IdError>>()?;
        ledger.submit(Command { operations, receipt: None, at_ms: now_ms }).await?;
        Ok(Self { ledger })
    }

    /// Tells of every entry from now on, after it is on disk. Whoever listens must pass on only what is the customer's own.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Posting>> {
        self.ledger.subscribe()
    }

    /// Whether money can be moved.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.ledger.is_available()
    }

    /// The whole ledger, read and checked between two commands: for staff.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub async fn books(&self) -> Result<Books, BankError> {
        Ok(self.ledger.books().await?)
    }

    /// Gives back what was reserved and has timed out; to be called every few seconds.
    ///
    /// # Errors
    /// [`BankError::Unavailable`].
    pub async fn sweep(&self, now_ms: i64) -> Result<(), BankError> {
        Ok(self.ledger.sweep(now_ms).await?)
    }

    /// Entries of all accounts together, a number that only grows.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub fn entries_total(&self) -> Result<u64, BankError> {
        let mut total = 0_u64;
        for account in self.ledger.accounts() {
            total = total.saturating_add(account?.entries);
        }
        Ok(total)
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn book(&self, operations: Vec<Operation>, at_ms: i64) -> Result<crate::ledger::Booked, BankError> {
        Ok(self.ledger.submit(Command { operations, receipt: None, at_ms }).await?)
    }
}

/// One of the bank's own accounts, such as `bank-cash-eur`.
fn own_account(kind: AccountKind, currency: Currency) -> Result<AccountId, IdError> {
    let purpose = match kind {
        AccountKind::Cash => "cash",
        _ => "interest",
    };
    AccountId::new(format!("bank-{purpose}-{}", currency.as_str().to_ascii_lowercase()))
}
