//! Model artifacts: one readable file with a checksum, refused by name when it does not fit.
//!
//! The first line is `gatehouse-model <format> <kind> <body bytes> <SHA-256 of the body>`, the rest is a JSON body:
//! a [`Manifest`] that says where the model comes from, and the model itself. Training writes it without any time,
//! path or host in it, so that the same data and seed give the same bytes.

#![deny(clippy::indexing_slicing)]

use crate::lifecycle::Baseline;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// The format this program reads and writes.
pub const FORMAT: u32 = 1;
/// The file of that name in a model's directory.
pub const FILE: &str = "model.artifact";
/// Artifacts larger than this are not read.
pub const BYTES_MAX: u64 = 16 * 1024 * 1024;
const MAGIC: &str = "gatehouse-model";

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Fraud classification of transfers.
    Fraud,
    /// Anomaly detection of requests.
    Anomaly,
}

impl Kind {
    /// The word in the file's first line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fraud => "fraud",
            Self::Anomaly => "anomaly",
        }
    }
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// SHA-256 of the feature table it was trained on.
    pub schema_hash: String,
    /// Where the training data came from, in words: a file's name or `simulate:SEED`.
    pub data: String,
    /// SHA-256 over the training rows as read.
    pub data_fingerprint: String,
    /// Seed of everything random in training.
    pub seed: u64,
    /// The command that makes this very file again.
    pub command: String,
    /// Figures measured on data that training never saw.
    pub metrics: serde_json::Value,
    /// Bins of the training part, which drift is measured against; older artifacts, and those that no gateway serves, have
    /// none.
    #[serde(with = "crate::lifecycle::written", default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
}

/// A manifest with its model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Artifact<M> {
    /// Where the model comes from.
    pub manifest: Manifest,
    /// The model.
    pub model: M,
}

/// Why an artifact was refused.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not an artifact of this program.
    #[error("not a gatehouse model artifact")]
    UnknownFormat,
    /// Made by a program with another format.
    #[error("artifact format {found}, this program reads format {FORMAT}")]
    UnknownVersion {
        /// The format in the file.
        found: u32,
    },
    /// A model for something else.
    #[error("a model of kind {found} where {expected} is needed")]
    WrongKind {
        /// What was asked for.
        expected: &'static str,
        /// What the file says.
        found: String,
    },
    /// Cut short.
    #[error("artifact is cut short: {found} of {expected} bytes")]
    Truncated {
        /// Bytes the first line promises.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// Longer than any model of this program.
    #[error("artifact is larger than {BYTES_MAX} bytes")]
    TooLarge,
    /// Altered since it was written.
    #[error("artifact fails its checksum")]
    ChecksumMismatch,
    /// Made for another feature table.
    #[error("model made for feature schema {found}, this program computes {expected}: train it again")]
    SchemaMismatch {
        /// Schema of this program.
        expected: String,
        /// Schema in the file.
        found: String,
    },
    /// The checksum is right and yet the body makes no sense.
    #[error("artifact body: {0}")]
    Malformed(String),
}

/// The bytes of an artifact.
///
/// # Errors
/// [`ArtifactError::Malformed`] where the model cannot be written as JSON.
pub fn to_bytes<M: Serialize>(kind: Kind, artifact: &Artifact<M>) -> Result<Vec<u8>, ArtifactError> {
    let mut body =
        serde_json::to_vec_pretty(artifact).map_err(|error| ArtifactError::Malformed(error.to_string()))?;
    body.push(b'\n');
    let mut bytes =
        format!("{MAGIC} {FORMAT} {} {} {}\n", kind.name(), body.len(), hex(&Sha256::digest(&body)))
            .into_bytes();
    bytes.append(&mut body);
    Ok(bytes)
}

/// Reads an artifact of `kind` made for the feature table `schema_hash`; checks everything before the model is used.
///
/// # Errors
/// An [`ArtifactError`] by name.
pub fn from_bytes<M: DeserializeOwned>(
    bytes: &[u8],
    kind: Kind,
    schema_hash: &str,
) -> Result<Artifact<M>, ArtifactError> {
    let body = checked_body(bytes, kind)?;
    let value: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| ArtifactError::Malformed(error.to_string()))?;
    let found =
        value.pointer("/manifest/schema_hash").and_then(serde_json::Value::as_str).unwrap_or_default();
    if found != schema_hash {
        return Err(ArtifactError::SchemaMismatch {
            expected: schema_hash.to_owned(),
            found: found.to_owned(),
        });
    }
    serde_json::from_value(value).map_err(|error| ArtifactError::Malformed(error.to_string()))
}

/// Reads the artifact of a model directory (or the artifact file itself).
///
/// # Errors
/// An [`ArtifactError`] by name.
pub fn load<M: DeserializeOwned>(
    path: &Path,
    kind: Kind,
    schema_hash: &str,
) -> Result<Artifact<M>, ArtifactError> {
    from_bytes(&read(path)?, kind, schema_hash)
}

/// The bytes of a model directory's artifact (or of the artifact file itself).
///
/// # Errors
/// [`ArtifactError::Unreadable`] or [`ArtifactError::TooLarge`].
pub fn read(path: &Path) -> Result<Vec<u8>, ArtifactError> {
    let file = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    let unreadable = |source| ArtifactError::Unreadable { path: file.clone(), source };
    if std::fs::metadata(&file).map_err(unreadable)?.len() > BYTES_MAX {
        return Err(ArtifactError::TooLarge);
    }
    std::fs::read(&file).map_err(unreadable)
}

