//! Paying somebody else, or moving money between one's own accounts.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::history::payee_name;
use super::refusals::{FieldNames, explain};
use super::{account_choices, after, paying_accounts};
use crate::banking::{IdempotencyKey, PageRequest, TransferRequest};
use crate::ledger::{Account, AccountId, Category, CustomerId};
use crate::web::notice::Notice;
use crate::web::page::Page;
use crate::web::parts::{Choice, Errors, Field, Form};
use crate::web::state::one_time_id;
use crate::web::submission::{Fields, Submission};
use crate::web::visitor::Visitor;
use crate::web::{Failure, WebState, amount, headers};

/// How far back the accounts paid before are looked for, per account, in entries.
const PAYEE_ENTRIES: usize = 50;
/// Most accounts offered as payees.
const PAYEES_MAX: usize = 12;

#[derive(Template)]
#[template(path = "transfer.html")]
struct TransferPage {
    page: Page,
    errors: Errors,
    form: Option<Form>,
}

/// What the form may start with.
#[derive(Debug, Deserialize)]
pub struct Start {
    from: Option<String>,
}

/// A payment as entered, every part readable.
pub struct Entered {
    /// The customer's account.
    pub from: Account,
    /// The payee's account.
    pub to: AccountId,
    /// Minor units, above zero.
    pub amount_minor: i64,
}

/// `GET /transfer`
pub async fn form(
    State(web): State<WebState>,
    visitor: Visitor,
    Query(start): Query<Start>,
) -> Result<Response, Failure> {
    let fields = Fields::of("from", start.from.unwrap_or_default());
    render(&web, &visitor, &fields, Errors::default())
}

/// `POST /transfer`
pub async fn send(State(web): State<WebState>, sent: Submission) -> Result<Response, Failure> {
    let Submission { visitor, fields, .. } = sent;
    let accounts = paying_accounts(&web, &visitor.id)?;
    let entered = match read(&fields, &accounts) {
        Ok(entered) => entered,
        Err(errors) => return render(&web, &visitor, &fields, errors),
    };
    let back_to = format!("/history?account={}", entered.from.id);
    let booked = match IdempotencyKey::new(fields.get("id")) {
        Err(error) => Err(error.into()),
        Ok(key) => {
            let request = TransferRequest {
                id: Some(key.as_str().to_owned()),
                currency: entered.from.currency,
                from: entered.from.id,
                to: entered.to,
                amount_minor: entered.amount_minor,
                memo: fields.get("memo").to_owned(),
            };
            web.bank().transfer(&visitor.id, request, Some(key), web.now_ms()).await
        }
    };
    match booked {
        Ok(_) => Ok(after(&back_to, Notice::Transferred)),
        Err(error) => {
            let errors = explain(error, &FieldNames { debit: "from", credit: "to" })?;
            render(&web, &visitor, &fields, errors)
        }
    }
}

/// Reads the fields `from`, `to`, `amount` and `currency` of a payment from one of `accounts`.
///
/// # Errors
/// Everything that is wrong, at its field.
pub fn read(fields: &Fields, accounts: &[Account]) -> Result<Entered, Errors> {
    let mut errors = Errors::default();
    let from = accounts.iter().find(|account| account.id.as_str() == fields.get("from"));
    if from.is_none() {
        errors.add("from", "Choose one of your accounts");
    }
    let to = AccountId::new(fields.get("to"));
    if to.is_err() {
        errors.add("to", "Enter the payee’s account number, for example bob-current");
    }
    let currency = from.map_or_else(String::new, |account| account.currency.to_string());
    let amount_minor = amount::parse(fields.get("amount"), &currency);
    if let Err(error) = amount_minor {
        errors.add("amount", error);
    }
    if from.is_some() && fields.get("currency") != currency {
        errors.add("currency", format!("This account holds {currency}"));
    }
    match (from, to, amount_minor) {
        (Some(from), Ok(to), Ok(amount_minor)) if errors.is_empty() => {
            Ok(Entered { from: from.clone(), to, amount_minor })
        }
        _ => Err(errors),
    }
}

/// The fields of a payment, the same on the pages that make one and that only check one.
///
/// # Errors
/// [`Failure`] when the bank cannot be read.
pub fn payment_fields(
    web: &WebState,
    customer: &CustomerId,
    accounts: &[Account],
    fields: &Fields,
    errors: &Errors,
    form: Form,
) -> Result<Form, Failure> {
    let mut currencies: Vec<String> = accounts.iter().map(|account| account.currency.to_string()).collect();
    currencies.sort();
    currencies.dedup();
    let form = form
        .field(
            Field::select("from", "From", account_choices(accounts))
                .value(fields.get("from"))
                .checked(errors),
        )
        .field(
            Field::text("to", "To", 80)
                .hint("The payee’s account number, for example bob-current")
                .suggest(payees(web, customer, accounts)?)
                .value(fields.get("to"))
                .checked(errors),
        );
    let memo =
        Field::text("memo", "Message to the payee (optional)", 140).value(fields.get("memo")).checked(errors);
    let amount_field = |currency| {
        Field::amount("Amount", currency)
            .hint("For example 120 or 49.90")
            .value(fields.get("amount"))
            .checked(errors)
    };
    let form = match currencies.as_slice() {
        [only] => form.hidden("currency", only.clone()).field(amount_field(Some(only.clone()))),
        several => {
            let choices =
                several.iter().map(|code| Choice { value: code.clone(), label: code.clone() }).collect();
            form.field(amount_field(None)).field(
                Field::select("currency", "Currency", choices).value(fields.get("currency")).checked(errors),
            )
        }
    };
    Ok(form.field(memo))
}

/// Own accounts first, then those paid lately.
fn payees(web: &WebState, customer: &CustomerId, accounts: &[Account]) -> Result<Vec<Choice>, Failure> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for account in accounts {
        let page = PageRequest { before: None, limit: PAYEE_ENTRIES };
        for entry in web.bank().entries(customer, &account.id, page)?.entries {
            let is_own = accounts.iter().any(|own| own.id == entry.counterparty);
            if entry.amount_minor < 0 && is_payment(entry.category) && !is_own {
                let name = payee_name(web.bank(), &entry.counterparty);
                known.insert(entry.counterparty.to_string(), name);
            }
        }
    }
    let own = accounts.iter().filter(|_| accounts.len() > 1);
    let own = own.map(|account| Choice { value: account.id.to_string(), label: account.name.clone() });
    Ok(own.chain(known.into_iter().map(|(value, label)| Choice { value, label })).take(PAYEES_MAX).collect())
}

fn render(web: &WebState, visitor: &Visitor, fields: &Fields, errors: Errors) -> Result<Response, Failure> {
    let accounts = paying_accounts(web, &visitor.id)?;
    let form = if accounts.is_empty() {
        None
    } else {
        let form = Form::new("/transfer", web.form_token(visitor), "Send money").hidden("id", one_time_id()?);
        Some(payment_fields(web, &visitor.id, &accounts, fields, &errors, form)?)
    };
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = web.page(visitor, "Transfer", "/transfer").with_errors(!errors.is_empty());
    Ok(headers::html(status, TransferPage { page, errors, form }.render()))
}

/// Whether such a booking went to a payee, rather than to the bank itself or between own accounts.
fn is_payment(category: Category) -> bool {
    !matches!(
        category,
        Category::Withdrawal
            | Category::Deposit
            | Category::Loan
            | Category::Interest
            | Category::OwnAccounts
            | Category::Reversal
    )
}
