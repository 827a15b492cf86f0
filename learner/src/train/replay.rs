//! Plays a table through behaviour profiles: each row sees only what came before it, and labels once they are known.

use crate::behaviour::{Event, Inputs, ProfileLimits, Profiles, SURPRISE, Schema};
use crate::table::{Mapping, Record};
use crate::train::data::RecordedTransfer;
use std::collections::VecDeque;

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
            scenario: recorded.scenario.as_deref().map_or(0, |name| crate::table::hash_text(name.as_bytes())),
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
