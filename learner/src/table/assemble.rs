//! From cells to records: the same for every format.

use super::TableError;
use super::cell::{Cell, Number, number_fault};
use super::error::Broken;
use super::label;
use super::levels::Levels;
use super::mapping::Mapping;
use super::record::Record;
use super::summary::{ColumnCounts, FaultCount, FaultKind, Labels, Skipped, Summary, shortened};
use super::when::Clock;
use crate::artifact::hex;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Most ids that are remembered to find duplicates: a hash table of 2^23 places, about 75 MiB, is full then.
pub const IDS_MAX: usize = 7_340_032;
/// After so many rows, a file of which more than half is unreadable is given up.
const ROWS_BEFORE_GIVING_UP: u64 = 65_536;

/// What a mapped column is. In [`roles`] what can make a row unreadable comes first, so that a skipped row leaves no trace
/// among ids and levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Time,
    Amount,
    Coordinate(usize),
    Number(usize),
    Label,
    Id,
    Customer,
    Counterparty,
    Currency,
    Category(usize),
    Scenario,
}

fn roles(mapping: &Mapping) -> Vec<(Role, &str)> {
    let columns = &mapping.columns;
    fn one(role: Role, name: &Option<String>) -> Option<(Role, &str)> {
        name.as_deref().map(|name| (role, name))
    }
    fn many(names: &[String], role: fn(usize) -> Role) -> impl Iterator<Item = (Role, &str)> {
        names.iter().enumerate().map(move |(at, name)| (role(at), name.as_str()))
    }
    let places = columns.coordinates.as_ref().map_or(&[][..], |sides| sides.as_flattened());
    let mut roles = Vec::new();
    roles.extend(one(Role::Time, &columns.time));
    roles.extend(one(Role::Amount, &columns.amount));
    roles.extend(many(places, Role::Coordinate));
    roles.extend(many(&columns.numeric, Role::Number));
    roles.extend(one(Role::Label, &columns.label));
    roles.extend(one(Role::Id, &columns.id));
    roles.extend(one(Role::Customer, &columns.customer));
    roles.extend(one(Role::Counterparty, &columns.counterparty));
    roles.extend(one(Role::Currency, &columns.currency));
    roles.extend(many(&columns.categorical, Role::Category));
    roles.extend(one(Role::Scenario, &columns.scenario));
    roles
}

/// Names of the columns that a mapping wants, in the order in which cells are handed to [`Assembler::row`].
pub(super) fn wanted(mapping: &Mapping) -> Vec<&str> {
    roles(mapping).into_iter().map(|(_, name)| name).collect()
}

/// The value of a cell, as counted and fingerprinted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Missing,
    OutOfRange,
    Bits(u64),
}

struct Column {
    role: Role,
    first: Option<u64>,
    varies: bool,
    counts: ColumnCounts,
}

/// A fault of one cell.
struct Fault {
    kind: FaultKind,
    reason: String,
}

