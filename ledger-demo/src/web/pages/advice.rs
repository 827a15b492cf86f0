//! Spending by category beside the customer's own usual.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::history::category_name;
use crate::banking::CategorySpending;
use crate::ledger::Currency;
use crate::web::page::Page;
use crate::web::parts::{Bar, Money};
use crate::web::visitor::Visitor;
use crate::web::{Failure, WebState, headers};

#[derive(Template)]
#[template(path = "advice.html")]
struct AdvicePage {
    page: Page,
    income: Money,
    spending: Money,
    left: Money,
    lines: Vec<String>,
    categories: Vec<CategoryRow>,
}

struct CategoryRow {
    name: &'static str,
    spent: Money,
    usual: Option<Money>,
    is_above: bool,
    bar: Bar,
}

/// `GET /advice`
pub async fn show(State(web): State<WebState>, visitor: Visitor) -> Result<Response, Failure> {
    let advice = web.bank().advice(&visitor.id, web.now_ms()).await?;
    let currency = advice.currency;
    // Bars share one scale, so that categories can be compared.
    let scale = advice
        .categories
        .iter()
        .map(|category| category.last_30_days_minor.max(category.usual_minor.unwrap_or(0)))
        .max()
        .unwrap_or(0);
    let page = AdvicePage {
        page: web.page(&visitor, "Spending", "/advice"),
        income: Money::plain(advice.income_minor, currency).big(),
        spending: Money::plain(advice.spending_minor, currency).big(),
        left: Money::plain(advice.income_minor.saturating_sub(advice.spending_minor), currency).big(),
        lines: advice.lines.into_iter().map(|line| line.sentence).collect(),
        categories: advice.categories.iter().map(|category| row(category, scale, currency)).collect(),
    };
    Ok(headers::html(StatusCode::OK, page.render()))
}

fn row(category: &CategorySpending, scale: i64, currency: Currency) -> CategoryRow {
    // A tenth more than usual is a month like any other.
    let is_above = category
        .usual_minor
        .is_some_and(|usual| category.last_30_days_minor > usual.saturating_add(usual / 10));
    CategoryRow {
        name: category_name(category.category),
        spent: Money::plain(category.last_30_days_minor, currency),
        usual: category.usual_minor.map(|usual| Money::plain(usual, currency)),
        is_above,
        bar: Bar::share(category.last_30_days_minor, scale)
            .mark(category.usual_minor, scale)
            .tone(if is_above { "warn" } else { "" }),
    }
}
