//! The log of vectors: append-only files, bounded in size and age.
//!
//! A file is called by the time of its first entry and begins with a line of its own; frames follow ([`super::record`]). What
//! was handed to the operating system survives the end of this process; a frame that was cut is recognised when the log is
//! opened again, counted, and cut off. Where the clock was set back, files of the future are called by the present when the
//! next one begins: they would be neither read nor retired else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::record::{self, Entry, Frame};

const MAGIC: &[u8] = b"gatehouse-vectors 1\n";
/// The log has about so many files: the oldest goes when there is one too many.
const FILES: u64 = 16;
/// A decision is recorded when its request has ended, at most this long after it was made.
const REQUEST_MS_MAX: i64 = 2 * 3_600_000;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes altogether.
    pub bytes_max: u64,
    /// Age of the oldest file, milliseconds.
    pub age_max_ms: i64,
}

impl Bounds {
    /// A file has about so many bytes.
    fn file_bytes_max(&self) -> u64 {
        (self.bytes_max / FILES).max(4 * 1024)
    }

    /// Whether a log of so many bytes is about as long as it gets, so that the oldest file goes when a new one begins.
    pub fn is_reached(&self, bytes: u64) -> bool {
        bytes.saturating_add(self.file_bytes_max()) >= self.bytes_max
    }
}

/// The writing side: one for a folder.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    bounds: Bounds,
    current: Option<Current>,
    /// The system's; a test has that of a full disk.
    write_all: fn(&mut File, &[u8]) -> io::Result<()>,
    /// Bytes at the end of the last run's file that were no whole frame.
    torn_bytes: u64,
}

/// The file being written.
#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    /// Bytes of whole frames, and of the first line.
    bytes: u64,
}

