//! From a mapping as written to a checked one.

use super::super::split::{Fold, Plan, Split};
use super::super::when::{DateOrder, TimeUnit};
use super::faults::Faults;
use super::raw::{Raw, RawColumns, RawFile, RawSplit, Text};
use super::{
    Columns, FileRule, LabelRule, Mapping, ROWS_MAX_DEFAULT, RowsKept, SKIPPED_MAX_DEFAULT, TrainRule,
};
use policies::DocumentError;
use policies::compile::nearest;
use std::collections::HashMap;
use std::path::Path;
use toml::{Spanned, Value};

const DAY_MS: f64 = 86_400_000.0;
/// Fractions may be written with three digits.
const FRACTIONS_TOLERANCE: f64 = 0.001;
/// Longest label delay, days: beyond a century it is a slip of the pen.
const DELAY_DAYS_MAX: f64 = 36_500.0;

/// Text to a checked mapping, or everything that is wrong in the text's order.
pub(super) fn mapping(text: &str, path: &Path) -> Result<Mapping, Vec<DocumentError>> {
    let mut faults = Faults { text, found: Vec::new() };
    let raw: Raw = match toml::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            faults.toml(&error);
            return Err(faults.found);
        }
    };
    roles(&raw, &mut faults);
    let file = file(&raw.file, &mut faults);
    let label = label(&raw, &mut faults);
    let split = split(&raw, &mut faults);
    let folds = folds(&raw, &split, &mut faults);
    let train = train(&raw, &mut faults);
    let columns = columns(raw.columns.into_inner(), &mut faults);
    if faults.found.is_empty() {
        return Ok(Mapping { path: path.to_owned(), columns, label, split, folds, file, train });
    }
    faults.found.sort_by_key(|fault| (fault.line, fault.column));
    Err(faults.found)
}

/// Every column named by the mapping with its role, in a fixed order.
fn named(columns: &RawColumns) -> Vec<(&'static str, &Text)> {
    let mut named = Vec::new();
    let single = [
        ("time", &columns.time),
        ("customer", &columns.customer),
        ("counterparty", &columns.counterparty),
        ("amount", &columns.amount),
        ("currency", &columns.currency),
        ("label", &columns.label),
        ("id", &columns.id),
    ];
    named.extend(single.into_iter().filter_map(|(role, name)| Some((role, name.as_ref()?))));
    if let Some(sides) = &columns.coordinates {
        let both = sides.customer.get_ref().iter().chain(sides.counterparty.get_ref());
        named.extend(both.map(|name| ("coordinates", name)));
    }
    named.extend(columns.categorical.iter().map(|name| ("categorical", name)));
    named.extend(columns.numeric.iter().map(|name| ("numeric", name)));
    named
}

fn roles(raw: &Raw, faults: &mut Faults<'_>) {
    let columns = raw.columns.get_ref();
    let mut all = named(columns);
    if !all.iter().any(|(role, _)| ["amount", "categorical", "numeric"].contains(role)) {
        let hint = "name an amount, or columns under `numeric` or `categorical`";
        faults.at(raw.columns.span().start, "there is nothing to learn from".into(), Some(hint.into()));
    }
    if let Some(scenario) = &columns.scenario {
        let is_label = columns.label.as_ref().is_some_and(|label| label.get_ref() == scenario.get_ref());
        if columns.label.is_none() {
            faults.at(
                scenario.span().start,
                "a scenario is the kind of a label, and there is none".into(),
                None,
            );
        } else if !is_label {
            all.push(("scenario", scenario));
        }
    }
    all.extend(raw.file.ignore.iter().map(|name| ("ignore", name)));
    let names = raw.file.names.as_ref().map(Spanned::get_ref);
    let mut first_role: HashMap<&str, &str> = HashMap::new();
    for (role, name) in all {
        let text = name.get_ref().trim();
        if text.is_empty() {
            faults.at(name.span().start, format!("`{role}` names no column"), None);
        } else if let Some(first) = first_role.insert(text, role) {
            let message = format!("the column `{text}` is `{first}` already, and cannot be `{role}` as well");
            faults.at(name.span().start, message, None);
        } else if let Some(names) = names
            && !names.iter().any(|known| known.get_ref().trim() == text)
        {
            let hint = nearest(text, names.iter().map(|known| known.get_ref().trim()))
                .map(|near| format!("did you mean `{near}`?"));
            faults.at(name.span().start, format!("`{text}` is not among the names of [file]"), hint);
        }
    }
}

