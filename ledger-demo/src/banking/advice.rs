//! Advice: this month's spending by category beside the customer's own months before.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::statement::{Statement, money};
use super::{Bank, BankError};
use crate::ledger::{Category, Currency, CustomerId};

/// A category is worth a word when it is this many percent off its usual …
const OFF_USUAL_PERCENT: i64 = 20;
/// … and by at least so much, minor units.
const OFF_USUAL_MINOR: i64 = 2_000;
/// A reserve of so many months' spending is what people are commonly advised to hold.
const RESERVE_MONTHS: i64 = 3;

/// What a category cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategorySpending {
    /// Which.
    pub category: Category,
    /// The last 30 days, minor units.
    pub last_30_days_minor: i64,
    /// The mean of the customer's earlier 30-day spans, minor units; `None` without any.
    pub usual_minor: Option<i64>,
}

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdviceLine {
    /// A stable code such as `category_above_usual`.
    pub code: String,
    /// A sentence for the customer.
    pub sentence: String,
    /// The amount that it is about, minor units.
    pub amount_minor: i64,
}

/// What the customer's own figures say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The currency of all amounts.
    pub currency: Currency,
    /// Got in the last 30 days, minor units, without transfers between own accounts.
    pub income_minor: i64,
    /// Spent in the last 30 days, minor units, without transfers between own accounts.
    pub spending_minor: i64,
    /// Largest first.
    pub categories: Vec<CategorySpending>,
    /// Most useful first.
    pub lines: Vec<AdviceLine>,
}

impl Bank {
    /// Advice as of `now_ms`.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub async fn advice(&self, customer: &CustomerId, now_ms: i64) -> Result<Advice, BankError> {
        Ok(advise(&self.statement(customer, now_ms).await?))
    }
}

fn advise(statement: &Statement) -> Advice {
    let categories = spending_by_category(statement);
    let mut lines = Vec::new();
    lines.extend(balance_of_the_month(statement));
    let mut off_usual: Vec<AdviceLine> =
        categories.iter().filter_map(|spending| off_usual(spending, statement.currency)).collect();
    off_usual.sort_by_key(|line| std::cmp::Reverse(line.amount_minor));
    lines.extend(off_usual);
    lines.extend(reserve(statement));
    Advice {
        currency: statement.currency,
        income_minor: statement.newest.income_minor,
        spending_minor: statement.newest.spending_minor,
        categories,
        lines,
    }
}

fn spending_by_category(statement: &Statement) -> Vec<CategorySpending> {
    let of = |span: &super::statement::Span, category| span.by_category.get(&category).copied().unwrap_or(0);
    let spans = statement.spans.iter().chain([&statement.newest]);
    let all: BTreeSet<Category> = spans.flat_map(|span| span.by_category.keys().copied()).collect();
    let mut spending: Vec<CategorySpending> = all
        .into_iter()
        .map(|category| CategorySpending {
            category,
            last_30_days_minor: of(&statement.newest, category),
            usual_minor: statement.usual(|span| of(span, category)),
        })
        .collect();
    spending.sort_by_key(|spending| std::cmp::Reverse(spending.last_30_days_minor));
    spending
}

fn balance_of_the_month(statement: &Statement) -> Option<AdviceLine> {
    let newest = &statement.newest;
    let left = newest.income_minor.saturating_sub(newest.spending_minor);
    let amount = money(left.saturating_abs(), statement.currency);
    let (code, sentence) = match left {
        0 => return None,
        1.. => {
            ("income_above_spending", format!("In the last 30 days {amount} more came in than you spent."))
        }
        _ => ("spending_above_income", format!("In the last 30 days you spent {amount} more than came in.")),
    };
    Some(AdviceLine { code: code.to_owned(), sentence, amount_minor: left.saturating_abs() })
}

