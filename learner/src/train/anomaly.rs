//! Training and evaluation of anomaly models: of requests here, of any table in [`table`]. They learn from normal rows only.

pub(super) mod encode;
pub(super) mod learn;
mod measure;
pub mod table;
mod whiten;

use super::autoencoder::Settings;
use super::data::{self, RecordedRequest, Source};
use super::{Progress, TrainError};
use crate::anomaly::{AnomalyModel, AnomalyScorer};
use crate::artifact::{self, Artifact, Kind, Manifest};
use crate::evaluate::Scored;
use crate::features::request::{self, COUNT, FEATURES};
use crate::frame::Frame;
use crate::report;
use crate::trees::isolation::Isolation;
pub use learn::Columns;
use learn::{Learned, Parts, ROWS_MIN};
pub use measure::Metrics;
use measure::Scoring;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Requests that the simulator gives for training and for the test.
const SIMULATED: usize = 16_000;
const SIMULATED_TEST: usize = 8_000;
const ATTACKS: f64 = 0.1;
/// Added to the seed for the test.
const OTHER_TRAFFIC: u64 = 1_000_003;

/// What to train.
#[derive(Debug, Clone)]
pub struct TrainAnomaly {
    /// Where the data comes from; rows marked as attacks are kept for the test.
    pub data: Source,
    /// Directory for the artifact and the report.
    pub out: PathBuf,
    /// Seed of the first weights and the order of rows.
    pub seed: u64,
}

/// What training says at its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trained {
    /// Normal requests for training and for calibration.
    pub rows: [usize; 2],
    /// Epochs until the validation loss stopped falling.
    pub epochs: usize,
    /// Measured on normal requests and attacks of other traffic.
    pub metrics: Metrics,
}

/// Trains, measures, and writes `model.artifact` and `report.html`; the same data and seed give the same bytes.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with data or output.
pub fn anomaly(settings: &TrainAnomaly, progress: &mut dyn Progress) -> Result<Trained, TrainError> {
    let (normal, test) = sources(&settings.data)?;
    let command =
        format!("gatehouse train anomaly --data {} --seed {} --out DIR", settings.data, settings.seed);
    let origin = (settings.data.to_string(), command);
    let made = train(&normal, &test, settings.seed, origin, progress)?;
    super::write(&settings.out, artifact::FILE, &made.artifact)?;
    super::write(&settings.out, report::FILE, made.report.as_bytes())?;
    Ok(made.trained)
}

/// Normal requests to train on, and others with attacks to test on.
fn sources(data: &Source) -> Result<(Vec<RecordedRequest>, Vec<RecordedRequest>), TrainError> {
    Ok(match data {
        Source::Simulate(seed) => {
            let other = Source::Simulate(seed.wrapping_add(OTHER_TRAFFIC));
            (data::requests(data, SIMULATED, 0.0)?, data::requests(&other, SIMULATED_TEST, ATTACKS)?)
        }
        Source::File(_) => split_file(data::requests(data, 0, 0.0)?),
    })
}

/// The first three quarters of the normal requests train, the rest and all attacks test.
fn split_file(requests: Vec<RecordedRequest>) -> (Vec<RecordedRequest>, Vec<RecordedRequest>) {
    let (mut normal, attacks): (Vec<_>, Vec<_>) =
        requests.into_iter().partition(|request| request.attack.is_none());
    let mut test = normal.split_off(normal.len() * 3 / 4);
    test.extend(attacks);
    (normal, test)
}

/// What training makes.
struct Made {
    artifact: Vec<u8>,
    report: String,
    trained: Trained,
}

