//! Training and evaluation of the anomaly model: normal requests only.

use super::autoencoder::{self, Network, Schedule};
use super::data::{self, RecordedRequest, Source};
use super::{Progress, TrainError, rounded};
use crate::anomaly::{AnomalyModel, AnomalyScorer, Dense, Transform};
use crate::artifact::{self, Artifact, Kind, Manifest};
use crate::evaluate::{self, AtThreshold, Ranking, Scored};
use crate::features::request::{self, COUNT, FEATURES};
use crate::report;
use crate::simulate::Random;
use ndarray::Array1;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// From the input through the bottleneck and back.
const WIDTHS: [usize; 5] = [COUNT, 24, 10, 24, COUNT];
const SCHEDULE: Schedule = Schedule { epochs_max: 40, batch: 64, patience: 6, rate: 0.002 };
/// Steps between percentiles in the calibration.
const STEPS: usize = 400;
/// A feature that hardly varied in training has at least this spread, so that noise does not become alarm.
const SPREAD_MIN: f32 = 0.05;
const ERROR_SCALE_MIN: f64 = 0.1;
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

/// Everything measured on requests that training did not see.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// The requests, in words.
    pub on: String,
    /// The autoencoder.
    pub model: Ranking,
    /// At the percentile that one normal request in a hundred passes.
    pub at_99: AtThreshold,
    /// At the percentile that one in a thousand passes.
    pub at_999: AtThreshold,
    /// Share found at the 99th percentile, by attack.
    pub recall_by_attack: BTreeMap<String, f64>,
    /// The same requests ranked by simpler means.
    pub baselines: BTreeMap<String, Ranking>,
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
    if normal.len() < 200 {
        let problem = format!("{} normal requests are too few to learn from", normal.len());
        return Err(TrainError::Unusable { part: "training", problem });
    }
    let vectors: Vec<[f32; COUNT]> = normal.iter().map(RecordedRequest::vector).collect();
    // In order: weights from the first 70 %, when to stop from the next 15 %, calibration from the last.
    let (rest, calibrate) = vectors.split_at(vectors.len() * 85 / 100);
    let (fit, stop) = rest.split_at(vectors.len() * 70 / 100);
    let transforms: Vec<Transform> = (0..COUNT).map(|feature| learn_transform(fit, feature)).collect();
    let rows = |vectors: &[[f32; COUNT]]| -> Vec<Array1<f64>> {
        vectors
            .iter()
            .map(|vector| transforms.iter().zip(vector).map(|(t, &x)| f64::from(t.apply(x))).collect())
            .collect()
    };
    progress.stage("fitting", SCHEDULE.epochs_max as u64);
    let mut random = Random::new(seed);
    let network = Network::new(&WIDTHS, &mut random);
    let (network, epochs) =
        autoencoder::fit(network, &rows(fit), &rows(stop), SCHEDULE, &mut random, || progress.step());
    let model = calibrated(&network, &transforms, calibrate)?;
    let scored = scores(test, &model);
    let metrics = measure(&format!("{} requests of other traffic", test.len()), test, &scored, &model)?;
    let trained = Trained { rows: [fit.len(), calibrate.len()], epochs, metrics };
    let manifest = Manifest {
        schema_hash: request::schema_hash(),
        data,
        data_fingerprint: fingerprint(fit),
        seed,
        command,
        metrics: serde_json::to_value(&trained).map_err(|error| TrainError::Report(error.to_string()))?,
    };
    let report = report::anomaly(&manifest, &trained, &scored).map_err(TrainError::Report)?;
    let artifact = artifact::to_bytes(Kind::Anomaly, &Artifact { manifest, model })?;
    // What was just written must load: a model that cannot serve is an error of training.
    AnomalyScorer::from_bytes(&artifact)?;
    Ok(Made { artifact, report, trained })
}

/// Median and standard deviation of what is there.
fn learn_transform(vectors: &[[f32; COUNT]], feature: usize) -> Transform {
    let mut present: Vec<f32> =
        vectors.iter().map(|vector| vector[feature]).filter(|value| !value.is_nan()).collect();
    present.sort_by(f32::total_cmp);
    let centre = present.get(present.len() / 2).copied().unwrap_or(0.0);
    let squares: f64 = present.iter().map(|&value| f64::from(value - centre).powi(2)).sum();
    let spread = (squares / present.len().max(1) as f64).sqrt() as f32;
    Transform { centre, spread: spread.max(SPREAD_MIN) }
}

