//! Anomaly detection on anybody's table, by a mapping file.
//!
//! Inputs are the mapping's numbers, amount and coordinates, and its categories and currency; not time and not who it was:
//! a model of columns knows no history. The label decides which rows are normal, and is used for nothing else but the
//! figures.

use super::learn::{self, Columns, Learned, Parts, ROWS_MIN};
use super::measure::{Metrics, Scoring};
use super::{Settings, Trained};
use crate::anomaly::{AnomalyModel, AnomalyScore, Unavailable};
use crate::artifact::{self, Artifact, Kind, Manifest};
use crate::evaluate::Scored;
use crate::frame::Frame;
use crate::report;
use crate::table::mapping::RowsKept;
use crate::table::{self, Cut, Mapping, Part, Record, Summary, TableError};
use crate::train::{Progress, TrainError};
use crate::trees::isolation::Isolation;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A validation part with fewer normal rows than this is made up from the end of the training part.
const VALIDATION_MIN: usize = 60;

/// What to train.
#[derive(Debug, Clone)]
pub struct TrainTable {
    /// The table, or what is trained and validated on of it.
    pub data: PathBuf,
    /// A file of its own to test on.
    pub test: Option<PathBuf>,
    /// What the columns are.
    pub mapping: PathBuf,
    /// Directory for the artifact and the report.
    pub out: PathBuf,
    /// Seed of the split of a table without time, of the first weights, of noise and of the order of rows.
    pub seed: u64,
    /// Form and training of the network; `None` is what does well on tables in general.
    pub network: Option<Settings>,
}

/// A model of a table, as its artifact keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableModel {
    /// Names of the numeric columns, in order.
    pub numbers: Vec<String>,
    /// Names of the categorical columns, in order.
    pub categories: Vec<String>,
    /// Kinds of attacks in the training and validation parts, as the table's reader hashes them; rising.
    pub known_kinds: Vec<u64>,
    /// Whether the test rows were a file of their own, so that all of the table was there to learn from.
    pub tested_elsewhere: bool,
    /// The model; it learned from normal rows only, unless the mapping says otherwise.
    pub model: AnomalyModel,
}

impl TableModel {
    /// Scores a row of a table that was read by the same mapping.
    ///
    /// # Errors
    /// As [`AnomalyModel::score`].
    pub fn score(&self, record: &Record, row: &mut Row) -> Result<AnomalyScore, Unavailable> {
        row.fill(record);
        self.model.score(&row.numbers, &row.categories)
    }

    /// What a contribution's feature is called.
    pub fn feature(&self, at: usize) -> Option<&str> {
        self.numbers.iter().chain(&self.categories).nth(at).map(String::as_str)
    }
}

/// Room for the inputs of one row, in the order of a mapping.
#[derive(Debug, Clone)]
pub struct Row {
    amount: bool,
    coordinates: bool,
    currency: bool,
    numbers: Vec<f32>,
    categories: Vec<Option<u64>>,
}

impl Row {
    /// For records of this mapping.
    pub fn new(mapping: &Mapping) -> Self {
        let columns = &mapping.columns;
        Self {
            amount: columns.amount.is_some(),
            coordinates: columns.coordinates.is_some(),
            currency: columns.currency.is_some(),
            numbers: Vec::new(),
            categories: Vec::new(),
        }
    }

    fn fill(&mut self, record: &Record) {
        self.numbers.clear();
        self.numbers.extend(&record.numbers);
        self.numbers.extend(self.amount.then(|| record.amount.map_or(f32::NAN, |amount| amount as f32)));
        if self.coordinates {
            let places = record.coordinates.unwrap_or([[f64::NAN; 2]; 2]);
            self.numbers.extend(places.as_flattened().iter().map(|degrees| *degrees as f32));
        }
        self.categories.clear();
        self.categories.extend(&record.categories);
        self.categories.extend(self.currency.then_some(record.currency));
    }
}

fn names(mapping: &Mapping) -> (Vec<String>, Vec<String>) {
    let columns = &mapping.columns;
    let places = columns.coordinates.iter().flat_map(|sides| sides.as_flattened());
    let numbers = columns.numeric.iter().chain(&columns.amount).chain(places);
    (numbers.cloned().collect(), columns.categorical.iter().chain(&columns.currency).cloned().collect())
}

/// SHA-256 over the columns, in order; a model for others is refused.
fn schema_hash(mapping: &Mapping) -> String {
    let (numbers, categories) = names(mapping);
    let mut hash = Sha256::new();
    for (kind, names) in [("number", numbers), ("category", categories)] {
        names.iter().for_each(|name| hash.update(format!("{kind} {} {name}\n", name.len())));
    }
    artifact::hex(&hash.finalize())
}

