//! Training and evaluation of the fraud model.

use super::data::{self, Row, Source};
use super::logistic::{self, Fitted, Parameters, Scaling};
use super::{Progress, TrainError, rounded};
use crate::artifact::{self, Artifact, Kind, Manifest};
use crate::evaluate::{self, AtThreshold, Ranking, Reliability, Scored};
use crate::features::transfer;
use crate::fraud::{Calibration, FraudModel, FraudScorer, Thresholds};
use crate::report;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What an alarm costs a bank, in hundredths of a major unit: a challenge annoys a customer, who may give the payment up
/// or call; a hold takes an analyst's time as well. Missed fraud costs its amount.
const CHALLENGE_CENTS: f64 = 1_000.0;
const HOLD_CENTS: f64 = 2_500.0;

/// Resampling and penalties tried.
const GRID: [Parameters; 6] = [
    Parameters { smote_ratio: 0.0, l2: 30.0 },
    Parameters { smote_ratio: 0.05, l2: 30.0 },
    Parameters { smote_ratio: 0.05, l2: 300.0 },
    Parameters { smote_ratio: 0.25, l2: 30.0 },
    Parameters { smote_ratio: 0.25, l2: 300.0 },
    Parameters { smote_ratio: 1.0, l2: 300.0 },
];

/// Added to the seed for customers whom training never met.
const OTHER_TOWN: u64 = 1_000_003;

/// What to train.
#[derive(Debug, Clone)]
pub struct TrainFraud {
    /// Where the data comes from.
    pub data: Source,
    /// Directory for the artifact and the report.
    pub out: PathBuf,
    /// Seed of the resampling.
    pub seed: u64,
}

/// Everything measured on one set of rows that training did not see.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// The rows, in words.
    pub on: String,
    /// The model.
    pub model: Ranking,
    /// At the step-up threshold.
    pub step_up: AtThreshold,
    /// At the hold threshold.
    pub hold: AtThreshold,
    /// Mean squared error of the probabilities.
    pub brier: f64,
    /// Probability said against frequency that came.
    pub calibration: Vec<Reliability>,
    /// Fraud in the rows, hundredths of a major unit.
    pub fraud_cents: i64,
    /// Fraud stopped by step-up or hold, less the cost of false alarms.
    pub saved_cents: i64,
    /// Share found at the step-up threshold, by kind of fraud where it is known.
    pub recall_by_scenario: BTreeMap<String, f64>,
    /// The same rows ranked by simpler means.
    pub baselines: BTreeMap<String, Ranking>,
}

/// What training says at its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trained {
    /// Rows of the training, validation and test part.
    pub rows: [usize; 3],
    /// Resampling and penalty chosen on the validation part: synthetic ratio and L2 weight.
    pub chosen: [f64; 2],
    /// AUPRC on the validation part for each candidate: ratio, L2 weight, AUPRC.
    pub candidates: Vec<[f64; 3]>,
    /// Measured on later events, and where the data is simulated on other customers as well.
    pub tests: Vec<Metrics>,
}

/// The parts of a data set, in time order.
struct Parts {
    train: Vec<Row>,
    validate: Vec<Row>,
    test: Vec<Row>,
}

/// Share of the time in which profiles only warm up: their customers look new although they are not.
const WARM_UP: f64 = 0.1;

/// Splits by time: the first tenth only warms up the profiles, then half for training, 15 % for validation and a
/// quarter for the test.
fn split(rows: &[Row]) -> Parts {
    Parts {
        train: between(rows, WARM_UP, 0.6),
        validate: between(rows, 0.6, 0.75),
        test: between(rows, 0.75, 1.0),
    }
}

/// Rows from one share of the whole time to another; the last moment belongs to share 1.
fn between(rows: &[Row], from: f64, to: f64) -> Vec<Row> {
    let first = rows.first().map_or(0, |row| row.at_ms);
    let span = rows.last().map_or(0, |row| row.at_ms).saturating_sub(first).saturating_add(1);
    let at = |share: f64| first.saturating_add((span as f64 * share) as i64);
    rows.iter().filter(|row| (at(from)..at(to)).contains(&row.at_ms)).cloned().collect()
}

