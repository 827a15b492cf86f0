//! Labels: what decisions turned out to be, and who said so. One JSON object a line, on disk before it is acknowledged; all of
//! them in memory, bounded.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::record::{decided_ms, decision_number};

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A verdict on a case.
    Case,
    /// `POST /api/v1/labels`.
    Upload,
}

/// What a decision turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Whether it was fraud.
    pub fraud: bool,
    /// Since when it is known, Unix milliseconds.
    pub known_ms: i64,
    /// Who says so.
    pub source: Source,
    /// Subject of the member of staff.
    pub by: String,
    /// Whether profiles are to learn of it, or have, in whatever direction the label went since.
    pub taught: bool,
}

/// What became of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What it did.
    pub change: Change,
    /// Whether profiles are to learn of this fraud now: once for a decision, however often its label goes to and fro.
    pub teaches: bool,
}

/// What a label did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing was known before.
    New,
    /// The same was known before.
    Unchanged,
    /// The opposite was known before.
    Replaced,
    /// There is no room for it.
    Full,
}

#[derive(Serialize, Deserialize)]
struct Line {
    decision: String,
    fraud: bool,
    known_ms: i64,
    source: Source,
    by: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    taught: bool,
}

/// All labels.
#[derive(Debug)]
pub struct Labels {
    file: File,
    known: HashMap<u128, Label>,
    labels_max: usize,
    /// Lines of earlier runs that could not be read.
    damaged: u64,
    /// Why the file could not be written anew.
    stays: Option<io::Error>,
    /// The file may end in half a line, to which the next one must not be glued.
    torn: bool,
}

impl Labels {
    /// Reads what earlier runs wrote; a line that was cut is counted and left out. Labels of decisions made before
    /// `oldest_ms` are dropped: their vectors are gone. The file is written anew without them; where that fails, it stays
    /// as it is.
    ///
    /// # Errors
    /// The file cannot be read, or not be opened for writing.
    pub fn open(path: &Path, labels_max: usize, oldest_ms: i64) -> io::Result<Self> {
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let (mut known, mut damaged) = (HashMap::new(), 0);
        for line in text.lines().filter(|line| !line.is_empty()) {
            let read = serde_json::from_str::<Line>(line).ok();
            match read.and_then(|line| Some((decision_number(&line.decision)?, line))) {
                None => damaged += 1,
                Some((decision, _)) if decided_ms(decision) < oldest_ms => {}
                Some((decision, line)) => {
                    let Line { fraud, known_ms, source, by, taught, .. } = line;
                    known.insert(decision, Label { fraud, known_ms, source, by, taught });
                }
            }
        }
        let stays = rewrite(path, &known).err();
        let torn = stays.is_some() && !text.is_empty() && !text.ends_with('\n');
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file, known, labels_max, damaged, stays, torn })
    }

    /// Takes labels in, in their order; they are on disk when this answers.
    ///
    /// # Errors
    /// They cannot be written; then none of them counts.
    pub fn put(&mut self, batch: Vec<(u128, Label)>) -> io::Result<Vec<Taken>> {
        let mut lines = Vec::new();
        let mut fresh: HashMap<u128, Label> = HashMap::new();
        let mut changes = Vec::with_capacity(batch.len());
        for (decision, mut label) in batch {
            let before = fresh.get(&decision).or_else(|| self.known.get(&decision));
            let change = match before {
                Some(before) if before.fraud == label.fraud => Change::Unchanged,
                Some(_) => Change::Replaced,
                None if self.known.len() + fresh.len() >= self.labels_max => Change::Full,
                None => Change::New,
            };
            let news = matches!(change, Change::New | Change::Replaced);
            let taught = before.is_some_and(|before| before.taught);
            changes.push(Taken { change, teaches: news && label.taught && !taught });
            label.taught |= taught;
            if news {
                write_line(&mut lines, decision, &label);
                fresh.insert(decision, label);
            }
        }
        if !lines.is_empty() {
            self.append(&lines)?;
        }
        self.known.extend(fresh);
        Ok(changes)
    }

    /// All of the lines, on the disk, or none.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let before = self.file.metadata()?.len();
        let end: &[u8] = if self.torn { b"\n" } else { b"" };
        let written = self.file.write_all(end).and_then(|()| self.file.write_all(lines));
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            self.torn |= self.file.set_len(before).is_err();
            return Err(error);
        }
        self.torn = false;
        Ok(())
    }

    /// What is known of a decision.
    pub fn get(&self, decision: u128) -> Option<&Label> {
        self.known.get(&decision)
    }

    /// How many there are, and how many of them say fraud.
    pub fn counts(&self) -> (usize, usize) {
        (self.known.len(), self.known.values().filter(|label| label.fraud).count())
    }

    /// Lines of earlier runs that could not be read.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Why the file of earlier runs could not be written anew; it goes on as it is then.
    pub fn stays(&self) -> Option<&io::Error> {
        self.stays.as_ref()
    }
}

/// Writes the file anew, so that what was replaced, dropped or damaged does not pile up.
fn rewrite(path: &Path, known: &HashMap<u128, Label>) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut lines = Vec::new();
    known.iter().for_each(|(decision, label)| write_line(&mut lines, *decision, label));
    let mut file = File::create(&draft)?;
    let written = file.write_all(&lines).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&draft, path)).inspect_err(|_| {
        // A full disk gets its room back; a draft that stays is written over at the next start.
        let _gone = fs::remove_file(&draft);
    })
}

