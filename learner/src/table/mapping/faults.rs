//! What is wrong with a mapping, and where.

use super::super::split::Period;
use super::super::when::iso_8601;
use policies::DocumentError;
use policies::compile::nearest;
use toml::{Spanned, Value};

/// Collects faults and knows where they are.
pub(super) struct Faults<'a> {
    pub(super) text: &'a str,
    pub(super) found: Vec<DocumentError>,
}

impl Faults<'_> {
    pub(super) fn at(&mut self, offset: usize, message: String, hint: Option<String>) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        self.found.push(DocumentError { line, column, message, hint });
    }

    /// What the TOML reader found. The hint is the known key nearest to an unknown one.
    pub(super) fn toml(&mut self, error: &toml::de::Error) {
        let message = error.message().lines().next().unwrap_or("cannot be read").to_owned();
        let mut names = message.split('`').skip(1).step_by(2);
        let hint = match names.next() {
            Some(name) if message.starts_with("unknown field") => {
                nearest(name, names).map(|near| format!("did you mean `{near}`?"))
            }
            _ => None,
        };
        self.at(error.span().map_or(0, |span| span.start), message, hint);
    }

    pub(super) fn share(&mut self, number: Option<&Spanned<f64>>, what: &str, default: f64) -> f64 {
        let Some(number) = number else { return default };
        if !(0.0..=1.0).contains(number.get_ref()) {
            self.at(number.span().start, format!("`{what}` is 0 to 1"), None);
        }
        *number.get_ref()
    }

    pub(super) fn period(&mut self, value: &Spanned<Value>, what: &str) -> Option<Period> {
        let moment = |value: &Value| match value {
            Value::String(text) => iso_8601(text.trim().as_bytes()),
            Value::Datetime(date) => iso_8601(date.to_string().as_bytes()),
            _ => None,
        };
        let ends = match value.get_ref().as_array().map(Vec::as_slice) {
            Some([from, until]) => moment(from).zip(moment(until)),
            _ => None,
        };
        let period = ends.filter(|(from, until)| from < until);
        if period.is_none() {
            let hint = Some("two dates or times, the second later: [\"2024-01-01\", \"2024-02-01\"]".into());
            self.at(value.span().start, format!("`{what}` is no period"), hint);
        }
        period.map(|(from_ms, until_ms)| Period { from_ms, until_ms })
    }
}
