//! Checking a whole log offline (`gatehouse audit verify`).

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use learner::federate::{Misfit, Trainings};
use policies::chain::{ChainError, Checkpoint, Link, Verifier};

use super::entry::{Entry, LineError, PAYLOAD_BYTES_MAX};
use super::recovery::{Damage, follow};
use super::storage::{Segment, read_checkpoint, segments};

/// What a sound log consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Entries.
    pub entries: u64,
    /// Link of the last one.
    pub head: Link,
    /// Segment files.
    pub segments: usize,
    /// Bytes read.
    pub bytes: u64,
    /// Decisions.
    pub decisions: u64,
    /// Money-moving requests recorded before they were forwarded.
    pub intents: u64,
    /// Intents without a decision: under way now, or when a process was killed.
    pub unfinished: u64,
    /// Entries of federated trainings.
    pub federated: u64,
    /// Entries that gaps say were lost.
    pub lost: u64,
    /// Starts, of which `abrupt` found that the run before had been interrupted in the middle of a line.
    pub starts: u64,
    /// See `starts`.
    pub abrupt: u64,
    /// Bytes of an unfinished last line: what is being written now, or was when the process was killed.
    pub torn_bytes: u64,
    /// Times of the first and last entry, Unix milliseconds.
    pub from_ms: Option<i64>,
    /// See `from_ms`.
    pub to_ms: Option<i64>,
    /// The checkpoint that the log was held against.
    pub checkpoint: Option<Checkpoint>,
}

/// Bytes read and bytes in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Read.
    pub bytes: u64,
    /// In all.
    pub bytes_total: u64,
}

/// Why a log is not sound.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Reading failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not an entry.
    #[error("{}: line {line}: {source}", path.display())]
    Line {
        /// Segment file.
        path: PathBuf,
        /// 1-based.
        line: u64,
        /// Why.
        source: LineError,
    },
    /// The chain does not hold.
    #[error("{}: line {line}: {source}", path.display())]
    Chain {
        /// Segment file.
        path: PathBuf,
        /// 1-based; the last one where the log's end is what is wrong.
        line: u64,
        /// What is wrong.
        source: ChainError,
    },
    /// An entry of a federated training does not fit those before.
    #[error("{}: line {line}: {source}", path.display())]
    Training {
        /// Segment file.
        path: PathBuf,
        /// 1-based.
        line: u64,
        /// What is wrong.
        source: Misfit,
    },
}

/// Why a line is not the next one of a sound log.
enum Wrong {
    Damage(Damage),
    Training(Misfit),
}

/// Checks every entry of the log in `dir`, against its own checkpoint or, if one is given, against `kept`, which an
/// auditor kept elsewhere.
///
/// # Errors
/// The first thing that is wrong, with its file and line.
pub fn verify(
    dir: &Path,
    kept: Option<Checkpoint>,
    mut progress: impl FnMut(Progress),
) -> Result<Report, VerifyError> {
    let io_error = |source| VerifyError::Io { path: dir.to_owned(), source };
    // Read before the segments: a log that is being written only grows beyond it.
    let checkpoint = match kept {
        Some(kept) => Some(kept),
        None => read_checkpoint(dir).map_err(io_error)?,
    };
    let all = segments(dir).map_err(io_error)?;
    let mut sizes = all.iter().map(|segment| segment.path.metadata().map(|data| data.len()));
    let bytes_total = sizes.try_fold(0_u64, |sum, size| size.map(|size| sum + size)).map_err(io_error)?;
    let mut check = Check {
        verifier: Verifier::new(checkpoint),
        report: empty_report(all.len(), checkpoint),
        unfinished: HashSet::new(),
        trainings: Trainings::default(),
    };
    let mut end = (dir.to_owned(), 0);
    for (number, segment) in all.iter().enumerate() {
        let is_last = number + 1 == all.len();
        end = (segment.path.clone(), check.segment(segment, is_last, bytes_total, &mut progress)?);
    }
    let Check { verifier, mut report, unfinished, .. } = check;
    let (path, line) = end;
    (report.entries, report.head) =
        verifier.finish().map_err(|source| VerifyError::Chain { path, line, source })?;
    report.unfinished = unfinished.len() as u64;
    Ok(report)
}

fn empty_report(segments: usize, checkpoint: Option<Checkpoint>) -> Report {
    Report {
        entries: 0,
        head: Link::GENESIS,
        segments,
        bytes: 0,
        decisions: 0,
        intents: 0,
        unfinished: 0,
        federated: 0,
        lost: 0,
        starts: 0,
        abrupt: 0,
        torn_bytes: 0,
        from_ms: None,
        to_ms: None,
        checkpoint,
    }
}

struct Check {
    verifier: Verifier,
    report: Report,
    unfinished: HashSet<String>,
    trainings: Trainings,
}

impl Check {
    /// Answers the number of lines.
    fn segment(
        &mut self,
        segment: &Segment,
        is_last: bool,
        bytes_total: u64,
        progress: &mut impl FnMut(Progress),
    ) -> Result<u64, VerifyError> {
        const LINES_A_REPORT: u64 = 4096;
        let io_error = |source| VerifyError::Io { path: segment.path.clone(), source };
        let mut reader = BufReader::new(File::open(&segment.path).map_err(io_error)?);
        let mut line = Vec::new();
        let mut number = 0;
        while read_line(&mut reader, &mut line).map_err(io_error)? {
            number += 1;
            if is_last && !line.ends_with(b"\n") {
                self.report.torn_bytes = line.len() as u64;
                break;
            }
            self.report.bytes += line.len() as u64;
            let path = || segment.path.clone();
            self.line(&line).map_err(|wrong| match wrong {
                Wrong::Damage(Damage::Unreadable(source)) => {
                    VerifyError::Line { path: path(), line: number, source }
                }
                Wrong::Damage(Damage::Chain(source)) => {
                    VerifyError::Chain { path: path(), line: number, source }
                }
                Wrong::Training(source) => VerifyError::Training { path: path(), line: number, source },
            })?;
            if number % LINES_A_REPORT == 0 {
                progress(Progress { bytes: self.report.bytes, bytes_total });
            }
        }
        progress(Progress { bytes: self.report.bytes, bytes_total });
        Ok(number)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Wrong> {
        let payload = follow(&mut self.verifier, line).map_err(Wrong::Damage)?;
        let report = &mut self.report;
        report.from_ms.get_or_insert(payload.at_ms);
        report.to_ms = Some(payload.at_ms);
        match payload.entry {
            Entry::Intent(record) => {
                report.intents += 1;
                self.unfinished.insert(record.id);
            }
            // One whose client went away while its intent was being written has no completion.
            Entry::Decision(record) => {
                report.decisions += 1;
                self.unfinished.remove(&record.id);
            }
            Entry::Completion(completion) => {
                report.decisions += 1;
                self.unfinished.remove(&completion.id);
            }
            Entry::Gap(gap) => report.lost += gap.lost,
            Entry::Start(start) => {
                report.starts += 1;
                report.abrupt += u64::from(start.cut_bytes > 0);
            }
            Entry::Federated(record) => {
                report.federated += 1;
                self.trainings.follow(&record).map_err(Wrong::Training)?;
            }
            Entry::Stop | Entry::Admin(_) | Entry::Case(_) => {}
        }
        Ok(())
    }
}

/// Reads up to a line end; a line longer than an entry can be is handed over cut, and is then found to be none.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    const LINE_BYTES_MAX: u64 = PAYLOAD_BYTES_MAX as u64 + 128;
    line.clear();
    Ok(io::Read::take(reader, LINE_BYTES_MAX).read_until(b'\n', line)? > 0)
}
