//! What the ledger keeps: accounts, transfers and the entries that a transfer leaves on its two accounts.

use serde::{Deserialize, Serialize};

use super::{AccountId, Currency, CustomerId, TransferId};

/// Largest amount of one transfer, in minor units (ten thousand million of a currency with cents).
pub const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;
/// Longest name of an account, in bytes.
pub const NAME_BYTES_MAX: usize = 100;
/// Longest memo of a transfer, in bytes.
pub const MEMO_BYTES_MAX: usize = 140;

/// What an account is for; it decides which way its balance may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// A customer's everyday account. Never below zero, pending debits counted.
    Current,
    /// A customer's savings. Never below zero, pending debits counted.
    Savings,
    /// What a customer owes: at or below zero, so that nobody repays more than the debt.
    /// All of these together are the bank's loan book.
    Loan,
    /// The bank's cash: the other side of deposits and withdrawals.
    Cash,
    /// What the bank earns in interest.
    InterestIncome,
    /// Somebody outside the bank: employers, landlords, shops.
    External,
}

impl AccountKind {
    /// Whether the account belongs to a customer.
    #[must_use]
    pub fn is_customers(self) -> bool {
        matches!(self, Self::Current | Self::Savings | Self::Loan)
    }

    /// Whether a customer may pay to an account of this kind.
    #[must_use]
    pub fn is_payee(self) -> bool {
        matches!(self, Self::Current | Self::Savings | Self::External)
    }
}

/// An account and its four totals, each in minor units and only ever growing (the pending ones shrink when a pending
/// transfer is posted, voided or times out).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The account's id.
    pub id: AccountId,
    /// Whose it is; `None` for the bank's own and for outsiders.
    pub owner: Option<CustomerId>,
    /// What it is for.
    pub kind: AccountKind,
    /// A name for people.
    pub name: String,
    /// The only currency it holds.
    pub currency: Currency,
    /// Closed accounts take part in no further transfer.
    pub closed: bool,
    /// When it was opened, unix milliseconds.
    pub opened_ms: i64,
    /// Everything ever taken from it.
    pub debits_posted: u64,
    /// Everything ever given to it.
    pub credits_posted: u64,
    /// Reserved to be taken.
    pub debits_pending: u64,
    /// Announced to be given.
    pub credits_pending: u64,
    /// How many entries it has; entries are numbered 1..=entries.
    pub entries: u64,
}

impl Account {
    /// Posted credits less posted debits, in minor units. What a customer owes on a loan is below zero.
    #[must_use]
    pub fn balance(&self) -> i64 {
        // Both totals stay at or below i64::MAX: the ledger refuses a transfer that would pass it.
        signed(self.credits_posted).saturating_sub(signed(self.debits_posted))
    }

    /// What can be spent: the balance less what pending transfers have reserved.
    #[must_use]
    pub fn available(&self) -> i64 {
        self.balance().saturating_sub(signed(self.debits_pending))
    }
}

fn signed(total: u64) -> i64 {
    i64::try_from(total).unwrap_or(i64::MAX)
}

/// What a transfer was for, as far as the bank knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Wages.
    Salary,
    /// Rent and housing.
    Rent,
    /// Food and household.
    Groceries,
    /// Eating out.
    Dining,
    /// Energy, water, telephone.
    Utilities,
    /// Travel and transport.
    Transport,
    /// Other purchases.
    Shopping,
    /// Cash paid in.
    Deposit,
    /// Cash taken out.
    Withdrawal,
    /// A loan paid out, or its principal paid back.
    Loan,
    /// Interest.
    Interest,
    /// Between accounts of one customer.
    OwnAccounts,
    /// To another person.
    Payment,
    /// The counter-entry of an earlier transfer.
    Reversal,
}

/// Where a transfer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferStatus {
    /// The amount is reserved.
    Pending,
    /// Booked on both accounts.
    Posted,
    /// A reservation given back.
    Voided,
    /// A reservation that nobody posted in time.
    Expired,
}

/// An amount on its way from one account to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The transfer's id.
    pub id: TransferId,
    /// The account that gives.
    pub debit: AccountId,
    /// The account that gets.
    pub credit: AccountId,
    /// Minor units, 1..=[`AMOUNT_MINOR_MAX`].
    pub amount_minor: i64,
    /// The currency of both accounts.
    pub currency: Currency,
    /// What it was for.
    pub category: Category,
    /// A word to the payee.
    pub memo: String,
    /// Where it stands.
    pub status: TransferStatus,
    /// When it was made, unix milliseconds.
    pub created_ms: i64,
    /// When a pending transfer times out, unix milliseconds.
    pub expires_ms: Option<i64>,
    /// The transfer that this one takes back.
    pub reverses: Option<TransferId>,
    /// The transfer that took this one back.
    pub reversed_by: Option<TransferId>,
}

/// One line of an account's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// 1 for the account's first entry.
    pub number: u64,
    /// The transfer that made it.
    pub transfer: TransferId,
    /// When it was booked, unix milliseconds.
    pub at_ms: i64,
    /// Minor units: above zero what the account got, below what it gave.
    pub amount_minor: i64,
    /// The account's balance after it, minor units.
    pub balance_minor: i64,
    /// The account on the other side.
    pub counterparty: AccountId,
    /// What it was for.
    pub category: Category,
    /// The transfer's memo.
    pub memo: String,
}
