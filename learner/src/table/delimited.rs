//! CSV and its kin.

use super::TableError;
use super::assemble::{Assembler, wanted};
use super::cell::Cell;
use super::error::Broken;
use super::mapping::Mapping;
use super::record::Record;
use super::source::{Guarded, Prefixed, ROW_BYTES_MAX, Text};
use super::summary::{Summary, shortened};
use csv::ByteRecord;
use policies::compile::nearest;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// Delimiters that are tried, the likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Most column names in a message.
const NAMES_SHOWN: usize = 20;

/// Reads a text file to its end.
pub(super) fn read(
    path: &Path,
    text: Text,
    mapping: &Mapping,
    visit: &mut dyn FnMut(&Record) -> ControlFlow<()>,
) -> Result<Summary, TableError> {
    let packed = text.packed;
    let delimiter = mapping.file.delimiter.unwrap_or_else(|| fitting(&text.prefix, mapping));
    let reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(128 * 1024)
        .from_reader(text.bytes);
    let mut rows = Rows { path, packed, reader, row: 0, line: 1, lines: 0 };
    let mut cells = ByteRecord::new();
    let header = match &mapping.file.names {
        Some(names) => names.clone(),
        None => {
            if !rows.next(&mut cells)? {
                return Err(Broken::new(path, "there is no header")
                    .hint("the file has no text in it")
                    .into());
            }
            rows.row = 0;
            cells.iter().map(|cell| String::from_utf8_lossy(cell.trim_ascii()).into_owned()).collect()
        }
    };
    let places = locate(path, &header, mapping)?;
    let mut assembler = Assembler::new(path, mapping);
    let mut stopped = false;
    while !stopped && rows.next(&mut cells)? {
        let (row, line) = (rows.row, rows.line);
        if row == 1 && mapping.file.names.is_some() && is_header(&cells, &header) {
            let broken = Broken::new(path, "the first line is a header").at(row, Some(line));
            return Err(broken.hint("leave `names` of [file] out").into());
        }
        if cells.len() != header.len() {
            let found = [cells.len(), header.len()];
            assembler.ragged(row, line, rows.lines, found, cells.get(0).unwrap_or_default())?;
            continue;
        }
        let cell = |at: usize| {
            let text = places.get(at).and_then(|place| cells.get(*place));
            Cell::of_text(text.unwrap_or_default())
        };
        stopped = assembler.row(row, Some(line), cell, visit)?.is_break();
    }
    if !stopped && rows.lines > 1 && rows.reader.get_ref().quote_open() {
        let broken = Broken::new(path, "a quote is opened and not closed before the end of the file");
        return Err(broken.at(rows.row, Some(rows.line)).hint("write a quote within a cell twice").into());
    }
    assembler.finish(rows.row, &header, stopped)
}

/// Rows of the file with their place.
struct Rows<'p> {
    path: &'p Path,
    packed: bool,
    reader: csv::Reader<Guarded<Prefixed>>,
    /// Of the row read last, from 1.
    row: u64,
    line: u64,
    /// How many lines it takes up.
    lines: u64,
}

impl Rows<'_> {
    fn next(&mut self, cells: &mut ByteRecord) -> Result<bool, TableError> {
        let line = self.reader.position().line();
        match self.reader.read_byte_record(cells) {
            Ok(false) => Ok(false),
            Ok(true) => {
                self.reader.get_ref().row_ended();
                self.row += 1;
                self.line = line;
                self.lines = self.reader.position().line().saturating_sub(line);
                Ok(true)
            }
            Err(error) => Err(self.failure(error, line)),
        }
    }

    fn failure(&self, error: csv::Error, line: u64) -> TableError {
        let broken = |problem: String| Broken::new(self.path, problem).at(self.row + 1, Some(line));
        if self.reader.get_ref().row_too_long() {
            let mib = ROW_BYTES_MAX / (1024 * 1024);
            return broken(format!("the row is longer than {mib} MiB"))
                .hint("is a quote not closed, or is this no CSV?")
                .into();
        }
        let csv::ErrorKind::Io(error) = error.into_kind() else {
            return broken("the row cannot be read".into()).into();
        };
        match error.kind() {
            io::ErrorKind::UnexpectedEof if self.packed => {
                broken("the file is cut off in the middle of a gzip member".into())
                    .hint("fetch or pack it again")
                    .into()
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if self.packed => {
                broken(format!("the gzip data is damaged: {error}")).hint("fetch or pack it again").into()
            }
            _ => TableError::Unreadable { path: self.path.to_owned(), source: error },
        }
    }
}

/// The delimiter under which the first row has most of the columns that the mapping wants; among equals, most cells.
fn fitting(prefix: &[u8], mapping: &Mapping) -> u8 {
    let wanted = wanted(mapping);
    let score = |delimiter: u8| {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(prefix);
        let mut first = ByteRecord::new();
        // What fails here fails again when the file is read.
        let _ = reader.read_byte_record(&mut first);
        let known = match &mapping.file.names {
            Some(names) => usize::from(names.len() == first.len()),
            None => first.iter().filter(|cell| is_one_of(cell, &wanted)).count(),
        };
        (known, first.len())
    };
    // The last of equals would win.
    DELIMITERS.into_iter().rev().max_by_key(|delimiter| score(*delimiter)).unwrap_or(b',')
}

fn is_one_of(cell: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| name.as_bytes() == cell.trim_ascii())
}

fn is_header(cells: &ByteRecord, names: &[String]) -> bool {
    cells.len() == names.len()
        && cells.iter().zip(names).all(|(cell, name)| cell.trim_ascii() == name.as_bytes())
}

/// Where in the header each wanted column is, in the order of [`wanted`].
pub(super) fn locate(path: &Path, header: &[String], mapping: &Mapping) -> Result<Vec<usize>, TableError> {
    let wanted = wanted(mapping);
    let unknown: Vec<&str> =
        wanted.iter().copied().filter(|name| !header.iter().any(|known| known == name)).collect();
    if let Some(first) = unknown.first() {
        return Err(unknown_column(path, first, &unknown, header).into());
    }
    let place = |name: &&str| {
        let mut places = header.iter().enumerate().filter(|(_, known)| known == name).map(|(place, _)| place);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            _ => Err(Broken::new(path, "the file has two columns of this name").column(*name).into()),
        }
    };
    wanted.iter().map(place).collect()
}

fn unknown_column(path: &Path, first: &str, unknown: &[&str], header: &[String]) -> Broken {
    let mut problem = "the file has no such column".to_owned();
    if unknown.len() > 1 {
        let others: Vec<_> =
            unknown.iter().skip(1).take(NAMES_SHOWN).map(|name| format!("`{name}`")).collect();
        problem = format!("{problem}, nor {}", others.join(", "));
    }
    let is_data = |cell: &String| super::cell::number(cell.as_bytes()).is_some();
    let same = |known: &&String| known.eq_ignore_ascii_case(first);
    let near = header.iter().find(same).map(String::as_str);
    let near = near.or_else(|| nearest(first, header.iter().map(String::as_str)));
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if header.iter().any(is_data) => {
            "its first line looks like data: a file without a header needs `names` under [file]".into()
        }
        None => {
            let shown: Vec<_> =
                header.iter().take(NAMES_SHOWN).map(|name| shortened(name.as_bytes())).collect();
            let more = if header.len() > NAMES_SHOWN { ", …" } else { "" };
            format!("it has {}{more}", shown.join(", "))
        }
    };
    Broken::new(path, problem).column(first).hint(hint)
}
