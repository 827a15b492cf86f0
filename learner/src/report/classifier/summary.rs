//! The few figures that matter, in words. Accuracy is not among them, and no figure stands without what to see it beside.

use super::Evidence;
use crate::report::blocks::{between, count, decimal, major_units, percent};
use crate::report::page::Page;
use crate::train::Measured;

/// Below so many frauds, figures say little.
const FEW: usize = 100;
/// A drop of the AUPRC from validation to test that is worth a word.
const DROP: f64 = 0.8;

pub(super) fn write(page: &mut Page, evidence: &Evidence<'_>) {
    let measured = &evidence.trained.test;
    cards(page, measured);
    page.text(&found(measured));
    page.text(&against(measured));
    for caveat in caveats(evidence) {
        page.warning(&caveat);
    }
}

fn cards(page: &mut Page, measured: &Measured) {
    let (ranking, chosen) = (&measured.ranking, &measured.chosen);
    let counts = chosen.confusion;
    let alarms = counts.true_positives + counts.false_positives;
    let [_, at_one, _] = ranking.recall_at_fpr;
    let mut cards = vec![
        (
            "AUPRC",
            decimal(ranking.auprc),
            format!("{}; guessing {}", between(measured.intervals.auprc), decimal(ranking.prevalence)),
        ),
        ("recall at 1 % false positives", percent(at_one), "guessing 1 %".to_owned()),
        (
            "precision at the chosen threshold",
            percent(chosen.precision),
            format!("{} of {} alarms are fraud", count(counts.true_positives), count(alarms)),
        ),
        (
            "recall at the chosen threshold",
            percent(chosen.recall),
            format!("{} of {} frauds", count(counts.true_positives), count(ranking.positives)),
        ),
    ];
    if let Some(precision) = measured.card_precision_at_100 {
        let beside = "of the 100 riskiest customers of each day".to_owned();
        cards.push(("card precision at 100", percent(precision), beside));
    }
    if let Some(money) = measured.money {
        let share = money.saved_cents as f64 / (money.fraud_cents as f64).max(1.0);
        let of = format!(
            "{} of {} in major units",
            major_units(money.saved_cents as f64),
            major_units(money.fraud_cents as f64)
        );
        cards.push(("loss avoided, cost of alarms taken off", percent(share), of));
    }
    page.cards(&cards);
}

fn found(measured: &Measured) -> String {
    let (ranking, chosen) = (&measured.ranking, &measured.chosen);
    let counts = chosen.confusion;
    let alarms = counts.true_positives + counts.false_positives;
    let often = match ranking.rows.checked_div(alarms) {
        Some(rows) => format!("one in {} rows", count(rows)),
        None => "never".to_owned(),
    };
    format!(
        "{} of {} test rows are fraud ({}). At the chosen threshold the model raises {} alarms ({often}): {} are right \
         and {} are not, and {} frauds are missed.",
        count(ranking.positives),
        count(ranking.rows),
        percent(ranking.prevalence),
        count(alarms),
        count(counts.true_positives),
        count(counts.false_positives),
        count(counts.false_negatives),
    )
}

fn against(measured: &Measured) -> String {
    let best = measured.baselines.iter().max_by(|a, b| a.1.auprc.total_cmp(&b.1.auprc));
    let beside = best.map_or(String::new(), |(name, ranking)| {
        format!(" The best simpler means, {name}, has an AUPRC of {}.", decimal(ranking.auprc))
    });
    format!(
        "Ranking all rows, it has an AUPRC of {} (95 % interval {}), where guessing has {}, and an AUROC of {}.{beside}",
        decimal(measured.ranking.auprc),
        between(measured.intervals.auprc),
        decimal(measured.ranking.prevalence),
        decimal(measured.ranking.auroc),
    )
}

/// What a reader must know before trusting the figures.
fn caveats(evidence: &Evidence<'_>) -> Vec<String> {
    let trained = evidence.trained;
    let measured = &trained.test;
    let mut caveats = Vec::new();
    if measured.ranking.positives < FEW {
        let frauds = count(measured.ranking.positives);
        caveats.push(format!("Only {frauds} frauds in the test rows: every figure here may be off by much."));
    }
    let beaten = measured.baselines.iter().filter(|(_, ranking)| ranking.auprc >= measured.ranking.auprc);
    caveats.extend(
        beaten.map(|(name, _)| format!("The model ranks no better than {name}: it is not worth its effort.")),
    );
    let prevalence = measured.ranking.prevalence;
    if measured.brier >= prevalence * (1.0 - prevalence) {
        caveats.push(
            "Its probabilities are no closer to what came than always saying the share of fraud.".to_owned(),
        );
    }
    let validated = trained.trials.iter().map(|trial| trial.mean).fold(0.0, f64::max);
    if measured.ranking.auprc < DROP * validated {
        caveats.push(format!(
            "AUPRC fell from {} on validation rows to {} on later ones: fraud or customers have changed between them, or \
             the search fitted chance.",
            decimal(validated),
            decimal(measured.ranking.auprc)
        ));
    }
    caveats
}
