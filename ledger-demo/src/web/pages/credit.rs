//! The credit score, drawn, with its reasons.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::banking::{CreditScore, ScoreReason};
use crate::web::page::Page;
use crate::web::visitor::Visitor;
use crate::web::{Failure, WebState, headers};

/// The ends of the scale.
const SCORE_MIN: u16 = 300;
const SCORE_MAX: u16 = 850;

#[derive(Template)]
#[template(path = "credit_score.html")]
struct CreditPage {
    page: Page,
    view: ScoreView,
}

/// A score made ready to be drawn.
#[derive(Template)]
#[template(path = "parts/score.html")]
pub struct ScoreView {
    score: u16,
    word: &'static str,
    tone: &'static str,
    /// How much of the arc is filled, percent.
    filled: u32,
    /// Chance of a default within a year, percent with one digit.
    default_percent: String,
    months_of_history: u16,
    reasons: Vec<ScoreReason>,
}

impl askama::filters::HtmlSafe for ScoreView {}

impl ScoreView {
    /// Prepares `score`.
    pub fn new(score: CreditScore) -> Self {
        let on_scale = score.score.clamp(SCORE_MIN, SCORE_MAX);
        let (word, tone) = match on_scale {
            740.. => ("Very good", "good"),
            670..740 => ("Good", "good"),
            580..670 => ("Fair", "warn"),
            _ => ("Needs time", "bad"),
        };
        Self {
            score: score.score,
            word,
            tone,
            filled: u32::from(on_scale - SCORE_MIN) * 100 / u32::from(SCORE_MAX - SCORE_MIN),
            default_percent: format!("{:.1}", score.default_probability.clamp(0.0, 1.0) * 100.0),
            months_of_history: score.months_of_history,
            reasons: score.reasons,
        }
    }
}

/// `GET /credit-score`
pub async fn show(State(web): State<WebState>, visitor: Visitor) -> Result<Response, Failure> {
    let score = web.bank().credit_score(&visitor.id, web.now_ms()).await?;
    let page =
        CreditPage { page: web.page(&visitor, "Credit score", "/credit-score"), view: ScoreView::new(score) };
    Ok(headers::html(StatusCode::OK, page.render()))
}
