//! Loans: an application is scored, paid out on an account of its own, and paid back in equal instalments.

use serde::{Deserialize, Serialize};

use super::{Bank, BankError, CreditScore, IdempotencyKey};
use crate::ledger::{AccountId, Currency, CustomerId};

/// What a customer asks for.
#[derive(Debug, Clone)]
pub struct LoanApplication {
    /// The customer's current or savings account that the loan is paid out to and repaid from.
    pub account: AccountId,
    /// Minor units, 10_000..=5_000_000.
    pub amount_minor: i64,
    /// The currency of the account.
    pub currency: Currency,
    /// How many monthly instalments, 3..=84.
    pub months: u16,
}

/// One month of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instalment {
    /// 1 for the first.
    pub number: u16,
    /// When it is due, unix milliseconds.
    pub due_ms: i64,
    /// The part that pays the debt back, minor units.
    pub principal_minor: i64,
    /// The part that is interest, minor units.
    pub interest_minor: i64,
}

/// A loan as granted, and how far it is repaid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    /// Its account, which is also its id.
    pub id: AccountId,
    /// Where it was paid out to and is repaid from.
    pub account: AccountId,
    /// Minor units.
    pub principal_minor: i64,
    /// The currency.
    pub currency: Currency,
    /// Yearly rate in hundredths of a percent: 590 is 5.9 %.
    pub rate_bp: u32,
    /// When it was granted, unix milliseconds.
    pub granted_ms: i64,
    /// The principal parts sum to `principal_minor` exactly.
    pub schedule: Vec<Instalment>,
    /// How many instalments are repaid; the next is `schedule[instalments_paid]`.
    pub instalments_paid: u16,
    /// What is still owed, principal alone, minor units.
    pub outstanding_minor: i64,
}

/// The answer to an application.
#[derive(Debug, Clone, PartialEq)]
pub enum LoanDecision {
    /// Paid out.
    Granted {
        /// The loan.
        loan: Loan,
        /// The score it was granted on.
        score: CreditScore,
    },
    /// Not granted; the score says why.
    Declined {
        /// The score, with reasons.
        score: CreditScore,
        /// The reason in a sentence.
        reason: String,
    },
}

impl Bank {
    /// Scores an application and, when it is granted, opens the loan account and pays out, all in one.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when the account is not the customer's; [`BankError::NotOffered`] outside amounts and terms.
    pub async fn apply_for_loan(
        &self,
        _customer: &CustomerId,
        _application: LoanApplication,
        _key: Option<IdempotencyKey>,
        _now_ms: i64,
    ) -> Result<LoanDecision, BankError> {
        Err(BankError::Unavailable)
    }

    /// The customer's loans, oldest first.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub fn loans(&self, _customer: &CustomerId) -> Result<Vec<Loan>, BankError> {
        Err(BankError::Unavailable)
    }

    /// Pays the next instalment from the account that the loan was paid out to.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when the loan is not the customer's; [`BankError::NotOffered`] when all is repaid;
    /// [`BankError::Refused`] when the money is not there.
    pub async fn repay(
        &self,
        _customer: &CustomerId,
        _loan: &AccountId,
        _key: Option<IdempotencyKey>,
        _now_ms: i64,
    ) -> Result<Loan, BankError> {
        Err(BankError::Unavailable)
    }
}