/// Gives the network its error scales and percentiles, from normal requests that it was not fitted on.
fn calibrated(
    network: &Network,
    transforms: &[Transform],
    vectors: &[[f32; COUNT]],
) -> Result<AnomalyModel, TrainError> {
    let layers: Result<Vec<Dense>, _> = network.rows().into_iter().map(Dense::try_from).collect();
    let mut model = AnomalyModel {
        transforms: transforms.to_vec(),
        layers: layers.map_err(|why| TrainError::Fit(why.to_owned()))?,
        error_scales: vec![1.0; COUNT],
        percentiles: vec![0.0, 1.0],
    };
    let mut squares = [0.0f64; COUNT];
    for vector in vectors {
        let input = model.input(vector).map_err(|error| TrainError::Fit(error.to_string()))?;
        let output = model.reconstruct(&input);
        for (sum, (x, y)) in squares.iter_mut().zip(input.iter().zip(output)) {
            *sum += f64::from(x - y).powi(2);
        }
    }
    let rows = vectors.len().max(1) as f64;
    model.error_scales = squares.map(|sum| (sum / rows).sqrt().max(ERROR_SCALE_MIN) as f32).to_vec();
    let mut errors = Vec::with_capacity(vectors.len());
    for vector in vectors {
        errors.push(model.score(vector).map_err(|error| TrainError::Fit(error.to_string()))?.error);
    }
    errors.sort_by(f32::total_cmp);
    model.percentiles = (0..=STEPS).map(|step| errors[step * (errors.len() - 1) / STEPS]).collect();
    Ok(model)
}

/// Percentiles exactly as serving gives them.
fn scores(requests: &[RecordedRequest], model: &AnomalyModel) -> Vec<Scored> {
    let scored = |request: &RecordedRequest| Scored {
        score: model.score(&request.vector()).map_or(1.0, |score| score.percentile),
        positive: request.attack.is_some(),
    };
    requests.iter().map(scored).collect()
}

fn measure(
    on: &str,
    requests: &[RecordedRequest],
    scored: &[Scored],
    model: &AnomalyModel,
) -> Result<Metrics, TrainError> {
    let attacks = scored.iter().filter(|row| row.positive).count();
    if attacks == 0 || attacks == scored.len() {
        return Err(TrainError::Unusable {
            part: "test",
            problem: "both normal requests and attacks are needed".to_owned(),
        });
    }
    let by = |score: &dyn Fn(&[f32; COUNT]) -> f64| {
        let rows = requests
            .iter()
            .map(|request| Scored { score: score(&request.vector()), positive: request.attack.is_some() });
        evaluate::ranking(&rows.collect::<Vec<_>>())
    };
    let lexical: Vec<usize> =
        (0..COUNT).filter(|&feature| FEATURES[feature].name.starts_with("lexical_")).collect();
    let worst = |vector: &[f32; COUNT]| f64::from(lexical.iter().map(|&at| vector[at]).fold(0.0, f32::max));
    let distance = |vector: &[f32; COUNT]| {
        model.transforms.iter().zip(vector).map(|(t, &x)| f64::from(t.apply(x)).powi(2)).sum::<f64>()
    };
    Ok(Metrics {
        on: on.to_owned(),
        model: evaluate::ranking(scored),
        at_99: evaluate::at_threshold(scored, 0.99),
        at_999: evaluate::at_threshold(scored, 0.999),
        recall_by_attack: by_attack(requests, scored),
        baselines: BTreeMap::from([
            ("lexical findings only".to_owned(), by(&worst)),
            ("distance from the median".to_owned(), by(&distance)),
        ]),
    })
}

fn by_attack(requests: &[RecordedRequest], scored: &[Scored]) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (request, row) in requests.iter().zip(scored) {
        if let Some(attack) = &request.attack {
            let (found, all) = counts.entry(attack.clone()).or_default();
            *found += usize::from(row.score >= 0.99);
            *all += 1;
        }
    }
    counts.into_iter().map(|(name, (found, all))| (name, rounded(found as f64 / all as f64))).collect()
}

fn fingerprint(vectors: &[[f32; COUNT]]) -> String {
    let mut hash = Sha256::new();
    vectors.iter().flatten().for_each(|value| hash.update(value.to_le_bytes()));
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
    let scored = scores(&requests, &model);
    let metrics = measure(&super::measured_on(data, &manifest), &requests, &scored, &model)?;
    if let Some(out) = out {
        let trained = Trained { rows: [0, 0], epochs: 0, metrics: metrics.clone() };
        let html = report::anomaly(&manifest, &trained, &scored).map_err(TrainError::Report)?;
        super::write(out, report::FILE, html.as_bytes())?;
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests;
