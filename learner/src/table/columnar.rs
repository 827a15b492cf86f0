//! Parquet, one batch of rows of the mapped columns at a time.

use super::TableError;
use super::assemble::{Assembler, wanted};
use super::cell::Cell;
use super::delimited::locate;
use super::error::Broken;
use super::mapping::Mapping;
use super::parquet_value::{Meaning, Owned};
use super::record::Record;
use super::summary::Summary;
use bytes::Bytes;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, FileReader, Length, RowGroupReader, SerializedFileReader};
use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Rows that are held at once.
const BATCH_ROWS: usize = 4_096;
const DAMAGED: &str = "is the file complete? Write or fetch it again";

/// Reads a Parquet file to its end.
pub(super) fn read(
    path: &Path,
    file: File,
    mapping: &Mapping,
    visit: &mut dyn FnMut(&Record) -> ControlFlow<()>,
) -> Result<Summary, TableError> {
    let unreadable = |source| TableError::Unreadable { path: path.to_owned(), source };
    let length = file.metadata().map_err(unreadable)?.len();
    let file = guarded(|| SerializedFileReader::new(Within { file, length }))
        .map_err(|problem| Broken::new(path, format!("a damaged Parquet file: {problem}")).hint(DAMAGED))?;
    let schema = file.metadata().file_metadata().schema_descr_ptr();
    let header: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
    let places = locate(path, &header, mapping)?;
    let names = wanted(mapping);
    for (place, name) in places.iter().zip(&names) {
        if schema.columns().get(*place).is_some_and(|column| column.max_rep_level() > 0) {
            let broken = Broken::new(path, "the column holds lists").column(*name);
            return Err(broken.hint("one value a row is read").into());
        }
    }
    let mut assembler = Assembler::new(path, mapping);
    let mut row = 0_u64;
    let broken = |row: u64, problem: String| Broken::new(path, problem).at(row + 1, None).hint(DAMAGED);
    for group in 0..file.num_row_groups() {
        let opened = guarded(|| Group::open(&file, group, &places));
        let mut group = opened.map_err(|problem| broken(row, problem))?;
        while group.rows_left > 0 {
            let count = group.rows_left.min(BATCH_ROWS);
            for (column, name) in group.columns.iter_mut().zip(&names) {
                let read = guarded(|| column.batch(count));
                read.map_err(|problem| broken(row, format!("cannot be read: {problem}")).column(*name))?;
            }
            group.rows_left -= count;
            for index in 0..count {
                row += 1;
                let cell =
                    |at: usize| group.columns.get(at).map_or(Cell::Missing, |column| column.cell(index));
                if assembler.row(row, None, cell, visit)?.is_break() {
                    return assembler.finish(row, &header, true);
                }
            }
        }
    }
    assembler.finish(row, &header, false)
}

/// What Parquet's reader makes of damaged bytes: an error, and in some places a panic, which is an error here.
fn guarded<T>(read: impl FnOnce() -> ParquetResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the data contradicts itself".into()),
    }
}

/// A file of which nothing is asked that lies outside of it: lengths in a damaged file are not believed, nor is memory set
/// aside for them.
struct Within {
    file: File,
    length: u64,
}

impl Length for Within {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Within {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} lie beyond the end")));
        }
        self.file.get_bytes(start, length)
    }
}

/// A row group being read.
struct Group {
    columns: Vec<Column>,
    rows_left: usize,
}

impl Group {
    fn open(file: &SerializedFileReader<Within>, group: usize, places: &[usize]) -> ParquetResult<Self> {
        let group = file.get_row_group(group)?;
        let rows_left = usize::try_from(group.metadata().num_rows())
            .map_err(|_| ParquetError::General("a row group has less than no rows".into()))?;
        let columns =
            places.iter().map(|place| Column::open(group.as_ref(), *place)).collect::<Result<_, _>>()?;
        Ok(Self { columns, rows_left })
    }
}

/// A column of a row group, and the batch read last.
struct Column {
    reader: ColumnReader,
    meaning: Meaning,
    /// The definition level at which a value is there.
    level_of_value: i16,
    levels: Vec<i16>,
    batch: Vec<Owned>,
}

impl Column {
    fn open(group: &dyn RowGroupReader, place: usize) -> ParquetResult<Self> {
        let schema = group.metadata().schema_descr_ptr();
        let described = schema
            .columns()
            .get(place)
            .ok_or_else(|| ParquetError::General("a row group lacks a column".into()))?;
        Ok(Self {
            reader: group.get_column_reader(place)?,
            meaning: Meaning::of(described),
            level_of_value: described.max_def_level(),
            levels: Vec::new(),
            batch: Vec::new(),
        })
    }

    fn cell(&self, index: usize) -> Cell<'_> {
        self.batch.get(index).map_or(Cell::Missing, Owned::cell)
    }

    /// Reads the next `count` rows.
    fn batch(&mut self, count: usize) -> ParquetResult<()> {
        let Self { reader, meaning, level_of_value, levels, batch } = self;
        let mut into = Batch { count, level_of_value: *level_of_value, levels, cells: batch };
        let meaning = *meaning;
        match reader {
            ColumnReader::BoolColumnReader(reader) => into.fill(reader, Owned::Bool),
            ColumnReader::Int32ColumnReader(reader) => into.fill(reader, |value| meaning.of_i32(value)),
            ColumnReader::Int64ColumnReader(reader) => into.fill(reader, |value| meaning.of_i64(value)),
            ColumnReader::Int96ColumnReader(reader) => {
                into.fill(reader, |value| Owned::Time(value.to_millis()))
            }
            ColumnReader::FloatColumnReader(reader) => into.fill(reader, |value| Owned::Float(value.into())),
            ColumnReader::DoubleColumnReader(reader) => into.fill(reader, Owned::Float),
            ColumnReader::ByteArrayColumnReader(reader) => into.fill(reader, |value| meaning.of_bytes(value)),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                into.fill(reader, |value| meaning.of_bytes(value.into()))
            }
        }
    }
}

/// Where a batch goes.
struct Batch<'c> {
    count: usize,
    level_of_value: i16,
    levels: &'c mut Vec<i16>,
    cells: &'c mut Vec<Owned>,
}

impl Batch<'_> {
    fn fill<T: DataType>(
        &mut self,
        reader: &mut ColumnReaderImpl<T>,
        owned: impl Fn(T::T) -> Owned,
    ) -> ParquetResult<()> {
        let mut values = Vec::with_capacity(self.count);
        self.levels.clear();
        self.cells.clear();
        let (rows, ..) = reader.read_records(self.count, Some(self.levels), None, &mut values)?;
        let mut values = values.into_iter().map(owned);
        if self.level_of_value == 0 {
            self.cells.extend(values);
        } else {
            let cell = |level: &i16| {
                let is_there = *level == self.level_of_value;
                if is_there { values.next().unwrap_or(Owned::Missing) } else { Owned::Missing }
            };
            self.cells.extend(self.levels.iter().map(cell));
        }
        if rows == self.count && self.cells.len() == self.count {
            return Ok(());
        }
        let message = format!("{} rows where {} should be", self.cells.len(), self.count);
        Err(ParquetError::General(message))
    }
}
