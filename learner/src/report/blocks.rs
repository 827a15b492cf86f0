//! What reports of all models share: figures in words, and tables of them.

use super::page::{Page, Table};
use crate::artifact::Manifest;
use crate::evaluate::{AtThreshold, Ranking};
use std::collections::BTreeMap;

/// A share as per cent with about three digits.
pub(super) fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent.abs() {
        0.0 => "0 %".to_owned(),
        size if size >= 99.95 => format!("{percent:.0} %"),
        size if size >= 10.0 => format!("{percent:.1} %"),
        size if size >= 0.1 => format!("{percent:.2} %"),
        size if size >= 0.01 => format!("{percent:.3} %"),
        _ => format!("{percent:.4} %"),
    }
}

/// A figure between 0 and 1.
pub(super) fn decimal(figure: f64) -> String {
    if figure.abs() < 0.0995 { format!("{figure:.4}") } else { format!("{figure:.3}") }
}

/// An interval between such figures.
pub(super) fn between([low, high]: [f64; 2]) -> String {
    format!("{} to {}", decimal(low), decimal(high))
}

/// A number of things, in groups of three digits.
pub(super) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Hundredths as whole major units.
pub(super) fn major_units(cents: f64) -> String {
    let units = (cents / 100.0).round();
    let sign = if units < 0.0 { "−" } else { "" };
    format!("{sign}{}", count(units.abs() as usize))
}

/// Figures that need no threshold: the model, simpler means on the same rows, and guessing.
pub(super) fn ranking_table(
    page: &mut Page,
    name: &str,
    model: &Ranking,
    baselines: &BTreeMap<String, Ranking>,
) {
    let caption = "Ranking of the same rows by the model, by simpler means and by chance";
    let head = ["", "AUPRC", "AUROC", "recall at 0.1 % false positives", "at 1 %", "at 5 %"];
    let mut table = Table::new(caption, &head);
    let cells = |name: &str, ranking: &Ranking| {
        let mut cells = vec![name.to_owned(), decimal(ranking.auprc), decimal(ranking.auroc)];
        cells.extend(ranking.recall_at_fpr.map(percent));
        cells
    };
    table.marked(cells(name, model));
    baselines.iter().for_each(|(name, ranking)| table.row(cells(name, ranking)));
    let chance =
        Ranking { auprc: model.prevalence, auroc: 0.5, recall_at_fpr: [0.001, 0.01, 0.05], ..model.clone() };
    table.row(cells("guessing", &chance));
    page.table(&table);
}

/// Figures at thresholds, each with its name.
pub(super) fn threshold_table(page: &mut Page, caption: &str, rows: &[(&str, &AtThreshold)]) {
    let head = ["", "from", "precision", "recall", "F1", "false positives", "right", "wrong", "missed"];
    let mut table = Table::new(caption, &head);
    for (name, at) in rows {
        let counts = at.confusion;
        let mut cells =
            vec![(*name).to_owned(), decimal(at.threshold), percent(at.precision), percent(at.recall)];
        cells.extend([decimal(at.f1), percent(at.false_positive_rate)]);
        cells.extend([counts.true_positives, counts.false_positives, counts.false_negatives].map(count));
        table.row(cells);
    }
    page.table(&table);
}

/// Shares found by kind, with bars.
pub(super) fn found_by_kind(page: &mut Page, caption: &str, kind: &str, shares: &BTreeMap<String, f64>) {
    let mut table = Table::new(caption, &[kind, "found"]);
    shares.iter().for_each(|(name, share)| table.bar(vec![name.clone(), percent(*share)], *share));
    page.table(&table);
}

/// What a model was made from, and how to make it again.
pub(super) fn provenance(page: &mut Page, manifest: &Manifest) {
    page.facts(&[
        ("Data", manifest.data.clone()),
        ("Data fingerprint (SHA-256)", manifest.data_fingerprint.clone()),
        ("Feature schema (SHA-256)", manifest.schema_hash.clone()),
        ("Seed", manifest.seed.to_string()),
        ("Made again by", manifest.command.clone()),
    ]);
    if manifest.data.starts_with("simulate:") {
        page.warning(
            "Simulated data: these figures show that the machinery works, not what it does at a bank.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_with_the_digits_that_matter() {
        for (share, text) in [
            (0.0, "0 %"),
            (1.0, "100 %"),
            (0.753_247, "75.3 %"),
            (0.016_2, "1.62 %"),
            (0.006_607_85, "0.66 %"),
            (0.000_293, "0.029 %"),
            (0.000_034_6, "0.0035 %"),
        ] {
            assert_eq!(percent(share), text);
        }
        assert_eq!([decimal(0.720_574), decimal(0.006_607_85), decimal(1.0)], ["0.721", "0.0066", "1.000"]);
        assert_eq!([7, 58_264, 1_754_155].map(count), ["7", "58,264", "1,754,155"]);
        assert_eq!([major_units(3_330_142.0), major_units(-120.0)], ["33,301", "−1"]);
    }
}
