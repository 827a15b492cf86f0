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
use crate::train::anomaly;
use blocks::{found_by_kind, provenance, ranking_table, threshold_table};
use chart::Ink;
use curves::Ranked;
use page::Page;

/// The file in a model's directory.
pub const FILE: &str = "report.html";

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
        "Trained on {} normal rows, calibrated on {}; {} epochs.",
        trained.rows[0], trained.rows[1], trained.epochs
    ));
    let metrics = &trained.metrics;
    page.section(&format!("Measured on {}", metrics.on));
    let mut beside = metrics.baselines.clone();
    let unseen = metrics.unseen_kinds.clone();
    beside.extend(unseen.map(|ranking| ("kinds of attacks that training lacks, alone".to_owned(), ranking)));
    ranking_table(&mut page, "autoencoder", &metrics.model, &beside);
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
