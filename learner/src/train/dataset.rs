//! From a table and its mapping to parts of rows that models can learn from and be measured on.

use super::derived::Deriving;
use super::part::{Beside, Part};
use super::replay::{self, Order, Replay, Row, inputs};
use super::{Progress, TrainError};
use crate::behaviour::{CATEGORIES_MAX, Schema};
use crate::fraud::{Encoder, WIDTH_MAX};
use crate::table::{self, Cut, Fold, Mapping, Summary};
use crate::train::data::RecordedTransfer;
use crate::transfer;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

const DAY_MS: i64 = 86_400_000;
/// Behaviour remembers 60 days; a window of 30 before a longer delay would be cut.
const DELAY_MAX_MS: i64 = 30 * DAY_MS;
/// A level with at least this share of the training rows has a column of its own, at most so many of a category.
const ONE_HOT_SHARE: f64 = 0.01;
const ONE_HOT_MAX: usize = 16;

/// Which tables, and how to read them.
#[derive(Debug, Clone)]
pub struct Tables {
    /// The table to train on (and to test on, unless there is another).
    pub data: PathBuf,
    /// The table to test on.
    pub test: Option<PathBuf>,
    /// What the columns are and which rows belong to which part.
    pub mapping: Mapping,
    /// Shuffles a table without time.
    pub seed: u64,
}

/// Periods to choose hyper-parameters with.
#[derive(Debug, Clone)]
pub struct FoldParts {
    /// Trained on.
    pub train: Part,
    /// Judged on.
    pub validate: Part,
}

/// Tables as rows of features.
#[derive(Debug)]
pub struct Dataset {
    /// The features that come of behaviour.
    pub schema: Schema,
    /// The columns beyond them: levels of categories.
    pub encoder: Encoder,
    /// The inputs made of both, where there are any; every part has them as its last columns.
    pub derived: Option<Deriving>,
    /// To fit on.
    pub train: Part,
    /// To choose on; empty where the mapping has none.
    pub validate: Part,
    /// To measure on.
    pub test: Part,
    /// The mapping's own folds.
    pub folds: Vec<FoldParts>,
    /// Whether nothing is judged on rows of customers against whom fraud was known by then.
    pub leave_out_known_customers: bool,
    /// What reading found out of the ordinary.
    pub remarks: Vec<String>,
    /// Texts of scenario hashes.
    pub scenarios: BTreeMap<u64, String>,
    /// SHA-256 over the values read.
    pub fingerprint: String,
}

impl Dataset {
    /// Reads, replays and splits. `of` is the model to be measured; without one, columns for levels are learned from the
    /// training part. A table that a model was trained on is cut as it was then; of another one, all rows are measured,
    /// or those in the mapping's test period.
    ///
    /// # Errors
    /// A [`TrainError`] that names file, row and column, or the part that has nothing to teach.
    pub fn read(
        tables: &Tables,
        of: Option<&Trained<'_>>,
        progress: &mut dyn Progress,
    ) -> Result<Self, TrainError> {
        fits(&tables.mapping)?;
        let first = survey(&tables.data, &tables.mapping, progress)?;
        let whole = of.map_or(Ok(false), |of| of.never_saw(&first, tables))?;
        let gap_ms = if tables.mapping.columns.time.is_some() { tables.mapping.label.delay_ms } else { 0 };
        let unusable = |problem: String| TrainError::Unusable { part: "test", problem };
        let cut =
            tables.mapping.split.cut(first.span_ms, whole || tables.test.is_some(), gap_ms, tables.seed);
        let mut builder = Builder::new(tables, cut.map_err(|error| unusable(error.to_string()))?);
        builder.whole = whole;
        let mut summaries = vec![builder.play(&tables.data, first.backwards > 0, false, progress)?];
        if let Some(test) = &tables.test {
            let backwards = match tables.mapping.columns.time {
                Some(_) => survey(test, &tables.mapping, progress)?.backwards > 0,
                None => false,
            };
            let second = builder.play(test, backwards, true, progress)?;
            let trained = of.and_then(|of| of.fingerprint.split('+').next());
            if [Some(first.fingerprint.as_str()), trained].contains(&Some(&second.fingerprint)) {
                return Err(unusable(format!("{}: the rows of training are no test", test.display())));
            }
            summaries.push(second);
        }
        Ok(builder.finish(of.map(|of| of.encoder), summaries))
    }
}

