//! Paying money in and taking cash out.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::refusals::{FieldNames, explain};
use super::{account_choices, after, paying_accounts};
use crate::banking::{CashRequest, IdempotencyKey};
use crate::ledger::Account;
use crate::web::notice::Notice;
use crate::web::page::Page;
use crate::web::parts::{Errors, Field, Form};
use crate::web::state::one_time_id;
use crate::web::submission::{Fields, Submission};
use crate::web::visitor::Visitor;
use crate::web::{Failure, WebState, amount, headers};

/// Which way the money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

#[derive(Template)]
#[template(path = "cash.html")]
struct CashPage {
    page: Page,
    direction: Direction,
    errors: Errors,
    form: Option<Form>,
}

/// `GET /deposit`
pub async fn deposit_form(State(web): State<WebState>, visitor: Visitor) -> Result<Response, Failure> {
    render(&web, &visitor, Direction::In, &Fields::default(), Errors::default())
}

/// `GET /withdraw`
pub async fn withdrawal_form(State(web): State<WebState>, visitor: Visitor) -> Result<Response, Failure> {
    render(&web, &visitor, Direction::Out, &Fields::default(), Errors::default())
}

/// `POST /deposit`
pub async fn deposit(State(web): State<WebState>, sent: Submission) -> Result<Response, Failure> {
    book(&web, sent, Direction::In).await
}

/// `POST /withdraw`
pub async fn withdraw(State(web): State<WebState>, sent: Submission) -> Result<Response, Failure> {
    book(&web, sent, Direction::Out).await
}

async fn book(web: &WebState, sent: Submission, direction: Direction) -> Result<Response, Failure> {
    let Submission { visitor, fields, .. } = sent;
    let accounts = paying_accounts(web, &visitor.id)?;
    let (account, amount_minor) = match read(&fields, &accounts) {
        Ok(entered) => entered,
        Err(errors) => return render(web, &visitor, direction, &fields, errors),
    };
    let request = CashRequest {
        account: account.id.clone(),
        amount_minor,
        currency: Some(account.currency),
        memo: fields.get("memo").to_owned(),
    };
    let booked = match IdempotencyKey::new(fields.get("id")) {
        Err(error) => Err(error.into()),
        Ok(key) => match direction {
            Direction::In => web.bank().deposit(&visitor.id, request, Some(key), web.now_ms()).await,
            Direction::Out => web.bank().withdraw(&visitor.id, request, Some(key), web.now_ms()).await,
        },
    };
    match booked {
        Ok(_) => {
            let notice = if direction == Direction::In { Notice::Deposited } else { Notice::Withdrawn };
            Ok(after(&format!("/history?account={}", account.id), notice))
        }
        Err(error) => {
            let errors = explain(error, &FieldNames { debit: "account", credit: "account" })?;
            render(web, &visitor, direction, &fields, errors)
        }
    }
}

fn read<'a>(fields: &Fields, accounts: &'a [Account]) -> Result<(&'a Account, i64), Errors> {
    let mut errors = Errors::default();
    let account = accounts.iter().find(|account| account.id.as_str() == fields.get("account"));
    let currency = account.map_or_else(String::new, |account| account.currency.to_string());
    let amount_minor = amount::parse(fields.get("amount"), &currency);
    if account.is_none() {
        errors.add("account", "Choose one of your accounts");
    }
    if let Err(error) = amount_minor {
        errors.add("amount", error);
    }
    match (account, amount_minor) {
        (Some(account), Ok(amount_minor)) => Ok((account, amount_minor)),
        _ => Err(errors),
    }
}

fn render(
    web: &WebState,
    visitor: &Visitor,
    direction: Direction,
    fields: &Fields,
    errors: Errors,
) -> Result<Response, Failure> {
    let accounts = paying_accounts(web, &visitor.id)?;
    let (title, path, label, submit) = match direction {
        Direction::In => ("Deposit", "/deposit", "Into", "Pay in"),
        Direction::Out => ("Withdraw", "/withdraw", "From", "Take out"),
    };
    let one_currency = accounts.first().map(|account| account.currency.to_string());
    let form = if accounts.is_empty() {
        None
    } else {
        let form = Form::new(path, web.form_token(visitor), submit)
            .hidden("id", one_time_id()?)
            .field(
                Field::select("account", label, account_choices(&accounts))
                    .value(fields.get("account"))
                    .checked(&errors),
            )
            .field(
                Field::amount("Amount", one_currency)
                    .hint("For example 120 or 49.90")
                    .value(fields.get("amount"))
                    .checked(&errors),
            )
            .field(
                Field::text("memo", "Note (optional)", 140)
                    .hint("Stands in your history")
                    .value(fields.get("memo"))
                    .checked(&errors),
            );
        Some(form)
    };
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = web.page(visitor, title, path).with_errors(!errors.is_empty());
    Ok(headers::html(status, CashPage { page, direction, errors, form }.render()))
}