/// Trains, measures, and writes `model.artifact` and `report.html`; the same data and seed give the same bytes.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with data, fit or output.
pub fn fraud(settings: &TrainFraud, progress: &mut dyn Progress) -> Result<Trained, TrainError> {
    let events = data::transfers(&settings.data)?;
    let mut tests = Vec::new();
    if let Source::Simulate(seed) = settings.data {
        let other = data::transfers(&Source::Simulate(seed.wrapping_add(OTHER_TOWN)))?;
        tests.push(("other customers, later time".to_owned(), split(&data::replay(&other)).test));
    }
    let command =
        format!("gatehouse train fraud --data {} --seed {} --out DIR", settings.data, settings.seed);
    let origin = (settings.data.to_string(), command);
    let made = train(data::replay(&events), tests, settings.seed, &GRID, origin, progress)?;
    super::write(&settings.out, artifact::FILE, &made.artifact)?;
    super::write(&settings.out, report::FILE, made.report.as_bytes())?;
    Ok(made.trained)
}

/// Fits on rows that were recorded while serving, and chooses, calibrates and sets thresholds on later ones.
///
/// # Errors
/// The optimiser failed.
pub(crate) fn fit(train: Vec<Row>, validate: Vec<Row>, seed: u64) -> Result<FraudModel, TrainError> {
    let parts = Parts { train, validate, test: Vec::new() };
    Ok(search(&parts, seed, &GRID, &mut ())?.model(&parts.validate))
}

/// What training makes.
struct Made {
    artifact: Vec<u8>,
    report: String,
    trained: Trained,
}

/// Trains on rows in time order; `tests` are further rows to measure on.
fn train(
    rows: Vec<Row>,
    mut tests: Vec<(String, Vec<Row>)>,
    seed: u64,
    grid: &[Parameters],
    (data, command): (String, String),
    progress: &mut dyn Progress,
) -> Result<Made, TrainError> {
    let parts = split(&rows);
    for (part, rows) in [("training", &parts.train), ("validation", &parts.validate), ("test", &parts.test)] {
        let frauds = rows.iter().filter(|row| row.fraud).count();
        if frauds < 10 || rows.len() - frauds < 10 {
            let problem =
                format!("{frauds} frauds in {} rows; at least ten of each kind are needed", rows.len());
            return Err(TrainError::Unusable { part, problem });
        }
    }
    let search = search(&parts, seed, grid, progress)?;
    let model = search.model(&parts.validate);
    tests.push(("same customers, later time".to_owned(), parts.test.clone()));
    let sizes = [parts.train.len(), parts.validate.len(), parts.test.len()];
    progress.stage("measuring", tests.len() as u64);
    let scored_tests = tests.iter().map(|(on, rows)| {
        progress.step();
        measure(on, rows, &model).map(|metrics| (metrics, scores(rows, &model)))
    });
    let (metrics, scores): (Vec<_>, Vec<_>) =
        scored_tests.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let trained = Trained {
        rows: sizes,
        chosen: [search.best.smote_ratio, search.best.l2],
        candidates: search.candidates.clone(),
        tests: metrics,
    };
    let manifest = Manifest {
        schema_hash: transfer::schema_hash(),
        data_fingerprint: data::fingerprint(&parts.train),
        data,
        seed,
        command,
        metrics: serde_json::to_value(&trained).map_err(|error| TrainError::Report(error.to_string()))?,
    };
    let report = report::fraud(&manifest, &trained, &scores, &model).map_err(TrainError::Report)?;
    let artifact = artifact::to_bytes(Kind::Fraud, &Artifact { manifest, model })?;
    // What was just written must load: a model that cannot serve is an error of training.
    FraudScorer::from_bytes(&artifact)?;
    Ok(Made { artifact, report, trained })
}

/// The best of a grid, by AUPRC on the validation part.
struct Search {
    scaling: Scaling,
    fitted: Fitted,
    best: Parameters,
    candidates: Vec<[f64; 3]>,
}