fn train(
    normal: &[RecordedRequest],
    test: &[RecordedRequest],
    seed: u64,
    (data, command): (String, String),
    progress: &mut dyn Progress,
) -> Result<Made, TrainError> {
    if normal.len() < ROWS_MIN {
        let problem = format!("{} normal requests are too few to learn from", normal.len());
        return Err(TrainError::Unusable { part: "training", problem });
    }
    let columns = columns(normal);
    let parts = parts(normal.len());
    let Learned { model, isolation, epochs } = learn::learn(&columns, &parts, &settings(), seed, progress)?;
    let (metrics, scored) =
        measured(&format!("{} requests of other traffic", test.len()), test, &model, Some(&isolation))?;
    let trained = Trained { rows: [parts.fit.len(), parts.calibrate.len()], epochs, metrics };
    let manifest = Manifest {
        schema_hash: request::schema_hash(),
        data,
        data_fingerprint: fingerprint(&columns.numbers, parts.fit.len()),
        seed,
        command,
        metrics: serde_json::to_value(&trained).map_err(|error| TrainError::Report(error.to_string()))?,
        baseline: None,
    };
    let report = report::anomaly(&manifest, &trained, &scored).map_err(TrainError::Report)?;
    let artifact = artifact::to_bytes(Kind::Anomaly, &Artifact { manifest, model })?;
    // What was just written must load: a model that cannot serve is an error of training.
    AnomalyScorer::from_bytes(&artifact)?;
    Ok(Made { artifact, report, trained })
}

/// In order: weights from the first 70 %, when to stop from the next 15 %, calibration from the last.
fn parts(rows: usize) -> Parts {
    let (stop, calibrate) = (rows * 70 / 100, rows * 85 / 100);
    Parts { fit: 0..stop, stop: stop..calibrate, calibrate: calibrate..rows }
}

fn settings() -> Settings {
    Settings {
        widths: vec![48, 12, 48],
        members: 1,
        forest: false,
        epochs_max: 30,
        batch: 64,
        ..Settings::default()
    }
}

fn columns(requests: &[RecordedRequest]) -> Columns {
    let mut numbers = Frame::new(FEATURES.iter().map(|spec| spec.name.to_owned()).collect());
    requests.iter().for_each(|request| numbers.push(&request.vector()));
    Columns { numbers, categories: Vec::new() }
}

/// Measures on these requests; the lexical findings alone are one more baseline.
fn measured(
    on: &str,
    requests: &[RecordedRequest],
    model: &AnomalyModel,
    isolation: Option<&Isolation>,
) -> Result<(Metrics, Vec<Scored>), TrainError> {
    let attacks: BTreeSet<&str> = requests.iter().filter_map(|request| request.attack.as_deref()).collect();
    let attacks: Vec<&str> = attacks.into_iter().collect();
    let lexical: Vec<usize> =
        (0..COUNT).filter(|&feature| FEATURES[feature].name.starts_with("lexical_")).collect();
    let mut worst = Vec::with_capacity(requests.len());
    let mut scoring = Scoring::new(model, isolation);
    for request in requests {
        let vector = request.vector();
        let attack = request.attack.as_deref().and_then(|name| attacks.binary_search(&name).ok());
        scoring.push(&vector, &[], attack.map(|at| at as u64));
        worst.push(f64::from(lexical.iter().map(|&at| vector[at]).fold(0.0, f32::max)));
    }
    scoring.other("lexical findings only", worst);
    scoring.finish(on, |at| attacks[at as usize].to_owned(), None)
}

/// SHA-256 over the first rows.
fn fingerprint(frame: &Frame, rows: usize) -> String {
    let mut hash = Sha256::new();
    let mut row = vec![0.0; frame.width()];
    for at in 0..rows {
        frame.row(at, &mut row);
        row.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    artifact::hex(&hash.finalize())
}

/// Measures a model on requests it has never seen; simulated ones hold attacks.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with data or model.
pub fn evaluate(model: &Path, data: &Source, out: Option<&Path>) -> Result<Metrics, TrainError> {
    let Artifact { manifest, model } =
        artifact::load::<AnomalyModel>(model, Kind::Anomaly, &request::schema_hash())?;
    model.check().map_err(artifact::ArtifactError::Malformed)?;
    let requests = data::requests(data, SIMULATED_TEST, ATTACKS)?;
    let (metrics, scored) = measured(&super::measured_on(data, &manifest), &requests, &model, None)?;
    if let Some(out) = out {
        let trained = Trained { rows: [0, 0], epochs: 0, metrics: metrics.clone() };
        let html = report::anomaly(&manifest, &trained, &scored).map_err(TrainError::Report)?;
        super::write(out, report::FILE, html.as_bytes())?;
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests;
