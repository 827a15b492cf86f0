//! Training of a classifier on anybody's table: search, fit, calibrate, choose thresholds, measure.

use super::dataset::{Dataset, FoldParts, Tables, Trained};
use super::measure::{self, Costs, LOSS_CENTS, Measured};
use super::methods::{Candidate, ModelKind};
use super::{Part, Progress, TrainError, calibrate, rounded};
use crate::artifact::{self, Artifact, Kind, Manifest};
use crate::behaviour::Schema;
use crate::evaluate::{self, Scored};
use crate::fraud::{Calibrator, Classifier, Method, Thresholds};
use crate::report;
use rayon::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Fewer positives or negatives than this in a part teach or measure nothing.
const EACH_MIN: usize = 10;
/// Share of the training rows that the search judges on where there are no validation rows, the latest ones.
const HELD_BACK: f64 = 0.25;

/// What to train.
#[derive(Debug, Clone)]
pub struct TrainTable {
    /// The tables.
    pub tables: Tables,
    /// Which model; `None` tries the kinds and keeps the best on validation rows.
    pub model: Option<ModelKind>,
    /// Seed of everything random.
    pub seed: u64,
    /// Directory for the artifact and the report.
    pub out: PathBuf,
    /// What alarms cost.
    pub costs: Costs,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// Model and settings.
    pub candidate: serde_json::Value,
    /// AUPRC on each fold's validation rows.
    pub auprc: Vec<f64>,
    /// Their mean.
    pub mean: f64,
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
    /// The features that rank validation rows best by themselves; a minus sign where low values are the risky ones.
    pub singles: Vec<String>,
    /// Measured on the test part.
    pub test: Measured,
    /// Measured on other customers, where there are some.
    pub other: Option<Measured>,
    /// What reading the tables found out of the ordinary.
    pub remarks: Vec<String>,
}

/// Trains, measures, and writes `model.artifact` and `report.html`.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with table, mapping, fit or output.
pub fn train(settings: &TrainTable, progress: &mut dyn Progress) -> Result<TrainedTable, TrainError> {
    let data = Dataset::read(&settings.tables, None, progress)?;
    let (classifier, trained) = fit(&data, settings.model, settings.seed, settings.costs, progress)?;
    let manifest = Manifest {
        schema_hash: classifier.schema.hash().to_owned(),
        data: name(&settings.tables.data),
        data_fingerprint: data.fingerprint.clone(),
        seed: settings.seed,
        command: command(settings, trained.model),
        metrics: as_metrics(&trained)?,
    };
    let (artifact, report) = documents(manifest, classifier, &trained, &data.test, settings.costs)?;
    super::write(&settings.out, artifact::FILE, &artifact)?;
    super::write(&settings.out, report::FILE, report.as_bytes())?;
    Ok(trained)
}

/// Searches, fits, calibrates and measures; `model` as in [`TrainTable`].
///
/// # Errors
/// A [`TrainError`] that names the part that cannot teach, or why no model serves.
pub fn fit(
    data: &Dataset,
    model: Option<ModelKind>,
    seed: u64,
    costs: Costs,
    progress: &mut dyn Progress,
) -> Result<(Classifier, TrainedTable), TrainError> {
    both_classes("training", &data.train)?;
    both_classes("test", &data.test)?;
    let found = search(data, model, seed, costs, progress)?;
    let classifier = found.classifier;
    classifier.check().map_err(TrainError::Fit)?;
    progress.stage("measuring", 1);
    let test = measure::measure(&data.test, &classifier, costs, &found.singles, &data.scenarios);
    progress.step();
    let parts = [&data.train, &data.validate, &data.test];
    let trained = TrainedTable {
        rows: parts.map(Part::rows),
        positives: parts.map(Part::positives),
        model: found.kind,
        trials: found.trials,
        chosen: found.chosen,
        threshold: classifier.best_f1,
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
    let classifier = search(data, model, seed, Costs::default(), &mut ())?.classifier;
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
    let data = Dataset::read(&tables, Some(&trained), progress)?;
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
        "gatehouse train fraud --data {}{test} --mapping {} --model {kind} --seed {} --out DIR",
        name(&tables.data),
        name(&tables.mapping.path),
        settings.seed
    )
}