impl Fault {
    fn new(kind: FaultKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

pub(super) struct Assembler<'m> {
    path: PathBuf,
    mapping: &'m Mapping,
    columns: Vec<Column>,
    values: Vec<Value>,
    record: Record,
    places: [f64; 4],
    clock: Clock,
    ids: HashSet<u64>,
    ids_unchecked: u64,
    skipped: Skipped,
    delivered: u64,
    backwards: u64,
    before_ms: Option<i64>,
    span_ms: Option<(i64, i64)>,
    labels: Labels,
    hash: Sha256,
    hashed: Vec<u8>,
    scratch: Vec<u8>,
}

impl<'m> Assembler<'m> {
    pub(super) fn new(path: &Path, mapping: &'m Mapping) -> Self {
        let mut hash = Sha256::new();
        let column = |(role, name): (Role, &str)| {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            let is_text = matches!(role, Role::Currency | Role::Category(_) | Role::Scenario);
            let levels = is_text.then(Levels::default);
            let counts =
                ColumnCounts { name: name.to_owned(), missing: 0, out_of_range: 0, constant: false, levels };
            Column { role, first: None, varies: false, counts }
        };
        let columns: Vec<_> = roles(mapping).into_iter().map(column).collect();
        let record = Record {
            categories: vec![None; mapping.columns.categorical.len()],
            numbers: vec![f32::NAN; mapping.columns.numeric.len()],
            ..Record::default()
        };
        Self {
            path: path.to_owned(),
            mapping,
            values: Vec::with_capacity(columns.len()),
            hashed: Vec::with_capacity(columns.len() * 9),
            columns,
            record,
            places: [f64::NAN; 4],
            clock: Clock::new(mapping.columns.time_unit, mapping.columns.date_order),
            ids: HashSet::new(),
            ids_unchecked: 0,
            skipped: Skipped::default(),
            delivered: 0,
            backwards: 0,
            before_ms: None,
            span_ms: None,
            labels: Labels::default(),
            hash,
            scratch: Vec::new(),
        }
    }

    /// Takes the cells of the next row in the order of [`wanted`] and hands the record over, if it can be read.
    ///
    /// # Errors
    /// Where most of the file cannot be read.
    pub(super) fn row<'c>(
        &mut self,
        row: u64,
        line: Option<u64>,
        cell: impl Fn(usize) -> Cell<'c>,
        visit: &mut dyn FnMut(&Record) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TableError> {
        self.skipped.of = row;
        (self.record.row, self.record.line) = (row, line);
        self.record.scenario = None;
        self.values.clear();
        for at in 0..self.columns.len() {
            let cell = cell(at);
            match self.value(at, &cell) {
                Ok(value) => self.values.push(value),
                Err(fault) => {
                    let column = self.columns.get(at).map(|column| column.counts.name.clone());
                    let value = shortened(cell.text(&mut self.scratch));
                    return self.skip(1, fault, column, value).map(ControlFlow::Continue);
                }
            }
        }
        let at = |index: usize| self.places.get(index).copied().unwrap_or(f64::NAN);
        let places = [[at(0), at(1)], [at(2), at(3)]];
        self.record.coordinates =
            (!places.iter().flatten().any(|degrees| degrees.is_nan())).then_some(places);
        self.count();
        Ok(visit(&self.record))
    }

    /// A row of the wrong width that takes up `lines` lines of the file. A quote that is not closed swallows lines, and each
    /// of them may have been a row.
    pub(super) fn ragged(
        &mut self,
        row: u64,
        line: u64,
        lines: u64,
        cells: [usize; 2],
        value: &[u8],
    ) -> Result<(), TableError> {
        self.skipped.of = row;
        (self.record.row, self.record.line) = (row, Some(line));
        let [found, expected] = cells;
        let mut reason = format!("{found} cells where the file has {expected} columns");
        if lines > 1 {
            reason = format!("{reason}, over {lines} lines; is a quote not closed?");
        }
        self.skip(lines.max(1), Fault::new(FaultKind::Ragged, reason), None, shortened(value))
    }

    fn skip(
        &mut self,
        rows: u64,
        fault: Fault,
        column: Option<String>,
        value: String,
    ) -> Result<(), TableError> {
        let Fault { kind, reason } = fault;
        let (row, line) = (self.record.row, self.record.line);
        self.skipped.note(rows, FaultCount { kind, column, count: 0, row, line, value, reason });
        let hopeless = row >= ROWS_BEFORE_GIVING_UP && self.skipped.share() > 0.5_f64.max(self.allowed());
        if hopeless { Err(self.too_many()) } else { Ok(()) }
    }

    fn allowed(&self) -> f64 {
        self.mapping.file.skipped_max
    }

    fn too_many(&mut self) -> TableError {
        TableError::Skipped {
            path: self.path.clone(),
            skipped: Box::new(std::mem::take(&mut self.skipped)),
            allowed: self.allowed(),
        }
    }

