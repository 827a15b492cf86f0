//! What alarms and missed fraud cost together.

use super::Evidence;
use crate::evaluate::Scored;
use crate::report::blocks::{count, decimal, major_units, percent};
use crate::report::chart::{Axis, Chart, Ink, Mark};
use crate::report::curves::PROBABILITY_MIN;
use crate::report::page::{Figure, Page, Table};
use crate::train::LOSS_CENTS;

pub(super) fn write(page: &mut Page, evidence: &Evidence<'_>) -> Result<(), String> {
    let Evidence { test, said, costs, classifier, .. } = evidence;
    let measured = &evidence.trained.test;
    page.text(&format!(
        "A missed fraud costs its amount, a challenge on what is none {}, a hold {}. All in major units.",
        major_units(costs.challenge_cents),
        major_units(costs.hold_cents)
    ));
    if test.cents.is_empty() {
        let loss = major_units(LOSS_CENTS);
        page.warning(&format!(
            "The table has no amounts: every fraud is counted as {loss}, so read the shape, not the sums."
        ));
    }
    let thresholds = classifier.thresholds;
    let curves = [(Ink::StepUp, costs.challenge_cents), (Ink::Hold, costs.hold_cents)];
    let lines: Vec<(Ink, Vec<(f64, f64)>)> =
        curves.into_iter().map(|(ink, alarm_cents)| (ink, cost(said, &test.cents, alarm_cents))).collect();
    let nothing = lines.first().and_then(|(_, line)| line.first()).map_or(0.0, |(_, cost)| *cost);
    let top = f64::max(1.25 * nothing, 1.0);
    let mut marks = vec![Mark::Line(Ink::Guess, vec![(PROBABILITY_MIN, nothing), (1.0, nothing)])];
    for (ink, line) in lines {
        marks.push(Mark::Line(ink, line.into_iter().take_while(|(_, cost)| *cost <= top).collect()));
    }
    marks.push(Mark::Rule(Ink::StepUp, thresholds.step_up));
    marks.push(Mark::Rule(Ink::Hold, thresholds.hold));
    let x = Axis::log_share("alarms from this probability on", PROBABILITY_MIN);
    let chart = Chart { x, y: Axis::linear("cost, major units", 0.0, top), marks };
    let note = "Missed fraud and false alarms together, were all alarms of one kind. Upright: the thresholds, chosen on validation rows.";
    let figure = Figure::new("Cost over the threshold", note, &chart)?
        .key(Ink::StepUp, format!("step up, from {}", decimal(thresholds.step_up)))
        .key(Ink::Hold, format!("hold, from {}", decimal(thresholds.hold)))
        .key(Ink::Guess, "no alarms at all");
    let Some(money) = measured.money else {
        page.figures(&[figure]);
        return Ok(());
    };
    let (fraud, saved) = (money.fraud_cents as f64, money.saved_cents as f64);
    let mut table = Table::new("Money in the test rows, major units", &["", "sum", "share of fraud"]);
    for (name, cents) in
        [("fraud", fraud), ("avoided by step-up and hold, less false alarms", saved), ("left", fraud - saved)]
    {
        table.row(vec![name.to_owned(), major_units(cents), percent(cents / fraud.max(1.0))]);
    }
    page.beside(&[figure], &table);
    let alarms = measured.step_up.confusion;
    page.note(&format!(
        "Behind this stand {} alarms of both kinds, {} of them false.",
        count(alarms.true_positives + alarms.false_positives),
        count(alarms.false_positives)
    ));
    Ok(())
}

/// Cost in major units of missed fraud and false alarms, for every threshold from 1 down: points of a line of steps.
fn cost(said: &[Scored], cents: &[i64], alarm_cents: f64) -> Vec<(f64, f64)> {
    let loss = |at: usize| cents.get(at).map_or(LOSS_CENTS, |&cents| cents as f64);
    let mut order: Vec<usize> = (0..said.len()).collect();
    order.sort_by(|&a, &b| said[b].score.total_cmp(&said[a].score));
    let fraud: f64 = order.iter().filter(|&&at| said[at].positive).map(|&at| loss(at)).sum();
    let (mut cost, mut points) = (fraud / 100.0, vec![(1.0, fraud / 100.0)]);
    for same in order.chunk_by(|&a, &b| said[a].score == said[b].score) {
        let threshold = same.first().map_or(0.0, |&at| said[at].score);
        points.push((threshold, cost));
        let change = |&at: &usize| if said[at].positive { -loss(at) } else { alarm_cents };
        cost += same.iter().map(change).sum::<f64>() / 100.0;
        points.push((threshold, cost));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_by_hand() {
        let said = [(0.2, false), (0.9, true), (0.5, true), (0.5, false)];
        let said = said.map(|(score, positive)| Scored { score, positive });
        let cents = [100, 20_000, 5_000, 700];
        // Nothing: 200 + 50. From 0.9: 50. From 0.5: one false alarm. From 0.2: two.
        let expected =
            [(1.0, 250.0), (0.9, 250.0), (0.9, 50.0), (0.5, 50.0), (0.5, 10.0), (0.2, 10.0), (0.2, 20.0)];
        assert_eq!(cost(&said, &cents, 1_000.0), expected);
        assert_eq!(cost(&said, &[], 1_000.0).first(), Some(&(1.0, 2.0 * LOSS_CENTS / 100.0)));
    }
}