fn columns(raw: RawColumns, faults: &mut Faults<'_>) -> Columns {
    let name = |text: Text| text.into_inner().trim().to_owned();
    let one = |text: Option<Text>| text.map(name);
    let many = |texts: Vec<Text>| texts.into_iter().map(name).collect();
    let mut side = |names: Spanned<Vec<Text>>| -> Option<[String; 2]> {
        let start = names.span().start;
        let names: Vec<String> = many(names.into_inner());
        let pair = names.try_into().ok();
        if pair.is_none() {
            faults.at(start, "a place is two columns".into(), Some("[latitude, longitude]".into()));
        }
        pair
    };
    let coordinates = raw.coordinates.and_then(|sides| {
        let pairs = [side(sides.customer), side(sides.counterparty)];
        let [Some(customer), Some(counterparty)] = pairs else { return None };
        Some([customer, counterparty])
    });
    let time_unit = raw.time_unit.and_then(|text| {
        let unit = TimeUnit::ALL.into_iter().find(|unit| unit.name() == text.get_ref());
        if unit.is_none() {
            let hint = Some(TimeUnit::ALL.map(TimeUnit::name).join(", "));
            faults.at(text.span().start, format!("there is no unit `{}`", text.get_ref()), hint);
        }
        unit
    });
    let date_order = raw.date_order.and_then(|text| {
        let order = DateOrder::ALL.into_iter().find(|order| order.name() == text.get_ref());
        if order.is_none() {
            let hint = Some(DateOrder::ALL.map(DateOrder::name).join(", "));
            faults.at(text.span().start, format!("there is no order `{}`", text.get_ref()), hint);
        } else if time_unit.is_some() {
            faults.at(
                text.span().start,
                "dates are not counted in units: keep `time_unit` or `date_order`".into(),
                None,
            );
        }
        order
    });
    Columns {
        time: one(raw.time),
        time_unit,
        date_order,
        customer: one(raw.customer),
        counterparty: one(raw.counterparty),
        amount: one(raw.amount),
        currency: one(raw.currency),
        coordinates,
        categorical: many(raw.categorical),
        numeric: many(raw.numeric),
        label: one(raw.label),
        scenario: one(raw.scenario),
        id: one(raw.id),
    }
}

fn label(raw: &Raw, faults: &mut Faults<'_>) -> LabelRule {
    let columns = raw.columns.get_ref();
    let mut values = |what: &str, pair: [&Option<Spanned<Value>>; 2]| -> Vec<String> {
        let (first, second) = (pair[0].as_ref(), pair[1].as_ref());
        if let (Some(_), Some(again)) = (first, second) {
            let message = format!("`{what}` is given in [columns] and in [label]");
            faults.at(again.span().start, message, None);
        }
        let Some(value) = first.or(second) else { return Vec::new() };
        if columns.label.is_none() {
            faults.at(value.span().start, format!("`{what}` is said of no label"), None);
        }
        let list = match value.get_ref() {
            Value::Array(list) => list.iter().map(written).collect::<Option<Vec<_>>>(),
            one => written(one).map(|text| vec![text]),
        };
        let list = list.filter(|list| !list.is_empty());
        if list.is_none() {
            let hint = Some("a value such as \"Yes\" or 1, or a list of them".into());
            faults.at(value.span().start, format!("`{what}` is no value of a label"), hint);
        }
        list.unwrap_or_default()
    };
    let positive = values("positive", [&columns.positive, &raw.label.positive]);
    let negative = values("negative", [&columns.negative, &raw.label.negative]);
    let both = positive.iter().find(|value| negative.iter().any(|other| other.eq_ignore_ascii_case(value)));
    if let (Some(value), Some(place)) = (both, raw.label.negative.as_ref().or(columns.negative.as_ref())) {
        faults.at(place.span().start, format!("`{value}` is positive and negative"), None);
    }
    let delay_days = raw.label.delay_days.as_ref().map_or(0.0, |days| {
        if !(0.0..=DELAY_DAYS_MAX).contains(days.get_ref()) {
            faults.at(days.span().start, format!("`delay_days` is 0 to {DELAY_DAYS_MAX}"), None);
        }
        *days.get_ref()
    });
    LabelRule { delay_ms: (delay_days * DAY_MS).round() as i64, positive, negative }
}

