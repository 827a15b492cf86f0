//! The learner's tables as a file: versioned, checked, and readable by an operator.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::actions::{LIMIT_ACTIONS, SPLIT_ACTIONS};
use super::signals::{LIMIT_SIGNALS, SPLIT_SIGNALS, Signal, states, words};
use super::table::Table;

const FORMAT: &str = "gatehouse.capacity.q-learning";
const VERSION: u32 = 1;
/// Longer texts are not even parsed.
const TEXT_LEN_MAX: usize = 4 << 20;
/// Values are kept in millionths, so that writing and reading them changes nothing.
const MILLIONTHS: f64 = 1e6;

/// Why an artifact is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ArtifactError {
    /// Not JSON of the expected shape, or cut short.
    #[error("the capacity table cannot be read: {0}")]
    Unreadable(String),
    /// Of another format or version.
    #[error("the capacity table is {found}, this gateway reads {FORMAT} version {VERSION}")]
    Version {
        /// What it says it is.
        found: String,
    },
    /// Made for other states or actions.
    #[error("the capacity table was made for other states or actions")]
    Schema,
    /// Altered since it was written.
    #[error("the capacity table's checksum does not match its content")]
    Checksum,
}

/// The two tables and where they come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// Chooses the limiter's tolerance.
    pub limit: Table,
    /// Chooses the split.
    pub split: Table,
    /// How it was trained.
    pub origin: Origin,
}

/// How a table was trained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The command that makes it again.
    pub command: String,
    /// Episodes played.
    pub episodes: u32,
    /// First seed.
    pub seed: u64,
    /// Names of the scenarios.
    pub scenarios: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    version: u32,
    schema: String,
    checksum: String,
    body: Body,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    origin: Origin,
    limit_actions: Vec<String>,
    limit: Vec<RowText>,
    split_actions: Vec<String>,
    split: Vec<RowText>,
}

/// One visited state; the rest are left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowText {
    state: usize,
    meaning: String,
    reward_millionths: i64,
    visits: Vec<u32>,
    value_millionths: Vec<i64>,
}

impl Artifact {
    /// Tables that know nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            limit: Table::new(states(&LIMIT_SIGNALS), LIMIT_ACTIONS.len()),
            split: Table::new(states(&SPLIT_SIGNALS), SPLIT_ACTIONS.len()),
            origin: Origin::default(),
        }
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let body = Body {
            origin: self.origin.clone(),
            limit_actions: LIMIT_ACTIONS.iter().map(|action| action.name.to_owned()).collect(),
            limit: rows_of(&self.limit, &LIMIT_SIGNALS),
            split_actions: SPLIT_ACTIONS.iter().map(|action| action.name.to_owned()).collect(),
            split: rows_of(&self.split, &SPLIT_SIGNALS),
        };
        let checksum = checksum(&body);
        let file = File { format: FORMAT.to_owned(), version: VERSION, schema: schema(), checksum, body };
        let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`ArtifactError`] when it is not exactly what some gateway of this version wrote.
    pub fn from_text(text: &str) -> Result<Self, ArtifactError> {
        if text.len() > TEXT_LEN_MAX {
            return Err(ArtifactError::Unreadable("it is too long".to_owned()));
        }
        let unreadable = |error: serde_json::Error| ArtifactError::Unreadable(error.to_string());
        let head: serde_json::Value = serde_json::from_str(text).map_err(unreadable)?;
        let format = head.get("format").and_then(serde_json::Value::as_str).unwrap_or("of no format");
        let version = head.get("version").and_then(serde_json::Value::as_u64);
        if format != FORMAT || version != Some(u64::from(VERSION)) {
            let version = version.map_or_else(String::new, |version| format!(" version {version}"));
            return Err(ArtifactError::Version { found: format!("{format}{version}") });
        }
        let file: File = serde_json::from_value(head).map_err(unreadable)?;
        if file.schema != schema() {
            return Err(ArtifactError::Schema);
        }
        if file.checksum != checksum(&file.body) {
            return Err(ArtifactError::Checksum);
        }
        let mut artifact = Self::empty();
        artifact.origin = file.body.origin;
        fill(&mut artifact.limit, file.body.limit)?;
        fill(&mut artifact.split, file.body.split)?;
        Ok(artifact)
    }
}

fn rows_of(table: &Table, signals: &[Signal]) -> Vec<RowText> {
    let visited = table.rows().enumerate().filter(|(_, row)| row.visits() > 0);
    let rows = visited.map(|(state, row)| RowText {
        state,
        meaning: words(signals, state),
        reward_millionths: millionths(row.reward),
        visits: row.visits.clone(),
        value_millionths: row.values.iter().map(|value| millionths(*value)).collect(),
    });
    rows.collect()
}

fn fill(table: &mut Table, rows: Vec<RowText>) -> Result<(), ArtifactError> {
    for text in rows {
        let row = table.row_mut(text.state).ok_or(ArtifactError::Schema)?;
        if text.visits.len() != row.visits.len() || text.value_millionths.len() != row.values.len() {
            return Err(ArtifactError::Schema);
        }
        row.visits = text.visits;
        row.values = text.value_millionths.into_iter().map(|value| value as f64 / MILLIONTHS).collect();
        row.reward = text.reward_millionths as f64 / MILLIONTHS;
    }
    Ok(())
}

fn millionths(value: f64) -> i64 {
    (value * MILLIONTHS).round() as i64
}

/// Changes whenever states or actions mean something else.
fn schema() -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{LIMIT_SIGNALS:?}{SPLIT_SIGNALS:?}{LIMIT_ACTIONS:?}{SPLIT_ACTIONS:?}"));
    hex(&hash.finalize())
}

fn checksum(body: &Body) -> String {
    hex(&Sha256::digest(serde_json::to_vec(body).unwrap_or_default()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt() -> Artifact {
        let mut artifact = Artifact::empty();
        let rate = super::super::table::Rate { least: 0.1, decay: 1.0, most: 1.0, discount: 0.5 };
        for step in 0..500 {
            artifact.limit.learn(step % 97, step % 3, 1.0 / (step as f64 + 3.0), (step + 1) % 97, &rate);
            artifact.split.learn(step % 31, step % 4, 0.7, (step + 1) % 31, &rate);
        }
        artifact
    }

    #[test]
    fn what_is_written_is_read_and_written_the_same() {
        let text = learnt().to_text();
        let read = Artifact::from_text(&text).unwrap();
        assert_eq!(read.to_text(), text);
        assert_eq!(read.limit.visits(5), learnt().limit.visits(5));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        let text = learnt().to_text();
        let refused = |text: &str| Artifact::from_text(text).unwrap_err();
        for cut in [0, 1, text.len() / 2, text.len() - 3] {
            assert!(matches!(refused(&text[..cut]), ArtifactError::Unreadable(_)), "cut at {cut}");
        }
        let other = text.replace("\"version\": 1", "\"version\": 2");
        assert!(matches!(refused(&other), ArtifactError::Version { .. }));
        assert!(matches!(refused("{}"), ArtifactError::Version { .. }));
        let altered = text.replacen("\"reward_millionths\": ", "\"reward_millionths\": 1", 1);
        assert_eq!(refused(&altered), ArtifactError::Checksum);
        let schema = schema();
        assert_eq!(refused(&text.replace(&schema, &schema.replace(['a', '1'], "b"))), ArtifactError::Schema);
    }
}
