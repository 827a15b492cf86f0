//! The history of an account: newest first, filtered, page by page.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use url::form_urlencoded;

use crate::banking::{Bank, PAGE_ENTRIES_MAX, PageRequest};
use crate::ledger::{Account, AccountId, Category, CustomerId, Entry};
use crate::web::page::Page;
use crate::web::parts::{Choice, Money};
use crate::web::visitor::Visitor;
use crate::web::{Failure, WebState, day, headers};

/// Entries on one page.
const LINES: usize = 25;
/// Most entries looked at for one page when a filter leaves out many; "older" goes on from there.
const LOOKED_AT_MAX: usize = 1_000;
/// Longest text to search for, in bytes.
const SEARCH_BYTES_MAX: usize = 60;

/// One entry as people read it.
pub struct Line {
    /// Who or what it was.
    pub title: String,
    /// The memo.
    pub memo: String,
    /// What it was for.
    pub category: &'static str,
    /// The name of the account it is booked on.
    pub account: String,
    /// The change of the account.
    pub change: Money,
    /// The balance after it.
    pub balance: Money,
    /// Its day.
    pub day: String,
    /// Its time for machines.
    pub machine_time: String,
}

impl Line {
    /// The entry of `account`, for somebody who has the accounts `own`.
    pub fn new(bank: &Bank, entry: &Entry, account: &Account, own: &[Account]) -> Self {
        let own_name = own.iter().find(|candidate| candidate.id == entry.counterparty);
        let title = match entry.category {
            Category::Deposit => "Cash paid in".to_owned(),
            Category::Withdrawal => "Cash taken out".to_owned(),
            Category::Interest => "Interest".to_owned(),
            Category::Loan if entry.amount_minor > 0 => "Loan paid out".to_owned(),
            Category::Loan => "Loan repayment".to_owned(),
            Category::Reversal => "Reversal".to_owned(),
            _ => match own_name {
                Some(own) => own.name.clone(),
                None => payee_name(bank, &entry.counterparty),
            },
        };
        let said = entry.memo == title || entry.memo == category_name(entry.category);
        let memo = if said { String::new() } else { entry.memo.clone() };
        Self {
            title,
            memo,
            category: category_name(entry.category),
            account: account.name.clone(),
            change: Money::change(entry.amount_minor, account.currency),
            balance: Money::plain(entry.balance_minor, account.currency),
            day: day::day(entry.at_ms),
            machine_time: day::machine(entry.at_ms),
        }
    }
}

/// The name of a shop or employer; other people's accounts go by their number alone.
pub fn payee_name(bank: &Bank, id: &AccountId) -> String {
    bank.payee_name(id).ok().flatten().unwrap_or_else(|| id.to_string())
}

/// What people call a category.
pub fn category_name(category: Category) -> &'static str {
    match category {
        Category::Salary => "Salary",
        Category::Rent => "Rent and housing",
        Category::Groceries => "Groceries",
        Category::Dining => "Eating out",
        Category::Utilities => "Utilities",
        Category::Transport => "Transport",
        Category::Shopping => "Shopping",
        Category::Deposit => "Deposit",
        Category::Withdrawal => "Cash",
        Category::Loan => "Loan",
        Category::Interest => "Interest",
        Category::OwnAccounts => "Own accounts",
        Category::Payment => "Payment",
        Category::Reversal => "Reversal",
    }
}

/// Where an account's history is.
pub fn path_of(account: &AccountId) -> String {
    format!("/history?account={account}")
}

/// The query of the page.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    account: Option<String>,
    direction: Option<String>,
    text: Option<String>,
    before: Option<String>,
    done: Option<String>,
}

/// Which entries are shown.
struct Filter {
    /// `in`, `out` or empty for both.
    direction: &'static str,
    /// In lower case; empty for all.
    text: String,
}

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    page: Page,
    choices: Vec<Choice>,
    account: Option<Account>,
    balance: Option<Money>,
    direction: &'static str,
    text: String,
    is_filtered: bool,
    lines: Vec<Line>,
    older: Option<String>,
    newest: Option<String>,
}

/// `GET /history`
pub async fn show(
    State(web): State<WebState>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let accounts = web.bank().accounts(&visitor.id)?;
    let account = match asked.account.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => Some(accounts.iter().find(|account| account.id.as_str() == id).ok_or(Failure::NotFound)?),
        None => accounts.first(),
    };
    let filter = Filter::of(&asked);
    let before = match asked.before.as_deref() {
        Some(text) => Some(text.parse::<u64>().map_err(|_| Failure::NotFound)?),
        None => None,
    };
    let (entries, next) = match account {
        Some(account) => matching(&web, &visitor.id, &account.id, &filter, before)?,
        None => (Vec::new(), None),
    };
    let history = History {
        page: web.page(&visitor, "History", "/history").done(asked.done.as_deref()),
        choices: accounts
            .iter()
            .map(|account| Choice { value: account.id.to_string(), label: account.name.clone() })
            .collect(),
        balance: account.map(|account| Money::plain(account.balance(), account.currency).big()),
        lines: account.map_or_else(Vec::new, |account| {
            entries.iter().map(|entry| Line::new(web.bank(), entry, account, &accounts)).collect()
        }),
        older: account.zip(next).map(|(account, next)| filter.address(&account.id, Some(next))),
        newest: account.zip(before).map(|(account, _)| filter.address(&account.id, None)),
        is_filtered: !filter.direction.is_empty() || !filter.text.is_empty(),
        account: account.cloned(),
        direction: filter.direction,
        text: filter.text,
    };
    Ok(headers::html(StatusCode::OK, history.render()))
}

/// The next [`LINES`] entries that the filter lets through, and where the page after begins.
fn matching(
    web: &WebState,
    customer: &CustomerId,
    account: &AccountId,
    filter: &Filter,
    mut before: Option<u64>,
) -> Result<(Vec<Entry>, Option<u64>), Failure> {
    let mut found = Vec::new();
    for _ in 0..LOOKED_AT_MAX / PAGE_ENTRIES_MAX {
        let request = PageRequest { before, limit: PAGE_ENTRIES_MAX };
        let page = web.bank().entries(customer, account, request)?;
        for entry in page.entries {
            if !filter.lets_through(&entry) {
                continue;
            }
            if found.len() == LINES {
                return Ok((found, entry.number.checked_add(1)));
            }
            found.push(entry);
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    Ok((found, before))
}

impl Filter {
    fn of(asked: &Asked) -> Self {
        let direction = match asked.direction.as_deref() {
            Some("in") => "in",
            Some("out") => "out",
            _ => "",
        };
        let text = asked.text.as_deref().unwrap_or("").trim();
        let text = text.char_indices().take_while(|(at, _)| *at < SEARCH_BYTES_MAX).map(|(_, c)| c);
        Self { direction, text: text.collect::<String>().to_lowercase() }
    }

    fn lets_through(&self, entry: &Entry) -> bool {
        let direction = match self.direction {
            "in" => entry.amount_minor > 0,
            "out" => entry.amount_minor < 0,
            _ => true,
        };
        direction
            && (self.text.is_empty()
                || entry.memo.to_lowercase().contains(&self.text)
                || entry.counterparty.as_str().to_lowercase().contains(&self.text)
                || category_name(entry.category).to_lowercase().contains(&self.text))
    }

    fn address(&self, account: &AccountId, before: Option<u64>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("account", account.as_str());
        if !self.direction.is_empty() {
            query.append_pair("direction", self.direction);
        }
        if !self.text.is_empty() {
            query.append_pair("text", &self.text);
        }
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        format!("/history?{}", query.finish())
    }
}