/// The kind an artifact says it is, without checking anything else; `None` for other files.
pub fn kind_of(bytes: &[u8]) -> Option<Kind> {
    let line = bytes.split(|&byte| byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    if words.next() != Some(MAGIC) {
        return None;
    }
    match words.nth(1) {
        Some("fraud") => Some(Kind::Fraud),
        Some("anomaly") => Some(Kind::Anomaly),
        _ => None,
    }
}

/// SHA-256 of whole artifact bytes, the name under which decisions remember a model.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn checked_body(bytes: &[u8], kind: Kind) -> Result<&[u8], ArtifactError> {
    let end = bytes.iter().take(256).position(|&byte| byte == b'\n').ok_or(ArtifactError::UnknownFormat)?;
    let (line, rest) = bytes.split_at_checked(end).ok_or(ArtifactError::UnknownFormat)?;
    let body = rest.strip_prefix(b"\n").ok_or(ArtifactError::UnknownFormat)?;
    let line = std::str::from_utf8(line).map_err(|_| ArtifactError::UnknownFormat)?;
    let mut words = line.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(ArtifactError::UnknownFormat);
    }
    let format = words.next().and_then(|word| word.parse().ok()).ok_or(ArtifactError::UnknownFormat)?;
    if format != FORMAT {
        return Err(ArtifactError::UnknownVersion { found: format });
    }
    let found = words.next().ok_or(ArtifactError::UnknownFormat)?;
    let expected_bytes: usize =
        words.next().and_then(|word| word.parse().ok()).ok_or(ArtifactError::UnknownFormat)?;
    let sum = words.next().ok_or(ArtifactError::UnknownFormat)?;
    if body.len() < expected_bytes {
        return Err(ArtifactError::Truncated { expected: expected_bytes, found: body.len() });
    }
    if body.len() > expected_bytes || hex(&Sha256::digest(body)) != sum {
        return Err(ArtifactError::ChecksumMismatch);
    }
    if found != kind.name() {
        return Err(ArtifactError::WrongKind { expected: kind.name(), found: found.to_owned() });
    }
    Ok(body)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let manifest = Manifest {
            schema_hash: "abc".into(),
            data: "simulate:1".into(),
            data_fingerprint: "def".into(),
            seed: 1,
            command: "gatehouse train fraud --data simulate:1".into(),
            metrics: serde_json::json!({"auprc": 0.8}),
            baseline: None,
        };
        to_bytes(Kind::Fraud, &Artifact { manifest, model: vec![1.5f64, -2.25] }).unwrap()
    }

    fn read_back(bytes: &[u8]) -> Result<Vec<f64>, ArtifactError> {
        from_bytes(bytes, Kind::Fraud, "abc").map(|artifact| artifact.model)
    }

    #[test]
    fn comes_back_as_written() {
        assert_eq!(read_back(&written()).unwrap(), [1.5, -2.25]);
        assert_eq!(kind_of(&written()), Some(Kind::Fraud));
    }

    #[test]
    fn every_cut_is_refused_by_name() {
        let bytes = written();
        for length in 0..bytes.len() {
            match read_back(&bytes[..length]) {
                Err(ArtifactError::UnknownFormat | ArtifactError::Truncated { .. }) => {}
                other => panic!("{length} bytes gave {other:?}"),
            }
        }
    }

    #[test]
    fn every_altered_byte_is_refused() {
        let bytes = written();
        for at in 0..bytes.len() {
            for mask in [0x01, 0x20, 0x80] {
                let mut altered = bytes.clone();
                altered[at] ^= mask;
                assert!(read_back(&altered).is_err(), "byte {at} with {mask:#x}");
            }
        }
        let mut longer = bytes;
        longer.push(b' ');
        assert!(matches!(read_back(&longer), Err(ArtifactError::ChecksumMismatch)));
    }

    #[test]
    fn others_are_refused_by_name() {
        let bytes = written();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let changed = |from: &str, to: &str| text.replacen(from, to, 1).into_bytes();
        assert!(matches!(read_back(b"\x7fELF..\n"), Err(ArtifactError::UnknownFormat)));
        assert!(matches!(
            read_back(&changed("gatehouse-model 1 ", "gatehouse-model 2 ")),
            Err(ArtifactError::UnknownVersion { found: 2 })
        ));
        assert!(matches!(
            from_bytes::<Vec<f64>>(&bytes, Kind::Fraud, "xyz"),
            Err(ArtifactError::SchemaMismatch { .. })
        ));
        assert!(matches!(
            from_bytes::<Vec<f64>>(&bytes, Kind::Anomaly, "abc"),
            Err(ArtifactError::WrongKind { .. })
        ));
        assert!(matches!(from_bytes::<u8>(&bytes, Kind::Fraud, "abc"), Err(ArtifactError::Malformed(_))));
        assert!(matches!(
            load::<u8>(Path::new("/no/such/model"), Kind::Fraud, "abc"),
            Err(ArtifactError::Unreadable { .. })
        ));
    }
}
