//! Plays a table through behaviour profiles: each row sees only what came before it, and labels once they are known.

use crate::behaviour::{Event, Inputs, ProfileLimits, Profiles, SURPRISE, Schema};
use crate::table::{self, Cut, Mapping, Record, Summary};
use crate::train::TrainError;
use crate::train::data::RecordedTransfer;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;

/// Rows of a table that must be held at most.
const SORTED_ROWS_MAX: usize = 20_000_000;
/// Most profiles of each kind during training.
const LIMITS: ProfileLimits =
    ProfileLimits { customers_max: 2_000_000, counterparties_max: 2_000_000, levels_max: 1_000_000 };

/// A row, ready to be replayed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) number: u64,
    pub(super) at_ms: i64,
    pub(super) customer: Option<u64>,
    pub(super) counterparty: Option<u64>,
    pub(super) cents: Option<i64>,
    pub(super) coordinates: Option<[[f64; 2]; 2]>,
    pub(super) categories: Vec<Option<u64>>,
    pub(super) numbers: Vec<f32>,
    pub(super) utc_offset_min: i16,
    /// Whether it was carried out: what was not teaches no norm.
    pub(super) accepted: bool,
    pub(super) label: Option<bool>,
    pub(super) scenario: u64,
}

impl Row {
    /// A record as behaviour sees it. Without time there is no behaviour: customer and counterparty are categories then.
    pub(super) fn of(record: &Record, mapping: &Mapping) -> Self {
        let mut categories = record.categories.clone();
        if mapping.columns.currency.is_some() {
            categories.push(record.currency);
        }
        let timeless = mapping.columns.time.is_none();
        for (named, id) in [
            (mapping.columns.customer.is_some(), record.customer),
            (mapping.columns.counterparty.is_some(), record.counterparty),
        ] {
            if timeless && named {
                categories.push(id);
            }
        }
        Self {
            number: record.row,
            at_ms: record.at_ms.unwrap_or_default(),
            customer: record.customer.filter(|_| !timeless),
            counterparty: record.counterparty.filter(|_| !timeless),
            cents: record.amount.map(|amount| (amount * 100.0).round() as i64),
            coordinates: record.coordinates,
            categories,
            numbers: record.numbers.clone(),
            utc_offset_min: 0,
            accepted: true,
            label: record.label,
            scenario: record.scenario.unwrap_or_default(),
        }
    }

    /// A recorded transfer as behaviour sees it.
    pub(super) fn of_transfer(number: u64, recorded: &RecordedTransfer) -> Self {
        let event = &recorded.event;
        Self {
            number,
            at_ms: event.at_ms,
            customer: Some(event.customer),
            counterparty: Some(event.payee),
            cents: Some(event.amount_cents()),
            coordinates: None,
            categories: event.categories().to_vec(),
            numbers: event.numbers().to_vec(),
            utc_offset_min: event.utc_offset_min,
            accepted: recorded.accepted,
            label: recorded.fraud,
            scenario: recorded.scenario.as_deref().map_or(0, |name| table::hash_text(name.as_bytes())),
        }
    }

    pub(super) fn event(&self) -> Event<'_> {
        Event {
            at_ms: self.at_ms,
            customer: self.customer,
            counterparty: self.counterparty,
            amount_cents: self.cents,
            utc_offset_min: self.utc_offset_min,
            coordinates: self.coordinates,
            categories: &self.categories,
            numbers: &self.numbers,
        }
    }
}

/// The inputs that a mapping's tables have.
pub(super) fn inputs(mapping: &Mapping) -> Inputs {
    let columns = &mapping.columns;
    let time = columns.time.is_some();
    let mut categorical = columns.categorical.clone();
    categorical.extend(columns.currency.clone());
    if !time {
        categorical.extend(columns.customer.iter().chain(&columns.counterparty).cloned());
    }
    Inputs {
        time,
        customer: columns.customer.is_some(),
        counterparty: columns.counterparty.is_some(),
        amount: columns.amount.is_some(),
        coordinates: columns.coordinates.is_some(),
        attempts: false,
        label_delay_s: if time {
            u32::try_from(mapping.label.delay_ms / 1_000).unwrap_or(u32::MAX)
        } else {
            0
        },
        categorical,
        numeric: columns.numeric.clone(),
    }
}