/// What the search ends with.
struct Found {
    classifier: Classifier,
    kind: ModelKind,
    trials: Vec<Trial>,
    chosen: serde_json::Value,
    singles: Vec<String>,
}

/// A fold's rows.
struct Fold<'a> {
    train: std::borrow::Cow<'a, Part>,
    validate: std::borrow::Cow<'a, Part>,
}

fn search(
    data: &Dataset,
    model: Option<ModelKind>,
    seed: u64,
    costs: Costs,
    progress: &mut dyn Progress,
) -> Result<Found, TrainError> {
    let folds = folds(data);
    for fold in &folds {
        if fold.validate.positives() < 2 {
            let problem =
                format!("{} positive rows are too few to choose anything by", fold.validate.positives());
            return Err(TrainError::Unusable { part: "validation", problem });
        }
    }
    let kinds = model.map_or_else(|| ModelKind::ALL.to_vec(), |kind| vec![kind]);
    let candidates: Vec<(ModelKind, Candidate)> = kinds
        .iter()
        .flat_map(|&kind| {
            let grid = Candidate::grid(kind, data.train.rows(), seed);
            grid.into_iter().map(move |candidate| (kind, candidate))
        })
        .collect();
    progress.stage("comparing settings", candidates.len() as u64);
    let tried: Vec<Result<Tried, TrainError>> =
        candidates.par_iter().map(|(_, candidate)| Tried::of(candidate, &folds)).collect();
    let mut trials = Vec::new();
    let mut best: Option<(f64, ModelKind, Candidate, Tried)> = None;
    for ((kind, candidate), tried) in candidates.into_iter().zip(tried) {
        progress.step();
        let tried = tried?;
        let mean = tried.auprc.iter().sum::<f64>() / tried.auprc.len().max(1) as f64;
        trials.push(Trial {
            candidate: as_json(&candidate)?,
            auprc: tried.auprc.iter().map(|&auprc| rounded(auprc)).collect(),
            mean: rounded(mean),
        });
        if best.as_ref().is_none_or(|(best, ..)| mean > *best) {
            best = Some((mean, kind, candidate, tried));
        }
    }
    let (_, kind, candidate, tried) = best.ok_or_else(|| TrainError::Fit("nothing was tried".to_owned()))?;
    progress.stage("fitting", 1);
    let settled = candidate.settled();
    let (method, raw, cents) = finally(data, &folds, (&candidate, &settled), tried)?;
    progress.step();
    let classifier = finished(data, method, &raw, &cents, costs);
    Ok(Found { singles: best_single(&folds), classifier, kind, trials, chosen: as_json(&settled)? })
}

fn as_json(candidate: &Candidate) -> Result<serde_json::Value, TrainError> {
    serde_json::to_value(candidate).map_err(|error| TrainError::Report(error.to_string()))
}

/// What came of a candidate on each fold.
struct Tried {
    methods: Vec<Method>,
    auprc: Vec<f64>,
}

impl Tried {
    fn of(candidate: &Candidate, folds: &[Fold<'_>]) -> Result<Self, TrainError> {
        let (mut methods, mut auprc) = (Vec::new(), Vec::new());
        for fold in folds {
            let method = candidate.fit(&fold.train, Some(&fold.validate))?;
            auprc.push(evaluate::auprc(&scores(&fold.validate, &method)));
            methods.push(method);
        }
        Ok(Self { methods, auprc })
    }
}

/// Raw scores of a part.
pub(super) fn scores(part: &Part, method: &Method) -> Vec<Scored> {
    let mut row = vec![0.0; part.frame.width()];
    let score = |at: usize| {
        part.frame.row(at, &mut row);
        Scored { score: method.raw(&row), positive: part.labels[at] }
    };
    (0..part.rows()).map(score).collect()
}

/// Validation rows where there are some; else the mapping's folds; else the latest quarter of the training rows.
fn folds(data: &Dataset) -> Vec<Fold<'_>> {
    use std::borrow::Cow::{Borrowed, Owned};
    if data.validate.positives() >= EACH_MIN {
        return vec![Fold { train: Borrowed(&data.train), validate: Borrowed(&data.validate) }];
    }
    if !data.folds.is_empty() {
        let fold = |parts: &'_ FoldParts| Fold {
            train: Owned(parts.train.clone()),
            validate: Owned(parts.validate.clone()),
        };
        return data.folds.iter().map(fold).collect();
    }
    let rows = data.train.rows();
    let cut = (rows as f64 * (1.0 - HELD_BACK)) as usize;
    let (earlier, later): (Vec<usize>, Vec<usize>) = ((0..cut).collect(), (cut..rows).collect());
    vec![Fold { train: Owned(data.train.select(&earlier)), validate: Owned(data.train.select(&later)) }]
}

