//! Figures for a terminal: what was measured, on what, and what simpler means reach on the same rows.

use crate::evaluate::{AtThreshold, Ranking};
use crate::train::anomaly;
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};

impl Display for anomaly::Metrics {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        opening(out, &self.on, "rows", "attacks", &self.model)?;
        rankings(out, "this autoencoder", &self.model, &self.baselines)?;
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
