//! Reports: one self-contained HTML file with plots, no scripts and nothing fetched.

mod blocks;
mod chart;
mod classifier;
mod curves;
mod importance;
mod page;
mod text;

pub(crate) use classifier::{Evidence, classifier};
pub use importance::importance;

use crate::artifact::Manifest;
use crate::evaluate::Scored;
use crate::features::transfer::FEATURES;
use crate::fraud::FraudModel;
use crate::train::anomaly;
use crate::train::fraud::Trained;
use blocks::{found_by_kind, provenance, ranking_table, threshold_table};
use chart::Ink;
use curves::Ranked;
use page::{Page, Table};

/// The file in a model's directory.
pub const FILE: &str = "report.html";

/// The report of a fraud model: `scores` holds the scored rows of each of `trained.tests`.
pub(crate) fn fraud(
    manifest: &Manifest,
    trained: &Trained,
    scores: &[Vec<Scored>],
    model: &FraudModel,
) -> Result<String, String> {
    let mut page = Page::new("Fraud model", &manifest.data);
    page.section("How it was made");
    provenance(&mut page, manifest);
    let Trained { rows: [train, validate, test], chosen: [ratio, l2], candidates, tests } = trained;
    page.text(&format!(
        "Rows in time order: {train} training, {validate} validation, {test} test. \
         Chosen on validation: SMOTE ratio {ratio}, L2 weight {l2}."
    ));
    for (metrics, scored) in tests.iter().zip(scores) {
        page.section(&format!("Measured on {}", metrics.on));
        ranking_table(&mut page, "this model", &metrics.model, &metrics.baselines);
        let thresholds = [("step up", &metrics.step_up), ("hold", &metrics.hold)];
        threshold_table(&mut page, "Figures at thresholds on the probability", &thresholds);
        page.text(&format!(
            "Brier score {}. Fraud in these rows {:.2}, saved {:.2} after the cost of alarms (major units).",
            metrics.brier,
            metrics.fraud_cents as f64 / 100.0,
            metrics.saved_cents as f64 / 100.0
        ));
        if !metrics.recall_by_scenario.is_empty() {
            let caption = "Fraud found from the step-up threshold on, by kind";
            found_by_kind(&mut page, caption, "kind", &metrics.recall_by_scenario);
        }
        let lines = [Ranked::new("this model", Ink::Model, scored)];
        let [roc, low_end] = curves::roc(&lines)?;
        page.figures(&[
            curves::precision_recall(&lines, metrics.model.prevalence)?,
            low_end,
            roc,
            curves::calibration(&metrics.calibration)?,
            curves::histogram(scored, "probability", None)?,
        ]);
    }
    if !candidates.is_empty() {
        page.section("Candidates");
        let head = ["SMOTE ratio", "L2 weight", "AUPRC on validation"];
        let mut table = Table::new("Everything that was tried", &head);
        candidates.iter().for_each(|row| table.row(row.iter().map(f64::to_string).collect()));
        page.table(&table);
    }
    weights(&mut page, model);
    Ok(page.end())
}

fn weights(page: &mut Page, model: &FraudModel) {
    page.section("Weights");
    let caption =
        "Log odds a standard deviation, largest first; missing: log odds added where the value is unknown";
    let mut table = Table::new(caption, &["feature", "weight", "missing"]);
    let mut weights: Vec<_> = model.columns.iter().zip(&FEATURES).collect();
    weights.sort_by(|a, b| b.0.weight.abs().total_cmp(&a.0.weight.abs()));
    for (column, spec) in weights {
        let missing =
            if spec.may_be_missing { format!("{:.3}", column.missing_weight) } else { String::new() };
        table.row(vec![format!("{}: {}", spec.name, spec.meaning), format!("{:.3}", column.weight), missing]);
    }
    page.table(&table);
}

/// The report of an anomaly model.
pub(crate) fn anomaly(
    manifest: &Manifest,
    trained: &anomaly::Trained,
    scored: &[Scored],
) -> Result<String, String> {
    let mut page = Page::new("Anomaly model", &manifest.data);
    page.section("How it was made");
    provenance(&mut page, manifest);
    page.text(&format!(
        "Trained on {} normal requests, calibrated on {}; {} epochs.",
        trained.rows[0], trained.rows[1], trained.epochs
    ));
    let metrics = &trained.metrics;
    page.section(&format!("Measured on {}", metrics.on));
    ranking_table(&mut page, "autoencoder", &metrics.model, &metrics.baselines);
    let thresholds = [("99th percentile", &metrics.at_99), ("99.9th percentile", &metrics.at_999)];
    threshold_table(&mut page, "Figures at percentiles of normal", &thresholds);
    found_by_kind(&mut page, "Attacks found at the 99th percentile", "attack", &metrics.recall_by_attack);
    let lines = [Ranked::new("autoencoder", Ink::Model, scored)];
    let [roc, low_end] = curves::roc(&lines)?;
    page.figures(&[
        curves::precision_recall(&lines, metrics.model.prevalence)?,
        low_end,
        roc,
        curves::histogram(scored, "percentile of normal", None)?,
    ]);
    Ok(page.end())
}
