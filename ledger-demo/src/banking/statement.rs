//! A customer's last half year in figures: what score and advice are made from.

use std::collections::BTreeMap;

use super::BankError;
use crate::ledger::{Account, AccountKind, Category, Currency, CustomerId, Ledger};

/// Spans of 30 days that are looked at.
pub(super) const SPANS: usize = 6;
/// One span, in milliseconds.
pub(super) const SPAN_MS: i64 = 30 * 24 * 60 * 60 * 1_000;
/// Most entries read of one account, so that nobody's history makes a request long.
const ENTRIES_READ_MAX: usize = 5_000;
/// Entries read at a time.
const PAGE: usize = 250;

/// Thirty days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// Everything got, minor units; without own transfers, loans and reversals.
    pub(super) income_minor: i64,
    /// The part of it that is wages.
    pub(super) salary_minor: i64,
    /// Everything spent, minor units; without own transfers, loans and reversals.
    pub(super) spending_minor: i64,
    /// The spending by category.
    pub(super) by_category: BTreeMap<Category, i64>,
    /// The lowest balance that a debit left on a current account, minor units.
    pub(super) lowest_minor: Option<i64>,
}

/// The customer's spans, newest first, in the currency of their first account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) currency: Currency,
    /// What the current and savings accounts hold together, minor units.
    pub(super) balance_minor: i64,
    /// Only spans in which the customer was there from the first to the last day; the newest first.
    pub(super) spans: Vec<Span>,
    /// The newest 30 days, even where the customer is new.
    pub(super) newest: Span,
}

impl Statement {
    /// Reads it as of `now_ms`. It may read thousands of rows: not on a thread that others wait for.
    pub(super) fn read(ledger: &Ledger, customer: &CustomerId, now_ms: i64) -> Result<Self, BankError> {
        let accounts = ledger.accounts_of(customer)?;
        let main = accounts.iter().find(|a| a.kind == AccountKind::Current).or(accounts.first());
        let currency = main.map_or(Currency::EUR, |account| account.currency);
        let mut spans = vec![Span::default(); SPANS];
        let mut balance_minor = 0_i64;
        let mut oldest_ms = now_ms;
        for account in accounts.iter().filter(|a| a.currency == currency && a.kind != AccountKind::Loan) {
            balance_minor = balance_minor.saturating_add(account.balance());
            let complete_from_ms = read_account(ledger, account, now_ms, &mut spans)?;
            oldest_ms = oldest_ms.min(complete_from_ms.unwrap_or(now_ms));
        }
        let newest = spans.first().cloned().unwrap_or_default();
        let there = usize::try_from(now_ms.saturating_sub(oldest_ms) / SPAN_MS).unwrap_or(0);
        spans.truncate(there);
        Ok(Self { currency, balance_minor, spans, newest })
    }

    /// The mean of `figure` over the full spans; `None` without any.
    pub(super) fn mean(&self, figure: impl Fn(&Span) -> i64) -> Option<i64> {
        mean(&self.spans, figure)
    }

    /// The mean of `figure` over the full spans before the newest; `None` without any.
    pub(super) fn usual(&self, figure: impl Fn(&Span) -> i64) -> Option<i64> {
        mean(self.spans.get(1..).unwrap_or_default(), figure)
    }
}

fn mean(spans: &[Span], figure: impl Fn(&Span) -> i64) -> Option<i64> {
    let count = i64::try_from(spans.len()).ok().filter(|count| *count > 0)?;
    Some(spans.iter().map(figure).fold(0_i64, i64::saturating_add) / count)
}

/// Adds an account's entries to their spans; gives since when the history is known, `None` for an empty one.
fn read_account(
    ledger: &Ledger,
    account: &Account,
    now_ms: i64,
    spans: &mut [Span],
) -> Result<Option<i64>, BankError> {
    let (mut before, mut read, mut oldest_ms) = (None, 0, None);
    while read < ENTRIES_READ_MAX {
        let page = ledger.entries(&account.id, before, PAGE)?;
        for entry in &page {
            read += 1;
            oldest_ms = Some(entry.at_ms);
            let age_ms = now_ms.saturating_sub(entry.at_ms).max(0);
            let Some(span) = usize::try_from(age_ms / SPAN_MS).ok().and_then(|n| spans.get_mut(n)) else {
                return Ok(oldest_ms);
            };
            span.add(account.kind, entry);
        }
        match page.last() {
            Some(last) => before = Some(last.number),
            None => break,
        }
    }
    Ok(oldest_ms)
}

impl Span {
    fn add(&mut self, kind: AccountKind, entry: &crate::ledger::Entry) {
        let amount = entry.amount_minor.saturating_abs();
        if entry.amount_minor < 0 && kind == AccountKind::Current {
            let lowest = self.lowest_minor.unwrap_or(entry.balance_minor);
            self.lowest_minor = Some(lowest.min(entry.balance_minor));
        }
        if matches!(entry.category, Category::OwnAccounts | Category::Loan | Category::Reversal) {
            return;
        }
        if entry.amount_minor < 0 {
            self.spending_minor = self.spending_minor.saturating_add(amount);
            let category = self.by_category.entry(entry.category).or_default();
            *category = category.saturating_add(amount);
        } else {
            self.income_minor = self.income_minor.saturating_add(amount);
            if entry.category == Category::Salary {
                self.salary_minor = self.salary_minor.saturating_add(amount);
            }
        }
    }
}

/// Minor units for people: `12.05 EUR`.
pub(super) fn money(minor: i64, currency: Currency) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let minor = minor.unsigned_abs();
    format!("{sign}{}.{:02} {currency}", grouped(minor / 100), minor % 100)
}

/// Digits in groups of three, as on the pages.
fn grouped(whole: u64) -> String {
    match whole {
        0..1_000 => whole.to_string(),
        _ => format!("{},{:03}", grouped(whole / 1_000), whole % 1_000),
    }
}