/// A label's value as a cell would have it.
fn written(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn split(raw: &Raw, faults: &mut Faults<'_>) -> Split {
    let written = &raw.split;
    let columns = raw.columns.get_ref();
    let leave_out = written.leave_out_known_customers.as_ref();
    if let Some(wish) = leave_out.filter(|wish| *wish.get_ref())
        && (columns.customer.is_none() || columns.label.is_none() || columns.time.is_none())
    {
        let message = "`leave_out_known_customers` needs the columns time, customer and label".into();
        faults.at(wish.span().start, message, None);
    }
    let first_period = [&written.train, &written.validate, &written.test].into_iter().flatten().next();
    let plan = match (&written.fractions, first_period) {
        (Some(fractions), Some(_)) => {
            let hint = Some("keep one of them".into());
            faults.at(fractions.span().start, "fractions stand beside periods".into(), hint);
            Plan::Default
        }
        (Some(fractions), None) => self::fractions(fractions, faults),
        (None, Some(first)) => periods(written, first, columns.time.is_some(), faults),
        (None, None) => Plan::Default,
    };
    Split { plan, leave_out_known_customers: leave_out.is_some_and(|wish| *wish.get_ref()) }
}

fn fractions(written: &Spanned<Vec<f64>>, faults: &mut Faults<'_>) -> Plan {
    let mut shares = [0.0; 3];
    let given = written.get_ref();
    shares.iter_mut().zip(given).for_each(|(share, given)| *share = *given);
    let sum: f64 = shares.iter().sum();
    let fits = (2..=3).contains(&given.len())
        && shares.iter().all(|share| (0.0..=1.0).contains(share))
        && (sum - 1.0).abs() <= FRACTIONS_TOLERANCE;
    if !fits || shares.first() == Some(&0.0) {
        let hint = Some("[train, validate, test] such as [0.6, 0.1, 0.3]".into());
        faults.at(written.span().start, "`fractions` are not shares that make one".into(), hint);
    }
    Plan::Fractions(shares.map(|share| share / sum))
}

fn periods(raw: &RawSplit, first: &Spanned<Value>, has_time: bool, faults: &mut Faults<'_>) -> Plan {
    if !has_time {
        let hint = Some("name the time column, or split by `fractions`".into());
        faults.at(first.span().start, "periods need a time column".into(), hint);
    }
    let Some(train) = &raw.train else {
        faults.at(first.span().start, "there is no period to train on".into(), Some("say `train`".into()));
        return Plan::Default;
    };
    let mut end: Option<(i64, &str)> = None;
    let mut next = |what: &'static str, value: Option<&Spanned<Value>>| {
        let value = value?;
        let period = faults.period(value, what)?;
        if let Some((until_ms, before)) = end
            && period.from_ms < until_ms
        {
            let message = format!("the period of `{what}` begins before that of `{before}` ends");
            let hint = Some("train, validate and test follow one another in time".into());
            faults.at(value.span().start, message, hint);
        }
        end = Some((period.until_ms, what));
        Some(period)
    };
    let train = next("train", Some(train));
    let validate = next("validate", raw.validate.as_ref());
    let test = next("test", raw.test.as_ref());
    train.map_or(Plan::Default, |train| Plan::Periods { train, validate, test })
}

