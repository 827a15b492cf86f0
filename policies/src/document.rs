//! Policy documents: TOML in, a checked [`Policy`] or every error with its place out.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde_spanned::Spanned;
use sha2::{Digest, Sha256};
use toml::value::Datetime;

use crate::compile::{self, Names, Threshold, nearest};
use crate::name::Name;
use crate::outcome::Outcome;
use crate::policy::{Mode, Policy, Rule};
use crate::probes;
use crate::pseudonym::{Pseudonymizer, hex};

/// Longest document, bytes.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Most rules of a document.
pub const RULES_MAX: usize = 256;
/// Most thresholds, and most lists.
pub const NAMES_MAX: usize = 256;
/// Most entries of all lists together.
pub const LIST_ENTRIES_MAX: usize = 10_000;
/// Longest id, code, route pattern or list entry, bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest description or message, bytes.
pub const SENTENCE_BYTES_MAX: usize = 400;

const PRECEDENCE_DEFAULT: u16 = 100;

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What may help.
    pub hint: Option<String>,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for DocumentError {}

/// Reads and checks a policy document. Nothing is left to fail when a request comes: every variable exists, every
/// condition is a bool, and every condition has been evaluated against requests of every shape.
///
/// # Errors
/// Everything that is wrong, in the document's order; a document that is not TOML of the right shape gives one error.
pub fn parse(text: &str) -> Result<Policy, Vec<DocumentError>> {
    read(text, None)
}

/// The same with constants hashed as records hash them.
pub(crate) fn parse_for_records(text: &str, hashes: &Pseudonymizer) -> Result<Policy, Vec<DocumentError>> {
    read(text, Some(hashes))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDocument {
    version: Spanned<String>,
    #[serde(default)]
    thresholds: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    #[serde(default)]
    lists: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    #[serde(default)]
    rules: Vec<Spanned<RawRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: Spanned<String>,
    description: Spanned<String>,
    when: Spanned<String>,
    outcome: Spanned<String>,
    mode: Spanned<String>,
    #[serde(default)]
    routes: Option<Spanned<Vec<Spanned<String>>>>,
    ramp: Option<Spanned<i64>>,
    expires: Option<Spanned<Datetime>>,
    reason: Option<Spanned<String>>,
    message: Spanned<String>,
    precedence: Option<Spanned<i64>>,
    on_error: Option<Spanned<String>>,
}

fn read(text: &str, hashed_by: Option<&Pseudonymizer>) -> Result<Policy, Vec<DocumentError>> {
    let mut errors = Errors { text, found: Vec::new() };
    if text.len() > DOCUMENT_BYTES_MAX {
        errors.at(0, format!("the document is longer than {DOCUMENT_BYTES_MAX} bytes"), None);
        return Err(errors.found);
    }
    let raw: RawDocument = match toml::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            errors.toml(&error);
            return Err(errors.found);
        }
    };
    errors.name(&raw.version, "version");
    let thresholds = thresholds(&raw, &mut errors);
    let lists = lists(&raw, &mut errors);
    if raw.rules.len() > RULES_MAX {
        errors.at(0, format!("more than {RULES_MAX} rules"), None);
        return Err(errors.found);
    }
    let names = Names { thresholds: &thresholds, lists: &lists, hashed_by };
    let mut ids = HashSet::new();
    let mut rules = Vec::with_capacity(raw.rules.len());
    for raw in &raw.rules {
        let raw = raw.get_ref();
        if !ids.insert(raw.id.get_ref().clone()) {
            errors.at(raw.id.span().start, format!("the id `{}` stands twice", raw.id.get_ref()), None);
        }
        rules.extend(rule(raw, &names, &mut errors));
    }
    if errors.found.is_empty() && hashed_by.is_none() {
        probe(&raw, &rules, &mut errors);
    }
    if !errors.found.is_empty() {
        errors.found.sort_by_key(|error| (error.line, error.column));
        return Err(errors.found);
    }
    Ok(Policy {
        version: raw.version.into_inner().into(),
        hash: hex(&Sha256::digest(text.as_bytes())).into(),
        text: text.into(),
        thresholds,
        lists,
        rules,
        pseudonyms: None,
    })
}

