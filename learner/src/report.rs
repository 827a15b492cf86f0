//! Reports: one self-contained HTML file with plots, no scripts and nothing fetched.

mod plots;
mod text;

use crate::artifact::Manifest;
use crate::evaluate::{AtThreshold, Ranking, Scored};
use crate::train::anomaly;
use std::fmt::Write;

/// The file in a model's directory.
pub const FILE: &str = "report.html";

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}\
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.2rem .8rem;border-bottom:1px solid #d8dee4;text-align:right}\
td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:0 1rem 1rem 0}svg{max-width:100%}\
code{word-break:break-all}.note{color:#57606a}";

/// The report of an anomaly model.
pub(crate) fn anomaly(
    manifest: &Manifest,
    trained: &anomaly::Trained,
    scored: &[Scored],
) -> Result<String, String> {
    let mut page = Page::new("Anomaly model", manifest);
    page.text(&format!(
        "Trained on {} normal rows, calibrated on {}; {} epochs.",
        trained.rows[0], trained.rows[1], trained.epochs
    ));
    page.heading(&format!("Measured on {}", trained.metrics.on));
    let mut rows = vec![ranking_row("autoencoder", &trained.metrics.model)];
    let unseen = trained.metrics.unseen_kinds.iter();
    rows.extend(
        unseen.map(|ranking| ranking_row("autoencoder, kinds of attacks that training lacks", ranking)),
    );
    rows.extend(trained.metrics.baselines.iter().map(|(name, ranking)| ranking_row(name, ranking)));
    page.ranking_table(rows);
    page.threshold_table(&[
        ("99th percentile", &trained.metrics.at_99),
        ("99.9th percentile", &trained.metrics.at_999),
    ]);
    let recalls = trained
        .metrics
        .recall_by_attack
        .iter()
        .map(|(name, recall)| vec![name.clone(), format!("{recall:.3}")])
        .collect();
    page.table(&["attack", "recall at the 99th percentile"], recalls);
    for plot in [
        plots::precision_recall(scored)?,
        plots::roc(scored)?,
        plots::histogram(scored, "percentile of normal")?,
    ] {
        page.figure(&plot);
    }
    Ok(page.end())
}

fn ranking_row(name: &str, ranking: &Ranking) -> Vec<String> {
    let mut row = vec![name.to_owned(), format!("{:.4}", ranking.auprc), format!("{:.4}", ranking.auroc)];
    row.extend(ranking.recall_at_fpr.map(|recall| format!("{recall:.3}")));
    row
}

/// An HTML page in the making; everything put into it is escaped, plots aside.
struct Page(String);

impl Page {
    fn new(title: &str, manifest: &Manifest) -> Self {
        let mut page = Self(format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\n<h1>{title}</h1>\n"
        ));
        page.table(
            &["", ""],
            [
                ("data", &manifest.data),
                ("data fingerprint (SHA-256)", &manifest.data_fingerprint),
                ("feature schema (SHA-256)", &manifest.schema_hash),
                ("made by", &manifest.command),
            ]
            .map(|(name, value)| vec![name.to_owned(), value.clone()])
            .to_vec(),
        );
        if manifest.data.starts_with("simulate:") {
            page.text(
                "Simulated data: these figures show that the machinery works, not what it does at a bank.",
            );
        }
        page
    }

    fn heading(&mut self, text: &str) {
        let _ = writeln!(self.0, "<h2>{}</h2>", escaped(text));
    }

    fn text(&mut self, text: &str) {
        let _ = writeln!(self.0, "<p class=\"note\">{}</p>", escaped(text));
    }

    fn figure(&mut self, svg: &str) {
        let _ = writeln!(self.0, "<figure>{svg}</figure>");
    }

    fn table(&mut self, header: &[&str], rows: Vec<Vec<String>>) {
        let cells = |cells: &mut dyn Iterator<Item = &str>, tag: &str| {
            cells.fold(String::new(), |row, cell| row + &format!("<{tag}>{}</{tag}>", escaped(cell)))
        };
        self.0.push_str("<table>");
        if header.iter().any(|name| !name.is_empty()) {
            let _ = write!(self.0, "<tr>{}</tr>", cells(&mut header.iter().copied(), "th"));
        }
        for row in rows {
            let _ = write!(self.0, "<tr>{}</tr>", cells(&mut row.iter().map(String::as_str), "td"));
        }
        self.0.push_str("</table>\n");
    }

    fn ranking_table(&mut self, rows: Vec<Vec<String>>) {
        self.table(&["", "AUPRC", "AUROC", "recall at 0.1 % FP", "at 1 %", "at 5 %"], rows);
    }

    fn threshold_table(&mut self, rows: &[(&str, &AtThreshold)]) {
        let header = ["threshold", "at", "precision", "recall", "F1", "FP rate", "TP", "FP", "FN", "TN"];
        let rows = rows.iter().map(|(name, at)| {
            let mut row = vec![(*name).to_owned()];
            row.extend(
                [at.threshold, at.precision, at.recall, at.f1, at.false_positive_rate]
                    .map(|n| format!("{n:.4}")),
            );
            let counts = at.confusion;
            row.extend(
                [
                    counts.true_positives,
                    counts.false_positives,
                    counts.false_negatives,
                    counts.true_negatives,
                ]
                .map(|n| n.to_string()),
            );
            row
        });
        self.table(&header, rows.collect());
    }

    fn end(mut self) -> String {
        self.0.push_str("</html>\n");
        self.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_manifest_becomes_markup() {
        let manifest = Manifest {
            schema_hash: String::new(),
            data: "<script>x</script>.csv".into(),
            data_fingerprint: String::new(),
            seed: 0,
            command: "a && b".into(),
            metrics: serde_json::Value::Null,
        };
        let page = Page::new("Fraud model", &manifest).end();
        assert!(
            !page.contains("<script") && page.contains("&lt;script&gt;") && page.contains("a &amp;&amp; b")
        );
    }
}
