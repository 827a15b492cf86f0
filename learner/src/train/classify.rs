//! Training of a classifier on anybody's table: search, fit, calibrate, choose thresholds, measure.

use super::dataset::{Dataset, Tables, Trained};
use super::derived::{Deriving, Wanted};
use super::measure::{self, Costs, Measured};
use super::methods::ModelKind;
use super::search::{Basis, Fold, Search, Trial, TrialLog, Winner};
use super::search::{as_json, folds, has_validation, scores, search};
use super::thresholds::{self, Rules};
use super::{Part, Progress, TrainError, calibrate};
use crate::artifact::{self, Artifact, Kind, Manifest};
use crate::behaviour::Schema;
use crate::evaluate::{self, Scored};
use crate::fraud::{Classifier, Method, Thresholds};
use crate::report;
use rayon::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Fewer positives or negatives than this in a part teach or measure nothing.
const EACH_MIN: usize = 10;

/// How a classifier is made.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Recipe {
    /// Which model; `None` tries the kinds and keeps the best on validation rows.
    pub model: Option<ModelKind>,
    /// Seed of everything random.
    pub seed: u64,
    /// How settings are searched.
    pub search: Search,
    /// Which inputs are made of the others.
    pub inputs: Wanted,
    /// What alarms cost.
    pub costs: Costs,
    /// Share of legitimate rows that may be challenged, 0 to 1; without it costs choose the thresholds.
    pub budget: Option<f64>,
}

impl Recipe {
    /// The options that make it again, once it is known which kind won.
    pub(super) fn options(&self, kind: ModelKind) -> String {
        let mut options = format!(" --model {kind} --seed {}", self.seed);
        if self.search.random > 0 {
            options += &format!(" --search {}", self.search.random);
        }
        if !self.inputs.is_none() {
            options += &format!(" --inputs {}", self.inputs);
        }
        options += &self.search.folds.map_or(String::new(), |folds| format!(" --folds {folds}"));
        options + &self.budget.map_or(String::new(), |budget| format!(" --budget {budget}"))
    }
}

/// What to train.
#[derive(Debug, Clone)]
pub struct TrainTable {
    /// The tables.
    pub tables: Tables,
    /// How.
    pub recipe: Recipe,
    /// Directory for the artifact, the report and the log of trials.
    pub out: PathBuf,
}

/// What training says at its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainedTable {
    /// Rows of train, validate and test.
    pub rows: [usize; 3],
    /// Positives among them.
    pub positives: [usize; 3],
    /// The kind that was kept.
    pub model: ModelKind,
    /// Everything that was tried.
    pub trials: Vec<Trial>,
    /// What was chosen of it.
    pub chosen: serde_json::Value,
    /// The probability with the best F1 on validation rows.
    pub threshold: f64,
    /// What chose the thresholds; costs, unless there is a budget.
    #[serde(skip_serializing_if = "Rules::are_cost")]
    pub rules: Rules,
    /// The features that rank validation rows best by themselves; a minus sign where low values are the risky ones.
    pub singles: Vec<String>,
    /// Measured on the test part.
    pub test: Measured,
    /// Measured on other customers, where there are some.
    pub other: Option<Measured>,
    /// What reading the tables found out of the ordinary.
    pub remarks: Vec<String>,
}

/// Trains, measures, and writes `model.artifact` and `report.html`. Trials are written down as soon as they are done, and
/// those that an earlier run wrote down are not tried again.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with table, mapping, fit or output.
pub fn train(settings: &TrainTable, progress: &mut dyn Progress) -> Result<TrainedTable, TrainError> {
    let mut data = Dataset::read(&settings.tables, None, progress)?;
    let recipe = &settings.recipe;
    data.derive(recipe.inputs, recipe.seed, progress)?;
    // Where the mapping stands says nothing of what is in it.
    let mapping = crate::table::Mapping { path: PathBuf::new(), ..settings.tables.mapping.clone() };
    let log = TrialLog::open(&settings.out, &basis(&data, recipe, format!("{mapping:?}")))?;
    let (classifier, mut trained) = fit(&data, recipe, Some(&log), progress)?;
    let manifest = Manifest {
        schema_hash: classifier.schema.hash().to_owned(),
        data: name(&settings.tables.data),
        data_fingerprint: data.fingerprint.clone(),
        seed: recipe.seed,
        command: command(settings, trained.model),
        metrics: as_metrics(&trained)?,
        baseline: None,
    };
    let (artifact, report) = documents(manifest, classifier, &trained, &data.test, recipe.costs)?;
    super::write(&settings.out, artifact::FILE, &artifact)?;
    super::write(&settings.out, report::FILE, report.as_bytes())?;
    // What an earlier run left is no property of the model: it is said, and not kept in the artifact.
    trained.remarks.extend(log.remarks());
    Ok(trained)
}