    /// Reads one cell into the record.
    fn value(&mut self, at: usize, cell: &Cell<'_>) -> Result<Value, Fault> {
        let Some(Column { role, counts, .. }) = self.columns.get_mut(at) else { return Ok(Value::Missing) };
        let bits = |bits: Option<u64>| bits.map_or(Value::Missing, Value::Bits);
        Ok(match *role {
            Role::Time => {
                let at_ms = time(&mut self.clock, cell)?;
                self.record.at_ms = Some(at_ms);
                Value::Bits(at_ms.cast_unsigned())
            }
            Role::Amount => {
                let (amount, value) = number(cell, f64::MAX)?;
                self.record.amount = Some(amount).filter(|amount| !amount.is_nan());
                value
            }
            Role::Coordinate(index) => {
                let (degrees, value) = number(cell, if index % 2 == 0 { 90.0 } else { 180.0 })?;
                if let Some(place) = self.places.get_mut(index) {
                    *place = degrees;
                }
                value
            }
            Role::Number(index) => {
                let (number, value) = number(cell, f64::from(f32::MAX))?;
                if let Some(slot) = self.record.numbers.get_mut(index) {
                    *slot = number as f32;
                }
                value
            }
            Role::Label => {
                self.record.label = label::meaning(&self.mapping.label, cell, &mut self.scratch)
                    .ok_or_else(|| Fault::new(FaultKind::Label, label::UNKNOWN))?;
                bits(self.record.label.map(u64::from))
            }
            Role::Id => {
                let id = cell.id(&mut self.scratch);
                if let Some(id) = id {
                    self.unique(id)?;
                }
                bits(id)
            }
            Role::Customer => {
                self.record.customer = cell.id(&mut self.scratch);
                bits(self.record.customer)
            }
            Role::Counterparty => {
                self.record.counterparty = cell.id(&mut self.scratch);
                bits(self.record.counterparty)
            }
            Role::Currency => {
                self.record.currency = level(counts, cell, &mut self.scratch);
                bits(self.record.currency)
            }
            Role::Category(index) => {
                let hash = level(counts, cell, &mut self.scratch);
                if let Some(slot) = self.record.categories.get_mut(index) {
                    *slot = hash;
                }
                bits(hash)
            }
            Role::Scenario => {
                if self.record.label == Some(true) {
                    self.record.scenario = level(counts, cell, &mut self.scratch);
                }
                bits(self.record.scenario)
            }
        })
    }

    fn unique(&mut self, id: u64) -> Result<(), Fault> {
        if self.ids.len() < IDS_MAX {
            if !self.ids.insert(id) {
                return Err(Fault::new(FaultKind::DuplicateId, "an earlier row has this id"));
            }
        } else if self.ids.contains(&id) {
            return Err(Fault::new(FaultKind::DuplicateId, "an earlier row has this id"));
        } else {
            self.ids_unchecked += 1;
        }
        Ok(())
    }

    /// Counts a row that is handed over.
    fn count(&mut self) {
        self.delivered += 1;
        match (self.mapping.columns.label.is_some(), self.record.label) {
            (true, Some(true)) => self.labels.positive += 1,
            (true, Some(false)) => self.labels.negative += 1,
            _ => self.labels.unknown += 1,
        }
        self.hashed.clear();
        for (column, value) in self.columns.iter_mut().zip(&self.values) {
            let (tag, bits) = match *value {
                Value::Missing => (0, 0),
                Value::OutOfRange => (1, 0),
                Value::Bits(bits) => (2, bits),
            };
            self.hashed.push(tag);
            self.hashed.extend_from_slice(&bits.to_le_bytes());
            match *value {
                Value::Missing => column.counts.missing += 1,
                Value::OutOfRange => column.counts.out_of_range += 1,
                Value::Bits(bits) => column.varies |= *column.first.get_or_insert(bits) != bits,
            }
        }
        self.hash.update(&self.hashed);
        self.count_time();
    }

