//! `gatehouse train`, `evaluate` and `score` on anybody's tables.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use learner::artifact::{self, Kind};
use learner::table::Mapping;
use learner::train::anomaly;
use learner::train::classify::{self, EvaluatedTable, Recipe, TrainTable, TrainedTable};
use learner::train::dataset::Tables;
use learner::train::scores::{self, ScoreTable};
use learner::train::{Costs, Measured, ModelKind};
use serde_json::{Value, json};

use super::learn::{peak_mib, with_progress};

/// What a table's classifier is trained with.
pub struct Training {
    /// The table.
    pub data: PathBuf,
    /// The table to test on.
    pub test: Option<PathBuf>,
    /// The mapping.
    pub mapping: PathBuf,
    /// Which model; `auto` compares them.
    pub model: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Folder for the model and its report.
    pub out: PathBuf,
    /// Only the figures, one JSON object last.
    pub json: bool,
}

/// Trains and prints figures of the test part.
pub fn train(with: Training, recipe: Recipe) -> anyhow::Result<()> {
    let began = Instant::now();
    let tables = tables(with.data, with.test, &with.mapping, recipe.seed)?;
    let settings = TrainTable { tables, recipe, out: with.out };
    let trained = with_progress(with.json, |progress| classify::train(&settings, progress))?;
    say(&trained, &settings.out, with.json, began);
    Ok(())
}

/// Trains an autoencoder on a table's normal rows and prints figures of the test part.
pub fn train_anomaly(with: Training) -> anyhow::Result<()> {
    let began = Instant::now();
    anyhow::ensure!(
        matches!(with.model.as_str(), "auto" | "autoencoder"),
        "no anomaly model is called {}; there is autoencoder (beside it the report always shows Mahalanobis distance and \
         isolation forest)",
        with.model
    );
    let settings = anomaly::table::TrainTable {
        data: with.data,
        test: with.test,
        mapping: with.mapping,
        out: with.out,
        seed: with.seed,
        network: None,
    };
    let trained = with_progress(with.json, |progress| anomaly::table::table(&settings, progress))?;
    if !with.json {
        print!("{}", trained.metrics);
        return Ok(());
    }
    let out = settings.out.display().to_string();
    let more = [("epochs", json!(trained.epochs)), ("out", json!(out))];
    println!("{}", with_more(anomaly_figures(trained.rows, &trained.metrics, began), more));
    Ok(())
}

/// The figures of an anomaly model's test part, for programs; precision, recall and F1 are at the percentile that one
/// normal validation row in a hundred passes.
fn anomaly_figures([train, validate]: [usize; 2], metrics: &anomaly::Metrics, began: Instant) -> Value {
    let ranking = &metrics.model;
    let [low, middle, high] = ranking.recall_at_fpr;
    let recall =
        |ranking: &learner::evaluate::Ranking| json!({ "auroc": ranking.auroc, "auprc": ranking.auprc });
    json!({
        "rows": { "train": train, "validate": validate, "test": ranking.rows },
        "model": "autoencoder",
        "positives": ranking.positives,
        "prevalence": ranking.prevalence,
        "auroc": ranking.auroc,
        "auprc": ranking.auprc,
        "precision": metrics.at_99.precision,
        "recall": metrics.at_99.recall,
        "f1": metrics.at_99.f1,
        "threshold": metrics.at_99.threshold,
        "recall_at_fpr": { "0.001": low, "0.01": middle, "0.05": high },
        "unseen_kinds": metrics.unseen_kinds.as_ref().map(recall),
        "baselines": metrics.baselines.iter().map(|(name, ranking)| (name.clone(), recall(ranking)))
            .collect::<serde_json::Map<_, _>>(),
        "seconds": began.elapsed().as_secs_f64(),
        "peak_mib": peak_mib(),
    })
}

/// The model of that name; `None` for `auto`.
pub fn model_kind(name: &str) -> anyhow::Result<Option<ModelKind>> {
    if name == "auto" {
        return Ok(None);
    }
    let found = ModelKind::ALL.into_iter().find(|kind| kind.name() == name);
    let known = ModelKind::ALL.map(ModelKind::name).join(", ");
    Ok(Some(found.with_context(|| format!("no fraud model is called {name}; choose from {known}, auto"))?))
}

