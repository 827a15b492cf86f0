//! Opening a log that was written before, perhaps by a process that was killed in the middle of a line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use policies::chain::{ChainError, Checkpoint, Link, Verifier};

use super::entry::{Completion, Entry, LineError, Payload, entry_json, read_payload, split_line};
use super::recent::Kept;
use super::storage::{Segment, read_checkpoint, segments};

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Reading or making files failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes to it.
    #[error("{}: another process writes to this decision log", path.display())]
    InUse {
        /// Directory.
        path: PathBuf,
    },
    /// A line that is not the last one cannot be read.
    #[error("{}: line {line} cannot be read: {source}", path.display())]
    Unreadable {
        /// Segment file.
        path: PathBuf,
        /// 1-based.
        line: u64,
        /// Why.
        source: LineError,
    },
    /// The chain does not hold.
    #[error("{}: {source}", path.display())]
    Chain {
        /// Segment file or directory.
        path: PathBuf,
        /// What is wrong.
        source: ChainError,
    },
}

/// Where a log ends, and so where it goes on.
#[derive(Debug)]
pub(super) struct End {
    pub(super) position: u64,
    pub(super) head: Link,
    /// The last segment and how much of it is good.
    pub(super) last: Option<(Segment, u64)>,
    pub(super) cut_bytes: u64,
    pub(super) checkpoint: Option<Checkpoint>,
    /// The last segment's first position, and the decisions in it.
    pub(super) floor: u64,
    /// Decisions and intents of the last segment, oldest first.
    pub(super) decisions: Vec<Kept>,
    pub(super) completions: Vec<Completion>,
}

/// Reads the last segment and what ties it to the one before and to the checkpoint. Older segments are read by
/// [`super::verify`], not here: a start must not take longer the longer the log is.
pub(super) fn find_end(dir: &Path) -> Result<End, OpenError> {
    let io_error = |source| OpenError::Io { path: dir.to_owned(), source };
    let checkpoint = read_checkpoint(dir).map_err(io_error)?;
    let mut all = segments(dir).map_err(io_error)?;
    let Some(last) = all.pop() else {
        let end = Verifier::new(checkpoint).finish();
        let (position, head) = end.map_err(|source| OpenError::Chain { path: dir.to_owned(), source })?;
        let (decisions, completions) = (Vec::new(), Vec::new());
        let (last, cut_bytes, floor) = (None, 0, 0);
        return Ok(End { position, head, last, cut_bytes, checkpoint, floor, decisions, completions });
    };
    let (next, head) = match all.last() {
        Some(before) => tail(before)?,
        None => (0, Link::GENESIS),
    };
    let chain_error = |source| OpenError::Chain { path: last.path.clone(), source };
    if next != last.first {
        return Err(chain_error(ChainError::Missing { from: next, to: last.first }));
    }
    if checkpoint.is_some_and(|c| c.size == next && c.head != head) {
        return Err(chain_error(ChainError::Rewritten { position: next.saturating_sub(1) }));
    }
    let bytes = read(&last.path)?;
    let mut verifier = Verifier::after(next, head, checkpoint);
    let (mut decisions, mut completions) = (Vec::new(), Vec::new());
    let mut good = 0_usize;
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match follow(&mut verifier, line) {
            Ok(payload) => match payload.entry {
                Entry::Decision(_) | Entry::Intent(_) => {
                    let json = entry_json(line.trim_ascii_end()).unwrap_or_default();
                    decisions.push(Kept::of_before(payload.position, json.to_vec()));
                }
                Entry::Completion(completion) => completions.push(completion),
                _ => {}
            },
            Err(Damage::Unreadable(_)) if is_torn(bytes.get(good..).unwrap_or_default()) => break,
            Err(Damage::Unreadable(source)) => {
                let line = number as u64 + 1;
                return Err(OpenError::Unreadable { path: last.path, line, source });
            }
            Err(Damage::Chain(source)) => return Err(chain_error(source)),
        }
        good += line.len();
    }
    let (position, head) = verifier.finish().map_err(chain_error)?;
    let cut_bytes = (bytes.len() - good) as u64;
    let floor = last.first;
    let last = Some((last, good as u64));
    Ok(End { position, head, last, cut_bytes, checkpoint, floor, decisions, completions })
}

pub(super) enum Damage {
    Unreadable(LineError),
    Chain(ChainError),
}

/// Reads one line, end included, and follows the chain with it.
pub(super) fn follow(verifier: &mut Verifier, line: &[u8]) -> Result<Payload, Damage> {
    let line = line.strip_suffix(b"\n").ok_or(Damage::Unreadable(LineError::NoPayload))?;
    let (link, bytes) = split_line(line).map_err(Damage::Unreadable)?;
    let payload = read_payload(bytes).map_err(Damage::Unreadable)?;
    verifier.follow(payload.position, link, bytes).map_err(Damage::Chain)?;
    Ok(payload)
}

/// Whether `rest`, which begins with an unreadable line, is what an interrupted write leaves: no whole line follows.
pub(super) fn is_torn(rest: &[u8]) -> bool {
    let whole = |line: &[u8]| {
        line.strip_suffix(b"\n")
            .and_then(|line| split_line(line).ok())
            .is_some_and(|(_, bytes)| read_payload(bytes).is_ok())
    };
    !rest.split_inclusive(|byte| *byte == b'\n').any(whole)
}

/// The position after a segment's last entry, and that entry's link.
fn tail(segment: &Segment) -> Result<(u64, Link), OpenError> {
    let bytes = read(&segment.path)?;
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    let unreadable = |source| OpenError::Unreadable { path: segment.path.clone(), line: lines, source };
    let last = bytes.strip_suffix(b"\n").ok_or(unreadable(LineError::NoPayload))?;
    let last = last.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let (link, payload) = split_line(last).map_err(unreadable)?;
    let payload = read_payload(payload).map_err(unreadable)?;
    Ok((payload.position + 1, link))
}

fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    fs::read(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })
}
