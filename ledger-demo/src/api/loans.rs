//! Loans, credit score and advice.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::amount::Amount;
use super::body::{AccountPath, Body};
use super::permitted::{AccountsRead, AccountsWrite, Idempotency, Permitted};
use super::{ApiState, Problem};
use crate::banking::{Advice, CreditScore, Instalment, Loan, LoanApplication, LoanDecision};
use crate::ledger::{AccountId, Category, Currency};

#[derive(Serialize)]
struct InstalmentBody {
    number: u16,
    due_ms: i64,
    principal: i64,
    interest: i64,
    amount: i64,
    paid: bool,
}

#[derive(Serialize)]
struct LoanBody {
    id: AccountId,
    account: AccountId,
    principal: i64,
    outstanding: i64,
    currency: Currency,
    rate_bp: u32,
    granted_ms: i64,
    instalments_paid: u16,
    schedule: Vec<InstalmentBody>,
}

impl From<Loan> for LoanBody {
    fn from(loan: Loan) -> Self {
        let paid = loan.instalments_paid;
        let instalment = |due: &Instalment| InstalmentBody {
            number: due.number,
            due_ms: due.due_ms,
            principal: due.principal_minor,
            interest: due.interest_minor,
            amount: due.total_minor(),
            paid: due.number <= paid,
        };
        Self {
            schedule: loan.schedule.iter().map(instalment).collect(),
            id: loan.id,
            account: loan.account,
            principal: loan.principal_minor,
            outstanding: loan.outstanding_minor,
            currency: loan.currency,
            rate_bp: loan.rate_bp,
            granted_ms: loan.granted_ms,
            instalments_paid: paid,
        }
    }
}

pub(super) async fn list(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsRead>,
) -> Result<Json<Value>, Problem> {
    let loans = state.bank.loans(permitted.customer())?;
    let loans: Vec<LoanBody> = loans.into_iter().map(LoanBody::from).collect();
    Ok(Json(json!({"loans": loans, "next": null})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationBody {
    account: AccountId,
    amount: Amount,
    currency: Currency,
    months: u16,
}

pub(super) async fn apply(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsWrite>,
    Idempotency(key): Idempotency,
    Body(body): Body<ApplicationBody>,
) -> Result<impl IntoResponse, Problem> {
    let ApplicationBody { account, amount: Amount(amount_minor), currency, months } = body;
    let application = LoanApplication { account, amount_minor, currency, months };
    let decision = state.bank.apply_for_loan(permitted.customer(), application, key, state.now_ms()).await?;
    Ok(match decision {
        LoanDecision::Granted { loan, score } => {
            let body = json!({"status": "granted", "loan": LoanBody::from(loan), "credit_score": score});
            (StatusCode::CREATED, Json(body))
        }
        LoanDecision::Declined { score, reason } => (
            StatusCode::OK,
            Json(json!({"status": "declined", "explanation": reason, "credit_score": score})),
        ),
    })
}

pub(super) async fn repay(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsWrite>,
    Idempotency(key): Idempotency,
    AccountPath(loan): AccountPath,
) -> Result<impl IntoResponse, Problem> {
    let loan = state.bank.repay(permitted.customer(), &loan, key, state.now_ms()).await?;
    Ok((StatusCode::CREATED, Json(json!({"loan": LoanBody::from(loan)}))))
}

pub(super) async fn credit_score(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsRead>,
) -> Result<Json<CreditScore>, Problem> {
    Ok(Json(state.bank.credit_score(permitted.customer(), state.now_ms()).await?))
}

#[derive(Serialize)]
struct SpendingBody {
    category: Category,
    last_30_days: i64,
    usual: Option<i64>,
}

pub(super) async fn advice(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsRead>,
) -> Result<Json<Value>, Problem> {
    let Advice { currency, income_minor, spending_minor, categories, lines } =
        state.bank.advice(permitted.customer(), state.now_ms()).await?;
    let categories: Vec<SpendingBody> = categories
        .into_iter()
        .map(|spending| SpendingBody {
            category: spending.category,
            last_30_days: spending.last_30_days_minor,
            usual: spending.usual_minor,
        })
        .collect();
    let advice: Vec<Value> = lines
        .into_iter()
        .map(|line| json!({"code": line.code, "sentence": line.sentence, "amount": line.amount_minor}))
        .collect();
    Ok(Json(json!({
        "currency": currency,
        "income": income_minor,
        "spending": spending_minor,
        "categories": categories,
        "advice": advice,
    })))
}