fn write_line(lines: &mut Vec<u8>, decision: u128, label: &Label) {
    let line = Line {
        decision: format!("{decision:032x}"),
        fraud: label.fraud,
        known_ms: label.known_ms,
        source: label.source,
        by: label.by.clone(),
        taught: label.taught,
    };
    if let Ok(mut text) = serde_json::to_vec(&line) {
        lines.append(&mut text);
        lines.push(b'\n');
    }
}

/// Labels as another process reads them: fraud or not, and since when.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<HashMap<u128, (bool, i64)>> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let labels =
        lines.filter_map(|line| Some((decision_number(&line.decision)?, (line.fraud, line.known_ms))));
    Ok(labels.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(fraud: bool) -> Label {
        Label { fraud, known_ms: 5, source: Source::Upload, by: "ana".into(), taught: false }
    }

    fn changes(taken: Vec<Taken>) -> Vec<Change> {
        taken.iter().map(|taken| taken.change).collect()
    }

    #[test]
    fn labels_are_idempotent_replaced_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let mut labels = Labels::open(&path, 3, 0).unwrap();
        let first =
            labels.put(vec![(1, label(true)), (2, label(false)), (1, label(true)), (1, label(false))]);
        assert_eq!(changes(first.unwrap()), [Change::New, Change::New, Change::Unchanged, Change::Replaced]);
        let again = labels.put(vec![(1, label(false)), (3, label(true)), (4, label(true))]).unwrap();
        assert_eq!(changes(again), [Change::Unchanged, Change::New, Change::Full]);
        assert_eq!(labels.counts(), (3, 1));
        drop(labels);
        let labels = Labels::open(&path, 3, 0).unwrap();
        assert_eq!((labels.counts(), labels.get(1), labels.damaged()), ((3, 1), Some(&label(false)), 0));
        assert_eq!(read(&path).unwrap()[&3], (true, 5));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3, "what was replaced is gone");
    }

    #[test]
    fn a_decision_teaches_once_however_often_its_label_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let said = |fraud| vec![(1, Label { taught: fraud, ..label(fraud) })];
        let mut taught = 0;
        for fraud in [false, true, true, false, true, false] {
            // Opened anew each time: what was taught is remembered over restarts.
            let taken = Labels::open(&path, 9, 0).unwrap().put(said(fraud)).unwrap();
            taught += taken.iter().filter(|taken| taken.teaches).count();
        }
        let mut labels = Labels::open(&path, 9, 0).unwrap();
        let batch = [true, false, true].map(said).concat();
        taught += labels.put(batch).unwrap().iter().filter(|taken| taken.teaches).count();
        assert_eq!(taught, 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_anew_goes_on_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let mut labels = Labels::open(&path, 9, 0).unwrap();
        labels.put(vec![(1, label(true)), (2, label(true))]).unwrap();
        drop(labels);
        let text = fs::read_to_string(&path).unwrap();
        let cut = &text[..text.len() - 9];
        fs::write(&path, cut).unwrap();
        // A folder in the draft's place stands for a disk that does not take it.
        fs::create_dir(path.with_extension("new")).unwrap();
        let mut labels = Labels::open(&path, 9, 0).unwrap();
        assert!(labels.stays().is_some());
        assert_eq!((labels.counts(), labels.damaged()), ((1, 1), 1));
        assert_eq!(fs::read_to_string(&path).unwrap(), cut);
        labels.put(vec![(3, label(true))]).unwrap();
        labels.put(vec![(4, label(false))]).unwrap();
        drop(labels);
        fs::remove_dir(path.with_extension("new")).unwrap();
        let labels = Labels::open(&path, 9, 0).unwrap();
        assert!(labels.stays().is_none());
        assert_eq!(
            (labels.counts(), labels.damaged()),
            ((3, 2), 1),
            "the next line is not glued to half of one"
        );
    }

    #[test]
    fn what_cannot_be_appended_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let mut labels = Labels::open(&path, 9, 0).unwrap();
        labels.put(vec![(1, label(true))]).unwrap();
        let before = fs::read(&path).unwrap();
        let writable = std::mem::replace(&mut labels.file, File::open(&path).unwrap());
        assert!(labels.put(vec![(2, label(true))]).is_err());
        assert_eq!((labels.counts(), fs::read(&path).unwrap()), ((1, 1), before));
        labels.file = writable;
        labels.put(vec![(3, label(true))]).unwrap();
        drop(labels);
        let labels = Labels::open(&path, 9, 0).unwrap();
        assert_eq!((labels.counts(), labels.damaged()), ((2, 2), 0));
    }

    #[test]
    fn a_line_that_was_cut_is_counted_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        Labels::open(&path, 9, 0).unwrap().put(vec![(1, label(true)), (2, label(true))]).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        let mut labels = Labels::open(&path, 9, 0).unwrap();
        assert_eq!((labels.counts(), labels.damaged()), ((1, 1), 1));
        labels.put(vec![(2, label(false))]).unwrap();
        assert_eq!(Labels::open(&path, 9, 0).unwrap().counts(), (2, 1));
    }

    #[test]
    fn labels_go_with_their_vectors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let of = |at_ms: u128| (at_ms << 80, label(true));
        Labels::open(&path, 9, 0).unwrap().put(vec![of(10), of(20)]).unwrap();
        assert_eq!(Labels::open(&path, 9, 15).unwrap().counts(), (1, 1));
    }
}