/// Trains on a table, measures, and writes `model.artifact` and `report.html`; the same data and seed give the same bytes.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with mapping, data or output.
pub fn table(settings: &TrainTable, progress: &mut dyn Progress) -> Result<Trained, TrainError> {
    let mapping = Mapping::read(&settings.mapping)?;
    progress.stage("reading", 1);
    let cut = cut(&mapping, &settings.data, settings.test.is_some(), settings.seed)?;
    let normal = Normal::read(&settings.data, &mapping, &cut)?;
    progress.step();
    let (columns, parts) = normal.arranged()?;
    let network = settings.network.clone().unwrap_or_default();
    let Learned { model, isolation, epochs } =
        learn::learn(&columns, &parts, &network, settings.seed, progress)?;
    let (numbers, categories) = names(&mapping);
    let known_kinds = normal.kinds.iter().copied().collect();
    let tested_elsewhere = settings.test.is_some();
    let model = TableModel { numbers, categories, known_kinds, tested_elsewhere, model };
    let tested = settings.test.as_ref().unwrap_or(&settings.data);
    if tested_elsewhere && rows(tested, &mapping, &mut |_| ())?.fingerprint == normal.fingerprint {
        let problem = format!("{}: the rows of training are no test", tested.display());
        return Err(TrainError::Unusable { part: "test", problem });
    }
    let part = |record: &Record| is_test(&cut, tested_elsewhere, record);
    let on = format!("{}, {} rows trained on", file_name(tested), parts.fit.len());
    let (metrics, scored) = measured(&on, &model, Some(&isolation), tested, &mapping, &part)?;
    let trained = Trained { rows: [parts.fit.len(), parts.calibrate.len()], epochs, metrics };
    let manifest = manifest(settings, &mapping, normal.fingerprint, &trained)?;
    let page = report::anomaly(&manifest, &trained, &scored).map_err(TrainError::Report)?;
    let bytes = artifact::to_bytes(Kind::Anomaly, &Artifact { manifest, model })?;
    if bytes.len() as u64 > artifact::BYTES_MAX {
        return Err(artifact::ArtifactError::TooLarge.into());
    }
    crate::train::write(&settings.out, artifact::FILE, &bytes)?;
    crate::train::write(&settings.out, report::FILE, page.as_bytes())?;
    Ok(trained)
}

/// Measures a table's model on the test part of the table that it was trained on, or on all rows of another; with `test`, on
/// the test rows of that file, as training does.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with mapping, data or model, or that no row is left that it was not trained on.
pub fn evaluate(
    model: &Path,
    data: &Path,
    test: Option<&Path>,
    mapping: &Path,
) -> Result<Metrics, TrainError> {
    let mapping = Mapping::read(mapping)?;
    let Artifact { manifest, model } = load(model, &mapping)?;
    let measured = |on: &Path, wanted: &dyn Fn(&Record) -> bool| {
        Ok(measured(&file_name(on), &model, None, on, &mapping, wanted)?.0)
    };
    // Whatever the options call it, what was trained on measures nothing.
    let tested = test.unwrap_or(data);
    let trained_on = rows(tested, &mapping, &mut |_| ())?.fingerprint == manifest.data_fingerprint;
    if test.is_none() && !trained_on {
        return measured(data, &|_| true);
    }
    if trained_on && (test.is_some() || model.tested_elsewhere) {
        let problem =
            "every row of this table was there to be trained on: name the table of the test with --test";
        return Err(TrainError::Unusable { part: "test", problem: problem.to_owned() });
    }
    // Rows without time are dealt out as they were in training.
    let cut = cut(&mapping, data, test.is_some(), manifest.seed)?;
    measured(tested, &|record| is_test(&cut, test.is_some(), record))
}

/// Whether a row is one to test on, of a table or of a file of its own.
fn is_test(cut: &Cut, file: bool, record: &Record) -> bool {
    let part = if file { cut.part_of_test_file(record.at_ms) } else { cut.part(record.at_ms, record.row) };
    part == Some(Part::Test)
}

/// Loads a table's model for records of this mapping.
///
/// # Errors
/// [`TrainError::Artifact`] by name.
pub fn load(path: &Path, mapping: &Mapping) -> Result<Artifact<TableModel>, TrainError> {
    let artifact = artifact::load::<TableModel>(path, Kind::Anomaly, &schema_hash(mapping))?;
    artifact.model.model.check().map_err(artifact::ArtifactError::Malformed)?;
    Ok(artifact)
}

fn cut(mapping: &Mapping, data: &Path, test_file: bool, seed: u64) -> Result<Cut, TrainError> {
    let timed = mapping.columns.time.is_some();
    let span_ms = if timed { rows(data, mapping, &mut |_| ())?.span_ms } else { None };
    let cut = mapping.split.cut(span_ms, test_file, 0, seed);
    cut.map_err(|error| TrainError::Unusable { part: "test", problem: error.to_string() })
}

fn rows(path: &Path, mapping: &Mapping, visit: &mut dyn FnMut(&Record)) -> Result<Summary, TableError> {
    table::read(path, mapping, &mut |record| {
        visit(record);
        ControlFlow::Continue(())
    })
}

