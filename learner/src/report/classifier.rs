//! The report of a trained classifier.

mod money;
mod points;
pub(super) mod stability;
mod summary;
#[cfg(test)]
mod tests;

use super::blocks::{self, between, count, decimal, percent};
use super::chart::Ink;
use super::curves::{self, Ranked};
use super::page::{Page, Table};
use crate::artifact::Manifest;
use crate::evaluate::Scored;
use crate::fraud::{Classifier, Method};
use crate::train::classify::TrainedTable;
use crate::train::search::Trial;
use crate::train::{self, Costs, Part, Rule};
use crate::trees::Link;

/// Features in the table of importance.
const FEATURES: usize = 25;
/// Remarks about the data that are shown; a table with a thousand columns may have as many.
const REMARKS: usize = 40;

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) trained: &'a TrainedTable,
    pub(crate) classifier: &'a Classifier,
    pub(crate) test: &'a Part,
    /// Raw scores of the test rows.
    pub(crate) raw: &'a [Scored],
    /// Probabilities of the test rows.
    pub(crate) said: &'a [Scored],
    /// Features that are compared with, each by itself, as `train::alone` reads them.
    pub(crate) single: &'a [String],
    pub(crate) costs: Costs,
    /// As [`super::importance`] gives it.
    pub(crate) importance: &'a [(String, f64)],
}

/// The report as HTML: the same bytes for the same evidence.
///
/// # Errors
/// Where a plot cannot be drawn.
pub(crate) fn classifier(evidence: &Evidence<'_>) -> Result<String, String> {
    let Evidence { manifest, trained, .. } = evidence;
    let [train, _, test] = trained.rows;
    let under = format!(
        "{}: {} model, trained on {} rows, measured on {} later ones.",
        manifest.data,
        trained.model,
        count(train),
        count(test)
    );
    let mut page = Page::new("Fraud classifier", &under);
    page.section("Summary");
    summary::write(&mut page, evidence);
    ranking(&mut page, evidence)?;
    thresholds(&mut page, evidence);
    calibration(&mut page, evidence)?;
    page.section("Cost");
    money::write(&mut page, evidence)?;
    page.section("Stability");
    stability::write(&mut page, evidence)?;
    importance(&mut page, evidence)?;
    making(&mut page, evidence);
    Ok(page.end())
}

fn ranking(page: &mut Page, evidence: &Evidence<'_>) -> Result<(), String> {
    let Evidence { trained, test, raw, single, .. } = evidence;
    let measured = &trained.test;
    page.section("Ranking");
    let mut lines = vec![Ranked::new("this model", Ink::Model, raw)];
    for (feature, ink) in single.iter().zip(Ink::OTHERS) {
        lines.extend(train::alone(test, feature).map(|(name, scored)| Ranked::new(name, ink, &scored)));
    }
    let [roc, low_end] = curves::roc(&lines)?;
    let first = evidence.said.iter().zip(*raw).filter(|(said, _)| said.score >= trained.threshold);
    let alarm_from = first.map(|(_, raw)| raw.score).min_by(f64::total_cmp);
    let scores = curves::histogram(raw, unit(evidence.classifier), alarm_from)?;
    page.figures(&[curves::precision_recall(&lines, measured.ranking.prevalence)?, low_end, roc, scores]);
    blocks::ranking_table(page, "this model", &measured.ranking, &measured.baselines);
    page.note(&format!(
        "95 % bootstrap intervals of the model over resampled test rows: AUPRC {}, AUROC {}. The simpler means are the \
         three features that rank the validation rows best, each by itself.",
        between(measured.intervals.auprc),
        between(measured.intervals.auroc)
    ));
    Ok(())
}

fn thresholds(page: &mut Page, evidence: &Evidence<'_>) {
    let measured = &evidence.trained.test;
    page.section("Alarms");
    let chosen = &measured.chosen;
    let counts = chosen.confusion;
    let mut table = Table::new(
        &format!("Confusion at the chosen threshold, a probability of {}", decimal(chosen.threshold)),
        &["", "alarm", "no alarm", "rows"],
    );
    for (name, alarm, none) in [
        ("fraud", counts.true_positives, counts.false_negatives),
        ("no fraud", counts.false_positives, counts.true_negatives),
    ] {
        let rows = alarm + none;
        let of = |n: usize| format!("{} ({})", count(n), percent(n as f64 / rows.max(1) as f64));
        table.row(vec![name.to_owned(), of(alarm), of(none), count(rows)]);
    }
    page.table(&table);
    let caption = "Figures at thresholds on the probability";
    let rows = [("chosen (best F1)", chosen), ("step up", &measured.step_up), ("hold", &measured.hold)];
    blocks::threshold_table(page, caption, &rows);
    page.note(&format!(
        "All three were chosen on validation rows: the first by the best F1, {}.",
        chosen_by(evidence.trained)
    ));
    if !measured.recall_by_scenario.is_empty() {
        let caption = "Fraud found at the chosen threshold, by kind";
        blocks::found_by_kind(page, caption, "kind", &measured.recall_by_scenario);
    }
}

/// What chose the thresholds to act.
pub(super) fn chosen_by(trained: &TrainedTable) -> String {
    let by = |rule: Rule| match rule {
        Rule::Cost => "by cost".to_owned(),
        Rule::Budget(share) => format!("so that at most {} of legitimate rows reach it", percent(share)),
    };
    if trained.rules.are_cost() {
        return "the others by cost".to_owned();
    }
    format!("step up {}, hold {}", by(trained.rules.step_up), by(trained.rules.hold))
}

/// What raw scores are.
fn unit(classifier: &Classifier) -> &'static str {
    match &classifier.method {
        Method::Scorecard(_) => "raw score, log odds",
        Method::Trees(trees) if trees.link() == Link::Mean => "raw score, mean of the trees",
        Method::Trees(_) => "raw score, log odds",
    }
}

