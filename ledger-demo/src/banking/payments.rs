//! Cash in, cash out, and payments.

use super::{Bank, BankError, IdempotencyKey};
use crate::ledger::{AccountId, Currency, CustomerId, Transfer};

/// Cash to pay in or take out.
#[derive(Debug, Clone)]
pub struct CashRequest {
    /// The customer's account.
    pub account: AccountId,
    /// Minor units.
    pub amount_minor: i64,
    /// Must be the account's currency; `None` means it is.
    pub currency: Option<Currency>,
    /// A word for the history, at most 140 bytes.
    pub memo: String,
}

/// A payment to make.
#[derive(Debug, Clone)]
pub struct TransferRequest {
    /// An id of the customer's own making: the same id is never booked twice. `None`: the bank makes one.
    pub id: Option<String>,
    /// The customer's account.
    pub from: AccountId,
    /// Any account at this bank that takes payments.
    pub to: AccountId,
    /// Minor units.
    pub amount_minor: i64,
    /// The currency of both accounts.
    pub currency: Currency,
    /// A word to the payee, at most 140 bytes.
    pub memo: String,
}

/// A transfer as one customer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferView {
    /// The id that this customer knows it by: their own for what they started, the full one for what they got.
    pub id: String,
    /// The transfer.
    pub transfer: Transfer,
}

impl Bank {
    /// Pays cash into an account of the customer.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when the account is not the customer's; [`BankError::Refused`] by the ledger.
    pub async fn deposit(
        &self,
        _customer: &CustomerId,
        _request: CashRequest,
        _key: Option<IdempotencyKey>,
        _now_ms: i64,
    ) -> Result<TransferView, BankError> {
        Err(BankError::Unavailable)
    }

    /// Takes cash out of an account of the customer.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when the account is not the customer's; [`BankError::Refused`] by the ledger.
    pub async fn withdraw(
        &self,
        _customer: &CustomerId,
        _request: CashRequest,
        _key: Option<IdempotencyKey>,
        _now_ms: i64,
    ) -> Result<TransferView, BankError> {
        Err(BankError::Unavailable)
    }

    /// Pays from an account of the customer to another account.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when `from` is not the customer's; [`BankError::Refused`] by the ledger.
    pub async fn transfer(
        &self,
        _customer: &CustomerId,
        _request: TransferRequest,
        _key: Option<IdempotencyKey>,
        _now_ms: i64,
    ) -> Result<TransferView, BankError> {
        Err(BankError::Unavailable)
    }

    /// A transfer that the customer made or got, by the id in their [`TransferView`] or entries.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when there is none or the customer has no part in it.
    pub fn find_transfer(&self, _customer: &CustomerId, _id: &str) -> Result<TransferView, BankError> {
        Err(BankError::Unavailable)
    }
}
