//! The whole bank, for its staff: the totals of every currency, the proof that they are zero, and all accounts.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use url::form_urlencoded;

use crate::ledger::{Account, AccountKind, CurrencyTotals};
use crate::web::page::Page;
use crate::web::parts::Money;
use crate::web::visitor::Visitor;
use crate::web::{Failure, WebState, headers};

/// Accounts on one page.
const ACCOUNTS: usize = 40;

#[derive(Template)]
#[template(path = "admin.html")]
struct AdminPage {
    page: Page,
    in_order: bool,
    faults: Vec<String>,
    transfers: u64,
    currencies: Vec<CurrencyRow>,
    accounts: Vec<AccountRow>,
    more: Option<String>,
    is_first: bool,
}

/// The proof of one currency: both sides of every booking, and what is left between them.
struct CurrencyRow {
    currency: String,
    accounts: u64,
    debits: Money,
    credits: Money,
    difference: Money,
    pending: Money,
    is_zero: bool,
}

struct AccountRow {
    id: String,
    name: String,
    owner: String,
    kind: &'static str,
    balance: Money,
    entries: u64,
    is_closed: bool,
}

/// Where the list of accounts goes on.
#[derive(Debug, Deserialize)]
pub struct Asked {
    after: Option<String>,
}

/// `GET /admin`
pub async fn show(
    State(web): State<WebState>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    if !visitor.is_staff() {
        return Err(Failure::StaffOnly);
    }
    let books = web.bank().books().await?;
    let after = asked.after.unwrap_or_default();
    let mut accounts = web.bank().accounts_after(&after, ACCOUNTS + 1)?;
    let has_more = accounts.len() > ACCOUNTS;
    accounts.truncate(ACCOUNTS);
    let last = accounts.last().filter(|_| has_more);
    let page = AdminPage {
        page: web.page(&visitor, "The whole bank", "/admin"),
        in_order: books.in_order(),
        transfers: books.transfers,
        currencies: books
            .totals
            .iter()
            .map(|(currency, totals)| currency_row(currency.to_string(), totals))
            .collect(),
        faults: books.faults,
        more: last.map(|account| {
            let id = form_urlencoded::byte_serialize(account.id.as_str().as_bytes()).collect::<String>();
            format!("/admin?after={id}")
        }),
        accounts: accounts.iter().map(account_row).collect(),
        is_first: after.is_empty(),
    };
    Ok(headers::html(StatusCode::OK, page.render()))
}

fn currency_row(currency: String, totals: &CurrencyTotals) -> CurrencyRow {
    let money = |amount: i128| Money::plain(shown(amount), &currency);
    // Totals of u64 accounts: i128 holds any sum that a ledger of this size can have.
    let signed = |total: u128| i128::try_from(total).unwrap_or(i128::MAX);
    let difference = signed(totals.credits_posted).saturating_sub(signed(totals.debits_posted));
    CurrencyRow {
        accounts: totals.accounts,
        debits: money(signed(totals.debits_posted)),
        credits: money(signed(totals.credits_posted)),
        difference: money(difference),
        pending: money(signed(totals.debits_pending)),
        is_zero: difference == 0,
        currency,
    }
}

fn shown(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}

fn account_row(account: &Account) -> AccountRow {
    AccountRow {
        id: account.id.to_string(),
        name: account.name.clone(),
        owner: account.owner.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string),
        kind: match account.kind {
            AccountKind::Current => "Current",
            AccountKind::Savings => "Savings",
            AccountKind::Loan => "Loan",
            AccountKind::Cash => "Cash",
            AccountKind::InterestIncome => "Interest income",
            AccountKind::External => "Outside",
        },
        balance: Money::plain(account.balance(), account.currency),
        entries: account.entries,
        is_closed: account.closed,
    }
}
