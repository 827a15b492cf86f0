//! Recorded events: where they come from, how they are read, and how they become rows.
//!
//! # Transfers
//! A recorded transfer is one JSON object a line, or one CSV line under a header with the same names:
//!
//! | field | meaning |
//! |---|---|
//! | `at_ms` | unix milliseconds |
//! | `customer`, `payee` | text or number; text is hashed |
//! | `device` | the same, may be absent |
//! | `amount_minor` | integer minor units, 0 or more |
//! | `currency` | ISO 4217 code |
//! | `session_age_s`, `auth_age_s` | seconds, may be absent |
//! | `utc_offset_min` | minutes, 0 if absent |
//! | `accepted` | `true`/`false`: whether the transfer was carried out; `true` if absent |
//! | `fraud` | `true`/`false`/absent; `1` and `0` as well |
//! | `scenario` | kind of fraud, for analysis only, may be absent |
//!
//! # Requests
//! One JSON object a line, the fields of [`RecordedRequest`].

use crate::features::request::{self, RequestSample};
use crate::lexical;
use crate::simulate::{self, TrafficSettings, TransferSettings};
use crate::transfer::TransferEvent;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// A transfer with what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedTransfer {
    /// What was asked for.
    pub event: TransferEvent,
    /// Whether the upstream carried it out.
    pub accepted: bool,
    /// Whether it was fraud, where that is known.
    pub fraud: Option<bool>,
    /// The kind of fraud, for analysis only.
    pub scenario: Option<String>,
}

/// Where data comes from: `simulate:SEED` or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The simulator with this seed.
    Simulate(u64),
    /// A CSV or JSON-lines file.
    File(PathBuf),
}

impl std::str::FromStr for Source {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        match text.strip_prefix("simulate:") {
            Some(seed) => seed.parse().map(Self::Simulate).map_err(|_| DataError::Seed(seed.to_owned())),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl std::fmt::Display for Source {
    /// File names without their folders, so that artifacts do not tell where they were made.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Simulate(seed) => write!(out, "simulate:{seed}"),
            Self::File(path) => write!(out, "{}", path.file_name().unwrap_or_default().to_string_lossy()),
        }
    }
}

/// Why data was refused.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Not a seed.
    #[error("simulate:{0}: the seed is a whole number")]
    Seed(String),
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line makes no sense.
    #[error("{path}, line {line}: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong, naming the column.
        problem: String,
    },
    /// Nothing in it.
    #[error("{0}: no events")]
    Empty(PathBuf),
}

/// Lines longer than this are refused.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Recorded transfers of a source, in time order.
///
/// # Errors
/// A [`DataError`] that names file, line and column.
pub fn transfers(source: &Source) -> Result<Vec<RecordedTransfer>, DataError> {
    match source {
        Source::Simulate(seed) => Ok(simulate::transfers(TransferSettings::full(*seed))),
        Source::File(path) => read_transfers(path),
    }
}

fn read_transfers(path: &Path) -> Result<Vec<RecordedTransfer>, DataError> {
    let csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let mut header: Option<Vec<String>> = None;
    let mut events = Vec::new();
    each_line(path, |number, line| {
        let fail = |problem| DataError::Line { path: path.to_owned(), line: number, problem };
        let recorded = match (&header, csv) {
            (None, true) => {
                header = Some(line.split(',').map(|name| name.trim().to_owned()).collect());
                return Ok(());
            }
            (Some(header), true) => csv_line(header, line).map_err(fail)?,
            (_, false) => json_line(line).map_err(fail)?,
        };
        events.push(recorded);
        Ok(())
    })?;
    if events.is_empty() {
        return Err(DataError::Empty(path.to_owned()));
    }
    events.sort_by_key(|recorded| recorded.event.at_ms);
    Ok(events)
}

/// Calls `visit` with each line that is not blank and its number.
pub(crate) fn each_line(
    path: &Path,
    mut visit: impl FnMut(usize, &str) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let unreadable = |source| DataError::Unreadable { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let mut limited = io::Read::take(&mut reader, LINE_BYTES_MAX as u64);
        if limited.read_line(&mut line).map_err(unreadable)? == 0 {
            break;
        }
        if line.len() >= LINE_BYTES_MAX {
            let problem = format!("longer than {LINE_BYTES_MAX} bytes");
            return Err(DataError::Line { path: path.to_owned(), line: number, problem });
        }
        if !line.trim().is_empty() {
            visit(number, line.trim())?;
        }
    }
    Ok(())
}

/// An identifier in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

impl Id {
    /// Text becomes the first 64 bits of its SHA-256: this is for files, which hold pseudonyms; the gateway itself
    /// uses keyed hashes.
    fn hash(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => {
                let digest = Sha256::digest(text);
                digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            }
        }
    }
}

