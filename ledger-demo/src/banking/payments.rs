//! Cash in, cash out, and payments.

use serde::Serialize;

use super::catalogue::category_of;
use super::{Bank, BankError, IdempotencyKey, own_account};
use crate::ledger::{
    Account, AccountId, AccountKind, Booked, Category, Command, Currency, CustomerId, IdError, NewTransfer,
    Operation, Refusal, Transfer, TransferId,
};

/// Longest id of a customer's own making, in bytes.
const OWN_ID_BYTES_MAX: usize = 64;

/// Cash to pay in or take out.
#[derive(Debug, Clone, Serialize)]
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
#[derive(Debug, Clone, Serialize)]
pub struct TransferRequest {
    /// An id of the customer's own making: the same id is never booked twice. `None`: the bank makes one.
    /// At most 64 of ASCII letters, digits and `- _ .`.
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

/// The id that `customer` knows a transfer by; see [`TransferView::id`].
#[must_use]
pub fn transfer_name(customer: &CustomerId, id: &TransferId) -> String {
    let own = id.as_str().strip_prefix(customer.as_str()).and_then(|rest| rest.strip_prefix(':'));
    own.unwrap_or(id.as_str()).to_owned()
}

impl Bank {
    /// Pays cash into an account of the customer.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when the account is not the customer's; [`BankError::Refused`] by the ledger.
    pub async fn deposit(
        &self,
        customer: &CustomerId,
        request: CashRequest,
        key: Option<IdempotencyKey>,
        now_ms: i64,
    ) -> Result<TransferView, BankError> {
        let (account, cash, currency) = self.cash_accounts(customer, &request)?;
        let parts = (cash, account.id, currency, Category::Deposit);
        self.move_cash(customer, "deposit", request, parts, key, now_ms).await
    }

    /// Takes cash out of an account of the customer.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when the account is not the customer's; [`BankError::Refused`] by the ledger.
    pub async fn withdraw(
        &self,
        customer: &CustomerId,
        request: CashRequest,
        key: Option<IdempotencyKey>,
        now_ms: i64,
    ) -> Result<TransferView, BankError> {
        let (account, cash, currency) = self.cash_accounts(customer, &request)?;
        let parts = (account.id, cash, currency, Category::Withdrawal);
        self.move_cash(customer, "withdrawal", request, parts, key, now_ms).await
    }

    /// Pays from an account of the customer to another account.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when `from` is not the customer's; [`BankError::Refused`] by the ledger.
    pub async fn transfer(
        &self,
        customer: &CustomerId,
        request: TransferRequest,
        key: Option<IdempotencyKey>,
        now_ms: i64,
    ) -> Result<TransferView, BankError> {
        let from = self.spending_account(customer, &request.from)?;
        let to = self.ledger.account(&request.to)?;
        // The bank's own accounts and loans take no payments, and are not spoken of.
        let to = to.filter(|to| to.kind.is_payee()).ok_or(Refusal::UnknownCreditAccount)?;
        let category = if to.owner == from.owner {
            Category::OwnAccounts
        } else {
            category_of(to.id.as_str()).unwrap_or(Category::Payment)
        };
        let receipt = key.map(|key| key.receipt(customer, "transfer", &request)).transpose()?;
        let new = NewTransfer {
            id: transfer_id(customer, request.id.as_deref())?,
            debit: from.id,
            credit: to.id,
            amount_minor: request.amount_minor,
            currency: request.currency,
            category,
            memo: request.memo,
            timeout_ms: None,
        };
        let command = Command { operations: vec![Operation::Transfer(new)], receipt, at_ms: now_ms };
        view_first(customer, self.ledger.submit(command).await?)
    }

    /// A transfer that the customer made or got, by the id in their [`TransferView`] or entries.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when there is none or the customer has no part in it.
    pub fn find_transfer(&self, customer: &CustomerId, id: &str) -> Result<TransferView, BankError> {
        let full = if id.contains(':') { id.to_owned() } else { format!("{customer}:{id}") };
        let id = TransferId::new(full).map_err(|_| BankError::NotFound)?;
        let transfer = self.ledger.transfer(&id)?.ok_or(BankError::NotFound)?;
        let theirs = |side: &AccountId| -> Result<bool, BankError> {
            Ok(self.ledger.account(side)?.is_some_and(|account| account.owner.as_ref() == Some(customer)))
        };
        if !theirs(&transfer.debit)? && !theirs(&transfer.credit)? {
            return Err(BankError::NotFound);
        }
        Ok(TransferView { id: transfer_name(customer, &transfer.id), transfer })
    }

    /// An account of the customer that money can be put into and taken from as they like.
    pub(super) fn spending_account(
        &self,
        customer: &CustomerId,
        id: &AccountId,
    ) -> Result<Account, BankError> {
        let account = self.account(customer, id)?;
        if account.kind == AccountKind::Loan {
            return Err(BankError::NotOffered("A loan is paid out and repaid as its schedule says."));
        }
        Ok(account)
    }

    fn cash_accounts(
        &self,
        customer: &CustomerId,
        request: &CashRequest,
    ) -> Result<(Account, AccountId, Currency), BankError> {
        let account = self.spending_account(customer, &request.account)?;
        let currency = request.currency.unwrap_or(account.currency);
        let cash = own_account(AccountKind::Cash, account.currency)?;
        Ok((account, cash, currency))
    }

    async fn move_cash(
        &self,
        customer: &CustomerId,
        what: &'static str,
        request: CashRequest,
        (debit, credit, currency, category): (AccountId, AccountId, Currency, Category),
        key: Option<IdempotencyKey>,
        now_ms: i64,
    ) -> Result<TransferView, BankError> {
        let receipt = key.map(|key| key.receipt(customer, what, &request)).transpose()?;
        let id = transfer_id(customer, None)?;
        let CashRequest { amount_minor, memo, .. } = request;
        let new = NewTransfer { id, debit, credit, amount_minor, currency, category, memo, timeout_ms: None };
        let command = Command { operations: vec![Operation::Transfer(new)], receipt, at_ms: now_ms };
        view_first(customer, self.ledger.submit(command).await?)
    }
}

/// `customer:own-id`. The customer's name in front keeps everybody's ids apart: nobody can take another's id, nor learn from
/// a refusal that it is taken.
fn transfer_id(customer: &CustomerId, own: Option<&str>) -> Result<TransferId, IdError> {
    match own {
        None => TransferId::new(format!("{customer}:{:032x}", rand::random::<u128>())),
        Some(own) if own.len() > OWN_ID_BYTES_MAX => Err(IdError::TooLong),
        // An account's id has the same characters, and no colon.
        Some(own) => TransferId::new(format!("{customer}:{}", AccountId::new(own)?)),
    }
}

fn view_first(customer: &CustomerId, booked: Booked) -> Result<TransferView, BankError> {
    let transfer = booked.transfers.into_iter().next().ok_or(BankError::Unavailable)?;
    Ok(TransferView { id: transfer_name(customer, &transfer.id), transfer })
}