/// What the figures of trials depend on.
pub(super) fn basis<'a>(data: &'a Dataset, recipe: &Recipe, mapping: String) -> Basis<'a> {
    Basis {
        version: env!("CARGO_PKG_VERSION"),
        schema: data.schema.hash(),
        fingerprint: &data.fingerprint,
        mapping,
        seed: recipe.seed,
        folds: recipe.search.folds,
        inputs: recipe.inputs.to_string(),
    }
}

/// Searches, fits, calibrates and measures.
///
/// # Errors
/// A [`TrainError`] that names the part that cannot teach, or why no model serves.
pub(super) fn fit(
    data: &Dataset,
    recipe: &Recipe,
    log: Option<&TrialLog>,
    progress: &mut dyn Progress,
) -> Result<(Classifier, TrainedTable), TrainError> {
    both_classes("training", &data.train)?;
    both_classes("test", &data.test)?;
    let found = found(data, recipe, log, progress)?;
    let classifier = found.classifier;
    classifier.check().map_err(TrainError::Fit)?;
    progress.stage("measuring", 1);
    let test = measure::measure(&data.test, &classifier, recipe.costs, &found.singles, &data.scenarios);
    progress.step();
    let parts = [&data.train, &data.validate, &data.test];
    let trained = TrainedTable {
        rows: parts.map(Part::rows),
        positives: parts.map(Part::positives),
        model: found.kind,
        trials: found.trials,
        chosen: found.chosen,
        threshold: classifier.best_f1,
        rules: found.rules,
        singles: found.singles,
        test,
        other: None,
        remarks: data.remarks.clone(),
    };
    Ok((classifier, trained))
}

/// Searches, fits and calibrates, and measures nothing: for a challenger, which is measured beside the champion.
///
/// # Errors
/// As [`fit`].
pub(crate) fn fit_unmeasured(
    data: &Dataset,
    model: Option<ModelKind>,
    seed: u64,
) -> Result<Classifier, TrainError> {
    both_classes("training", &data.train)?;
    let recipe = Recipe { model, seed, ..Recipe::default() };
    let classifier = found(data, &recipe, None, &mut ())?.classifier;
    classifier.check().map_err(TrainError::Fit)?;
    Ok(classifier)
}

/// Figures as a manifest keeps them.
pub(super) fn as_metrics(trained: &TrainedTable) -> Result<serde_json::Value, TrainError> {
    serde_json::to_value(trained).map_err(|error| TrainError::Report(error.to_string()))
}

/// The artifact and the report of a trained classifier.
pub(super) fn documents(
    manifest: Manifest,
    classifier: Classifier,
    trained: &TrainedTable,
    test: &Part,
    costs: Costs,
) -> Result<(Vec<u8>, String), TrainError> {
    let report = reported(&manifest, trained, &classifier, test, costs)?;
    Ok((artifact::to_bytes(Kind::Fraud, &Artifact { manifest, model: classifier })?, report))
}

/// A file's name without its folder, so that artifacts do not tell where they were made.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What measuring a model says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluatedTable {
    /// Rows of train, validate and test, as the mapping splits this table.
    pub rows: [usize; 3],
    /// Measured on the test part.
    pub test: Measured,
    /// What reading the tables found out of the ordinary.
    pub remarks: Vec<String>,
}

