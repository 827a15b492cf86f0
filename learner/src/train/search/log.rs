//! Trials on disk, one JSON object a line, so that a search that was stopped goes on where it was.

use super::Trial;
use crate::artifact::hex;
use crate::train::TrainError;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// More bytes than any search writes.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The log's name, beside the model.
pub const TRIALS_FILE: &str = "trials.jsonl";

/// What a trial's figures depend on beside its candidate.
#[derive(Debug, Clone, Serialize)]
pub(in crate::train) struct Basis<'a> {
    /// Of the trainer: another one may make other features.
    pub(in crate::train) version: &'a str,
    /// SHA-256 over the features: one that is made otherwise has another version.
    pub(in crate::train) schema: &'a str,
    /// SHA-256 over the values read.
    pub(in crate::train) fingerprint: &'a str,
    /// The mapping, in any form that differs where it does.
    pub(in crate::train) mapping: String,
    pub(in crate::train) seed: u64,
    pub(in crate::train) folds: Option<usize>,
    /// Which inputs are made of the others; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::train) inputs: String,
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// SHA-256 over basis and candidate.
    key: String,
    #[serde(flatten)]
    trial: Trial,
    /// What fitting on all folds took.
    seconds: f64,
}

/// A log that is open to go on.
#[derive(Debug)]
pub(in crate::train) struct TrialLog {
    path: PathBuf,
    file: Mutex<File>,
    basis: Vec<u8>,
    found: HashMap<String, Trial>,
    /// Whole lines in the file when it was opened.
    lines: usize,
    used: AtomicUsize,
}

impl TrialLog {
    /// Reads what a directory's log has, or begins one. A last line without an end was being written when its run was
    /// stopped: it is cut off. Lines that cannot be read stay, as do those of another basis.
    ///
    /// # Errors
    /// [`TrainError::Output`].
    pub(in crate::train) fn open(directory: &Path, basis: &Basis<'_>) -> Result<Self, TrainError> {
        let path = directory.join(TRIALS_FILE);
        let opened = std::fs::create_dir_all(directory).and_then(|()| whole_lines(&path));
        let (file, text) = opened.map_err(|source| TrainError::Output { path: path.clone(), source })?;
        let basis = serde_json::to_vec(basis).map_err(|error| TrainError::Report(error.to_string()))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let found = lines.clone().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let found = found.map(|line| (line.key, line.trial)).collect();
        let (lines, used) = (lines.count(), AtomicUsize::new(0));
        Ok(Self { path, file: Mutex::new(file), basis, found, lines, used })
    }

    /// The trial of a candidate on this very basis, where an earlier run finished it.
    pub(super) fn known(&self, candidate: &serde_json::Value) -> Option<Trial> {
        let trial = self.found.get(&self.key(candidate)).filter(|trial| trial.candidate == *candidate)?;
        self.used.fetch_add(1, Ordering::Relaxed);
        Some(trial.clone())
    }

    /// Adds a trial in one write.
    pub(super) fn append(&self, trial: &Trial, took: Duration) -> Result<(), TrainError> {
        let line = Line {
            key: self.key(&trial.candidate),
            trial: trial.clone(),
            seconds: (took.as_secs_f64() * 1e3).round() / 1e3,
        };
        let mut text = serde_json::to_vec(&line).map_err(|error| TrainError::Report(error.to_string()))?;
        text.push(b'\n');
        let written = self.file.lock().write_all(&text);
        written.map_err(|source| TrainError::Output { path: self.path.clone(), source })
    }

    /// What somebody who reads the figures should know of the lines that were there.
    pub(in crate::train) fn remarks(&self) -> Vec<String> {
        let used = self.used.load(Ordering::Relaxed);
        let said = |n: usize, what: &str| (n > 0).then(|| format!("{TRIALS_FILE}: {n} {what}"));
        let unused = self.lines.saturating_sub(used);
        let remarks = [
            said(used, "trials are known from an earlier run"),
            said(unused, "lines of other data or settings, or not readable, were not used"),
        ];
        remarks.into_iter().flatten().collect()
    }

    fn key(&self, candidate: &serde_json::Value) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.basis);
        hash.update(candidate.to_string());
        hex(&hash.finalize())
    }
}

/// The file, open to be added to, and its text without a last line that has no end.
fn whole_lines(path: &Path) -> io::Result<(File, String)> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.len() > BYTES_MAX {
        return Err(io::Error::other("no log of trials: remove it, or name another folder"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    if end < bytes.len() {
        file.set_len(end as u64)?;
        bytes.truncate(end);
    }
    Ok((file, String::from_utf8_lossy(&bytes).into_owned()))
}