fn thresholds(raw: &RawDocument, errors: &mut Errors<'_>) -> BTreeMap<String, Threshold> {
    if raw.thresholds.len() > NAMES_MAX {
        errors.at(0, format!("more than {NAMES_MAX} thresholds"), None);
    }
    let mut thresholds = BTreeMap::new();
    for (key, value) in &raw.thresholds {
        errors.name(key, "threshold");
        let number = match value.get_ref() {
            toml::Value::Integer(int) => Threshold::Int(*int),
            toml::Value::Float(float) if float.is_finite() => Threshold::Double(*float),
            _ => {
                errors.at(value.span().start, format!("threshold `{}` is not a number", key.get_ref()), None);
                continue;
            }
        };
        thresholds.insert(key.get_ref().clone(), number);
    }
    thresholds
}

fn lists(raw: &RawDocument, errors: &mut Errors<'_>) -> BTreeMap<String, Vec<String>> {
    let entries: usize = raw.lists.values().map(Vec::len).sum();
    if raw.lists.len() > NAMES_MAX || entries > LIST_ENTRIES_MAX {
        errors.at(0, format!("more than {NAMES_MAX} lists or {LIST_ENTRIES_MAX} entries"), None);
    }
    let mut lists = BTreeMap::new();
    for (key, texts) in &raw.lists {
        errors.name(key, "list");
        for text in texts {
            errors.length(text, "list entry", NAME_BYTES_MAX);
        }
        lists.insert(key.get_ref().clone(), texts.iter().map(|text| text.get_ref().clone()).collect());
    }
    lists
}

fn rule(raw: &RawRule, names: &Names<'_>, errors: &mut Errors<'_>) -> Option<Rule> {
    errors.name(&raw.id, "id");
    errors.length(&raw.description, "description", SENTENCE_BYTES_MAX);
    errors.length(&raw.message, "message", SENTENCE_BYTES_MAX);
    if let Some(code) = &raw.reason {
        errors.name(code, "reason");
    }
    let routes = routes(raw, errors);
    let outcome = errors.outcome(&raw.outcome);
    let on_error = raw.on_error.as_ref().map_or(outcome, |text| errors.outcome(text));
    let mode = mode(&raw.mode, errors);
    let ramp = errors.integer(raw.ramp.as_ref(), "ramp", 0..=100, 100);
    let precedence = errors.integer(
        raw.precedence.as_ref(),
        "precedence",
        0..=i64::from(u16::MAX),
        PRECEDENCE_DEFAULT.into(),
    );
    let expires_ms = raw.expires.as_ref().and_then(|date| expiry(date, errors));
    let condition = match compile::compile(raw.when.get_ref(), names) {
        Ok(condition) => condition,
        Err(complaint) => {
            let offset = errors.inside(&raw.when, complaint.offset);
            let message = format!("rule `{}`: {}", raw.id.get_ref(), complaint.message);
            errors.at(offset, message, complaint.hint);
            return None;
        }
    };
    Some(Rule {
        id: raw.id.get_ref().as_str().into(),
        description: raw.description.get_ref().as_str().into(),
        when: raw.when.get_ref().as_str().into(),
        outcome: outcome?,
        mode: mode?,
        routes,
        ramp: u8::try_from(ramp).unwrap_or(100),
        expires_ms,
        reason: raw.reason.as_ref().unwrap_or(&raw.id).get_ref().as_str().into(),
        message: raw.message.get_ref().as_str().into(),
        precedence: u16::try_from(precedence).unwrap_or(PRECEDENCE_DEFAULT),
        on_error: on_error?,
        condition,
    })
}

fn routes(raw: &RawRule, errors: &mut Errors<'_>) -> Vec<Name> {
    let Some(routes) = &raw.routes else { return Vec::new() };
    if routes.get_ref().is_empty() {
        let hint = Some("leave `routes` out for all routes, or say mode = \"off\"".into());
        errors.at(routes.span().start, "the rule is for no route at all".into(), hint);
    }
    for route in routes.get_ref() {
        errors.length(route, "route", NAME_BYTES_MAX);
    }
    routes.get_ref().iter().map(|route| route.get_ref().as_str().into()).collect()
}