/// A model that is to be measured.
#[derive(Debug, Clone, Copy)]
pub struct Trained<'a> {
    /// Its columns for levels.
    pub encoder: &'a Encoder,
    /// The fingerprint of the tables it was trained and tested on.
    pub fingerprint: &'a str,
}

impl Trained<'_> {
    /// Whether the model never saw any of a table, so that all of it may be measured.
    fn never_saw(&self, table: &Summary, tables: &Tables) -> Result<bool, TrainError> {
        let unusable = |problem: &str| {
            let problem = format!("{}: {problem}", tables.data.display());
            Err(TrainError::Unusable { part: "test", problem })
        };
        let mut trained = self.fingerprint.split('+');
        if trained.next() == Some(table.fingerprint.as_str()) {
            return match (trained.next(), &tables.test) {
                (Some(_), None) => unusable(
                    "the model was trained on all of it; give the table that it was tested on as --test",
                ),
                _ => Ok(false),
            };
        }
        if tables.test.is_some() {
            return Ok(false);
        }
        let mapping = &tables.mapping;
        if mapping.columns.time.is_none() && !inputs(mapping).categorical.is_empty() {
            return unusable(
                "without time, what a category says of fraud is known from the table that the model was trained on: give \
                 that as --data and this one as --test",
            );
        }
        let tested = match mapping.split.plan {
            table::split::Plan::Periods { test, .. } => test,
            _ => None,
        };
        let within = tested.zip(table.span_ms).is_some_and(|(period, (from_ms, until_ms))| {
            from_ms < period.until_ms && until_ms >= period.from_ms
        });
        Ok(!within)
    }
}

/// Shares of the time of recorded transfers: in the first, profiles only warm up, because customers look new who are not;
/// then come training, validation and test.
const SHARES: [f64; 3] = [0.1, 0.6, 0.75];

impl Dataset {
    /// Recorded transfers in time order as rows; those without a label shape profiles and become no rows.
    pub fn of_transfers(events: &[RecordedTransfer]) -> Self {
        let schema = transfer::schema();
        let names: Vec<String> = schema.columns().iter().map(|column| column.name.clone()).collect();
        let mut parts = [(); 3].map(|()| Part::new(names.clone(), 0));
        let [first_ms, last_ms] = [events.first(), events.last()]
            .map(|recorded| recorded.map_or(0, |recorded| recorded.event.at_ms));
        let span = last_ms.saturating_sub(first_ms).saturating_add(1) as f64;
        let begins = SHARES.map(|share| first_ms.saturating_add((span * share) as i64));
        let mut replay = Replay::new(schema.clone());
        let mut scenarios = BTreeMap::new();
        let mut hash = Sha256::new();
        for (number, recorded) in events.iter().enumerate() {
            let row = Row::of_transfer(number as u64, recorded);
            let vector = replay.next(&row, true);
            let Some(label) = recorded.fraud else { continue };
            if let Some(name) = &recorded.scenario {
                scenarios.insert(row.scenario, name.clone());
            }
            let Some(part) = begins.iter().rposition(|begin_ms| row.at_ms >= *begin_ms) else { continue };
            hash.update(row.at_ms.to_le_bytes());
            vector.iter().for_each(|value| hash.update(value.to_le_bytes()));
            hash.update([u8::from(label)]);
            let beside = Beside {
                key: row.number,
                label,
                at_ms: row.at_ms,
                customer: row.customer,
                cents: row.cents,
                scenario: row.scenario,
                categories: &[],
            };
            parts[part].push(vector, &beside);
        }
        let [train, validate, test] = parts;
        Self {
            schema,
            encoder: Encoder::default(),
            derived: None,
            train,
            validate,
            test,
            folds: Vec::new(),
            leave_out_known_customers: false,
            remarks: Vec::new(),
            scenarios,
            fingerprint: crate::artifact::hex(&hash.finalize()),
        }
    }

