//! Opening and reading a customer's accounts.

use super::{Bank, BankError, CURRENCIES};
use crate::ledger::{Account, AccountId, AccountKind, Currency, CustomerId, NewAccount, Operation, Refusal};

/// Most accounts of one customer, loans included.
pub const ACCOUNTS_PER_CUSTOMER_MAX: usize = 20;

/// An account to open.
#[derive(Debug, Clone)]
pub struct OpenAccount {
    /// [`AccountKind::Current`] or [`AccountKind::Savings`].
    pub kind: AccountKind,
    /// A name for people, at most 100 bytes.
    pub name: String,
    /// One of [`CURRENCIES`].
    pub currency: Currency,
}

impl Bank {
    /// Opens an account for `customer`; the id is `customer-current`, `customer-savings`, or that with a number.
    ///
    /// # Errors
    /// [`BankError::NotOffered`] for another kind, another currency or more than [`ACCOUNTS_PER_CUSTOMER_MAX`] accounts.
    pub async fn open_account(
        &self,
        customer: &CustomerId,
        request: OpenAccount,
        now_ms: i64,
    ) -> Result<Account, BankError> {
        let OpenAccount { kind, name, currency } = request;
        if !matches!(kind, AccountKind::Current | AccountKind::Savings) {
            return Err(BankError::NotOffered("The bank offers current and savings accounts."));
        }
        if !CURRENCIES.contains(&currency) {
            return Err(BankError::NotOffered("The bank offers no accounts in this currency."));
        }
        loop {
            let id = self.free_account_id(customer, kind)?;
            let owner = Some(customer.clone());
            let open = NewAccount { id, owner, kind, name: name.clone(), currency };
            match self.book(vec![Operation::Open(open)], now_ms).await {
                // Somebody took the id between our look and the booking: look again.
                Err(BankError::Refused(Refusal::ExistsWithDifferentOwner)) => {}
                booked => return booked?.accounts.into_iter().next().ok_or(BankError::Unavailable),
            }
        }
    }

    /// Opens a customer's first account, `customer-current` in euro, unless it is there: as often as one likes.
    ///
    /// # Errors
    /// [`BankError::Unavailable`] or [`BankError::Store`].
    pub async fn open_first_account(&self, customer: &CustomerId, now_ms: i64) -> Result<Account, BankError> {
        let id = AccountId::new(format!("{customer}-current"))?;
        match self.account(customer, &id) {
            Err(BankError::NotFound) => {}
            found => return found,
        }
        let request = OpenAccount {
            kind: AccountKind::Current,
            name: "Current account".to_owned(),
            currency: Currency::EUR,
        };
        self.open_account(customer, request, now_ms).await
    }

    /// The customer's accounts in order of their ids, loans included.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub fn accounts(&self, customer: &CustomerId) -> Result<Vec<Account>, BankError> {
        Ok(self.ledger.accounts_of(customer)?)
    }

    /// Accounts of everybody and of the bank itself with ids after `after`, in order of their ids, at most `limit`: for staff.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub fn accounts_after(&self, after: &str, limit: usize) -> Result<Vec<Account>, BankError> {
        let later = self
            .ledger
            .accounts()
            .skip_while(|account| account.as_ref().is_ok_and(|account| account.id.as_str() <= after));
        Ok(later.take(limit).collect::<Result<_, _>>()?)
    }

    /// One account of the customer.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when there is none or it is another's.
    pub fn account(&self, customer: &CustomerId, id: &AccountId) -> Result<Account, BankError> {
        let account = self.ledger.account(id)?;
        account.filter(|account| account.owner.as_ref() == Some(customer)).ok_or(BankError::NotFound)
    }

    /// The name that a payer may see of an account that takes payments: of outsiders alone, never of customers.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub fn payee_name(&self, id: &AccountId) -> Result<Option<String>, BankError> {
        let account = self.ledger.account(id)?;
        Ok(account.filter(|account| account.kind == AccountKind::External).map(|account| account.name))
    }

    /// Refuses a customer who has as many accounts as one may have.
    pub(super) fn room_for_account(&self, customer: &CustomerId) -> Result<(), BankError> {
        if self.accounts(customer)?.len() >= ACCOUNTS_PER_CUSTOMER_MAX {
            return Err(BankError::NotOffered("You have as many accounts as one customer may have."));
        }
        Ok(())
    }

    /// `customer-kind`, or the first `customer-kind-2`, `-3`, … that is free. Usernames cannot make two customers meet here:
    /// what stands before the last kind is the whole username.
    fn free_account_id(&self, customer: &CustomerId, kind: AccountKind) -> Result<AccountId, BankError> {
        self.room_for_account(customer)?;
        let purpose = if kind == AccountKind::Savings { "savings" } else { "current" };
        for number in 1..=ACCOUNTS_PER_CUSTOMER_MAX {
            let id = match number {
                1 => format!("{customer}-{purpose}"),
                _ => format!("{customer}-{purpose}-{number}"),
            };
            let id = AccountId::new(id)?;
            if self.ledger.account(&id)?.is_none() {
                return Ok(id);
            }
        }
        Err(BankError::NotOffered("You have as many accounts as one customer may have."))
    }
}
