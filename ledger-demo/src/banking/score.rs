//! The credit score: a logistic scorecard over the customer's own history. It knows nothing of fraud scores.
//!
//! Six features, each centred on an ordinary customer, add to the logarithm of the odds of repaying; 600 points stand for
//! odds of 30 to 1, and every 50 points double them (the usual scaling of scorecards: Siddiqi, Credit Risk Scorecards, 2006).
//! The weights are set by judgement, as a bank without a history of defaults would begin.

use serde::{Deserialize, Serialize};

use super::statement::{SPANS, Statement, money};
use super::{Bank, BankError, Loan};
use crate::ledger::CustomerId;

const SCORE_RANGE: (f64, f64) = (300.0, 850.0);
const SCORE_AT_BASE_ODDS: f64 = 600.0;
const BASE_ODDS: f64 = 30.0;
const POINTS_TO_DOUBLE_ODDS: f64 = 50.0;
/// The odds of repaying of somebody at the centre of every feature.
const CENTRE_ODDS: f64 = 15.0;

/// One reason of a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreReason {
    /// Which feature of the history, a stable code such as `income_regularity`.
    pub feature: String,
    /// Points that it adds (above zero) or takes.
    pub points: i32,
    /// A sentence for the customer.
    pub sentence: String,
}

/// How likely the customer is to repay, from their own history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreditScore {
    /// 300 (poor) to 850 (excellent).
    pub score: u16,
    /// Estimated chance of a default within a year, 0..=1.
    pub default_probability: f64,
    /// Full months of history that it stands on.
    pub months_of_history: u16,
    /// Strongest first.
    pub reasons: Vec<ScoreReason>,
}

impl Bank {
    /// The customer's score as of `now_ms`.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub async fn credit_score(&self, customer: &CustomerId, now_ms: i64) -> Result<CreditScore, BankError> {
        let statement = self.statement(customer, now_ms).await?;
        Ok(rate(&statement, &self.loans(customer)?))
    }

    /// The customer's statement, read where nobody waits for the thread.
    pub(super) async fn statement(&self, customer: &CustomerId, now_ms: i64) -> Result<Statement, BankError> {
        let (ledger, customer) = (self.ledger.clone(), customer.clone());
        let read = tokio::task::spawn_blocking(move || Statement::read(&ledger, &customer, now_ms));
        read.await.map_err(|_| BankError::Unavailable)?
    }
}

struct Feature {
    code: &'static str,
    value: f64,
    centre: f64,
    weight: f64,
    sentence: String,
}

/// Rates a statement; the same statement and loans always get the same score.
pub(super) fn rate(statement: &Statement, loans: &[Loan]) -> CreditScore {
    let factor = POINTS_TO_DOUBLE_ODDS / std::f64::consts::LN_2;
    let features = features(statement, loans);
    let log_odds = CENTRE_ODDS.ln() + features.iter().map(|f| f.weight * (f.value - f.centre)).sum::<f64>();
    let score = SCORE_AT_BASE_ODDS + factor * (log_odds - BASE_ODDS.ln());
    let mut reasons: Vec<ScoreReason> = features
        .into_iter()
        .map(|feature| ScoreReason {
            feature: feature.code.to_owned(),
            points: (factor * feature.weight * (feature.value - feature.centre)).round() as i32,
            sentence: feature.sentence,
        })
        .collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.points.abs()));
    CreditScore {
        score: score.clamp(SCORE_RANGE.0, SCORE_RANGE.1).round() as u16,
        default_probability: 1.0 / (1.0 + log_odds.exp()),
        months_of_history: u16::try_from(statement.spans.len()).unwrap_or(u16::MAX),
        reasons,
    }
}

