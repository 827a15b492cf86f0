//! Cash and payments.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::amount::Amount;
use super::body::{AccountPath, Body, TransferPath};
use super::permitted::{AccountsRead, AccountsWrite, Idempotency, PaymentsWrite, Permitted};
use super::{ApiState, Problem};
use crate::banking::{CashRequest, TransferRequest, TransferView, transfer_name};
use crate::ledger::{AccountId, Category, Currency, CustomerId, TransferStatus};

#[derive(Serialize)]
pub(super) struct TransferBody {
    id: String,
    status: TransferStatus,
    from: AccountId,
    to: AccountId,
    amount: i64,
    currency: Currency,
    category: Category,
    memo: String,
    created_ms: i64,
    expires_ms: Option<i64>,
    reverses: Option<String>,
    reversed_by: Option<String>,
}

impl TransferBody {
    fn new(customer: &CustomerId, TransferView { id, transfer }: TransferView) -> Self {
        let name = |id| transfer_name(customer, &id);
        Self {
            id,
            status: transfer.status,
            from: transfer.debit,
            to: transfer.credit,
            amount: transfer.amount_minor,
            currency: transfer.currency,
            category: transfer.category,
            memo: transfer.memo,
            created_ms: transfer.created_ms,
            expires_ms: transfer.expires_ms,
            reverses: transfer.reverses.map(name),
            reversed_by: transfer.reversed_by.map(name),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CashBody {
    amount: Amount,
    currency: Option<Currency>,
    #[serde(default)]
    memo: String,
}

impl CashBody {
    fn on(self, account: AccountId) -> CashRequest {
        CashRequest { account, amount_minor: self.amount.0, currency: self.currency, memo: self.memo }
    }
}

pub(super) async fn deposit(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsWrite>,
    Idempotency(key): Idempotency,
    AccountPath(account): AccountPath,
    Body(body): Body<CashBody>,
) -> Result<impl IntoResponse, Problem> {
    let customer = permitted.customer();
    let view = state.bank.deposit(customer, body.on(account), key, state.now_ms()).await?;
    Ok((StatusCode::CREATED, Json(TransferBody::new(customer, view))))
}

pub(super) async fn withdraw(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsWrite>,
    Idempotency(key): Idempotency,
    AccountPath(account): AccountPath,
    Body(body): Body<CashBody>,
) -> Result<impl IntoResponse, Problem> {
    let customer = permitted.customer();
    let view = state.bank.withdraw(customer, body.on(account), key, state.now_ms()).await?;
    Ok((StatusCode::CREATED, Json(TransferBody::new(customer, view))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    id: Option<String>,
    from: AccountId,
    to: AccountId,
    amount: Amount,
    currency: Currency,
    #[serde(default)]
    memo: String,
}

pub(super) async fn create(
    State(state): State<ApiState>,
    permitted: Permitted<PaymentsWrite>,
    Idempotency(key): Idempotency,
    Body(body): Body<CreateBody>,
) -> Result<impl IntoResponse, Problem> {
    let CreateBody { id, from, to, amount: Amount(amount_minor), currency, memo } = body;
    let request = TransferRequest { id, from, to, amount_minor, currency, memo };
    let customer = permitted.customer();
    let view = state.bank.transfer(customer, request, key, state.now_ms()).await?;
    Ok((StatusCode::CREATED, Json(TransferBody::new(customer, view))))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsRead>,
    TransferPath(id): TransferPath,
) -> Result<Json<TransferBody>, Problem> {
    let customer = permitted.customer();
    let view = state.bank.find_transfer(customer, &id)?;
    Ok(Json(TransferBody::new(customer, view)))
}
