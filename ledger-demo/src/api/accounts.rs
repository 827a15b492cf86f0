//! Accounts and their entries.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::{AccountPath, Body, Parameters};
use super::permitted::{AccountsRead, AccountsWrite, Permitted};
use super::{ApiState, Problem};
use crate::banking::{OpenAccount, PAGE_ENTRIES_MAX, PageRequest, transfer_name};
use crate::ledger::{Account, AccountId, AccountKind, Category, Currency, CustomerId, Entry};

/// Entries of a page where the request does not say.
const PAGE_ENTRIES: usize = 50;

#[derive(Serialize)]
pub(super) struct AccountBody {
    id: AccountId,
    name: String,
    kind: AccountKind,
    currency: Currency,
    balance: i64,
    available: i64,
    closed: bool,
}

impl From<Account> for AccountBody {
    fn from(account: Account) -> Self {
        let (balance, available) = (account.balance(), account.available());
        let Account { id, name, kind, currency, closed, .. } = account;
        Self { id, name, kind, currency, balance, available, closed }
    }
}

#[derive(Serialize)]
pub(super) struct EntryBody {
    number: u64,
    transfer: String,
    at_ms: i64,
    amount: i64,
    balance: i64,
    counterparty: AccountId,
    category: Category,
    memo: String,
}

impl EntryBody {
    pub(super) fn new(customer: &CustomerId, entry: Entry) -> Self {
        Self {
            number: entry.number,
            transfer: transfer_name(customer, &entry.transfer),
            at_ms: entry.at_ms,
            amount: entry.amount_minor,
            balance: entry.balance_minor,
            counterparty: entry.counterparty,
            category: entry.category,
            memo: entry.memo,
        }
    }
}

pub(super) async fn list(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsRead>,
) -> Result<Json<Value>, Problem> {
    let accounts = state.bank.accounts(permitted.customer())?;
    // One customer has few accounts, so there is never a next page.
    let accounts: Vec<AccountBody> = accounts.into_iter().map(AccountBody::from).collect();
    Ok(Json(json!({"accounts": accounts, "next": null})))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsRead>,
    AccountPath(id): AccountPath,
) -> Result<Json<AccountBody>, Problem> {
    Ok(Json(state.bank.account(permitted.customer(), &id)?.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntriesQuery {
    /// The `next` of the page before.
    after: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn entries(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsRead>,
    AccountPath(id): AccountPath,
    Parameters(query): Parameters<EntriesQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = query.limit.unwrap_or(PAGE_ENTRIES).clamp(1, PAGE_ENTRIES_MAX);
    let customer = permitted.customer();
    let page = state.bank.entries(customer, &id, PageRequest { before: query.after, limit })?;
    let entries: Vec<EntryBody> =
        page.entries.into_iter().map(|entry| EntryBody::new(customer, entry)).collect();
    Ok(Json(json!({"entries": entries, "next": page.next})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenBody {
    name: String,
    kind: AccountKind,
    currency: Currency,
}

pub(super) async fn open(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsWrite>,
    Body(OpenBody { name, kind, currency }): Body<OpenBody>,
) -> Result<impl IntoResponse, Problem> {
    let request = OpenAccount { kind, name, currency };
    let account = state.bank.open_account(permitted.customer(), request, state.now_ms()).await?;
    Ok((StatusCode::CREATED, Json(AccountBody::from(account))))
}