    /// Those of a range of the training rows that may be judged on: all, unless known customers are left out.
    pub(super) fn unknown_customers(&self, judged: Range<usize>) -> Vec<usize> {
        if !self.leave_out_known_customers {
            return judged.collect();
        }
        let delay_ms = i64::from(self.schema.inputs().label_delay_s) * 1_000;
        let (mut known, mut unknown) = (HashMap::new(), Vec::new());
        let rows = self.train.customers.iter().zip(&self.train.at_ms).zip(&self.train.labels).enumerate();
        for (at, ((&customer, &at_ms), &fraud)) in rows.take(judged.end) {
            if at >= judged.start && !is_known(&known, customer, at_ms, delay_ms) {
                unknown.push(at);
            }
            if fraud {
                customer.map(|customer| known.entry(customer).or_insert(at_ms));
            }
        }
        unknown
    }

    /// All rows as the test part.
    pub(super) fn into_one(mut self) -> Self {
        let mut all = std::mem::take(&mut self.train);
        all.extend(std::mem::take(&mut self.validate));
        all.extend(std::mem::take(&mut self.test));
        Self { test: all, ..self }
    }
}

/// Refuses a mapping with more columns than a vector has room for, before any row is read.
fn fits(mapping: &Mapping) -> Result<(), TrainError> {
    let inputs = inputs(mapping);
    let categories = inputs.categorical.len();
    let problem = if categories > CATEGORIES_MAX {
        format!("{categories} categories; at most {CATEGORIES_MAX}: leave some out of the mapping")
    } else {
        let features = Schema::new(inputs).columns().len();
        if features <= WIDTH_MAX {
            return Ok(());
        }
        format!("{features} features; at most {WIDTH_MAX}: leave some columns out of the mapping")
    };
    Err(TrainError::Unusable { part: "training", problem: format!("{}: {problem}", mapping.path.display()) })
}

/// What the mapping makes of time that a reader of figures should know.
fn of_time(mapping: &Mapping, first: &Summary, second: Option<&Summary>) -> Vec<String> {
    let mut remarks = Vec::new();
    let Some(time) = &mapping.columns.time else { return remarks };
    let delay_ms = mapping.label.delay_ms;
    if delay_ms == 0 && (mapping.columns.customer.is_some() || mapping.columns.counterparty.is_some()) {
        remarks.push(
            "no delay_days in [label]: rows see the label of every row before them, however short ago"
                .to_owned(),
        );
    }
    if delay_ms > DELAY_MAX_MS {
        let days = DELAY_MAX_MS / DAY_MS;
        remarks
            .push(format!("labels later than {days} days after their row count in sums over all time only"));
    }
    if first.span_ms.is_some_and(|(from_ms, _)| from_ms < 0) {
        remarks.push(format!("column `{time}`: times before 1970 count as its first second"));
    }
    let overlaps = |second: &Summary| {
        first.span_ms.zip(second.span_ms).is_some_and(|((_, end_ms), (begin_ms, _))| begin_ms < end_ms)
    };
    if second.is_some_and(overlaps) {
        remarks.push(
            "the test file begins before the first file ends: its rows see behaviour that came later"
                .to_owned(),
        );
    }
    remarks
}

/// One pass that only looks: first and last time, and whether time runs backwards.
fn survey(path: &Path, mapping: &Mapping, progress: &mut dyn Progress) -> Result<Summary, TrainError> {
    progress.stage("looking through the table", 0);
    Ok(table::read(path, mapping, &mut |_| ControlFlow::Continue(()))?)
}

struct Builder<'a> {
    tables: &'a Tables,
    cut: Cut,
    replay: Replay,
    schema: Schema,
    train: Part,
    validate: Part,
    test: Part,
    /// Folds, each with when customers' first fraud since its beginning happened.
    folds: Vec<(Fold, FoldParts, HashMap<u64, i64>)>,
    /// Rows of a table without time that were played.
    played: i64,
    /// Whether every row is measured, whatever the cut says.
    whole: bool,
    /// When customers' first fraud since the beginning of training happened.
    known: HashMap<u64, i64>,
}

