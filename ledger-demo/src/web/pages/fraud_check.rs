//! What the gateway's fraud model thinks of a payment that is only entered, not made.
//!
//! The gateway scores this form as it scores a transfer, but only to tell: its answer is in the request's headers.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::history::payee_name;
use super::paying_accounts;
use super::transfer::{payment_fields, read};
use crate::web::fraud_result::FraudResult;
use crate::web::page::Page;
use crate::web::parts::{Bar, Errors, Form, Money};
use crate::web::submission::{Fields, Submission};
use crate::web::visitor::Visitor;
use crate::web::{Failure, WebState, headers};

#[derive(Template)]
#[template(path = "fraud_check.html")]
struct FraudCheckPage {
    page: Page,
    errors: Errors,
    form: Option<Form>,
    answer: Answer,
}

enum Answer {
    /// Nothing was asked, or it could not be read.
    None,
    /// The gateway gave no score.
    Unavailable { payment: Payment },
    /// The gateway's score.
    Given { payment: Payment, result: FraudResult, bar: Bar },
}

struct Payment {
    amount: Money,
    to: String,
}

/// `GET /fraud-check`
pub async fn form(State(web): State<WebState>, visitor: Visitor) -> Result<Response, Failure> {
    render(&web, &visitor, &Fields::default(), Errors::default(), Answer::None)
}

/// `POST /fraud-check`
pub async fn check(State(web): State<WebState>, sent: Submission) -> Result<Response, Failure> {
    let Submission { visitor, fields, headers } = sent;
    let accounts = paying_accounts(&web, &visitor.id)?;
    let entered = match read(&fields, &accounts) {
        Ok(entered) => entered,
        Err(errors) => return render(&web, &visitor, &fields, errors, Answer::None),
    };
    let payment = Payment {
        amount: Money::plain(entered.amount_minor, entered.from.currency),
        to: payee_name(web.bank(), &entered.to),
    };
    let answer = match FraudResult::read(&headers) {
        None => Answer::Unavailable { payment },
        Some(result) => {
            let bar = Bar::share(result.percent(), 100).tone(result.outcome.tone());
            Answer::Given { payment, result, bar }
        }
    };
    render(&web, &visitor, &fields, Errors::default(), answer)
}

fn render(
    web: &WebState,
    visitor: &Visitor,
    fields: &Fields,
    errors: Errors,
    answer: Answer,
) -> Result<Response, Failure> {
    let accounts = paying_accounts(web, &visitor.id)?;
    let form = if accounts.is_empty() {
        None
    } else {
        let form = Form::new("/fraud-check", web.form_token(visitor), "Check this payment");
        Some(payment_fields(web, &visitor.id, &accounts, fields, &errors, form)?)
    };
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = web.page(visitor, "Check a payment", "/fraud-check").with_errors(!errors.is_empty());
    Ok(headers::html(status, FraudCheckPage { page, errors, form, answer }.render()))
}
