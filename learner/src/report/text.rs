//! Figures for a terminal: what was measured, on what, and what simpler means reach on the same rows.

use super::classifier::stability::date;
use super::classifier::{chosen_by, settings};
use crate::evaluate::{AtThreshold, Ranking, Reliability};
use crate::train::classify::TrainedTable;
use crate::train::{Measured, anomaly};
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};

impl Display for TrainedTable {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        writeln!(out, "chosen of {} tried: {}", self.trials.len(), settings(&self.chosen))?;
        for ((name, rows), positives) in
            ["train", "validate", "test"].iter().zip(self.rows).zip(self.positives)
        {
            writeln!(out, "{name:10} {rows:>10} rows {positives:>8} fraud")?;
        }
        writeln!(out, "thresholds, on validation rows: chosen by the best F1, {}", chosen_by(self))?;
        self.remarks.iter().try_for_each(|remark| writeln!(out, "note: {remark}"))?;
        write!(out, "\n{}", self.test)
    }
}

impl Display for Measured {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        opening(out, "test part", "rows", "fraud", &self.ranking)?;
        rankings(out, "this model", &self.ranking, &self.baselines)?;
        let [auprc, auroc] = [self.intervals.auprc, self.intervals.auroc];
        writeln!(
            out,
            "95 % intervals of the model: AUPRC {:.4} to {:.4}, AUROC {:.4} to {:.4}",
            auprc[0], auprc[1], auroc[0], auroc[1]
        )?;
        thresholds(
            out,
            "act from a probability of",
            &[
                ("chosen (best F1)", &self.chosen),
                ("step up", &self.step_up),
                ("hold for review", &self.hold),
            ],
        )?;
        calibration(out, self.brier, self.ranking.prevalence, &self.calibration)?;
        if let Some(precision) = self.card_precision_at_100 {
            writeln!(out, "\ncard precision at 100 a day: {precision:.4}")?;
        }
        if let Some(money) = self.money {
            let [fraud, saved] = [money.fraud_cents, money.saved_cents].map(major);
            writeln!(
                out,
                "\nmoney, in major units: fraud {fraud:.2}, saved {saved:.2} by step-up and hold, cost of false alarms taken off"
            )?;
        }
        shares(out, "found at the chosen threshold, by kind of fraud", &self.recall_by_scenario)?;
        if self.weeks.len() > 1 {
            writeln!(out, "\n{:12} {:>9} {:>7} {:>7}   95 %", "week from", "rows", "fraud", "AUPRC")?;
        }
        for week in self.weeks.iter().filter(|_| self.weeks.len() > 1) {
            let [low, high] = week.intervals.auprc;
            let (from, rows, fraud) = (date(week.from_ms), week.rows, week.positives);
            writeln!(out, "{from:12} {rows:>9} {fraud:>7} {:>7.4}   {low:.4} to {high:.4}", week.auprc)?;
        }
        Ok(())
    }
}

impl Display for anomaly::Metrics {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        opening(out, &self.on, "rows", "attacks", &self.model)?;
        rankings(out, "this model", &self.model, &self.baselines)?;
        if let Some(unseen) = &self.unseen_kinds {
            writeln!(
                out,
                "\nkinds of attacks that training data lacks: {} rows, AUROC {:.4}, recall at 1 % {:.3}",
                unseen.positives, unseen.auroc, unseen.recall_at_fpr[1]
            )?;
        }
        thresholds(
            out,
            "act from a percentile of",
            &[("one normal in 100", &self.at_99), ("one normal in 1000", &self.at_999)],
        )?;
        shares(out, "found from the 99th percentile on, by attack", &self.recall_by_attack)
    }
}

fn opening(out: &mut Formatter<'_>, on: &str, rows: &str, positives: &str, ranking: &Ranking) -> Result {
    let share = 100.0 * ranking.prevalence;
    writeln!(out, "{on}: {} {rows}, {} of them {positives} ({share:.2} %)\n", ranking.rows, ranking.positives)
}

fn rankings(
    out: &mut Formatter<'_>,
    name: &str,
    model: &Ranking,
    baselines: &BTreeMap<String, Ranking>,
) -> Result {
    writeln!(
        out,
        "{:26} {:>7} {:>7}   {:>8} {:>8} {:>8}  of false positives",
        "", "AUPRC", "AUROC", "recall at 0.1 %", "1 %", "5 %"
    )?;
    let rows = baselines.iter().map(|(name, ranking)| (name.as_str(), ranking));
    for (name, ranking) in std::iter::once((name, model)).chain(rows) {
        let [low, middle, high] = ranking.recall_at_fpr;
        writeln!(
            out,
            "{name:26} {:>7.4} {:>7.4}   {low:>15.3} {middle:>8.3} {high:>8.3}",
            ranking.auprc, ranking.auroc
        )?;
    }
    let [low, middle, high] = [0.001, 0.01, 0.05];
    writeln!(
        out,
        "{:26} {:>7.4} {:>7.4}   {low:>15.3} {middle:>8.3} {high:>8.3}",
        "guessing", model.prevalence, 0.5
    )
}

fn thresholds(out: &mut Formatter<'_>, act: &str, rows: &[(&str, &AtThreshold)]) -> Result {
    writeln!(
        out,
        "\n{act:26} {:>7} {:>10} {:>7} {:>7} {:>16} {:>7} {:>7} {:>7}",
        "", "precision", "recall", "F1", "false positives", "right", "wrong", "missed"
    )?;
    for (name, at) in rows {
        let counts = at.confusion;
        writeln!(
            out,
            "{name:26} {:>7.4} {:>10.3} {:>7.3} {:>7.3} {:>14.3} % {:>7} {:>7} {:>7}",
            at.threshold,
            at.precision,
            at.recall,
            at.f1,
            100.0 * at.false_positive_rate,
            counts.true_positives,
            counts.false_positives,
            counts.false_negatives
        )?;
    }
    Ok(())
}

fn calibration(out: &mut Formatter<'_>, brier: f64, prevalence: f64, groups: &[Reliability]) -> Result {
    let constant = prevalence * (1.0 - prevalence);
    writeln!(
        out,
        "\ncalibration: Brier score {brier:.5}; always saying the share of fraud has {constant:.5}"
    )?;
    writeln!(out, "{:>16} {:>16} {:>12}", "fraud said", "fraud come", "rows")?;
    for group in groups {
        let [said, came] = [group.said, group.came].map(|share| 100.0 * share);
        writeln!(out, "{said:>14.2} % {came:>14.2} % {:>12}", group.rows)?;
    }
    Ok(())
}

fn shares(out: &mut Formatter<'_>, title: &str, shares: &BTreeMap<String, f64>) -> Result {
    if shares.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    shares.iter().try_for_each(|(name, share)| writeln!(out, "{name:26} {:>5.1} %", 100.0 * share))
}

fn major(cents: i64) -> f64 {
    cents as f64 / 100.0
}
