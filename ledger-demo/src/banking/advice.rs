//! Advice: this month's spending by category beside the customer's own months before.

use serde::{Deserialize, Serialize};

use super::{Bank, BankError};
use crate::ledger::{Category, Currency, CustomerId};

/// What a category cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategorySpending {
    /// Which.
    pub category: Category,
    /// The last 30 days, minor units.
    pub last_30_days_minor: i64,
    /// The mean of the customer's earlier 30-day spans, minor units; `None` without any.
    pub usual_minor: Option<i64>,
}

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdviceLine {
    /// A stable code such as `category_above_usual`.
    pub code: String,
    /// A sentence for the customer.
    pub sentence: String,
    /// The amount that it is about, minor units.
    pub amount_minor: i64,
}

/// What the customer's own figures say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The currency of all amounts.
    pub currency: Currency,
    /// Got in the last 30 days, minor units, without transfers between own accounts.
    pub income_minor: i64,
    /// Spent in the last 30 days, minor units, without transfers between own accounts.
    pub spending_minor: i64,
    /// Largest first.
    pub categories: Vec<CategorySpending>,
    /// Most useful first.
    pub lines: Vec<AdviceLine>,
}

impl Bank {
    /// Advice as of `now_ms`.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub async fn advice(&self, _customer: &CustomerId, _now_ms: i64) -> Result<Advice, BankError> {
        Err(BankError::Unavailable)
    }
}
