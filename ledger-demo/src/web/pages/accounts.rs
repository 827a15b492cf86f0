//! The overview that people see first, and their profile.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::history::{self, Line};
use crate::banking::PageRequest;
use crate::ledger::{Account, AccountKind};
use crate::web::page::Page;
use crate::web::parts::Money;
use crate::web::visitor::Visitor;
use crate::web::{Failure, WebState, headers};

/// How many of the newest entries the overview shows.
const NEWEST: usize = 6;

/// The query after a redirect.
#[derive(Debug, Deserialize)]
pub struct Done {
    done: Option<String>,
}

struct Row {
    account: Account,
    balance: Money,
    /// Shown where it differs from the balance.
    available: Option<Money>,
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct Overview {
    page: Page,
    totals: Vec<Money>,
    accounts: Vec<Row>,
    loans: Vec<Row>,
    newest: Vec<Line>,
}

#[derive(Template)]
#[template(path = "profile.html")]
struct Profile {
    page: Page,
    name: String,
    username: String,
    roles: Vec<String>,
    accounts: usize,
    consents: Option<usize>,
}

/// `GET /accounts`
pub async fn overview(
    State(web): State<WebState>,
    visitor: Visitor,
    Query(query): Query<Done>,
) -> Result<Response, Failure> {
    let (loans, accounts): (Vec<_>, Vec<_>) = web
        .bank()
        .accounts(&visitor.id)?
        .into_iter()
        .filter(|account| !(account.closed && account.balance() == 0))
        .partition(|account| account.kind == AccountKind::Loan);

    let mut totals = BTreeMap::<String, i64>::new();
    let mut newest = Vec::new();
    for account in &accounts {
        let total = totals.entry(account.currency.to_string()).or_default();
        *total = total.saturating_add(account.available());
        let latest = PageRequest { before: None, limit: NEWEST };
        let entries = web.bank().entries(&visitor.id, &account.id, latest)?.entries;
        newest.extend(
            entries.into_iter().map(|entry| (entry.at_ms, Line::new(web.bank(), &entry, account, &accounts))),
        );
    }
    newest.sort_by_key(|(at_ms, _)| std::cmp::Reverse(*at_ms));
    newest.truncate(NEWEST);

    let overview = Overview {
        page: web.page(&visitor, "Accounts", "/accounts").done(query.done.as_deref()),
        totals: totals.into_iter().map(|(currency, sum)| Money::plain(sum, currency).huge()).collect(),
        accounts: accounts.into_iter().map(row).collect(),
        loans: loans.into_iter().filter(|loan| loan.balance() != 0).map(row).collect(),
        newest: newest.into_iter().map(|(_, line)| line).collect(),
    };
    Ok(headers::html(StatusCode::OK, overview.render()))
}

/// `GET /profile`
pub async fn profile(State(web): State<WebState>, visitor: Visitor) -> Result<Response, Failure> {
    let profile = Profile {
        page: web.page(&visitor, "Profile", "/profile"),
        name: web.name_of(&visitor),
        username: visitor.id.to_string(),
        roles: visitor.roles.clone(),
        accounts: web.bank().accounts(&visitor.id)?.len(),
        consents: web.consents().list(visitor.id.as_str()).ok().map(|consents| consents.len()),
    };
    Ok(headers::html(StatusCode::OK, profile.render()))
}

fn row(account: Account) -> Row {
    let (balance, available) = (account.balance(), account.available());
    let owed = account.kind == AccountKind::Loan;
    Row {
        balance: Money::plain(balance, account.currency).big(),
        available: (available != balance && !owed).then(|| Money::plain(available, account.currency)),
        account,
    }
}

impl Row {
    fn history(&self) -> String {
        history::path_of(&self.account.id)
    }

    fn kind(&self) -> &'static str {
        match self.account.kind {
            AccountKind::Savings => "Savings account",
            AccountKind::Loan => "Loan",
            _ => "Current account",
        }
    }
}
