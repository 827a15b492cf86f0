//! Where lines go: segment files of bounded size, named for the first position in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use policies::chain::Checkpoint;

const CHECKPOINT: &str = "checkpoint.json";
const LOCK: &str = "lock";

/// What the writer needs of a disk; a trait so that tests can have a disk that fails.
pub(super) trait Storage: Send {
    /// Adds bytes behind what was added before.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Everything added is on the disk when this returns.
    fn sync(&mut self) -> io::Result<()>;
    /// Takes back what was added since the last successful sync.
    fn rewind(&mut self) -> io::Result<()>;
    /// Bytes in the segment.
    fn segment_bytes(&self) -> u64;
    /// Begins a new segment with `position`; everything before is synced.
    fn rotate(&mut self, position: u64) -> io::Result<()>;
    /// Replaces the checkpoint.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> io::Result<()>;
}

/// Segment files in a directory that this process alone writes to.
pub(super) struct Segments {
    dir: PathBuf,
    file: File,
    length: u64,
    synced: u64,
    /// Held as long as the log is open.
    _lock: File,
}

/// A segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Position of its first entry.
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

/// The segments in `dir`, oldest first.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let first = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".log"))
            .filter(|digits| digits.len() == 20)
            .and_then(|digits| digits.parse().ok());
        if let Some(first) = first {
            found.push(Segment { first, path });
        }
    }
    found.sort_by_key(|segment| segment.first);
    Ok(found)
}

/// Takes the lock of `dir`, making the directory if need be.
///
/// # Errors
/// `WouldBlock` if another process has it.
pub(super) fn lock(dir: &Path) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK))?;
    file.try_lock()?;
    Ok(file)
}

/// The checkpoint in `dir`, if one was ever written.
pub(super) fn read_checkpoint(dir: &Path) -> io::Result<Option<Checkpoint>> {
    match fs::read(dir.join(CHECKPOINT)) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Segments {
    /// Goes on in `segment` behind its first `length` bytes (what is behind them is cut off), or begins the first one.
    pub(super) fn open(dir: &Path, lock: File, last: Option<(&Segment, u64)>) -> io::Result<Self> {
        let (file, length) = match last {
            Some((segment, length)) => {
                let mut file = OpenOptions::new().write(true).open(&segment.path)?;
                file.set_len(length)?;
                file.seek(SeekFrom::Start(length))?;
                file.sync_all()?;
                (file, length)
            }
            None => (create(dir, 0)?, 0),
        };
        Ok(Self { dir: dir.to_owned(), file, length, synced: length, _lock: lock })
    }
}

fn create(dir: &Path, position: u64) -> io::Result<File> {
    let path = dir.join(format!("{position:020}.log"));
    let file = OpenOptions::new().create_new(true).write(true).open(path)?;
    // The name is in the directory, and so must the directory be on the disk.
    File::open(dir)?.sync_all()?;
    Ok(file)
}

impl Storage for Segments {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced = self.length;
        Ok(())
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.file.set_len(self.synced)?;
        self.file.seek(SeekFrom::Start(self.synced))?;
        self.length = self.synced;
        Ok(())
    }

    fn segment_bytes(&self) -> u64 {
        self.length
    }

    fn rotate(&mut self, position: u64) -> io::Result<()> {
        self.file = create(&self.dir, position)?;
        self.length = 0;
        self.synced = 0;
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        let (path, new) = (self.dir.join(CHECKPOINT), self.dir.join("checkpoint.new"));
        let mut file = File::create(&new)?;
        serde_json::to_writer(&mut file, checkpoint)?;
        file.sync_data()?;
        fs::rename(new, path)?;
        File::open(&self.dir)?.sync_all()
    }
}
