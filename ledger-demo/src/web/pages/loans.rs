//! Loans: what runs, with its schedule, and applying for one.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::credit::ScoreView;
use super::refusals::{FieldNames, explain};
use super::{account_choices, after, paying_accounts};
use crate::banking::{IdempotencyKey, Loan, LoanApplication, LoanDecision};
use crate::ledger::{Account, AccountId};
use crate::web::notice::Notice;
use crate::web::page::Page;
use crate::web::parts::{Bar, Choice, Errors, Field, Form, Money};
use crate::web::state::one_time_id;
use crate::web::submission::{Fields, Submission};
use crate::web::visitor::Visitor;
use crate::web::{Failure, WebState, amount, day, headers};

/// The terms that the page offers, in months.
const TERMS: [u16; 7] = [6, 12, 24, 36, 48, 60, 84];
const TERM_AT_FIRST: &str = "24";

#[derive(Template)]
#[template(path = "loans.html")]
struct LoansPage {
    page: Page,
    errors: Errors,
    loans: Vec<Row>,
    form: Option<Form>,
    declined: Option<Declined>,
}

struct Declined {
    reason: String,
    view: ScoreView,
}

struct Row {
    id: AccountId,
    outstanding: Money,
    principal: Money,
    rate: String,
    granted: String,
    bar: Bar,
    instalments_paid: u16,
    schedule: Vec<Month>,
    form: Option<Form>,
}

struct Month {
    number: u16,
    due: String,
    payment: Money,
    principal: Money,
    interest: Money,
    is_paid: bool,
}

/// The query after a redirect.
#[derive(Debug, Deserialize)]
pub struct Done {
    done: Option<String>,
}

/// `GET /loans`
pub async fn show(
    State(web): State<WebState>,
    visitor: Visitor,
    Query(query): Query<Done>,
) -> Result<Response, Failure> {
    let page = web.page(&visitor, "Loans", "/loans").done(query.done.as_deref());
    render(&web, &visitor, page, &Fields::default(), Errors::default(), None)
}

/// `POST /loans`
pub async fn apply(State(web): State<WebState>, sent: Submission) -> Result<Response, Failure> {
    let Submission { visitor, fields, .. } = sent;
    let accounts = paying_accounts(&web, &visitor.id)?;
    let page = web.page(&visitor, "Loans", "/loans");
    let application = match read(&fields, &accounts) {
        Ok(application) => application,
        Err(errors) => return render(&web, &visitor, page, &fields, errors, None),
    };
    let decided = match IdempotencyKey::new(fields.get("id")) {
        Err(error) => Err(error.into()),
        Ok(key) => web.bank().apply_for_loan(&visitor.id, application, Some(key), web.now_ms()).await,
    };
    match decided {
        Ok(LoanDecision::Granted { .. }) => Ok(after("/loans", Notice::LoanPaidOut)),
        Ok(LoanDecision::Declined { score, reason }) => {
            let declined = Declined { reason, view: ScoreView::new(score) };
            render(&web, &visitor, page, &fields, Errors::default(), Some(declined))
        }
        Err(error) => {
            let errors = explain(error, &FieldNames { debit: "account", credit: "account" })?;
            render(&web, &visitor, page, &fields, errors, None)
        }
    }
}

/// `POST /loans/repay`
pub async fn repay(State(web): State<WebState>, sent: Submission) -> Result<Response, Failure> {
    let Submission { visitor, fields, .. } = sent;
    let loan = AccountId::new(fields.get("loan")).map_err(|_| Failure::NotFound)?;
    let key = IdempotencyKey::new(fields.get("id")).map_err(|_| Failure::MalformedForm)?;
    // Nothing in this form can be corrected but the loan itself, so a loan that is not theirs ends the page.
    let found = web.bank().loans(&visitor.id)?.into_iter().any(|known| known.id == loan);
    if !found {
        return Err(Failure::NotFound);
    }
    match web.bank().repay(&visitor.id, &loan, Some(key), web.now_ms()).await {
        Ok(_) => Ok(after("/loans", Notice::LoanRepaid)),
        Err(error) => {
            let errors = explain(error, &FieldNames { debit: "", credit: "" })?;
            let page = web.page(&visitor, "Loans", "/loans");
            render(&web, &visitor, page, &Fields::default(), errors.unlinked(), None)
        }
    }
}