fn search(
    parts: &Parts,
    seed: u64,
    grid: &[Parameters],
    progress: &mut dyn Progress,
) -> Result<Search, TrainError> {
    let train: Vec<_> = parts.train.iter().map(|row| &row.vector).collect();
    let fraud: Vec<bool> = parts.train.iter().map(|row| row.fraud).collect();
    let scaling = Scaling::learn(&train);
    let design = scaling.design(&train);
    let validate: Vec<_> = parts.validate.iter().map(|row| &row.vector).collect();
    let validation = scaling.design(&validate);
    let mut candidates = Vec::new();
    let mut best: Option<(f64, Parameters, Fitted)> = None;
    progress.stage("fitting", grid.len() as u64);
    for &parameters in grid {
        let fitted = logistic::fit(&design, &fraud, parameters, seed)?;
        let auprc = evaluate::auprc(&label(fitted.raw(&validation), &parts.validate));
        candidates.push([parameters.smote_ratio, parameters.l2, rounded(auprc)]);
        if best.as_ref().is_none_or(|(best, ..)| auprc > *best) {
            best = Some((auprc, parameters, fitted));
        }
        progress.step();
    }
    let (_, best, fitted) = best.ok_or_else(|| TrainError::Fit("no candidate".to_owned()))?;
    Ok(Search { scaling, fitted, best, candidates })
}

impl Search {
    /// The served model: rounded, calibrated and given thresholds on the validation part.
    fn model(&self, validate: &[Row]) -> FraudModel {
        let mut model = FraudModel {
            columns: self.scaling.with_weights(&self.fitted),
            intercept: rounded(self.fitted.intercept),
            calibration: Calibration { slope: 1.0, intercept: 0.0 },
            thresholds: Thresholds { step_up: 1.0, hold: 1.0 },
            smote_ratio: self.best.smote_ratio,
            l2: self.best.l2,
        };
        let raw: Vec<f64> = validate.iter().map(|row| model.raw(&row.vector)).collect();
        model.calibration = platt(&label(raw, validate));
        let scored = scores(validate, &model);
        let step_up = cheapest(&scored, validate, CHALLENGE_CENTS);
        let hold = cheapest(&scored, validate, HOLD_CENTS).max(step_up);
        model.thresholds = Thresholds { step_up: rounded(step_up), hold: rounded(hold) };
        model
    }
}

fn label(scores: Vec<f64>, rows: &[Row]) -> Vec<Scored> {
    scores.into_iter().zip(rows).map(|(score, row)| Scored { score, positive: row.fraud }).collect()
}

/// Probabilities exactly as serving gives them.
fn scores(rows: &[Row], model: &FraudModel) -> Vec<Scored> {
    let probability = |row: &Row| model.calibration.probability(model.raw(&row.vector));
    label(rows.iter().map(probability).collect(), rows)
}