fn mode(text: &Spanned<String>, errors: &mut Errors<'_>) -> Option<Mode> {
    match text.get_ref().as_str() {
        "enforce" => Some(Mode::Enforce),
        "shadow" => Some(Mode::Shadow),
        "off" => Some(Mode::Off),
        other => {
            let hint = Some("enforce, shadow or off".into());
            errors.at(text.span().start, format!("there is no mode `{other}`"), hint);
            None
        }
    }
}

/// The end of the day, UTC.
fn expiry(date: &Spanned<Datetime>, errors: &mut Errors<'_>) -> Option<i64> {
    let day = match date.get_ref() {
        Datetime { date: Some(day), time: None, offset: None } => time::Month::try_from(day.month)
            .and_then(|month| time::Date::from_calendar_date(i32::from(day.year), month, day.day))
            .ok(),
        _ => None,
    };
    let next = day.and_then(time::Date::next_day);
    if next.is_none() {
        let hint = Some("a last day such as 2027-03-31".into());
        errors.at(date.span().start, "`expires` is not a date".into(), hint);
    }
    next.and_then(|day| day.midnight().assume_utc().unix_timestamp().checked_mul(1000))
}

fn probe(raw: &RawDocument, rules: &[Rule], errors: &mut Errors<'_>) {
    for (raw, rule) in raw.rules.iter().zip(rules) {
        if let Some((failure, shape)) = probes::first_failure(rule) {
            let when = &raw.get_ref().when;
            let message = format!("rule `{}` fails on {shape}: {failure}", rule.id);
            let hint = Some("test the flag first, as in `behaviour.known && …`".into());
            errors.at(errors.inside(when, 0), message, hint);
        }
    }
}

/// Collects errors and knows where they are.
struct Errors<'a> {
    text: &'a str,
    found: Vec<DocumentError>,
}

impl Errors<'_> {
    fn at(&mut self, offset: usize, message: String, hint: Option<String>) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        self.found.push(DocumentError { line, column, message, hint });
    }

    /// What the TOML reader found. Its hint is the known name nearest to an unknown one.
    fn toml(&mut self, error: &toml::de::Error) {
        let message = error.message().lines().next().unwrap_or("cannot be read").to_owned();
        let mut names = message.split('`').skip(1).step_by(2);
        let hint = match names.next() {
            Some(name) if message.starts_with("unknown field") => {
                nearest(name, names).map(|near| format!("did you mean `{near}`?"))
            }
            _ => None,
        };
        self.at(error.span().unwrap_or(Range { start: 0, end: 0 }).start, message, hint);
    }

    /// The document's offset of a place inside a text value, as far as quoting lets it be known.
    fn inside(&self, value: &Spanned<String>, offset: usize) -> usize {
        let span = value.span();
        let written = self.text.get(span.clone()).unwrap_or_default();
        written.find(value.get_ref().as_str()).map_or(span.start, |quote| span.start + quote + offset)
    }

    fn name(&mut self, name: &Spanned<String>, what: &str) {
        let text = name.get_ref();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(fits) {
            let hint = Some("lower-case letters, digits, `_`, `-` and `.`".into());
            self.at(name.span().start, format!("`{text}` cannot be a {what}"), hint);
        }
    }

    fn length(&mut self, text: &Spanned<String>, what: &str, bytes_max: usize) {
        let length = text.get_ref().len();
        if length == 0 || length > bytes_max {
            self.at(text.span().start, format!("the {what} has {length} bytes, not 1 to {bytes_max}"), None);
        }
    }

    fn integer(
        &mut self,
        number: Option<&Spanned<i64>>,
        what: &str,
        range: std::ops::RangeInclusive<i64>,
        default: i64,
    ) -> i64 {
        let Some(number) = number else { return default };
        if !range.contains(number.get_ref()) {
            let message = format!("{what} is {} to {}", range.start(), range.end());
            self.at(number.span().start, message, None);
        }
        *number.get_ref()
    }

    fn outcome(&mut self, text: &Spanned<String>) -> Option<Outcome> {
        let found = Outcome::ALL.into_iter().find(|outcome| outcome.name() == text.get_ref());
        if found.is_none() {
            let names = Outcome::ALL.map(Outcome::name);
            let hint = nearest(text.get_ref(), names.into_iter())
                .map_or_else(|| names.join(", "), |near| format!("did you mean `{near}`?"));
            self.at(text.span().start, format!("there is no outcome `{}`", text.get_ref()), Some(hint));
        }
        found
    }
}
