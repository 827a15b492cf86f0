//! A scorecard can be read: the points of its most important features.

use super::{Evidence, meaning};
use crate::fraud::{Scorecard, Term};
use crate::report::chart::{Axis, Chart, Ink, Mark};
use crate::report::page::{Figure, Page};

/// Features whose points are drawn.
const DRAWN: usize = 9;
/// Values in the outermost half per cent are not drawn.
const TAIL: f64 = 0.005;
const SIZE: (f64, f64) = (300.0, 205.0);

pub(super) fn write(page: &mut Page, evidence: &Evidence<'_>, card: &Scorecard) -> Result<(), String> {
    let Evidence { classifier, test, importance, .. } = evidence;
    page.text(&format!(
        "What each value of a feature adds to the log odds of fraud; above zero speaks for fraud. {}",
        match card.crosses.len() {
            0 => "Nothing else is in the score.".to_owned(),
            pairs => format!("{pairs} pairs of features come on top."),
        }
    ));
    let mut figures = Vec::new();
    for (name, _) in importance.iter().take(DRAWN).filter(|(_, moves)| *moves > 0.0) {
        let Some(at) = test.frame.names().iter().position(|known| known == name) else { continue };
        let Some(term) = card.terms.get(at) else { continue };
        let mut present: Vec<f32> =
            test.frame.column(at).iter().copied().filter(|value| !value.is_nan()).collect();
        present.sort_by(f32::total_cmp);
        let missing = test.rows() - present.len();
        let place = |share: f64| present.get(((present.len().max(1) - 1) as f64 * share) as usize).copied();
        let (Some(low), Some(high)) = (place(TAIL), place(1.0 - TAIL)) else { continue };
        let (said, unit) = meaning(classifier, name);
        let mut note = said;
        if missing > 0 {
            let share = super::percent(missing as f64 / test.rows().max(1) as f64);
            note += &format!("; missing ({share}): {:+.2}", term.log_odds(f32::NAN));
        }
        figures.push(figure(name, &note, &unit, &line(term, low, high))?);
    }
    page.small_figures(&figures);
    Ok(())
}

fn figure(name: &str, note: &str, unit: &str, line: &[(f64, f64)]) -> Result<Figure, String> {
    let ends = |of: fn(&(f64, f64)) -> f64| {
        let values = || line.iter().map(of);
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    };
    let ((left, right), (low, high)) = (ends(|point| point.0), ends(|point| point.1));
    // Zero is always in sight, and no difference is made to look larger than a tenth of the odds.
    let (low, high) = (low.min(-0.1), high.max(0.1));
    let room = 0.08 * (high - low);
    let marks =
        vec![Mark::Line(Ink::Guess, vec![(left, 0.0), (right, 0.0)]), Mark::Line(Ink::Model, line.to_vec())];
    let x = Axis::linear(unit, left, right);
    let chart = Chart { x, y: Axis::linear("log odds", low - room, high + room), marks };
    Figure::of_size(name, note, &chart, SIZE)
}

/// Log odds between two values: exact, as they are straight between the ends of bins but for the bounds of the straight
/// term.
fn line(term: &Term, low: f32, high: f32) -> Vec<(f64, f64)> {
    let bound = crate::fraud::REACH * term.spread;
    let bends = [term.mean - bound, term.mean + bound];
    let mut places: Vec<f32> =
        term.ends.iter().copied().chain(bends).filter(|end| *end > low && *end < high).collect();
    places.sort_by(f32::total_cmp);
    let point = |value: f32| (f64::from(value), term.log_odds(value));
    let mut points = vec![point(low)];
    for place in places {
        points.push((f64::from(place), term.log_odds(place.next_down())));
        points.push(point(place));
    }
    points.push(point(high));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_slopes_are_those_of_the_score() {
        let term = Term {
            imputed: 0.0,
            mean: 1.0,
            spread: 2.0,
            weight: 0.5,
            ends: vec![0.0, 4.0, 90.0],
            points: vec![-1.0, 0.0, 2.0, 9.0],
            missing: 0.0,
        };
        let line = line(&term, -3.0, 20.0);
        let expected = [
            (-3.0, -1.0 - 1.0),
            (0.0, -1.0 - 0.25),
            (0.0, -0.25),
            (4.0, 0.75),
            (4.0, 2.75),
            // Bounded from five spreads on.
            (11.0, 4.5),
            (11.0, 4.5),
            (20.0, 4.5),
        ];
        assert_eq!(line.len(), expected.len());
        for (found, expected) in line.iter().zip(expected) {
            assert!(
                (found.0 - expected.0).abs() < 1e-6 && (found.1 - expected.1).abs() < 1e-5,
                "{found:?} {expected:?}"
            );
        }
    }
}