/// The method that is kept, of the settings that were compared and those of the final fit, with scores and amounts of rows that it was not fitted on.
fn finally(
    data: &Dataset,
    folds: &[Fold<'_>],
    (compared, settled): (&Candidate, &Candidate),
    mut tried: Tried,
) -> Result<(Method, Vec<Scored>, Vec<i64>), TrainError> {
    if data.validate.positives() >= EACH_MIN {
        // What was compared with its final settings need not be fitted twice.
        let same = if compared == settled { tried.methods.pop() } else { None };
        let method = same.map_or_else(|| settled.fit(&data.train, Some(&data.validate)), Ok)?;
        let (raw, cents) = counted(&data.validate, scores(&data.validate, &method));
        return Ok((method, raw, cents));
    }
    let (mut raw, mut judged_cents) = (Vec::new(), Vec::new());
    for (fold, method) in folds.iter().zip(&tried.methods) {
        let scored = scores(&fold.validate, method);
        let (rows, cents) = counted(&fold.validate, scored);
        raw.extend(rows);
        judged_cents.extend(cents);
    }
    let stopped = tried.methods.last().map_or_else(|| settled.clone(), |method| settled.as_stopped(method));
    let method = stopped.fit(&data.train, None)?;
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
    costs: Costs,
) -> Classifier {
    let calibrator: Calibrator = calibrate::calibrator(raw);
    let mut classifier = Classifier {
        schema: data.schema.clone(),
        encoder: data.encoder.clone(),
        method,
        calibrator,
        thresholds: Thresholds { step_up: 1.0, hold: 1.0 },
        best_f1: 1.0,
    };
    let said = measure::probabilities(raw, &classifier);
    classifier.best_f1 = rounded_down(evaluate::best_f1_threshold(&said));
    let step_up = cheapest(&said, cents, costs.challenge_cents);
    let hold = cheapest(&said, cents, costs.hold_cents).max(step_up);
    classifier.thresholds = Thresholds { step_up: rounded_down(step_up), hold: rounded_down(hold) };
    classifier
}

/// Six digits that are not above the value: rows that score just as much must not fall out.
fn rounded_down(threshold: f64) -> f64 {
    let nearest = rounded(threshold);
    if nearest > threshold { rounded(threshold * (1.0 - 1e-5)) } else { nearest }
}

/// The threshold at which missed fraud and false alarms together cost least. Without amounts, a fraud costs [`super::LOSS_CENTS`].
fn cheapest(said: &[Scored], cents: &[i64], alarm_cents: f64) -> f64 {
    let mut rows: Vec<(Scored, f64)> = said
        .iter()
        .enumerate()
        .map(|(at, row)| (*row, cents.get(at).map_or(LOSS_CENTS, |&cents| cents as f64)))
        .collect();
    rows.sort_by(|a, b| b.0.score.total_cmp(&a.0.score));
    let (mut saved, mut best, mut threshold) = (0.0, 0.0, 1.0);
    for (at, (row, cents)) in rows.iter().enumerate() {
        saved += if row.positive { *cents } else { -alarm_cents };
        let last_of_its_score = rows.get(at + 1).is_none_or(|next| next.0.score < row.score);
        if last_of_its_score && saved > best {
            (best, threshold) = (saved, row.score);
        }
    }
    threshold
}

/// The three features that rank validation rows best by themselves; a minus sign where low values are the risky ones.
fn best_single(folds: &[Fold<'_>]) -> Vec<String> {
    let Some(fold) = folds.last() else { return Vec::new() };
    let part = &fold.validate;
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
