//! Labels: what decisions turned out to be, and who said so. One JSON object a line, on disk before it is acknowledged; all of
//! them in memory, bounded.

use std::collections::{BTreeSet, HashMap};
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
    /// Whether profiles have learnt of it as fraud. Where that differs from what the label says, they are due to hear.
    pub taught: bool,
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
    /// Decisions of which profiles have learnt something else than is known, and since when they may hear, Unix
    /// milliseconds.
    untaught: BTreeSet<(i64, u128)>,
    /// How long after a transfer its fraud is taught, milliseconds.
    delay_ms: i64,
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
    /// as it is. Profiles hear of a fraud `delay_ms` after its transfer.
    ///
    /// # Errors
    /// The file cannot be read, or not be opened for writing.
    pub fn open(path: &Path, labels_max: usize, oldest_ms: i64, delay_ms: i64) -> io::Result<Self> {
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
        let untaught = known.iter().filter(|(_, label)| label.fraud != label.taught);
        let untaught =
            untaught.map(|(&decision, label)| (due_ms(decision, label, delay_ms), decision)).collect();
        Ok(Self { file, known, untaught, delay_ms, labels_max, damaged, stays, torn })
    }

    /// Takes labels in, in their order; they are on disk when this answers.
    ///
    /// # Errors
    /// They cannot be written; then none of them counts.
    pub fn put(&mut self, batch: Vec<(u128, Label)>) -> io::Result<Vec<Change>> {
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
            label.taught = before.is_some_and(|before| before.taught);
            changes.push(change);
            if matches!(change, Change::New | Change::Replaced) {
                write_line(&mut lines, decision, &label);
                fresh.insert(decision, label);
            }
        }
        if !lines.is_empty() {
            self.append(&lines)?;
        }
        self.keep(fresh);
        Ok(changes)
    }

    fn keep(&mut self, fresh: HashMap<u128, Label>) {
        for (decision, label) in fresh {
            if let Some(before) = self.known.get(&decision) {
                self.untaught.remove(&(due_ms(decision, before, self.delay_ms), decision));
            }
            if label.fraud != label.taught {
                self.untaught.insert((due_ms(decision, &label, self.delay_ms), decision));
            }
            self.known.insert(decision, label);
        }
    }

    /// Decisions of which profiles are due to hear, at most `count`; each is answered once, until its label changes.
    pub fn due(&mut self, now_ms: i64, count: usize) -> Vec<u128> {
        let due: Vec<_> = self.untaught.range(..=(now_ms, u128::MAX)).copied().take(count).collect();
        due.iter().for_each(|one| _ = self.untaught.remove(one));
        due.into_iter().map(|(_, decision)| decision).collect()
    }

    /// Notes, on disk, that profiles learn of these decisions what is known of them; answers that.
    ///
    /// # Errors
    /// It cannot be written; then none of them counts.
    pub fn teach(&mut self, decisions: &[u128]) -> io::Result<Vec<(u128, bool)>> {
        let changed = |decision: &u128| {
            let label = self.known.get(decision).filter(|label| label.fraud != label.taught)?;
            Some((*decision, Label { taught: label.fraud, ..label.clone() }))
        };
        let changed: HashMap<u128, Label> = decisions.iter().filter_map(changed).collect();
        let mut lines = Vec::new();
        changed.iter().for_each(|(decision, label)| write_line(&mut lines, *decision, label));
        if !lines.is_empty() {
            self.append(&lines)?;
        }
        let taught = changed.iter().map(|(&decision, label)| (decision, label.fraud)).collect();
        self.keep(changed);
        Ok(taught)
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

    /// Has these decisions be due again, of which profiles could not hear.
    pub fn postpone(&mut self, decisions: &[u128]) {
        for decision in decisions {
            let label = self.known.get(decision).filter(|label| label.fraud != label.taught);
            self.untaught.extend(label.map(|label| (due_ms(*decision, label, self.delay_ms), *decision)));
        }
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

/// A fraud is taught after its delay, as in training; what was taught and is none is taken back at once.
fn due_ms(decision: u128, label: &Label, delay_ms: i64) -> i64 {
    if label.fraud { decided_ms(decision).saturating_add(delay_ms) } else { i64::MIN }
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

    #[test]
    fn labels_are_idempotent_replaced_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let mut labels = Labels::open(&path, 3, 0, 0).unwrap();
        let first =
            labels.put(vec![(1, label(true)), (2, label(false)), (1, label(true)), (1, label(false))]);
        assert_eq!(first.unwrap(), [Change::New, Change::New, Change::Unchanged, Change::Replaced]);
        let again = labels.put(vec![(1, label(false)), (3, label(true)), (4, label(true))]).unwrap();
        assert_eq!(again, [Change::Unchanged, Change::New, Change::Full]);
        assert_eq!(labels.counts(), (3, 1));
        drop(labels);
        let labels = Labels::open(&path, 3, 0, 0).unwrap();
        assert_eq!((labels.counts(), labels.get(1), labels.damaged()), ((3, 1), Some(&label(false)), 0));
        assert_eq!(read(&path).unwrap()[&3], (true, 5));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3, "what was replaced is gone");
    }

    #[test]
    fn profiles_are_due_to_hear_of_each_change_once_and_of_fraud_after_its_delay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let (transfer, later) = ((100 << 80) | 1, (200 << 80) | 2);
        // Opened anew each time: what was taught, and what was not yet, is remembered over restarts.
        let open = || Labels::open(&path, 9, 0, 50).unwrap();
        open().put(vec![(transfer, label(true)), (later, label(true))]).unwrap();
        assert!(open().due(149, 9).is_empty(), "before its delay is over");
        let mut labels = open();
        assert_eq!(labels.due(150, 9), [transfer]);
        assert!(labels.due(150, 9).is_empty(), "once");
        labels.postpone(&[transfer, 7]);
        assert_eq!(labels.due(1_000, 1), [transfer], "the eldest first");
        assert_eq!(labels.teach(&[transfer]).unwrap(), [(transfer, true)]);
        assert!(labels.teach(&[transfer]).unwrap().is_empty(), "taught already");
        assert!(open().due(150, 9).is_empty());
        open().put(vec![(transfer, label(false)), (later, label(false))]).unwrap();
        let mut labels = open();
        assert_eq!(labels.due(0, 9), [transfer], "taken back at once; the other was never taught");
        labels.put(vec![(transfer, label(true))]).unwrap();
        assert!(labels.teach(&[transfer]).unwrap().is_empty(), "it changed back meanwhile");
        labels.put(vec![(transfer, label(false))]).unwrap();
        assert_eq!(
            (labels.due(0, 9), labels.teach(&[transfer]).unwrap()),
            (vec![transfer], vec![(transfer, false)])
        );
        labels.put(vec![(transfer, label(true))]).unwrap();
        assert_eq!(open().due(150, 9), [transfer], "and again");
    }

    #[test]
    fn a_file_that_cannot_be_written_anew_goes_on_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let mut labels = Labels::open(&path, 9, 0, 0).unwrap();
        labels.put(vec![(1, label(true)), (2, label(true))]).unwrap();
        drop(labels);
        let text = fs::read_to_string(&path).unwrap();
        let cut = &text[..text.len() - 9];
        fs::write(&path, cut).unwrap();
        // A folder in the draft's place stands for a disk that does not take it.
        fs::create_dir(path.with_extension("new")).unwrap();
        let mut labels = Labels::open(&path, 9, 0, 0).unwrap();
        assert!(labels.stays().is_some());
        assert_eq!((labels.counts(), labels.damaged()), ((1, 1), 1));
        assert_eq!(fs::read_to_string(&path).unwrap(), cut);
        labels.put(vec![(3, label(true))]).unwrap();
        labels.put(vec![(4, label(false))]).unwrap();
        drop(labels);
        fs::remove_dir(path.with_extension("new")).unwrap();
        let labels = Labels::open(&path, 9, 0, 0).unwrap();
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
        let mut labels = Labels::open(&path, 9, 0, 0).unwrap();
        labels.put(vec![(1, label(true))]).unwrap();
        let before = fs::read(&path).unwrap();
        let writable = std::mem::replace(&mut labels.file, File::open(&path).unwrap());
        assert!(labels.put(vec![(2, label(true))]).is_err());
        assert_eq!((labels.counts(), fs::read(&path).unwrap()), ((1, 1), before));
        labels.file = writable;
        labels.put(vec![(3, label(true))]).unwrap();
        drop(labels);
        let labels = Labels::open(&path, 9, 0, 0).unwrap();
        assert_eq!((labels.counts(), labels.damaged()), ((2, 2), 0));
    }

    #[test]
    fn a_line_that_was_cut_is_counted_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        Labels::open(&path, 9, 0, 0).unwrap().put(vec![(1, label(true)), (2, label(true))]).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        let mut labels = Labels::open(&path, 9, 0, 0).unwrap();
        assert_eq!((labels.counts(), labels.damaged()), ((1, 1), 1));
        labels.put(vec![(2, label(false))]).unwrap();
        assert_eq!(Labels::open(&path, 9, 0, 0).unwrap().counts(), (2, 1));
    }

    #[test]
    fn labels_go_with_their_vectors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let of = |at_ms: u128| (at_ms << 80, label(true));
        Labels::open(&path, 9, 0, 0).unwrap().put(vec![of(10), of(20)]).unwrap();
        assert_eq!(Labels::open(&path, 9, 15, 0).unwrap().counts(), (1, 1));
    }
}