impl Writer {
    /// Opens the log, and cuts off what the last run left unfinished.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &Path, bounds: Bounds) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut torn_bytes = 0;
        if let Some((_, last)) = files(folder)?.pop() {
            let read = scan_file(&last, &mut |_| ControlFlow::Continue(()))?;
            let length = fs::metadata(&last)?.len();
            if read.good_bytes < length {
                torn_bytes = length - read.good_bytes;
                OpenOptions::new().write(true).open(&last)?.set_len(read.good_bytes)?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            bounds,
            current: None,
            write_all: |file, bytes| file.write_all(bytes),
            torn_bytes,
        })
    }

    /// Bytes at the end of the last run's file that were no whole frame.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Appends frames that [`record::write`] made, and hands them to the operating system.
    ///
    /// # Errors
    /// They cannot be written; then the log is as it was, and no file more.
    pub fn append(&mut self, frames: &[u8], now_ms: i64) -> io::Result<()> {
        let full = self.current.as_ref().is_none_or(|current| current.bytes >= self.bounds.file_bytes_max());
        if full {
            self.current = Some(self.begin(now_ms)?);
            self.retire(now_ms)?;
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        let written = (self.write_all)(&mut current.file, frames);
        match written {
            Ok(()) => current.bytes += frames.len() as u64,
            // What of them was written must not stand before the next ones. Cutting it off needs no room on the disk.
            Err(_) if current.file.set_len(current.bytes).is_ok() => {}
            Err(_) => self.abandon(),
        }
        written
    }

    /// Leaves the current file: its end is torn. One that holds nothing whole goes, or there would be one for each failure.
    fn abandon(&mut self) {
        let Some(current) = self.current.take() else { return };
        if current.bytes <= MAGIC.len() as u64
            && let Err(error) = fs::remove_file(&current.path)
        {
            tracing::warn!(%error, file = %current.path.display(), "an empty file of vectors stays");
        }
    }

    /// Puts what was appended on the disk itself.
    ///
    /// # Errors
    /// The disk says no.
    pub fn sync(&mut self) -> io::Result<()> {
        self.current.as_ref().map_or(Ok(()), |current| current.file.sync_data())
    }

    /// A new file, later than all others.
    fn begin(&self, now_ms: i64) -> io::Result<Current> {
        self.call_by_the_present(now_ms)?;
        let last = files(&self.folder)?.last().map_or(i64::MIN, |(from_ms, _)| *from_ms);
        let path = file_of(&self.folder, now_ms.max(last.saturating_add(1)).max(0));
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        if let Err(error) = (self.write_all)(&mut file, MAGIC) {
            fs::remove_file(&path)?;
            return Err(error);
        }
        Ok(Current { file, path, bytes: MAGIC.len() as u64 })
    }

    /// Renames files of the future, in their order, to the latest times that are not.
    fn call_by_the_present(&self, now_ms: i64) -> io::Result<()> {
        let mut files = files(&self.folder)?;
        let ahead = files.split_off(files.partition_point(|(from_ms, _)| *from_ms <= now_ms));
        let count = i64::try_from(ahead.len()).unwrap_or(i64::MAX);
        let mut next_ms = now_ms.saturating_sub(count);
        if let Some((last_ms, _)) = files.last() {
            next_ms = next_ms.max(*last_ms);
        }
        for (_, path) in ahead {
            next_ms += 1;
            fs::rename(path, file_of(&self.folder, next_ms))?;
        }
        Ok(())
    }

    /// Deletes the oldest files while the log is over its bounds. The file being written always stays.
    ///
    /// # Errors
    /// The folder cannot be read, or a file not be deleted.
    pub fn retire(&self, now_ms: i64) -> io::Result<()> {
        let files = files(&self.folder)?;
        let sizes: Vec<u64> =
            files.iter().map(|(_, path)| fs::metadata(path).map_or(0, |found| found.len())).collect();
        let mut total: u64 = sizes.iter().sum();
        // All of a file is older than the beginning of the next.
        let nexts = files.iter().skip(1).map(|(from_ms, _)| *from_ms);
        for (((_, path), bytes), next_ms) in files.iter().zip(sizes).zip(nexts) {
            let old = next_ms < now_ms.saturating_sub(self.bounds.age_max_ms);
            if !old && total <= self.bounds.bytes_max {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

/// What reading came across.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Entries.
    pub entries: u64,
    /// Files of which a rest could not be read.
    pub damaged: u64,
    /// Bytes of whole frames, of the last file read.
    good_bytes: u64,
}

/// The reading side: any number for a folder, in any process, while it is being written.
#[derive(Clone, Debug)]
pub struct Reader {
    folder: PathBuf,
}

impl Reader {
    /// Reads the log in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Visits every entry recorded since `from_ms` (and some before it), oldest first, until told to stop. What cannot be
    /// read of a file is left out and counted; the frame that is being written just now is not there yet.
    ///
    /// # Errors
    /// The folder or a file cannot be read.
    pub fn visit(
        &self,
        from_ms: i64,
        to_ms: i64,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> io::Result<Read> {
        let files = files(&self.folder)?;
        let first = files.iter().rposition(|(begins, _)| *begins <= from_ms).unwrap_or(0);
        let mut all = Read::default();
        let (mut stopped, last) = (false, files.len().saturating_sub(1));
        for (at, (begins, path)) in files.iter().enumerate().skip(first) {
            if *begins > to_ms || stopped {
                break;
            }
            let read = scan_file(path, &mut |entry| {
                let flow = visit(entry);
                stopped = flow.is_break();
                flow
            });
            match read {
                Ok(read) => {
                    all.entries += read.entries;
                    let unfinished = at == last || stopped;
                    all.damaged += if unfinished { 0 } else { read.damaged };
                }
                // It was retired meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// The judged transfers of these decisions, found by the time in their ids.
    ///
    /// # Errors
    /// As [`Reader::visit`].
    pub fn find(&self, decisions: &[u128]) -> io::Result<std::collections::HashMap<u128, record::Judged>> {
        let mut found = std::collections::HashMap::new();
        let wanted: std::collections::HashSet<u128> = decisions.iter().copied().collect();
        let times = || decisions.iter().map(|&decision| record::decided_ms(decision));
        let (Some(from_ms), Some(to_ms)) = (times().min(), times().max()) else { return Ok(found) };
        self.visit(from_ms, to_ms.saturating_add(REQUEST_MS_MAX), &mut |entry| {
            if let Entry::Judged(judged) = entry
                && wanted.contains(&judged.decision)
            {
                found.insert(judged.decision, judged);
            }
            if found.len() == wanted.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    }

    /// What is on the disk.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn extent(&self) -> io::Result<Extent> {
        let files = files(&self.folder)?;
        let bytes = files.iter().map(|(_, path)| fs::metadata(path).map_or(0, |found| found.len())).sum();
        Ok(Extent { files: files.len(), bytes, oldest_ms: files.first().map(|(from_ms, _)| *from_ms) })
    }
}

/// What is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Files.
    pub files: usize,
    /// Bytes altogether.
    pub bytes: u64,
    /// When the oldest file begins, Unix milliseconds.
    pub oldest_ms: Option<i64>,
}

fn file_of(folder: &Path, from_ms: i64) -> PathBuf {
    folder.join(format!("{from_ms:016}.log"))
}

/// Files with the time of their beginning, oldest first; others are left alone.
fn files(folder: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let from_ms = name.strip_suffix(".log").filter(|digits| digits.len() == 16);
        if let Some(from_ms) = from_ms.and_then(|digits| digits.parse().ok()) {
            found.push((from_ms, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Visits the entries of one file up to its first damage.
fn scan_file(path: &Path, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> io::Result<Read> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let mut read = Read::default();
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return Ok(Read { damaged: 1, ..read });
    };
    read.good_bytes = MAGIC.len() as u64;
    loop {
        match record::read(rest) {
            Frame::Entry(entry, length) => {
                read.entries += 1;
                read.good_bytes += length as u64;
                rest = rest.get(length..).unwrap_or_default();
                if visit(*entry).is_break() {
                    break;
                }
            }
            Frame::Cut if rest.is_empty() => break,
            Frame::Cut | Frame::Damaged => {
                read.damaged = 1;
                break;
            }
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::judged;
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes_max: 1 << 20, age_max_ms: 1_000_000 };

    fn id(at_ms: i64, n: u128) -> u128 {
        (u128::try_from(at_ms).unwrap() << 80) | n
    }

    fn frames(ids: impl IntoIterator<Item = u128>) -> Vec<u8> {
        let mut bytes = Vec::new();
        ids.into_iter().for_each(|id| record::write(&Entry::Judged(judged(id)), &mut bytes));
        bytes
    }

    fn ids(folder: &Path) -> (Vec<u128>, Read) {
        let mut found = Vec::new();
        let read = Reader::new(folder)
            .visit(0, i64::MAX, &mut |entry| {
                if let Entry::Judged(judged) = entry {
                    found.push(judged.decision);
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        (found, read)
    }

    #[test]
    fn every_torn_tail_is_cut_off_and_counted_and_writing_goes_on() {
        let whole = frames([id(1, 1), id(1, 2)]);
        let first = frames([id(1, 1)]).len();
        for end in first + 1..whole.len() {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("0000000000000001.log");
            fs::write(&file, [MAGIC, &whole[..end]].concat()).unwrap();
            let mut writer = Writer::open(folder.path(), BOUNDS).unwrap();
            assert_eq!(writer.torn_bytes(), (end - first) as u64);
            writer.append(&frames([id(2, 3)]), 2).unwrap();
            assert_eq!(ids(folder.path()).0, [id(1, 1), id(2, 3)], "{end} bytes");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("0000000000000001.log"), &MAGIC[..5]).unwrap();
        assert_eq!(Writer::open(folder.path(), BOUNDS).unwrap().torn_bytes(), 5, "cut in its first line");
    }

    #[test]
    fn damage_in_the_middle_costs_the_rest_of_its_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = [MAGIC, &frames((0..10).map(|n| id(1, n)))].concat();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(folder.path().join("0000000000000001.log"), &bytes).unwrap();
        fs::write(folder.path().join("0000000000000002.log"), [MAGIC, &frames([id(2, 99)])].concat())
            .unwrap();
        fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
        let (found, read) = ids(folder.path());
        assert!(found.len() == 6 || found.len() == 5, "{found:?}");
        assert_eq!((found.last(), read.damaged), (Some(&id(2, 99)), 1));
    }

    #[test]
    fn size_and_age_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = Bounds { bytes_max: 64 * 1024, age_max_ms: 1_000 };
        let mut writer = Writer::open(folder.path(), bounds).unwrap();
        for n in 0..2_000 {
            writer.append(&frames([id(n, 1)]), n).unwrap();
        }
        let Extent { files, bytes, .. } = Reader::new(folder.path()).extent().unwrap();
        assert!(files <= 17 && bytes <= bounds.bytes_max + 8 * 1024, "{files} files, {bytes} bytes");
        let (found, _) = ids(folder.path());
        assert_eq!(found.last(), Some(&id(1_999, 1)), "the newest are kept");
        writer.retire(1_000_000).unwrap();
        assert_eq!(
            Reader::new(folder.path()).extent().unwrap().files,
            1,
            "all but the one being written are old"
        );
    }

    #[test]
    fn decisions_are_found_by_the_time_in_their_ids() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = Bounds { bytes_max: 64 * 1024, age_max_ms: i64::MAX };
        let mut writer = Writer::open(folder.path(), bounds).unwrap();
        let hour = 3_600_000;
        for n in 0..200 {
            // Recorded when its request ended, some seconds later.
            writer.append(&frames([id(n * hour, 1)]), n * hour + 5_000).unwrap();
        }
        let reader = Reader::new(folder.path());
        let (kept, _) = ids(folder.path());
        let wanted = [kept[0], kept[kept.len() / 2], id(199 * hour, 1), id(150 * hour, 2), 0, u128::MAX];
        let found = reader.find(&wanted).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(wanted[..3].iter().all(|id| found.contains_key(id)));
        assert!(reader.find(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_full_disk_leaves_nothing_behind_and_the_log_goes_on_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let full: fn(&mut File, &[u8]) -> io::Result<()> = |file, bytes| {
            file.write_all(&bytes[..bytes.len() / 2])?;
            Err(io::ErrorKind::StorageFull.into())
        };
        let mut writer = Writer::open(folder.path(), BOUNDS).unwrap();
        let room = writer.write_all;
        let extent = || Reader::new(folder.path()).extent().unwrap();
        writer.write_all = full;
        for n in 1..100 {
            assert!(writer.append(&frames([id(n, 1)]), n).is_err());
        }
        assert_eq!(extent(), Extent::default(), "no file begins");
        writer.write_all = room;
        writer.append(&frames([id(100, 1)]), 100).unwrap();
        let before = extent();
        writer.write_all = full;
        for n in 101..200 {
            assert!(writer.append(&frames([id(n, 1)]), n).is_err());
        }
        assert_eq!(extent(), before, "nothing is added to one that is there");
        writer.write_all = room;
        writer.append(&frames([id(200, 1)]), 200).unwrap();
        assert_eq!(ids(folder.path()).0, [id(100, 1), id(200, 1)]);
        // A file that can be neither written nor cut stands for a disk that fails.
        for n in 201..300 {
            let current = writer.current.as_mut().unwrap();
            current.file = File::open(&current.path).unwrap();
            assert!(writer.append(&frames([id(n, 1)]), n).is_err());
            writer.current = Some(writer.begin(n).unwrap());
        }
        assert_eq!(extent().files, 2, "the one with entries, and the one being written");
    }

    #[test]
    fn a_clock_that_was_ahead_hides_nothing_and_blocks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let day = 86_400_000;
        let bounds = Bounds { bytes_max: 64 * 1024, age_max_ms: 10 * day };
        let ahead = 400 * day;
        for (n, at) in [(1, day), (2, ahead), (3, ahead + 1), (4, 2 * day), (5, 2 * day)] {
            // Opened anew each time: a file each.
            let mut writer = Writer::open(folder.path(), bounds).unwrap();
            writer.append(&frames([id(at, n)]), at).unwrap();
        }
        assert!(files(folder.path()).unwrap().iter().all(|(from_ms, _)| *from_ms <= 2 * day + 2));
        let mut found = Vec::new();
        let visit = &mut |entry| {
            if let Entry::Judged(judged) = entry {
                found.push(judged.decision);
            }
            ControlFlow::Continue(())
        };
        Reader::new(folder.path()).visit(0, 2 * day + 2, visit).unwrap();
        let order = [id(day, 1), id(ahead, 2), id(ahead + 1, 3), id(2 * day, 4), id(2 * day, 5)];
        assert_eq!(found, order, "read in the order of writing");
        assert_eq!(Reader::new(folder.path()).find(&[id(2 * day, 4)]).unwrap().len(), 1);
        let mut writer = Writer::open(folder.path(), bounds).unwrap();
        writer.append(&frames([id(20 * day, 6)]), 20 * day).unwrap();
        assert_eq!(ids(folder.path()).0, [id(2 * day, 5), id(20 * day, 6)], "what is old goes");
    }
}
