//! Where to act: by what alarms cost, or by how many legitimate rows may be challenged.

use super::measure::{Costs, LOSS_CENTS};
use super::rounded;
use crate::evaluate::{self, Scored};
use crate::fraud::Thresholds;
use serde::Serialize;

/// A hold may hit so many times fewer legitimate rows than a challenge.
const HOLD_RARER: f64 = 10.0;

/// What chose a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// It costs least, missed fraud and false alarms together.
    Cost,
    /// The lowest that at most this share of legitimate validation rows reach.
    Budget(f64),
}

/// What chose the thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rules {
    /// Of a challenge.
    pub step_up: Rule,
    /// Of a hold.
    pub hold: Rule,
}

impl Rules {
    /// Both by cost.
    pub const COST: Self = Self { step_up: Rule::Cost, hold: Rule::Cost };

    /// Whether costs chose both, as they do unless there is a budget.
    pub fn are_cost(&self) -> bool {
        *self == Self::COST
    }
}

/// Thresholds from probabilities of rows that the model was not fitted on, with their amounts, and what chose each.
/// `budget` is the share of legitimate rows that may be challenged, 0 to 1; without one, costs decide. A hold is never
/// cheaper than its cost says, and never below a challenge.
pub(super) fn choose(
    said: &[Scored],
    cents: &[i64],
    costs: Costs,
    budget: Option<f64>,
) -> (Thresholds, Rules) {
    let by_cost = rounded_down(cheapest(said, cents, costs.hold_cents));
    let Some(budget) = budget else {
        let step_up = rounded_down(cheapest(said, cents, costs.challenge_cents));
        return (Thresholds { step_up, hold: by_cost.max(step_up) }, Rules::COST);
    };
    let step_up = within(said, budget);
    let by_budget = within(said, budget / HOLD_RARER);
    let hold = if by_cost > by_budget {
        (by_cost, Rule::Cost)
    } else {
        (by_budget, Rule::Budget(budget / HOLD_RARER))
    };
    (Thresholds { step_up, hold: hold.0.max(step_up) }, Rules { step_up: Rule::Budget(budget), hold: hold.1 })
}

/// The lowest threshold that at most this share of the legitimate rows reach; 1, which no probability reaches, where even
/// the highest score has more of them.
fn within(said: &[Scored], share: f64) -> f64 {
    let mut threshold = 1.0;
    for (score, counts) in evaluate::curve(said) {
        if counts.false_positive_rate() > share {
            return if threshold < 1.0 { rounded_between(score, threshold) } else { 1.0 };
        }
        threshold = score;
    }
    rounded_down(threshold)
}

/// Few digits that are above `below` and not above `threshold`: what was not to be reached must stay so.
fn rounded_between(below: f64, threshold: f64) -> f64 {
    let down = rounded_down(threshold);
    if down > below { down } else { threshold }
}

/// Six digits that are not above the value: rows that score just as much must not fall out.
pub(super) fn rounded_down(threshold: f64) -> f64 {
    let nearest = rounded(threshold);
    if nearest > threshold { rounded(threshold * (1.0 - 1e-5)) } else { nearest }
}

/// The threshold at which missed fraud and false alarms together cost least. Without amounts, a fraud costs [`LOSS_CENTS`].
fn cheapest(said: &[Scored], cents: &[i64], alarm_cents: f64) -> f64 {
    let mut rows: Vec<(Scored, f64)> = said
        .iter()
        .enumerate()
        .map(|(at, row)| (*row, cents.get(at).map_or(LOSS_CENTS, |&cents| cents as f64)))
        .collect();
    rows.sort_by(|a, b| b.0.score.total_cmp(&a.0.score));
    let (mut saved, mut best, mut threshold) = (0.0, 0.0, 1.0);
    for (at, (row, cents)) in rows.iter().enumerate() {
        saved += if row.positive { *cents } else { -alarm_cents };
        let last_of_its_score = rows.get(at + 1).is_none_or(|next| next.0.score < row.score);
        if last_of_its_score && saved > best {
            (best, threshold) = (saved, row.score);
        }
    }
    threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(scores: &[(f64, bool)]) -> Vec<Scored> {
        scores.iter().map(|&(score, positive)| Scored { score, positive }).collect()
    }

    #[test]
    fn a_threshold_never_leaves_out_what_it_was_chosen_at() {
        for chosen in [0.999_999_999, 201.0 / 202.0, 1.0 / 3.0, 1e-9, 1.0, 0.123_456_789] {
            let kept = rounded_down(chosen);
            assert!(kept <= chosen && kept > chosen * (1.0 - 2e-5), "{kept} for {chosen}");
        }
    }

    #[test]
    fn a_budget_is_used_up_and_never_passed() {
        // Ten legitimate rows, of which two tie at 0.6.
        let legitimate = [0.8, 0.6, 0.6, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1].map(|score| (score, false));
        let said = rows(&[legitimate.as_slice(), &[(0.9, true), (0.7, true), (0.55, true)]].concat());
        for (budget, expected) in
            [(0.0, 0.9), (0.09, 0.9), (0.1, 0.7), (0.29, 0.7), (0.3, 0.55), (0.4, 0.5), (1.0, 0.1)]
        {
            assert_eq!(within(&said, budget), expected, "{budget}");
            assert!(evaluate::at_threshold(&said, within(&said, budget)).false_positive_rate <= budget);
        }
    }

    #[test]
    fn where_the_highest_score_is_legitimate_a_budget_of_nothing_challenges_nobody() {
        let said = rows(&[(0.9, false), (0.9, true), (0.2, true), (0.1, false)]);
        let (thresholds, _) = choose(&said, &[], Costs::default(), Some(0.0));
        assert_eq!((thresholds.step_up, thresholds.hold), (1.0, 1.0));
        // Scores that six digits cannot tell apart are told apart.
        let (low, high) = (0.123_456_701, 0.123_456_704);
        let close = within(&rows(&[(high, true), (low, false)]), 0.0);
        assert!(low < close && close <= high, "{close}");
    }

    #[test]
    fn a_hold_is_within_a_tenth_of_the_budget_or_at_its_cost_if_that_is_higher() {
        let legitimate: Vec<(f64, bool)> = (0..100).map(|at| (f64::from(at) / 200.0, false)).collect();
        let said =
            rows(&[legitimate.as_slice(), &[(0.002, true), (0.6, true), (0.7, true), (0.8, true)]].concat());
        let (dear, cheap) =
            (Costs { hold_cents: 1e9, ..Costs::default() }, Costs { hold_cents: 0.0, ..Costs::default() });
        let (thresholds, rules) = choose(&said, &[], cheap, Some(0.2));
        assert_eq!((thresholds.step_up, thresholds.hold), (0.4, 0.49));
        assert_eq!(rules, Rules { step_up: Rule::Budget(0.2), hold: Rule::Budget(0.02) });
        let (thresholds, rules) = choose(&said, &[], dear, Some(0.2));
        assert_eq!((thresholds.step_up, thresholds.hold, rules.hold), (0.4, 0.6, Rule::Cost));
        let (thresholds, rules) = choose(&said, &[], cheap, None);
        assert!(thresholds.step_up <= thresholds.hold && rules.are_cost());
    }
}
