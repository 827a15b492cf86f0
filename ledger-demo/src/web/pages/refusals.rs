//! The ledger's refusals as a customer reads them, at the field that they are about.

use super::Failure;
use crate::banking::BankError;
use crate::ledger::Refusal;
use crate::web::parts::Errors;

/// The field names that a form uses for its two accounts.
pub struct FieldNames {
    /// The account that gives.
    pub debit: &'static str,
    /// The account that gets.
    pub credit: &'static str,
}

/// What the person can put right, or why the page ends here.
///
/// # Errors
/// [`Failure`] for everything that another input would not change.
pub fn explain(error: BankError, names: &FieldNames) -> Result<Errors, Failure> {
    let errors = Errors::default();
    match error {
        BankError::NotFound => Ok(errors.with(names.debit, "Choose one of your accounts")),
        BankError::NotOffered(reason) => Ok(errors.with("", reason)),
        BankError::Id(_) => {
            Ok(errors.with("", "This page is out of date. Check your entries and send them again"))
        }
        BankError::Refused(refusal) => {
            let (field, text) = told(refusal, names);
            Ok(errors.with(field, text))
        }
        BankError::Unavailable | BankError::Store(_) => Err(error.into()),
    }
}

fn told(refusal: Refusal, names: &FieldNames) -> (&'static str, &'static str) {
    match refusal {
        Refusal::AmountNegative | Refusal::AmountZero => ("amount", "Enter an amount above zero"),
        Refusal::AmountTooLarge | Refusal::Overflow => ("amount", "This is more than the bank moves at once"),
        Refusal::InsufficientFunds => ("amount", "The account does not have that much available"),
        Refusal::ExceedsDebt => ("amount", "This is more than what is owed"),
        Refusal::SameAccount => (names.credit, "Choose two different accounts"),
        Refusal::UnknownCreditAccount | Refusal::UnknownAccount => {
            (names.credit, "There is no account with this number that can be paid")
        }
        Refusal::CreditAccountClosed => (names.credit, "This account is closed"),
        Refusal::UnknownDebitAccount => (names.debit, "Choose one of your accounts"),
        Refusal::DebitAccountClosed => (names.debit, "This account is closed"),
        Refusal::WrongCurrency => (names.credit, "The two accounts have different currencies"),
        Refusal::TextTooLong => ("memo", "Write at most 140 bytes, about 140 plain letters"),
        refusal if refusal.is_conflict() => (
            "",
            "You sent this form before with other details. Look at your history first; \
             if you want to make another booking, check the entries below and send them",
        ),
        _ => ("", "The bank cannot book this"),
    }
}
