//! Training and evaluation of the model that scores transfers inline, on recorded or simulated transfers.

use super::classify::{self, EvaluatedTable, Recipe, TrainedTable};
use super::data::{self, Source};
use super::dataset::Dataset;
use super::measure::{self, Costs};
use super::search::TrialLog;
use super::{Part, Progress, TrainError};
use crate::artifact::{self, Kind, Manifest};
use crate::fraud::{Classifier, FraudScorer};
use crate::lifecycle::Baseline;
use crate::report;
use crate::transfer;
use std::path::{Path, PathBuf};

/// Added to the seed for customers whom training never met.
const OTHER_TOWN: u64 = 1_000_003;

/// What to train.
#[derive(Debug, Clone)]
pub struct TrainFraud {
    /// Where the data comes from.
    pub data: Source,
    /// How.
    pub recipe: Recipe,
    /// Directory for the artifact, the report and the log of trials.
    pub out: PathBuf,
}

/// Trains, measures, and writes `model.artifact`; the same data and seed give the same bytes. Simulated data is measured
/// on other customers as well.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with data, fit or output.
pub fn fraud(settings: &TrainFraud, progress: &mut dyn Progress) -> Result<TrainedTable, TrainError> {
    let events = data::transfers(&settings.data)?;
    let mut data = Dataset::of_transfers(&events);
    data.derive(settings.recipe.inputs, settings.recipe.seed, progress)?;
    let log = TrialLog::open(&settings.out, &classify::basis(&data, &settings.recipe, String::new()))?;
    let mut made = train(&data, settings, Some(&log), progress)?;
    super::write(&settings.out, artifact::FILE, &made.artifact)?;
    super::write(&settings.out, report::FILE, made.report.as_bytes())?;
    made.trained.remarks.extend(log.remarks());
    Ok(made.trained)
}

/// What training makes.
struct Made {
    artifact: Vec<u8>,
    report: String,
    trained: TrainedTable,
}

fn train(
    data: &Dataset,
    settings: &TrainFraud,
    log: Option<&TrialLog>,
    progress: &mut dyn Progress,
) -> Result<Made, TrainError> {
    let recipe = &settings.recipe;
    let costs = recipe.costs;
    let (classifier, mut trained) = classify::fit(data, recipe, log, progress)?;
    if let Source::Simulate(seed) = settings.data {
        let other = data::transfers(&Source::Simulate(seed.wrapping_add(OTHER_TOWN)))?;
        let mut other = Dataset::of_transfers(&other);
        other.derive_as(classifier.derived.as_ref());
        let singles = &trained.singles;
        trained.other = Some(measure::measure(&other.test, &classifier, costs, singles, &other.scenarios));
    }
    let command =
        format!("gatehouse train fraud --data {}{} --out DIR", settings.data, recipe.options(trained.model));
    let manifest = Manifest {
        schema_hash: classifier.schema.hash().to_owned(),
        data: settings.data.to_string(),
        data_fingerprint: data.fingerprint.clone(),
        seed: recipe.seed,
        command,
        metrics: classify::as_metrics(&trained)?,
        baseline: Some(baseline(&classifier, &data.train)),
    };
    let (artifact, report) = classify::documents(manifest, classifier, &trained, &data.test, costs)?;
    // What was just made must load: a model that cannot serve is an error of training.
    FraudScorer::from_bytes(&artifact)?;
    Ok(Made { artifact, report, trained })
}

/// Bins of the training part, so that a gateway can tell how far its transfers have drifted from it.
fn baseline(classifier: &Classifier, train: &Part) -> Baseline {
    let mut vector = vec![0.0; train.frame.width()];
    let scores = (0..train.rows()).map(|row| {
        train.frame.row(row, &mut vector);
        classifier.probability(&vector) as f32
    });
    let scores: Vec<f32> = scores.collect();
    let columns = (0..train.frame.width()).map(|at| train.frame.column(at));
    Baseline::of_columns(classifier.names(), columns, &scores)
}

/// Measures a model on transfers it has never seen, all but the first tenth of their time, in which profiles warm up.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with data or model.
pub fn evaluate(model: &Path, data: &Source) -> Result<EvaluatedTable, TrainError> {
    let loaded = artifact::load::<Classifier>(model, Kind::Fraud, transfer::schema().hash())?;
    let classifier = loaded.model;
    classifier.check().map_err(artifact::ArtifactError::Malformed)?;
    let mut rows = Dataset::of_transfers(&data::transfers(data)?).into_one();
    rows.derive_as(classifier.derived.as_ref());
    classify::both_classes("test", &rows.test)?;
    let mut remarks = Vec::new();
    if data.to_string() == loaded.manifest.data {
        remarks.push(format!("{data} is what the model was TRAINED on: these figures flatter it"));
    }
    let test = measure::measure(&rows.test, &classifier, Costs::default(), &[], &rows.scenarios);
    Ok(EvaluatedTable { rows: [0, 0, rows.test.rows()], test, remarks })
}

#[cfg(test)]
mod tests;