/// Platt scaling by Newton's method (Platt 1999, with the targets of Lin, Lin and Weng 2007, which keep a perfect
/// separation finite).
fn platt(scored: &[Scored]) -> Calibration {
    let positives = scored.iter().filter(|row| row.positive).count() as f64;
    let negatives = scored.len() as f64 - positives;
    let (high, low) = ((positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0));
    let (mut slope, mut intercept) = (1.0, 0.0);
    for _ in 0..50 {
        let (mut g, mut h) = ([0.0; 2], [1e-9, 0.0, 1e-9]);
        for row in scored {
            let p = Calibration { slope, intercept }.probability(row.score);
            let error = p - if row.positive { high } else { low };
            let weight = p * (1.0 - p);
            g = [g[0] + error * row.score, g[1] + error];
            h = [h[0] + weight * row.score * row.score, h[1] + weight * row.score, h[2] + weight];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step = [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        if !step.iter().all(|change| change.is_finite()) {
            break;
        }
        slope = (slope - step[0]).max(1e-3);
        intercept -= step[1];
        if step.iter().all(|change| change.abs() < 1e-10) {
            break;
        }
    }
    Calibration { slope: rounded(slope), intercept: rounded(intercept) }
}

/// The threshold at which missed fraud and false alarms together cost least.
fn cheapest(scored: &[Scored], rows: &[Row], alarm_cents: f64) -> f64 {
    let mut order: Vec<(f64, &Row)> = scored.iter().map(|row| row.score).zip(rows).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let missed: f64 = rows.iter().filter(|row| row.fraud).map(|row| row.amount_cents as f64).sum();
    let (mut cost, mut best) = (missed, (missed, 1.0));
    for (at, (score, row)) in order.iter().enumerate() {
        cost += alarm_cents - if row.fraud { row.amount_cents as f64 } else { 0.0 };
        let distinct = order.get(at + 1).is_none_or(|next| next.0 < *score);
        if distinct && cost < best.0 {
            best = (cost, *score);
        }
    }
    best.1
}

fn measure(on: &str, rows: &[Row], model: &FraudModel) -> Result<Metrics, TrainError> {
    if !rows.iter().any(|row| row.fraud) || rows.iter().all(|row| row.fraud) {
        return Err(TrainError::Unusable {
            part: "test",
            problem: "both frauds and others are needed".to_owned(),
        });
    }
    let scored = scores(rows, model);
    let by = |score: fn(&Row) -> f64| evaluate::ranking(&label(rows.iter().map(score).collect(), rows));
    let amount = |row: &Row| row.amount_cents as f64;
    let baselines = BTreeMap::from([
        ("amount only".to_owned(), by(amount)),
        ("six rules".to_owned(), by(|row| row.rule_score)),
    ]);
    Ok(Metrics {
        on: on.to_owned(),
        model: evaluate::ranking(&scored),
        step_up: evaluate::at_threshold(&scored, model.thresholds.step_up),
        hold: evaluate::at_threshold(&scored, model.thresholds.hold),
        brier: rounded(evaluate::brier(&scored)),
        calibration: evaluate::reliability(&scored),
        fraud_cents: rows.iter().filter(|row| row.fraud).map(|row| row.amount_cents).sum(),
        saved_cents: saved(&scored, rows, model.thresholds),
        recall_by_scenario: by_scenario(&scored, rows, model.thresholds.step_up),
        baselines,
    })
}

fn saved(scored: &[Scored], rows: &[Row], thresholds: Thresholds) -> i64 {
    let gain = |(scored, row): (&Scored, &Row)| {
        let cost = match scored.score {
            score if score >= thresholds.hold => HOLD_CENTS as i64,
            score if score >= thresholds.step_up => CHALLENGE_CENTS as i64,
            _ => return 0,
        };
        if row.fraud { row.amount_cents - cost } else { -cost }
    };
    scored.iter().zip(rows).map(gain).sum()
}

fn by_scenario(scored: &[Scored], rows: &[Row], threshold: f64) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (scored, row) in scored.iter().zip(rows) {
        if let Some(scenario) = &row.scenario {
            let (found, all) = counts.entry(scenario.clone()).or_default();
            *found += usize::from(scored.score >= threshold);
            *all += 1;
        }
    }
    counts.into_iter().map(|(name, (found, all))| (name, rounded(found as f64 / all as f64))).collect()
}

/// Measures a model on data it has never seen, and draws the same report as training. As in training, the first tenth of
/// the time only warms up the profiles.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with data or model.
pub fn evaluate(
    model: &std::path::Path,
    data: &Source,
    out: Option<&std::path::Path>,
) -> Result<Metrics, TrainError> {
    let Artifact { manifest, model } =
        artifact::load::<FraudModel>(model, Kind::Fraud, &transfer::schema_hash())?;
    model.check().map_err(artifact::ArtifactError::Malformed)?;
    let rows = between(&data::replay(&data::transfers(data)?), WARM_UP, 1.0);
    let metrics =
        measure(&format!("{} after its first tenth", super::measured_on(data, &manifest)), &rows, &model)?;
    if let Some(out) = out {
        let trained = Trained {
            rows: [0, 0, rows.len()],
            chosen: [model.smote_ratio, model.l2],
            candidates: Vec::new(),
            tests: vec![metrics.clone()],
        };
        let html = report::fraud(&manifest, &trained, &[scores(&rows, &model)], &model)
            .map_err(TrainError::Report)?;
        super::write(out, report::FILE, html.as_bytes())?;
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests;