/// In which order a table's rows are played.
#[derive(Debug, Clone)]
pub(super) enum Order {
    /// The file's.
    AsRead,
    /// That of their time, which runs backwards in the file.
    ByTime,
    /// Of a table without time: by part, training first, within it by chance of this seed.
    Shuffled(Cut, u64),
}

/// Hands every readable row of a table to `visit` in the order; but for the file's own, the rows are held.
///
/// # Errors
/// A [`TrainError`] that names file, row and column, or that more rows than [`SORTED_ROWS_MAX`] are to be held.
pub(super) fn rows(
    path: &Path,
    mapping: &Mapping,
    order: &Order,
    visit: &mut dyn FnMut(&mut Row),
) -> Result<Summary, TrainError> {
    let mut held: Vec<Row> = Vec::new();
    let summary = table::read(path, mapping, &mut |record| {
        let mut row = Row::of(record, mapping);
        if matches!(order, Order::AsRead) {
            visit(&mut row);
        } else {
            held.push(row);
        }
        if held.len() > SORTED_ROWS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if summary.stopped {
        let advice = match order {
            Order::Shuffled(..) => "give it a time column, or fewer rows",
            _ => "sort the file first",
        };
        let problem = format!(
            "{}: more than {SORTED_ROWS_MAX} rows that are not in the order of time; {advice}",
            path.display()
        );
        return Err(TrainError::Unusable { part: "training", problem });
    }
    match order {
        Order::AsRead => {}
        Order::ByTime => held.sort_by_key(|row| row.at_ms),
        Order::Shuffled(cut, seed) => {
            held.sort_by_cached_key(|row| (cut.part(None, row.number), shuffled(*seed, row.number)));
        }
    }
    held.iter_mut().for_each(visit);
    Ok(summary)
}

/// A place in the shuffle of a table without time (the finaliser of SplitMix64).
fn shuffled(seed: u64, row: u64) -> u64 {
    let mut mixed = row ^ seed.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xd1b5_4a32_d192_ed03);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What profiles know while a table is replayed in the order of its time.
pub(super) struct Replay {
    profiles: Profiles,
    schema: Schema,
    surprise: Option<usize>,
    pending: VecDeque<(i64, Row, f32)>,
    vector: Vec<f32>,
}

impl Replay {
    pub(super) fn new(schema: Schema) -> Self {
        let surprise = schema.columns().iter().position(|column| column.name == SURPRISE);
        Self {
            profiles: Profiles::new(LIMITS),
            surprise,
            schema,
            pending: VecDeque::new(),
            vector: Vec::new(),
        }
    }

    /// The features of a row against what was known before it. `learn` says whether profiles learn from it afterwards,
    /// and its label after its delay.
    pub(super) fn next(&mut self, row: &Row, learn: bool) -> &[f32] {
        while self.pending.front().is_some_and(|(due_ms, ..)| *due_ms <= row.at_ms) {
            if let Some((_, fraud, surprise)) = self.pending.pop_front() {
                self.profiles.label(&fraud.event(), Some(surprise));
            }
        }
        let event = row.event();
        self.profiles.describe(&self.schema, &event, &mut self.vector);
        if learn && self.schema.inputs().attempts {
            self.profiles.attempt(&event);
        }
        if learn && row.accepted {
            self.profiles.accept(&event);
            if row.label == Some(true) {
                let delay_ms = i64::from(self.schema.inputs().label_delay_s) * 1_000;
                let surprise = self.surprise.map_or(f32::NAN, |at| self.vector[at]);
                self.pending.push_back((row.at_ms.saturating_add(delay_ms), row.clone(), surprise));
            }
        }
        &self.vector
    }
}