/// Rows that a model learns from.
struct Normal {
    train: Thinned,
    validate: Thinned,
    kinds: BTreeSet<u64>,
    fingerprint: String,
}

impl Normal {
    fn read(data: &Path, mapping: &Mapping, cut: &Cut) -> Result<Self, TrainError> {
        let mut row = Row::new(mapping);
        let (mut train, mut validate) = (Thinned::new(mapping), Thinned::new(mapping));
        let mut kinds = BTreeSet::new();
        let all = mapping.train.rows == RowsKept::All;
        let summary = rows(data, mapping, &mut |record| {
            let part = cut.part(record.at_ms, record.row).filter(|part| *part != Part::Test);
            let attack = record.label == Some(true);
            if part.is_some() && attack {
                kinds.extend(record.scenario);
            }
            let (Some(part), false) = (part, attack && !all) else { return };
            row.fill(record);
            let rows = if part == Part::Train { &mut train } else { &mut validate };
            rows.push(&row);
        })?;
        Ok(Self { train, validate, kinds, fingerprint: summary.fingerprint })
    }

    /// All rows one after the other, by what is done with them.
    fn arranged(&self) -> Result<(Columns, Parts), TrainError> {
        let mut columns = self.train.columns.clone();
        let train = columns.rows();
        let validate = &self.validate.columns;
        validate.each(0..validate.rows(), |_, numbers, categories| {
            columns.push(numbers, categories);
            Ok(())
        })?;
        let rows = columns.rows();
        if rows < ROWS_MIN {
            let problem = format!("{rows} normal rows are too few to learn from");
            return Err(TrainError::Unusable { part: "training", problem });
        }
        let fit = if rows - train < VALIDATION_MIN { rows * 70 / 100 } else { train };
        let calibrate = fit + (rows - fit) / 2;
        Ok((columns, Parts { fit: 0..fit, stop: fit..calibrate, calibrate: calibrate..rows }))
    }
}

/// At most so many rows, evenly from all: when there is no more room, every second one goes, and only every second one of
/// those to come is taken.
struct Thinned {
    columns: Columns,
    rows_max: usize,
    seen: usize,
    step: usize,
}

impl Thinned {
    fn new(mapping: &Mapping) -> Self {
        let (numbers, categories) = names(mapping);
        let columns =
            Columns { numbers: Frame::new(numbers), categories: vec![Vec::new(); categories.len()] };
        Self { columns, rows_max: mapping.train.rows_max.max(2), seen: 0, step: 1 }
    }

    fn push(&mut self, row: &Row) {
        if self.seen.is_multiple_of(self.step) {
            if self.columns.rows() == self.rows_max {
                self.columns = self.columns.select(&(0..self.rows_max).step_by(2).collect::<Vec<_>>());
                self.step *= 2;
            }
            if self.seen.is_multiple_of(self.step) {
                self.columns.push(&row.numbers, &row.categories);
            }
        }
        self.seen += 1;
    }
}

fn measured(
    on: &str,
    model: &TableModel,
    isolation: Option<&Isolation>,
    data: &Path,
    mapping: &Mapping,
    wanted: &dyn Fn(&Record) -> bool,
) -> Result<(Metrics, Vec<Scored>), TrainError> {
    let mut scoring = Scoring::new(&model.model, isolation);
    let mut row = Row::new(mapping);
    let summary = rows(data, mapping, &mut |record| {
        // A row whose label nobody knows says nothing about a model.
        if let (true, Some(attack)) = (wanted(record), record.label) {
            row.fill(record);
            scoring.push(&row.numbers, &row.categories, attack.then_some(record.scenario.unwrap_or(0)));
        }
    })?;
    let levels = summary.scenarios.as_ref();
    let name = |kind: u64| levels.and_then(|levels| levels.text(kind)).unwrap_or("attack").to_owned();
    let unseen = |kind: u64| model.known_kinds.binary_search(&kind).is_err();
    scoring.finish(on, name, if levels.is_some() { Some(&unseen) } else { None })
}

fn manifest(
    settings: &TrainTable,
    mapping: &Mapping,
    data_fingerprint: String,
    trained: &Trained,
) -> Result<Manifest, TrainError> {
    let test =
        settings.test.as_deref().map(|test| format!(" --test {}", file_name(test))).unwrap_or_default();
    Ok(Manifest {
        schema_hash: schema_hash(mapping),
        data: file_name(&settings.data),
        data_fingerprint,
        seed: settings.seed,
        command: format!(
            "gatehouse train anomaly --data {}{test} --mapping {} --seed {} --out DIR",
            file_name(&settings.data),
            file_name(&settings.mapping),
            settings.seed
        ),
        metrics: serde_json::to_value(trained).map_err(|error| TrainError::Report(error.to_string()))?,
        baseline: None,
    })
}

/// Without its folders, so that artifacts do not tell where they were made.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
