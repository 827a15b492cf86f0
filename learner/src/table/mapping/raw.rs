//! A mapping as written: sections and keys.

use serde::Deserialize;
use toml::{Spanned, Value};

pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) columns: Spanned<RawColumns>,
    #[serde(default)]
    pub(super) label: RawLabel,
    #[serde(default)]
    pub(super) split: RawSplit,
    #[serde(default)]
    pub(super) search: RawSearch,
    #[serde(default)]
    pub(super) file: RawFile,
    #[serde(default)]
    pub(super) train: RawTrain,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawColumns {
    pub(super) time: Option<Text>,
    pub(super) time_unit: Option<Text>,
    pub(super) date_order: Option<Text>,
    pub(super) customer: Option<Text>,
    pub(super) counterparty: Option<Text>,
    pub(super) amount: Option<Text>,
    pub(super) currency: Option<Text>,
    pub(super) coordinates: Option<RawCoordinates>,
    #[serde(default)]
    pub(super) categorical: Vec<Text>,
    #[serde(default)]
    pub(super) numeric: Vec<Text>,
    pub(super) label: Option<Text>,
    pub(super) positive: Option<Spanned<Value>>,
    pub(super) negative: Option<Spanned<Value>>,
    pub(super) scenario: Option<Text>,
    pub(super) id: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCoordinates {
    pub(super) customer: Spanned<Vec<Text>>,
    pub(super) counterparty: Spanned<Vec<Text>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLabel {
    pub(super) delay_days: Option<Spanned<f64>>,
    pub(super) positive: Option<Spanned<Value>>,
    pub(super) negative: Option<Spanned<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSplit {
    pub(super) train: Option<Spanned<Value>>,
    pub(super) validate: Option<Spanned<Value>>,
    pub(super) test: Option<Spanned<Value>>,
    pub(super) fractions: Option<Spanned<Vec<f64>>>,
    pub(super) leave_out_known_customers: Option<Spanned<bool>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSearch {
    #[serde(default)]
    pub(super) folds: Vec<RawFold>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFold {
    pub(super) train: Spanned<Value>,
    pub(super) validate: Spanned<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) names: Option<Spanned<Vec<Text>>>,
    pub(super) delimiter: Option<Text>,
    #[serde(default)]
    pub(super) ignore: Vec<Text>,
    pub(super) skipped_max: Option<Spanned<f64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrain {
    pub(super) rows_max: Option<Spanned<i64>>,
    pub(super) rows: Option<Text>,
}
