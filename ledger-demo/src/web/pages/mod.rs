//! The pages, a file for each part of the menu.

pub mod accounts;
pub mod admin;
pub mod advice;
pub mod aggregator;
pub mod cash;
pub mod connections;
pub mod credit;
pub mod fraud_check;
pub mod history;
pub mod loans;
pub mod public;
mod refusals;
pub mod transfer;

use axum::response::{IntoResponse, Redirect, Response};

use super::notice::Notice;
use super::parts::Choice;
use super::{Failure, WebState, amount};
use crate::ledger::{Account, AccountKind, CustomerId};

/// The accounts that a customer can pay from.
fn paying_accounts(web: &WebState, customer: &CustomerId) -> Result<Vec<Account>, Failure> {
    let mut accounts = web.bank().accounts(customer)?;
    accounts.retain(|account| account.kind != AccountKind::Loan && !account.closed);
    Ok(accounts)
}

/// The accounts as lines of a select, each with what can be spent.
fn account_choices(accounts: &[Account]) -> Vec<Choice> {
    accounts
        .iter()
        .map(|account| {
            let currency = account.currency.to_string();
            let available = amount::show(account.available(), &currency);
            Choice {
                value: account.id.to_string(),
                label: format!("{} · {available} {currency}", account.name),
            }
        })
        .collect()
}

/// To a page of ours that says what was done.
fn after(path: &str, notice: Notice) -> Response {
    let separator = if path.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{path}{separator}done={}", notice.code())).into_response()
}