fn folds(raw: &Raw, split: &Split, faults: &mut Faults<'_>) -> Vec<Fold> {
    let test = match &split.plan {
        Plan::Periods { test, .. } => *test,
        _ => None,
    };
    let mut folds = Vec::with_capacity(raw.search.folds.len());
    for fold in &raw.search.folds {
        let train = faults.period(&fold.train, "train");
        let validate = faults.period(&fold.validate, "validate");
        let (Some(train), Some(validate)) = (train, validate) else { continue };
        let place = fold.validate.span().start;
        if raw.columns.get_ref().time.is_none() {
            faults.at(place, "folds in time need a time column".into(), None);
        }
        if validate.from_ms < train.until_ms {
            faults.at(place, "the fold's `validate` begins before its `train` ends".into(), None);
        }
        if test.is_some_and(|test| test.from_ms < validate.until_ms) {
            let hint = Some("nothing is chosen by looking at the test part".into());
            faults.at(place, "the fold reaches into the test period".into(), hint);
        }
        folds.push(Fold { train, validate });
    }
    folds
}

fn file(raw: &RawFile, faults: &mut Faults<'_>) -> FileRule {
    let names = raw.names.as_ref().map(|names| {
        let mut known: Vec<String> = Vec::with_capacity(names.get_ref().len());
        for name in names.get_ref() {
            let text = name.get_ref().trim();
            if text.is_empty() || known.iter().any(|other| other == text) {
                let message = format!("the name `{text}` is empty or stands twice");
                faults.at(name.span().start, message, None);
            }
            known.push(text.to_owned());
        }
        if known.is_empty() {
            let hint = Some("leave `names` out where the file has a header".into());
            faults.at(names.span().start, "`names` has no name".into(), hint);
        }
        known
    });
    let delimiter = raw.delimiter.as_ref().and_then(|text| {
        let found = match text.get_ref().as_bytes() {
            b"tab" => Some(b'\t'),
            [byte] if byte.is_ascii_punctuation() && *byte != b'"' || matches!(byte, b' ' | b'\t') => {
                Some(*byte)
            }
            _ => None,
        };
        if found.is_none() {
            let hint = Some("one character such as \";\", or \"tab\"".into());
            faults.at(text.span().start, format!("`{}` cannot be a delimiter", text.get_ref()), hint);
        }
        found
    });
    let skipped_max = faults.share(raw.skipped_max.as_ref(), "skipped_max", SKIPPED_MAX_DEFAULT);
    let ignore = raw.ignore.iter().map(|name| name.get_ref().trim().to_owned()).collect();
    FileRule { names, delimiter, ignore, skipped_max }
}

fn train(raw: &Raw, faults: &mut Faults<'_>) -> TrainRule {
    let rows_max = raw.train.rows_max.as_ref().map_or(ROWS_MAX_DEFAULT, |rows| {
        usize::try_from(*rows.get_ref()).ok().filter(|rows| *rows > 0).unwrap_or_else(|| {
            faults.at(rows.span().start, "`rows_max` is 1 or more".into(), None);
            ROWS_MAX_DEFAULT
        })
    });
    let has_label = raw.columns.get_ref().label.is_some();
    let rows = match raw.train.rows.as_ref().map(|text| (text.get_ref().as_str(), text.span().start)) {
        None if has_label => RowsKept::Normal,
        None | Some(("all", _)) => RowsKept::All,
        Some(("normal", place)) => {
            if !has_label {
                faults.at(place, "without a label nobody knows which rows are normal".into(), None);
            }
            RowsKept::Normal
        }
        Some((other, place)) => {
            let hint = Some("normal or all".into());
            faults.at(place, format!("there are no rows `{other}`"), hint);
            RowsKept::All
        }
    };
    TrainRule { rows_max, rows }
}