/// Measures a model on the test part of the tables it was trained on, or on another table. What the tables teach of
/// behaviour is learned anew, as everything before the test part happened before it; another table begins with none.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with artifact, table or mapping.
pub fn evaluate(
    model: &Path,
    tables: &Tables,
    costs: Costs,
    progress: &mut dyn Progress,
) -> Result<EvaluatedTable, TrainError> {
    let schema = Schema::new(super::replay::inputs(&tables.mapping));
    let Artifact { manifest, model: classifier } =
        artifact::load::<Classifier>(model, Kind::Fraud, schema.hash())?;
    classifier.check().map_err(artifact::ArtifactError::Malformed)?;
    // A table without time is shuffled as it was in training: another shuffle would test on rows that were trained on.
    let tables = Tables { seed: manifest.seed, ..tables.clone() };
    let trained = Trained { encoder: &classifier.encoder, fingerprint: &manifest.data_fingerprint };
    let mut data = Dataset::read(&tables, Some(&trained), progress)?;
    data.derive_as(classifier.derived.as_ref());
    both_classes("test", &data.test)?;
    progress.stage("measuring", 1);
    let test = measure::measure(&data.test, &classifier, costs, &[], &data.scenarios);
    Ok(EvaluatedTable {
        rows: [&data.train, &data.validate, &data.test].map(Part::rows),
        test,
        remarks: data.remarks,
    })
}

pub(super) fn both_classes(part: &'static str, rows: &Part) -> Result<(), TrainError> {
    let positives = rows.positives();
    if positives >= EACH_MIN && rows.rows() - positives >= EACH_MIN {
        return Ok(());
    }
    let problem = format!(
        "{positives} positive rows of {}; at least {EACH_MIN} of each kind are needed: look at [split] and at what the \
         mapping calls positive",
        rows.rows()
    );
    Err(TrainError::Unusable { part, problem })
}

fn reported(
    manifest: &Manifest,
    trained: &TrainedTable,
    classifier: &Classifier,
    test: &Part,
    costs: Costs,
) -> Result<String, TrainError> {
    let raw = measure::raw(test, classifier);
    let said = measure::probabilities(&raw, classifier);
    let importance = report::importance(classifier, test);
    let evidence = report::Evidence {
        manifest,
        trained,
        classifier,
        test,
        raw: &raw,
        said: &said,
        single: &trained.singles,
        costs,
        importance: &importance,
    };
    report::classifier(&evidence).map_err(TrainError::Report)
}

/// The command that makes the same model again.
fn command(settings: &TrainTable, kind: ModelKind) -> String {
    let tables = &settings.tables;
    let test = tables.test.as_ref().map_or(String::new(), |test| format!(" --test {}", name(test)));
    format!(
        "gatehouse train fraud --data {}{test} --mapping {}{} --out DIR",
        name(&tables.data),
        name(&tables.mapping.path),
        settings.recipe.options(kind)
    )
}

/// What searching and fitting end with.
struct Found {
    classifier: Classifier,
    kind: ModelKind,
    trials: Vec<Trial>,
    chosen: serde_json::Value,
    rules: Rules,
    singles: Vec<String>,
}

fn found(
    data: &Dataset,
    recipe: &Recipe,
    log: Option<&TrialLog>,
    progress: &mut dyn Progress,
) -> Result<Found, TrainError> {
    let folds = folds(data, recipe.search.folds)?;
    let kinds = recipe.model.map_or_else(|| ModelKind::ALL.to_vec(), |kind| vec![kind]);
    let how = (kinds.as_slice(), recipe.seed, recipe.search.random);
    let mut winner = search(data, &folds, how, log, progress)?;
    progress.stage("fitting", 1);
    let (kind, trials) = (winner.kind, std::mem::take(&mut winner.trials));
    let chosen = as_json(&winner.candidate.settled())?;
    let (method, raw, cents) = finally(data, &folds, winner)?;
    progress.step();
    let (classifier, rules) = finished(data, method, &raw, &cents, recipe);
    let singles = folds.last().map_or_else(Vec::new, |fold| best_single(&fold.parts(data)[1]));
    Ok(Found { classifier, kind, trials, chosen, rules, singles })
}

