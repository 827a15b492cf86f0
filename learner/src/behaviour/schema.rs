//! Which features an event has: decided by which inputs its recorder gives.

use super::columns;
use crate::features::FeatureSpec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Categories an event may have: what the scoring path has room for.
pub const CATEGORIES_MAX: usize = 64;
/// Raised whenever the way that any feature is computed changes, so that older models are refused.
const VERSION: u32 = 3;

/// The inputs an event comes with, and the features that follow from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Inputs", into = "Inputs")]
pub struct Schema {
    inputs: Inputs,
    columns: Vec<Column>,
    hash: String,
}

/// What is recorded of an event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// When it happened.
    pub time: bool,
    /// Whose behaviour it belongs to; counts only together with a time.
    pub customer: bool,
    /// The other side; counts only together with a time.
    pub counterparty: bool,
    /// An amount of money.
    pub amount: bool,
    /// Coordinates of both sides.
    pub coordinates: bool,
    /// Attempts are counted too, whatever became of them.
    pub attempts: bool,
    /// Labels arrive within this many seconds of an event.
    pub label_delay_s: u32,
    /// Names of categories.
    pub categorical: Vec<String>,
    /// Names of plain numbers.
    pub numeric: Vec<String>,
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Stable name, `snake_case`; features of a category are `category.feature`.
    pub name: String,
    /// What it says, in words.
    pub meaning: String,
    /// Unit or scale.
    pub unit: String,
    /// Whether it can be absent (`NaN`).
    pub may_be_missing: bool,
}

impl Schema {
    /// The features of these inputs, of which at most [`CATEGORIES_MAX`] categories.
    pub fn new(mut inputs: Inputs) -> Self {
        inputs.categorical.truncate(CATEGORIES_MAX);
        inputs.customer &= inputs.time;
        inputs.counterparty &= inputs.time;
        inputs.attempts &= inputs.customer;
        let columns = columns_of(&inputs);
        let mut hash = Sha256::new();
        hash.update(format!("behaviour {VERSION} delay {}", inputs.label_delay_s));
        for column in &columns {
            hash.update(format!("\n{} {}", column.name, column.may_be_missing));
        }
        Self { hash: crate::artifact::hex(&hash.finalize()), inputs, columns }
    }

    /// What is recorded.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// The features, in the order of a vector.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// SHA-256 over names, order and versions; a model made for another one is refused.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

impl From<Inputs> for Schema {
    fn from(inputs: Inputs) -> Self {
        Self::new(inputs)
    }
}

impl From<Schema> for Inputs {
    fn from(schema: Schema) -> Self {
        schema.inputs
    }
}

fn columns_of(inputs: &Inputs) -> Vec<Column> {
    let Inputs { time, customer, counterparty, amount, coordinates, attempts, .. } = *inputs;
    let blocks: [(bool, &[FeatureSpec]); 11] = [
        (amount, &columns::amount::FEATURES),
        (time, &columns::time::FEATURES),
        (customer, &columns::activity::FEATURES),
        (customer && amount, &columns::norm::FEATURES),
        (counterparty, &columns::counterparty::FEATURES),
        (counterparty && amount, &columns::price::FEATURES),
        (customer && counterparty, &columns::relation::FEATURES),
        (customer && counterparty && amount, &columns::excess::FEATURES),
        (coordinates, &columns::place::FEATURES),
        (coordinates && customer, &columns::travel::FEATURES),
        (attempts, &columns::attempts::FEATURES),
    ];
    let mut found: Vec<Column> = blocks
        .into_iter()
        .filter(|(present, _)| *present)
        .flat_map(|(_, specs)| specs.iter().map(|spec| column(spec, None)))
        .collect();
    for category in &inputs.categorical {
        let blocks: [(bool, &[FeatureSpec]); 3] = [
            (true, &columns::level::FEATURES),
            (amount && time, &columns::level_price::FEATURES),
            (customer, &columns::habit::FEATURES),
        ];
        let present = blocks.into_iter().filter(|(present, _)| *present);
        found.extend(present.flat_map(|(_, specs)| specs.iter().map(|spec| column(spec, Some(category)))));
    }
    found.extend(inputs.numeric.iter().map(|name| Column {
        name: name.clone(),
        meaning: format!("{name} as recorded"),
        unit: "as recorded".to_owned(),
        may_be_missing: true,
    }));
    found
}

fn column(spec: &FeatureSpec, category: Option<&String>) -> Column {
    Column {
        name: category.map_or_else(|| spec.name.to_owned(), |category| format!("{category}.{}", spec.name)),
        meaning: category
            .map_or_else(|| spec.meaning.to_owned(), |category| format!("{category}: {}", spec.meaning)),
        unit: spec.unit.to_owned(),
        may_be_missing: spec.may_be_missing,
    }
}