fn off_usual(spending: &CategorySpending, currency: Currency) -> Option<AdviceLine> {
    let usual = spending.usual_minor.filter(|usual| *usual > 0)?;
    let difference = spending.last_30_days_minor.saturating_sub(usual);
    let percent = difference.saturating_mul(100) / usual;
    if difference.saturating_abs() < OFF_USUAL_MINOR || percent.saturating_abs() < OFF_USUAL_PERCENT {
        return None;
    }
    let (code, direction) =
        if difference > 0 { ("category_above_usual", "more") } else { ("category_below_usual", "less") };
    let sentence = match spending.last_30_days_minor {
        0 => format!(
            "You spent nothing on {} in the last 30 days; your usual is {}.",
            name(spending.category),
            money(usual, currency)
        ),
        spent => format!(
            "You spent {} on {} in the last 30 days, {} % {direction} than your usual {}.",
            money(spent, currency),
            name(spending.category),
            percent.saturating_abs(),
            money(usual, currency),
        ),
    };
    Some(AdviceLine { code: code.to_owned(), sentence, amount_minor: difference.saturating_abs() })
}

fn reserve(statement: &Statement) -> Option<AdviceLine> {
    let monthly = statement.mean(|span| span.spending_minor).filter(|monthly| *monthly > 0)?;
    let wanted = monthly.saturating_mul(RESERVE_MONTHS);
    let missing = wanted.saturating_sub(statement.balance_minor);
    let (code, sentence, amount_minor) = if missing > 0 {
        let sentence = format!(
            "A reserve of {RESERVE_MONTHS} months' spending would be {}; you are {} away from it.",
            money(wanted, statement.currency),
            money(missing, statement.currency),
        );
        ("reserve_below_three_months", sentence, missing)
    } else {
        let sentence =
            format!("Your reserve covers more than {RESERVE_MONTHS} months of your usual spending.");
        ("reserve_sufficient", sentence, statement.balance_minor)
    };
    Some(AdviceLine { code: code.to_owned(), sentence, amount_minor })
}

fn name(category: Category) -> &'static str {
    match category {
        Category::Salary => "wages",
        Category::Rent => "rent",
        Category::Groceries => "groceries",
        Category::Dining => "eating out",
        Category::Utilities => "energy and telephone",
        Category::Transport => "transport",
        Category::Shopping => "shopping",
        Category::Deposit => "cash paid in",
        Category::Withdrawal => "cash taken out",
        Category::Loan => "loans",
        Category::Interest => "interest",
        Category::OwnAccounts => "your own accounts",
        Category::Payment => "payments to others",
        Category::Reversal => "reversals",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::banking::statement::Span;

    fn month(groceries: i64) -> Span {
        Span {
            income_minor: 200_000,
            spending_minor: groceries,
            by_category: [(Category::Groceries, groceries)].into(),
            ..Span::default()
        }
    }

    fn lines_of(spans: Vec<Span>, balance_minor: i64) -> Vec<(String, i64)> {
        let newest = spans.first().cloned().unwrap_or_default();
        let advice = advise(&Statement { currency: Currency::EUR, balance_minor, spans, newest });
        advice.lines.into_iter().map(|line| (line.code, line.amount_minor)).collect()
    }

    #[test]
    fn the_newest_month_is_held_against_the_customers_own() {
        let line = |code: &str, amount| (code.to_owned(), amount);
        for (newest, balance, expected) in [
            (
                30_000,
                90_000,
                vec![line("income_above_spending", 170_000), line("reserve_sufficient", 90_000)],
            ),
            (
                45_000,
                0,
                vec![
                    line("income_above_spending", 155_000),
                    line("category_above_usual", 15_000),
                    line("reserve_below_three_months", 105_000),
                ],
            ),
            (
                15_000,
                900_000,
                vec![
                    line("income_above_spending", 185_000),
                    line("category_below_usual", 15_000),
                    line("reserve_sufficient", 900_000),
                ],
            ),
        ] {
            let spans = vec![month(newest), month(30_000), month(30_000)];
            assert_eq!(lines_of(spans, balance), expected, "newest month {newest}");
        }
        assert!(lines_of(Vec::new(), 0).is_empty(), "nothing is said of a customer without a history");
    }
}