impl<'a> Builder<'a> {
    fn new(tables: &'a Tables, cut: Cut) -> Self {
        let schema = Schema::new(inputs(&tables.mapping));
        let names: Vec<String> = schema.columns().iter().map(|column| column.name.clone()).collect();
        let part = || Part::new(names.clone(), schema.inputs().categorical.len());
        let parts = || FoldParts { train: part(), validate: part() };
        Self {
            tables,
            cut,
            replay: Replay::new(schema.clone()),
            train: part(),
            validate: part(),
            test: part(),
            folds: tables.mapping.folds.iter().map(|fold| (*fold, parts(), HashMap::new())).collect(),
            schema,
            known: HashMap::new(),
            played: 0,
            whole: false,
        }
    }

    /// Replays a file, sorted by time first where it must be; a table without time in a shuffled order, training rows
    /// first.
    fn play(
        &mut self,
        path: &Path,
        backwards: bool,
        test_file: bool,
        progress: &mut dyn Progress,
    ) -> Result<Summary, TrainError> {
        progress.stage("making features", 0);
        let tables = self.tables;
        let timeless = tables.mapping.columns.time.is_none();
        let order = match (timeless, test_file) {
            (true, false) => Order::Shuffled(self.cut, tables.seed),
            (false, _) if backwards => Order::ByTime,
            _ => Order::AsRead,
        };
        replay::rows(path, &tables.mapping, &order, &mut |row| {
            if timeless {
                // One second a row, over both files: later rows see what earlier ones taught.
                row.at_ms = self.played * 1_000;
                self.played += 1;
            }
            self.row(row, test_file);
            progress.step();
        })
    }

    fn row(&mut self, row: &Row, test_file: bool) {
        let timed = self.schema.inputs().time;
        let at_ms = timed.then_some(row.at_ms);
        let part = match (self.whole, test_file) {
            (true, _) => Some(table::Part::Test),
            (_, true) => self.cut.part_of_test_file(at_ms),
            _ => self.cut.part(at_ms, row.number),
        };
        // Without time nothing may be learned from rows that are only measured on.
        let learn = timed || part == Some(table::Part::Train);
        let vector = self.replay.next(row, learn);
        let Some(label) = row.label else { return };
        let beside = Beside {
            key: row.number,
            label,
            at_ms: row.at_ms,
            customer: row.customer,
            cents: self.schema.inputs().amount.then_some(row.cents.unwrap_or(0)),
            scenario: row.scenario,
            categories: &row.categories,
        };
        let delay_ms = self.tables.mapping.label.delay_ms;
        let leave_out = self.tables.mapping.split.leave_out_known_customers;
        let blocked = leave_out && is_known(&self.known, row.customer, row.at_ms, delay_ms);
        match part {
            Some(table::Part::Train) => {
                self.train.push(vector, &beside);
                let rows_max = self.tables.mapping.train.rows_max;
                if self.train.rows() > rows_max {
                    self.train.thin(rows_max);
                }
            }
            Some(table::Part::Validate) => self.validate.push(vector, &beside),
            Some(table::Part::Test) if !blocked => self.test.push(vector, &beside),
            _ => {}
        }
        // No fold may hold what is tested on, whatever its periods say.
        let chosen_on = !test_file && part != Some(table::Part::Test);
        for (fold, parts, known) in self.folds.iter_mut().filter(|_| chosen_on) {
            if fold.train.contains(row.at_ms) {
                parts.train.push(vector, &beside);
            }
            if fold.validate.contains(row.at_ms)
                && !(leave_out && is_known(known, row.customer, row.at_ms, delay_ms))
            {
                parts.validate.push(vector, &beside);
            }
            if label && row.at_ms >= fold.train.from_ms {
                row.customer.map(|customer| known.entry(customer).or_insert(row.at_ms));
            }
        }
        let trained = self.cut.periods().is_some_and(|(train, ..)| row.at_ms >= train.from_ms);
        if label && trained {
            row.customer.map(|customer| self.known.entry(customer).or_insert(row.at_ms));
        }
    }