fn features(statement: &Statement, loans: &[Loan]) -> Vec<Feature> {
    let months = statement.spans.len();
    // Wages alone: cash paid in, or money sent round among friends, would otherwise make anybody look well off.
    let income = statement.mean(|span| span.salary_minor).unwrap_or(0);
    let spending = statement.mean(|span| span.spending_minor).unwrap_or(0);
    let with_salary = statement.spans.iter().filter(|span| span.salary_minor > 0).count();
    // A month counts as tight when a payment left less than a twentieth of what a month costs.
    let tight =
        statement.spans.iter().filter(|s| s.lowest_minor.is_some_and(|low| low < spending / 20)).count();
    let instalments: i64 = loans.iter().filter_map(Loan::next_instalment).map(|due| due.total_minor()).sum();
    let amount = |minor| money(minor, statement.currency);
    vec![
        Feature {
            code: "history_length",
            value: ratio(months, SPANS),
            centre: 0.5,
            weight: 0.9,
            sentence: format!("Your history with us covers {months} of the last {SPANS} months."),
        },
        Feature {
            code: "income_regularity",
            value: ratio(with_salary, months),
            centre: 0.5,
            weight: 1.6,
            sentence: format!("Wages came in {with_salary} of the {months} months we know."),
        },
        Feature {
            code: "saving_rate",
            value: quotient(income.saturating_sub(spending), income).clamp(-1.0, 1.0),
            centre: 0.05,
            weight: 1.8,
            sentence: format!("In a usual month you earn {} and spend {}.", amount(income), amount(spending)),
        },
        Feature {
            code: "reserve",
            value: (quotient(statement.balance_minor, spending) / 3.0).clamp(0.0, 1.0),
            centre: 0.25,
            weight: 1.4,
            sentence: format!("You hold {} in reserve.", amount(statement.balance_minor)),
        },
        Feature {
            code: "debt_burden",
            value: if instalments == 0 { 0.0 } else { quotient(instalments, income.max(1)).clamp(0.0, 1.0) },
            centre: 0.1,
            weight: -3.0,
            sentence: match instalments {
                0 => "You owe no instalments on loans with us.".to_owned(),
                _ => format!("Your loans with us cost {} a month.", amount(instalments)),
            },
        },
        Feature {
            code: "tight_months",
            value: ratio(tight, months),
            centre: 0.1,
            weight: -1.5,
            sentence: match tight {
                0 => "Your current account never ran nearly empty.".to_owned(),
                _ => format!("In {tight} of {months} months your current account ran nearly empty."),
            },
        },
    ]
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn quotient(part: i64, whole: i64) -> f64 {
    if whole <= 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::banking::statement::Span;
    use crate::ledger::Currency;

    fn month(salary: i64, spending: i64, lowest: i64) -> Span {
        Span {
            income_minor: salary,
            salary_minor: salary,
            spending_minor: spending,
            lowest_minor: Some(lowest),
            ..Span::default()
        }
    }

    fn statement(spans: Vec<Span>, balance_minor: i64) -> Statement {
        let newest = spans.first().cloned().unwrap_or_default();
        Statement { currency: Currency::EUR, balance_minor, spans, newest }
    }

    #[test]
    fn what_a_lender_likes_raises_the_score() {
        let ordinary = statement(vec![month(300_000, 280_000, 50_000); 6], 200_000);
        let score = |statement: &Statement| rate(statement, &[]).score;
        let better = [
            ("saves more", statement(vec![month(300_000, 200_000, 50_000); 6], 200_000)),
            ("holds more", statement(vec![month(300_000, 280_000, 50_000); 6], 900_000)),
        ];
        let worse = [
            ("new", statement(vec![month(300_000, 280_000, 50_000); 2], 200_000)),
            ("spends more than comes in", statement(vec![month(300_000, 330_000, 50_000); 6], 200_000)),
            ("runs empty", statement(vec![month(300_000, 280_000, 100); 6], 200_000)),
            ("unknown", statement(Vec::new(), 0)),
            (
                "lives on cash",
                statement(vec![Span { salary_minor: 0, ..month(900_000, 280_000, 50_000) }; 6], 200_000),
            ),
        ];
        for (who, statement) in better {
            assert!(score(&statement) > score(&ordinary), "{who}");
        }
        for (who, statement) in worse {
            assert!(score(&statement) < score(&ordinary), "{who}");
        }
    }

    #[test]
    fn points_explain_the_score_and_probability_falls_with_it() {
        let good = rate(&statement(vec![month(300_000, 200_000, 50_000); 6], 400_000), &[]);
        let centre = SCORE_AT_BASE_ODDS + POINTS_TO_DOUBLE_ODDS * (CENTRE_ODDS / BASE_ODDS).log2();
        let points: i32 = good.reasons.iter().map(|reason| reason.points).sum();
        assert!((f64::from(good.score) - centre - f64::from(points)).abs() <= 4.0, "{good:?}");
        assert!(good.reasons.is_sorted_by_key(|reason| std::cmp::Reverse(reason.points.abs())));
        let poor = rate(&statement(Vec::new(), 0), &[]);
        assert!(good.default_probability < poor.default_probability && poor.default_probability < 1.0);
    }
}