/// A truth value in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Number(u8),
}

impl Flag {
    fn value(&self) -> Result<bool, String> {
        match self {
            Self::Bool(value) => Ok(*value),
            Self::Number(0) => Ok(false),
            Self::Number(1) => Ok(true),
            Self::Number(other) => Err(format!("{other} is neither 0 nor 1")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at_ms: i64,
    customer: Id,
    payee: Id,
    device: Option<Id>,
    amount_minor: i64,
    currency: String,
    session_age_s: Option<u32>,
    auth_age_s: Option<u32>,
    #[serde(default)]
    utc_offset_min: i16,
    accepted: Option<Flag>,
    fraud: Option<Flag>,
    scenario: Option<String>,
}

/// A recorded transfer from one JSON object.
///
/// # Errors
/// What is wrong with it, in words.
pub fn json_line(line: &str) -> Result<RecordedTransfer, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let currency = line
        .currency
        .as_bytes()
        .try_into()
        .ok()
        .filter(|code: &[u8; 3]| code.iter().all(u8::is_ascii_uppercase));
    let event = TransferEvent {
        at_ms: line.at_ms,
        customer: line.customer.hash(),
        payee: line.payee.hash(),
        device: line.device.as_ref().map(Id::hash),
        amount_minor: line.amount_minor,
        currency: currency.ok_or_else(|| format!("currency {:?} is no ISO 4217 code", line.currency))?,
        session_age_s: line.session_age_s,
        auth_age_s: line.auth_age_s,
        utc_offset_min: line.utc_offset_min,
    };
    if event.amount_minor < 0 {
        return Err(format!("amount_minor {} is below zero", event.amount_minor));
    }
    Ok(RecordedTransfer {
        event,
        accepted: line.accepted.map_or(Ok(true), |flag| flag.value())?,
        fraud: line.fraud.map(|flag| flag.value()).transpose()?,
        scenario: line.scenario,
    })
}

/// A CSV line by way of the JSON object it stands for. Identifiers and codes never hold commas.
fn csv_line(header: &[String], line: &str) -> Result<RecordedTransfer, String> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    if cells.len() != header.len() {
        return Err(format!("{} cells under {} columns", cells.len(), header.len()));
    }
    let mut object = serde_json::Map::new();
    for (name, cell) in header.iter().zip(cells) {
        let cell = cell.trim_matches('"');
        if cell.is_empty() {
            continue;
        }
        let text = matches!(name.as_str(), "currency" | "scenario");
        let value = match (text, cell.parse::<serde_json::Value>()) {
            (false, Ok(value)) if value.is_number() || value.is_boolean() => value,
            _ => cell.into(),
        };
        object.insert(name.clone(), value);
    }
    json_line(&serde_json::Value::Object(object).to_string())
}

/// A request with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedRequest {
    /// Method, upper case.
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// Query as sent.
    #[serde(default)]
    pub query: Option<String>,
    /// Header names (lower case) and values in order.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Media type of the body.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Body as text.
    #[serde(default)]
    pub body: String,
    /// Requests a second of the client.
    #[serde(default)]
    pub client_rate_per_s: Option<f32>,
    /// The attack, where it is one.
    #[serde(default)]
    pub attack: Option<String>,
}

impl RecordedRequest {
    /// The vector that serving would make of it.
    pub fn vector(&self) -> [f32; request::COUNT] {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let sample = RequestSample {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &headers,
            content_type: self.content_type.as_deref(),
            body: self.body.as_bytes(),
            client_rate_per_s: self.client_rate_per_s,
        };
        request::vector(&sample, &lexical::inspect(&sample))
    }
}

/// Requests of a source in order; the simulator gives normal ones only, unless `attacks` (0 to 1) asks for some.
///
/// # Errors
/// A [`DataError`] that names file and line.
pub fn requests(source: &Source, count: usize, attacks: f64) -> Result<Vec<RecordedRequest>, DataError> {
    match source {
        Source::Simulate(seed) => {
            Ok(simulate::traffic(&TrafficSettings { attacks, ..TrafficSettings::normal(*seed, count) }))
        }
        Source::File(path) => {
            let mut requests = Vec::new();
            each_line(path, |number, line| {
                let request = serde_json::from_str(line).map_err(|error| DataError::Line {
                    path: path.clone(),
                    line: number,
                    problem: error.to_string(),
                })?;
                requests.push(request);
                Ok(())
            })?;
            if requests.is_empty() { Err(DataError::Empty(path.clone())) } else { Ok(requests) }
        }
    }
}
