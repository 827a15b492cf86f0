//! What kind of file it is, by its content, and its bytes.

use super::TableError;
use super::error::Broken;
use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

/// Longest row of a text file, bytes: what a quote that is not closed may swallow before it is noticed.
pub const ROW_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// So much of a text file is looked at to see how it is written.
const PREFIX_BYTES: u64 = 256 * 1024;

/// An opened table.
pub(super) enum Source {
    Text(Text),
    #[allow(dead_code, reason = "not read yet")]
    Parquet(File),
}

/// A text file, unpacked.
pub(super) struct Text {
    /// Its beginning, which `bytes` gives again.
    pub(super) prefix: Vec<u8>,
    pub(super) packed: bool,
    pub(super) bytes: Guarded<Prefixed>,
}

/// First bytes of formats that are none of ours, and what to do with them.
const FOREIGN: [(&[u8], &str, &str); 8] = [
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet", "unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet of old", "save the sheet as CSV"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", "unpack it, or pack it with gzip"),
    (b"BZh", "packed by bzip2", "unpack it, or pack it with gzip"),
    (b"\xfd7zXZ", "packed by xz", "unpack it, or pack it with gzip"),
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
    (b"ARROW1", "an Arrow file", "write it as Parquet"),
    (b"SQLite format 3", "a database", "export the table as CSV"),
];

/// Opens a table. A file of no bytes, and what is no table, is refused.
pub(super) fn open(path: &Path) -> Result<Source, TableError> {
    let unreadable = |source| TableError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut start = Vec::with_capacity(16);
    (&mut file).take(16).read_to_end(&mut start).map_err(unreadable)?;
    if start.is_empty() {
        return Err(Broken::new(path, "the file is empty").into());
    }
    refuse_foreign(path, &start)?;
    if start.starts_with(b"PAR1") {
        file.rewind().map_err(unreadable)?;
        return Ok(Source::Parquet(file));
    }
    let packed = start.starts_with(b"\x1f\x8b");
    let whole = BufReader::with_capacity(128 * 1024, io::Cursor::new(start).chain(file));
    let mut rest: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
    let mut prefix = Vec::new();
    let failure = (&mut rest).take(PREFIX_BYTES).read_to_end(&mut prefix).err();
    if packed {
        refuse_foreign(path, &prefix)?;
        if prefix.starts_with(b"PAR1") {
            let broken = Broken::new(path, "a Parquet file packed by gzip");
            return Err(broken.hint("unpack it: Parquet packs its columns itself").into());
        }
        if prefix.is_empty() && failure.is_none() {
            return Err(Broken::new(path, "the file is empty once unpacked").into());
        }
    }
    if prefix.starts_with(b"\xff\xfe") || prefix.starts_with(b"\xfe\xff") {
        return Err(Broken::new(path, "the text is UTF-16").hint("save it as UTF-8").into());
    }
    if prefix.contains(&0) {
        return Err(Broken::new(path, "neither CSV nor Parquet: there are zero bytes in it").into());
    }
    let bytes = Prefixed { prefix: io::Cursor::new(prefix.clone()), failure, rest };
    Ok(Source::Text(Text { prefix, packed, bytes: Guarded::new(bytes) }))
}

fn refuse_foreign(path: &Path, start: &[u8]) -> Result<(), TableError> {
    match FOREIGN.iter().find(|(magic, ..)| start.starts_with(magic)) {
        Some((_, what, hint)) => Err(Broken::new(path, format!("this is {what}")).hint(*hint).into()),
        None => Ok(()),
    }
}

/// A beginning that was read before, then the rest. A failure met while reading the beginning comes in its place, so that
/// rows before it are read and it can be said after which row it came.
pub(super) struct Prefixed {
    prefix: io::Cursor<Vec<u8>>,
    failure: Option<io::Error>,
    rest: Box<dyn Read>,
}

impl Read for Prefixed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.prefix.read(out)? {
            0 if out.is_empty() => Ok(0),
            0 => self.failure.take().map_or_else(|| self.rest.read(out), Err),
            count => Ok(count),
        }
    }
}

/// Bytes of rows, each row within its bound.
pub(super) struct Guarded<R> {
    inner: R,
    since_row: Cell<u64>,
    quotes: u64,
}

impl<R> Guarded<R> {
    fn new(inner: R) -> Self {
        Self { inner, since_row: Cell::new(0), quotes: 0 }
    }

    /// A row has ended.
    pub(super) fn row_ended(&self) {
        self.since_row.set(0);
    }

    /// Whether the row under way is longer than any may be.
    pub(super) fn row_too_long(&self) -> bool {
        self.since_row.get() > ROW_BYTES_MAX
    }

    /// Whether the number of quotes so far is odd: what all closed quotes and quotes within quotes do not make it.
    pub(super) fn quote_open(&self) -> bool {
        self.quotes % 2 == 1
    }
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.row_too_long() {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let count = self.inner.read(out)?;
        self.since_row.set(self.since_row.get() + count as u64);
        let read = out.get(..count).unwrap_or_default();
        self.quotes += read.iter().filter(|byte| **byte == b'"').count() as u64;
        Ok(count)
    }
}