/// The method that is kept, with the settings of the final fit, and scores and amounts of rows that it was not fitted on.
fn finally(
    data: &Dataset,
    folds: &[Fold<'_>],
    winner: Winner,
) -> Result<(Method, Vec<Scored>, Vec<i64>), TrainError> {
    let Winner { candidate, methods, .. } = winner;
    let settled = candidate.settled();
    if has_validation(data) {
        // The last fold is this very fit: what was compared with its final settings need not be fitted twice.
        let same = methods.and_then(|mut methods| methods.pop()).filter(|_| candidate == settled);
        let method = same.map_or_else(|| settled.fit(&data.train, Some(&data.validate), None), Ok)?;
        let (raw, cents) = counted(&data.validate, scores(&data.validate, &method));
        return Ok((method, raw, cents));
    }
    let mut known = methods.unwrap_or_default().into_iter();
    let (mut raw, mut judged_cents, mut last) = (Vec::new(), Vec::new(), None);
    for fold in folds {
        let [train, validate] = fold.parts(data);
        let method = known.next().map_or_else(|| candidate.fit(&train, Some(&validate), None), Ok)?;
        let (rows, cents) = counted(&validate, scores(&validate, &method));
        raw.extend(rows);
        judged_cents.extend(cents);
        last = Some(method);
    }
    let stopped = last.map_or_else(|| settled.clone(), |method| settled.as_stopped(&method));
    let method = stopped.fit(&data.train, None, None)?;
    Ok((method, raw, judged_cents))
}

/// Scores and amounts with each row as often as it counts, so that what thinning left out is in probabilities and costs.
pub(super) fn counted(part: &Part, scored: Vec<Scored>) -> (Vec<Scored>, Vec<i64>) {
    let weights = part.weights();
    if weights == [1.0; 2] {
        return (scored, part.cents.clone());
    }
    let often = |row: &Scored| weights[usize::from(row.positive)] as usize;
    let cents =
        part.cents.iter().zip(&scored).flat_map(|(&cents, row)| std::iter::repeat_n(cents, often(row)));
    let cents = cents.collect();
    (scored.iter().flat_map(|row| std::iter::repeat_n(*row, often(row))).collect(), cents)
}

/// Calibrates, and chooses where to act.
pub(super) fn finished(
    data: &Dataset,
    method: Method,
    raw: &[Scored],
    cents: &[i64],
    recipe: &Recipe,
) -> (Classifier, Rules) {
    let mut classifier = Classifier {
        schema: data.schema.clone(),
        encoder: data.encoder.clone(),
        derived: data.derived.as_ref().map(Deriving::fitted).cloned(),
        method,
        calibrator: calibrate::calibrator(raw),
        thresholds: Thresholds { step_up: 1.0, hold: 1.0 },
        best_f1: 1.0,
    };
    let said = measure::probabilities(raw, &classifier);
    classifier.best_f1 = thresholds::rounded_down(evaluate::best_f1_threshold(&said));
    let (thresholds, rules) = thresholds::choose(&said, cents, recipe.costs, recipe.budget);
    classifier.thresholds = thresholds;
    (classifier, rules)
}

/// The three features that rank validation rows best by themselves; a minus sign where low values are the risky ones.
fn best_single(part: &Part) -> Vec<String> {
    let areas = |at: usize| {
        let scored = |sign: f64| -> Vec<Scored> {
            let values = part.frame.column(at).iter().zip(&part.labels);
            values
                .map(|(&value, &positive)| Scored {
                    score: if value.is_nan() { f64::MIN } else { sign * f64::from(value) },
                    positive,
                })
                .collect()
        };
        [("", 1.0), ("-", -1.0)].map(|(prefix, sign)| {
            (evaluate::auprc(&scored(sign)), format!("{prefix}{}", part.frame.names()[at]))
        })
    };
    let mut found: Vec<(f64, String)> =
        (0..part.frame.width()).into_par_iter().flat_map_iter(areas).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests;