    fn finish(self, encoder: Option<&Encoder>, summaries: Vec<Summary>) -> Dataset {
        let Self { mut train, mut validate, mut test, folds, schema, .. } = self;
        let text = |category: usize, hash: u64| {
            let name = schema.inputs().categorical.get(category)?;
            summaries.first()?.column(name)?.levels.as_ref()?.text(hash).map(str::to_owned)
        };
        let encoder = encoder.cloned().unwrap_or_else(|| learned(&train, &schema, text));
        let mut folds: Vec<FoldParts> = folds.into_iter().map(|(_, parts, _)| parts).collect();
        for fold in &mut folds {
            // A fold's validation rows are later than what may be learned for it.
            let of_fold = learned(&fold.train, &schema, text);
            encode(&mut fold.train, &of_fold, &schema);
            encode(&mut fold.validate, &of_fold, &schema);
        }
        [&mut train, &mut validate, &mut test].into_iter().for_each(|part| encode(part, &encoder, &schema));
        let in_folds = folds.iter_mut().flat_map(|fold| [&mut fold.train, &mut fold.validate]);
        // Folds within the training part learn anew what categories say.
        in_folds.chain([&mut validate, &mut test]).for_each(|part| part.categories = Vec::new());
        let scenarios = scenario_texts(&summaries);
        let fingerprint =
            summaries.iter().map(|summary| summary.fingerprint.as_str()).collect::<Vec<_>>().join("+");
        let mut remarks: Vec<String> = summaries.iter().flat_map(Summary::remarks).collect();
        if let Some(first) = summaries.first() {
            remarks.extend(of_time(&self.tables.mapping, first, summaries.get(1)));
        }
        Dataset {
            schema,
            encoder,
            derived: None,
            train,
            validate,
            test,
            folds,
            leave_out_known_customers: self.tables.mapping.split.leave_out_known_customers,
            remarks,
            scenarios,
            fingerprint,
        }
    }
}

/// Levels of categories that deserve a column, learned from a part that has none yet.
fn learned(part: &Part, schema: &Schema, text: impl Fn(usize, u64) -> Option<String>) -> Encoder {
    let room = WIDTH_MAX.saturating_sub(schema.columns().len());
    Encoder::learn(&part.categories, ONE_HOT_SHARE, (ONE_HOT_MAX, room), text)
}

fn encode(part: &mut Part, encoder: &Encoder, schema: &Schema) {
    for (name, column) in encoder.columns(schema, &part.categories) {
        part.frame.append(name, column);
    }
}

/// Rows of the training part with columns for levels that are learned from the first of the two parts alone, and without
/// derived ones, which are not the fold's own.
pub(super) fn relevelled(mut parts: [Part; 2], data: &Dataset) -> [Part; 2] {
    let plain = data.schema.columns().len() + data.encoder.levels().len();
    parts.iter_mut().for_each(|part| part.frame.truncate(plain));
    if parts.iter().all(|part| part.categories.is_empty()) {
        return parts;
    }
    let known = data.encoder.levels();
    let text = |category: usize, hash: u64| {
        let level = known.iter().find(|level| (level.category, level.hash) == (category, hash))?;
        Some(level.text.clone())
    };
    let encoder = learned(&parts[0], &data.schema, text);
    for part in &mut parts {
        part.frame.truncate(data.schema.columns().len());
        encode(part, &encoder, &data.schema);
    }
    parts
}

/// Whether fraud against this customer is known at the beginning of a row's day.
fn is_known(known: &HashMap<u64, i64>, customer: Option<u64>, at_ms: i64, delay_ms: i64) -> bool {
    let day_ms = at_ms - at_ms.rem_euclid(DAY_MS);
    let first = customer.and_then(|customer| known.get(&customer));
    first.is_some_and(|&fraud_ms| fraud_ms < day_ms.saturating_sub(delay_ms))
}

fn scenario_texts(summaries: &[Summary]) -> BTreeMap<u64, String> {
    let levels = summaries.iter().filter_map(|summary| summary.scenarios.as_ref());
    levels.flat_map(|levels| levels.kept()).map(|level| (level.hash, level.text.clone())).collect()
}
