//! Why the ledger says no.

use serde::{Deserialize, Serialize};

/// A refused operation. The order is the precedence: of several faults the first in this list is told.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The Idempotency-Key was used for another request.
    #[error("this Idempotency-Key was used for a different request")]
    IdempotencyKeyReused,
    /// A memo or name is longer than its bound.
    #[error("the text is too long")]
    TextTooLong,
    /// An amount below zero.
    #[error("the amount must not be negative")]
    AmountNegative,
    /// An amount of zero.
    #[error("the amount must not be zero")]
    AmountZero,
    /// An amount above the bound of one transfer.
    #[error("the amount is larger than any transfer may be")]
    AmountTooLarge,
    /// Payer and payee are one account.
    #[error("an account cannot pay itself")]
    SameAccount,
    /// The id is taken by something with another payer.
    #[error("this id exists with a different account to debit")]
    ExistsWithDifferentDebitAccount,
    /// The id is taken by something with another payee.
    #[error("this id exists with a different account to credit")]
    ExistsWithDifferentCreditAccount,
    /// The id is taken by something with another amount.
    #[error("this id exists with a different amount")]
    ExistsWithDifferentAmount,
    /// The id is taken by something with another currency.
    #[error("this id exists with a different currency")]
    ExistsWithDifferentCurrency,
    /// The id is taken by something with another memo, category, time-out or phase.
    #[error("this id exists with different details")]
    ExistsWithDifferentDetails,
    /// The id is taken by an account of another owner, kind or name.
    #[error("this account exists and is a different one")]
    ExistsWithDifferentOwner,
    /// A pending transfer that times out in the past.
    #[error("the time-out lies in the past")]
    TimeoutInPast,
    /// There is no such transfer.
    #[error("there is no such transfer")]
    UnknownTransfer,
    /// Post or void of a transfer that was made in one phase.
    #[error("this transfer is not pending")]
    TransferNotPending,
    /// Only what is posted can be reversed.
    #[error("this transfer is not posted")]
    TransferNotPosted,
    /// Posted already.
    #[error("this transfer is posted already")]
    TransferPosted,
    /// Voided already.
    #[error("this transfer is voided already")]
    TransferVoided,
    /// Timed out already.
    #[error("this transfer has timed out")]
    TransferExpired,
    /// Reversed already.
    #[error("this transfer is reversed already")]
    TransferReversed,
    /// The account to debit does not exist.
    #[error("there is no such account to debit")]
    UnknownDebitAccount,
    /// The account to credit does not exist.
    #[error("there is no such account to credit")]
    UnknownCreditAccount,
    /// The account to close does not exist.
    #[error("there is no such account")]
    UnknownAccount,
    /// An account holds another currency.
    #[error("the account holds another currency")]
    WrongCurrency,
    /// The account to debit is closed.
    #[error("the account to debit is closed")]
    DebitAccountClosed,
    /// The account to credit is closed.
    #[error("the account to credit is closed")]
    CreditAccountClosed,
    /// An account with money or pending transfers cannot be closed.
    #[error("the account is not empty")]
    AccountNotEmpty,
    /// The payer does not have that much, pending debits counted.
    #[error("the account does not have that much to give")]
    InsufficientFunds,
    /// More than the rest of the debt.
    #[error("the payment is more than the debt")]
    ExceedsDebt,
    /// A total would leave its range.
    #[error("a total would overflow")]
    Overflow,
}

impl Refusal {
    /// The stable text code, such as `ledger.insufficient_funds`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::IdempotencyKeyReused => "idempotency.key_reused",
            Self::TextTooLong => "ledger.text_too_long",
            Self::AmountNegative => "ledger.amount_negative",
            Self::AmountZero => "ledger.amount_zero",
            Self::AmountTooLarge => "ledger.amount_too_large",
            Self::SameAccount => "ledger.same_account",
            Self::ExistsWithDifferentDebitAccount => "ledger.exists_with_different_debit_account",
            Self::ExistsWithDifferentCreditAccount => "ledger.exists_with_different_credit_account",
            Self::ExistsWithDifferentAmount => "ledger.exists_with_different_amount",
            Self::ExistsWithDifferentCurrency => "ledger.exists_with_different_currency",
            Self::ExistsWithDifferentDetails => "ledger.exists_with_different_details",
            Self::ExistsWithDifferentOwner => "ledger.exists_with_different_owner",
            Self::TimeoutInPast => "ledger.timeout_in_past",
            Self::UnknownTransfer => "ledger.unknown_transfer",
            Self::TransferNotPending => "ledger.transfer_not_pending",
            Self::TransferNotPosted => "ledger.transfer_not_posted",
            Self::TransferPosted => "ledger.transfer_posted",
            Self::TransferVoided => "ledger.transfer_voided",
            Self::TransferExpired => "ledger.transfer_expired",
            Self::TransferReversed => "ledger.transfer_reversed",
            Self::UnknownDebitAccount => "ledger.unknown_debit_account",
            Self::UnknownCreditAccount => "ledger.unknown_credit_account",
            Self::UnknownAccount => "ledger.unknown_account",
            Self::WrongCurrency => "ledger.wrong_currency",
            Self::DebitAccountClosed => "ledger.debit_account_closed",
            Self::CreditAccountClosed => "ledger.credit_account_closed",
            Self::AccountNotEmpty => "ledger.account_not_empty",
            Self::InsufficientFunds => "ledger.insufficient_funds",
            Self::ExceedsDebt => "ledger.exceeds_debt",
            Self::Overflow => "ledger.overflow",
        }
    }

    /// Whether the id or key, rather than the content, is what stands against it (409 in the API).
    #[must_use]
    pub fn is_conflict(self) -> bool {
        matches!(
            self,
            Self::IdempotencyKeyReused
                | Self::ExistsWithDifferentDebitAccount
                | Self::ExistsWithDifferentCreditAccount
                | Self::ExistsWithDifferentAmount
                | Self::ExistsWithDifferentCurrency
                | Self::ExistsWithDifferentDetails
                | Self::ExistsWithDifferentOwner
        )
    }
}