fn calibration(page: &mut Page, evidence: &Evidence<'_>) -> Result<(), String> {
    let measured = &evidence.trained.test;
    page.section("Calibration");
    let mean = evidence.said.iter().map(|row| row.score).sum::<f64>() / evidence.said.len().max(1) as f64;
    let prevalence = measured.ranking.prevalence;
    page.text(&format!(
        "On average the model says {}; {} of the rows were fraud. Brier score {:.5}; always saying the share of fraud \
         would have {:.5}.",
        percent(mean),
        percent(prevalence),
        measured.brier,
        prevalence * (1.0 - prevalence)
    ));
    let mut table = Table::new(
        "Probability said against share that came",
        &["said, on average", "came", "95 % interval", "rows"],
    );
    for group in &measured.calibration {
        let [low, high] = curves::wilson(group.came, group.rows);
        let interval = format!("{} to {}", percent(low), percent(high));
        table.row(vec![percent(group.said), percent(group.came), interval, count(group.rows)]);
    }
    page.beside(&[curves::calibration(&measured.calibration)?], &table);
    Ok(())
}

fn importance(page: &mut Page, evidence: &Evidence<'_>) -> Result<(), String> {
    let Evidence { classifier, importance, .. } = evidence;
    page.section("What matters");
    page.text(match &classifier.method {
        Method::Scorecard(_) => {
            "How much each feature moves scores: the standard deviation of its log odds over the test rows. A pair of \
             features counts half for each."
        }
        Method::Trees(trees) if trees.link() == Link::Mean => {
            "How much each feature moves scores: the mean size of its Shapley value over a sample of test rows, as \
             probability."
        }
        Method::Trees(_) => {
            "How much each feature moves scores: the mean size of its Shapley value over a sample of test rows, in log \
             odds."
        }
    });
    let most = importance.first().map_or(1.0, |(_, most)| most.max(f64::MIN_POSITIVE));
    let caption =
        format!("The {} most important of {} features", FEATURES.min(importance.len()), importance.len());
    let mut table = Table::new(&caption, &["feature", "what it says", "moves"]).words(2);
    for (name, moves) in importance.iter().take(FEATURES) {
        let meaning = meaning(classifier, name).0;
        table.bar(vec![name.clone(), meaning, format!("{moves:.3}")], moves / most);
    }
    page.table(&table);
    if let Method::Scorecard(card) = &classifier.method {
        points::write(page, evidence, card)?;
    }
    Ok(())
}

/// What a feature says, and its unit.
fn meaning(classifier: &Classifier, name: &str) -> (String, String) {
    let derived = classifier.derived_columns();
    let column = classifier.schema.columns().iter().chain(&derived).find(|column| column.name == name);
    column.map_or_else(
        || ("1 where the event has this level, else 0".to_owned(), "0 or 1".to_owned()),
        |column| (column.meaning.clone(), column.unit.clone()),
    )
}

fn making(page: &mut Page, evidence: &Evidence<'_>) {
    let Evidence { manifest, trained, .. } = evidence;
    page.section("How it was made");
    blocks::provenance(page, manifest);
    let mut table =
        Table::new("Rows of each part, in the order of time", &["part", "rows", "fraud", "share"]);
    for ((name, rows), positives) in
        ["train", "validate", "test"].iter().zip(trained.rows).zip(trained.positives)
    {
        let share = if rows == 0 { "–".to_owned() } else { percent(positives as f64 / rows as f64) };
        table.row(vec![(*name).to_owned(), count(rows), count(positives), share]);
    }
    page.table(&table);
    if let [_, 0, _] = trained.rows {
        page.note("There is no validation part of its own: settings, calibration and thresholds come of earlier folds.");
    }
    trials(page, trained);
    if !trained.remarks.is_empty() {
        page.text("Remarks about the data:");
        let mut remarks: Vec<String> = trained.remarks.iter().take(REMARKS).cloned().collect();
        if trained.remarks.len() > REMARKS {
            remarks.push(format!("and {} more", trained.remarks.len() - REMARKS));
        }
        page.list(&remarks);
    }
}

fn trials(page: &mut Page, trained: &TrainedTable) {
    let head = ["settings tried", "AUPRC by fold", "mean"];
    let mut table =
        Table::new("Everything that was tried, judged on validation rows; the marked one was kept", &head);
    let best = |best: Option<usize>, (at, trial): (usize, &Trial)| match best {
        Some(known) if trained.trials.get(known).is_some_and(|known| known.mean >= trial.mean) => best,
        _ => Some(at),
    };
    let kept = trained.trials.iter().enumerate().fold(None, best);
    for (at, trial) in trained.trials.iter().enumerate() {
        let folds: Vec<String> = trial.auprc.iter().map(|auprc| decimal(*auprc)).collect();
        let cells = vec![settings(&trial.candidate), folds.join(", "), decimal(trial.mean)];
        if kept == Some(at) { table.marked(cells) } else { table.row(cells) }
    }
    page.table(&table);
    page.note(&format!("Fitted in the end with {}.", settings(&trained.chosen)));
}

/// Settings in one line, the model first; the seed stands elsewhere.
pub(super) fn settings(candidate: &serde_json::Value) -> String {
    let Some(members) = candidate.as_object() else { return candidate.to_string() };
    let bare = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let model = members.get("model").map(bare).unwrap_or_default();
    let rest = members.iter().filter(|(name, _)| !["model", "seed"].contains(&name.as_str()));
    let rest: Vec<String> =
        rest.map(|(name, value)| format!("{} {}", name.replace('_', " "), bare(value))).collect();
    format!("{model}: {}", rest.join(", "))
}