fn read(fields: &Fields, accounts: &[Account]) -> Result<LoanApplication, Errors> {
    let mut errors = Errors::default();
    let account = accounts.iter().find(|account| account.id.as_str() == fields.get("account"));
    if account.is_none() {
        errors.add("account", "Choose one of your accounts");
    }
    let currency = account.map_or_else(String::new, |account| account.currency.to_string());
    let amount_minor = amount::parse(fields.get("amount"), &currency);
    if let Err(error) = amount_minor {
        errors.add("amount", error);
    }
    let months = fields.get("months").parse::<u16>().ok().filter(|months| TERMS.contains(months));
    if months.is_none() {
        errors.add("months", "Choose a term");
    }
    match (account, amount_minor, months) {
        (Some(account), Ok(amount_minor), Some(months)) => Ok(LoanApplication {
            account: account.id.clone(),
            amount_minor,
            currency: account.currency,
            months,
        }),
        _ => Err(errors),
    }
}

fn render(
    web: &WebState,
    visitor: &Visitor,
    page: Page,
    fields: &Fields,
    errors: Errors,
    declined: Option<Declined>,
) -> Result<Response, Failure> {
    let accounts = paying_accounts(web, &visitor.id)?;
    let loans = web.bank().loans(&visitor.id)?;
    let form = if accounts.is_empty() {
        None
    } else {
        Some(application_form(&accounts, web.form_token(visitor), fields, &errors)?)
    };
    let loans =
        loans.iter().map(|loan| row(loan, web.form_token(visitor))).collect::<Result<Vec<_>, Failure>>()?;
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = page.with_errors(!errors.is_empty());
    Ok(headers::html(status, LoansPage { page, errors, loans, form, declined }.render()))
}

fn application_form(
    accounts: &[Account],
    token: String,
    fields: &Fields,
    errors: &Errors,
) -> Result<Form, Failure> {
    let terms =
        TERMS.iter().map(|months| Choice { value: months.to_string(), label: format!("{months} months") });
    let months = if fields.get("months").is_empty() { TERM_AT_FIRST } else { fields.get("months") };
    let currency = accounts.first().map(|account| account.currency.to_string());
    Ok(Form::new("/loans", token, "Apply")
        .hidden("id", one_time_id()?)
        .field(
            Field::amount("How much", currency)
                .hint("From 100 to 50,000; write it without commas")
                .value(fields.get("amount"))
                .checked(errors),
        )
        .field(Field::select("months", "For how long", terms.collect()).value(months).checked(errors))
        .field(
            Field::select("account", "Paid out to, and repaid from", account_choices(accounts))
                .value(fields.get("account"))
                .checked(errors),
        ))
}

fn row(loan: &Loan, token: String) -> Result<Row, Failure> {
    let money = |amount_minor| Money::plain(amount_minor, loan.currency);
    let is_open = usize::from(loan.instalments_paid) < loan.schedule.len();
    let form = if is_open {
        let form = Form::new("/loans/repay", token, "Pay the next instalment now")
            .hidden("loan", loan.id.to_string())
            .hidden("id", one_time_id()?)
            .button("button plain");
        Some(form)
    } else {
        None
    };
    Ok(Row {
        id: loan.id.clone(),
        outstanding: money(loan.outstanding_minor).big(),
        principal: money(loan.principal_minor),
        rate: format!("{}.{:02}", loan.rate_bp / 100, loan.rate_bp % 100),
        granted: day::day(loan.granted_ms),
        bar: Bar::share(loan.principal_minor.saturating_sub(loan.outstanding_minor), loan.principal_minor)
            .tone("good"),
        instalments_paid: loan.instalments_paid,
        schedule: loan
            .schedule
            .iter()
            .map(|month| Month {
                number: month.number,
                due: day::day(month.due_ms),
                payment: money(month.principal_minor.saturating_add(month.interest_minor)),
                principal: money(month.principal_minor),
                interest: money(month.interest_minor),
                is_paid: month.number <= loan.instalments_paid,
            })
            .collect(),
        form,
    })
}