    fn count_time(&mut self) {
        let Some(at_ms) = self.record.at_ms else { return };
        self.backwards += u64::from(self.before_ms.replace(at_ms).is_some_and(|before_ms| at_ms < before_ms));
        let (first_ms, last_ms) = self.span_ms.unwrap_or((at_ms, at_ms));
        self.span_ms = Some((first_ms.min(at_ms), last_ms.max(at_ms)));
    }

    /// The summary after `rows` rows; `header` is every column of the file.
    ///
    /// # Errors
    /// Where too much was skipped, or there is no row.
    pub(super) fn finish(
        mut self,
        rows: u64,
        header: &[String],
        stopped: bool,
    ) -> Result<Summary, TableError> {
        if rows == 0 {
            return Err(Broken::new(&self.path, "there are no rows")
                .hint("the file has columns and no data")
                .into());
        }
        self.skipped.of = rows;
        if self.skipped.share() > self.allowed() {
            return Err(self.too_many());
        }
        let known = |name: &String| {
            let ignored = self.mapping.file.ignore.contains(name);
            ignored || self.columns.iter().any(|column| column.counts.name == *name)
        };
        let unread = header.iter().filter(|name| !known(name)).cloned().collect();
        let (scenario, columns): (Vec<_>, Vec<_>) =
            self.columns.into_iter().partition(|column| column.role == Role::Scenario);
        let columns = columns.into_iter().map(|column| {
            let constant = column.first.is_some() && !column.varies && self.delivered > 1;
            ColumnCounts { constant, ..column.counts }
        });
        Ok(Summary {
            columns: columns.collect(),
            scenarios: scenario.into_iter().find_map(|column| column.counts.levels),
            path: self.path,
            rows,
            delivered: self.delivered,
            skipped: self.skipped,
            backwards: self.backwards,
            span_ms: self.span_ms,
            labels: self.labels,
            ids_unchecked: self.ids_unchecked,
            unread,
            stopped,
            fingerprint: hex(&self.hash.finalize()),
        })
    }
}

fn time(clock: &mut Clock, cell: &Cell<'_>) -> Result<i64, Fault> {
    let read = match *cell {
        cell if cell.is_missing(false) => return Err(Fault::new(FaultKind::Time, "the time is missing")),
        Cell::Text(text) => clock.text(text),
        Cell::Int(number) => clock.number(number as f64, i64::try_from(number).ok()),
        Cell::Time(ms) => clock.typed(ms),
        Cell::Float(number) => clock.number(number, None),
        Cell::Missing | Cell::Bool(_) => Err(super::when::NoTime::Unreadable),
    };
    read.map_err(|why| Fault::new(FaultKind::Time, why.reason()))
}

/// A number of at most this size, `NaN` where there is none.
fn number(cell: &Cell<'_>, size_max: f64) -> Result<(f64, Value), Fault> {
    match cell.number() {
        Number::Value(number) if number.abs() <= size_max => Ok((number, Value::Bits(number.to_bits()))),
        Number::Value(_) | Number::Infinite => Ok((f64::NAN, Value::OutOfRange)),
        Number::Missing => Ok((f64::NAN, Value::Missing)),
        Number::Unreadable => {
            let reason = if let Cell::Text(text) = cell { number_fault(text) } else { "no number" };
            Err(Fault::new(FaultKind::Number, reason))
        }
    }
}

fn level(counts: &mut ColumnCounts, cell: &Cell<'_>, scratch: &mut Vec<u8>) -> Option<u64> {
    if cell.is_missing(true) {
        return None;
    }
    let text = cell.text(scratch);
    Some(counts.levels.as_mut().map_or_else(|| super::hash_text(text), |levels| levels.note(text)))
}