/// What training found: for people, or one JSON object for programs.
pub fn say(trained: &TrainedTable, out: &Path, json: bool, began: Instant) {
    if !json {
        print!("{trained}");
        return;
    }
    remark(&trained.remarks);
    let other = trained.other.as_ref().map(|other| &other.ranking);
    let more = [
        ("model", json!(trained.model)),
        ("threshold", json!(trained.threshold)),
        ("step_up", json!({ "threshold": trained.test.step_up.threshold, "by": trained.rules.step_up })),
        ("hold", json!({ "threshold": trained.test.hold.threshold, "by": trained.rules.hold })),
        ("trials", json!(trained.trials.len())),
        ("out", json!(out.display().to_string())),
        ("other_customers", json!(other.map(|other| json!({ "auprc": other.auprc, "auroc": other.auroc })))),
    ];
    println!("{}", with_more(figures(&trained.rows, &trained.test, began), more));
}

/// An object with further members.
fn with_more<const N: usize>(mut figures: Value, more: [(&str, Value); N]) -> Value {
    if let Some(members) = figures.as_object_mut() {
        members.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    figures
}

/// What measuring found, as one JSON object.
pub fn say_measured(measured: &EvaluatedTable, began: Instant) {
    remark(&measured.remarks);
    println!("{}", figures(&measured.rows, &measured.test, began));
}

/// Measures a model on the test part of a table that it was trained on, or on another table.
pub fn evaluate(
    model: &Path,
    data: PathBuf,
    test: Option<PathBuf>,
    mapping: &Path,
    json: bool,
) -> anyhow::Result<()> {
    let began = Instant::now();
    if artifact::kind_of(&artifact::read(model)?) == Some(Kind::Anomaly) {
        let metrics = anomaly::table::evaluate(model, &data, test.as_deref(), mapping)?;
        println!("{}", anomaly_figures([0, 0], &metrics, began));
        return Ok(());
    }
    let tables = tables(data, test, mapping, 1)?;
    let measured =
        with_progress(json, |progress| classify::evaluate(model, &tables, Costs::default(), progress))?;
    say_measured(&measured, began);
    Ok(())
}

/// Prints the score of each row of a table.
pub fn score(settings: &ScoreTable) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    let remarks = scores::table(settings, &mut |said| {
        if written.is_ok() {
            written = writeln!(out, "{said}");
        }
    })?;
    written.and_then(|()| out.flush())?;
    remark(&remarks);
    Ok(())
}

fn tables(data: PathBuf, test: Option<PathBuf>, mapping: &Path, seed: u64) -> anyhow::Result<Tables> {
    Ok(Tables { data, test, mapping: Mapping::read(mapping)?, seed })
}

/// What is out of the ordinary in the data goes to standard error: figures alone do not tell it.
fn remark(remarks: &[String]) {
    remarks.iter().for_each(|remark| eprintln!("note: {remark}"));
}

/// The figures of the test part, for programs.
fn figures([train, validate, test]: &[usize; 3], measured: &Measured, began: Instant) -> Value {
    let ranking = &measured.ranking;
    let [low, middle, high] = ranking.recall_at_fpr;
    json!({
        "rows": { "train": train, "validate": validate, "test": test },
        "positives": ranking.positives,
        "prevalence": ranking.prevalence,
        "auroc": ranking.auroc,
        "auprc": ranking.auprc,
        "auroc_interval": measured.intervals.auroc,
        "auprc_interval": measured.intervals.auprc,
        "precision": measured.chosen.precision,
        "recall": measured.chosen.recall,
        "f1": measured.chosen.f1,
        "recall_at_fpr": { "0.001": low, "0.01": middle, "0.05": high },
        "brier": measured.brier,
        "card_precision_at_100": measured.card_precision_at_100,
        "baselines": measured.baselines.iter().map(|(name, ranking)| (name.clone(), json!(ranking.auprc)))
            .collect::<serde_json::Map<_, _>>(),
        "seconds": began.elapsed().as_secs_f64(),
        "peak_mib": peak_mib(),
    })
}
