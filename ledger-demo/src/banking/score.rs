//! The credit score: a logistic scorecard over the customer's own history. It knows nothing of fraud scores.

use serde::{Deserialize, Serialize};

use super::{Bank, BankError};
use crate::ledger::CustomerId;

/// One reason of a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreReason {
    /// Which feature of the history, a stable code such as `income_regularity`.
    pub feature: String,
    /// Points that it adds (above zero) or takes.
    pub points: i32,
    /// A sentence for the customer.
    pub sentence: String,
}

/// How likely the customer is to repay, from their own history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreditScore {
    /// 300 (poor) to 850 (excellent).
    pub score: u16,
    /// Estimated chance of a default within a year, 0..=1.
    pub default_probability: f64,
    /// Full months of history that it stands on.
    pub months_of_history: u16,
    /// Strongest first.
    pub reasons: Vec<ScoreReason>,
}

impl Bank {
    /// The customer's score as of `now_ms`.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub async fn credit_score(&self, _customer: &CustomerId, _now_ms: i64) -> Result<CreditScore, BankError> {
        Err(BankError::Unavailable)
    }
}
