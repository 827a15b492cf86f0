//! A party's rows: the agreed features, the label, and whose row each is.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::terms::{Feature, Schema};
use super::wire::Real;
use crate::frame::Frame;
use crate::train::Part;

/// Rows with labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The schema's features in order.
    pub frame: Frame,
    /// Labels, one a row.
    pub positive: Vec<bool>,
    /// Whose row it is, one number a row: equal numbers belong together. `None` where each row is by itself.
    pub unit: Option<Vec<u64>>,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The system or the CSV reader says so.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was said.
        source: csv::Error,
    },
    /// A column of the schema is not there.
    #[error("{}: there is no column {column}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A cell is not what the schema says.
    #[error("{}: line {line}, column {column}: {problem}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: u64,
        /// The column.
        column: String,
        /// What is wrong.
        problem: String,
    },
    /// There is nothing to learn from.
    #[error("{}: {problem}", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl Table {
    /// Reads a CSV file with a header, compressed with gzip if its name ends in `.gz`. Other columns than the schema's are
    /// passed over; an empty cell is a missing value.
    ///
    /// # Errors
    /// [`TableError`] with the place.
    pub fn read(path: &Path, schema: &Schema) -> Result<Self, TableError> {
        let unreadable = |source| TableError::Unreadable { path: path.to_owned(), source };
        let mut reader = open(path).map_err(unreadable)?;
        let headers = reader.headers().map_err(unreadable)?.clone();
        let place = |column: &str| {
            let at = headers.iter().position(|header| header == column);
            at.ok_or_else(|| TableError::Column { path: path.to_owned(), column: column.to_owned() })
        };
        let features: Vec<usize> =
            schema.features.iter().map(|feature| place(&feature.name)).collect::<Result<_, _>>()?;
        let label = place(&schema.label)?;
        let unit = schema.unit.as_deref().map(place).transpose()?;
        let mut table = Self { frame: Frame::new(schema.names()), positive: Vec::new(), unit: None };
        let mut row = vec![0.0; features.len()];
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(unreadable)? {
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |at: usize| record.get(at).unwrap_or_default().trim();
            let odd = |column: &str, problem: String| TableError::Cell {
                path: path.to_owned(),
                line,
                column: column.to_owned(),
                problem,
            };
            for ((slot, at), feature) in row.iter_mut().zip(&features).zip(&schema.features) {
                *slot = number(cell(*at), feature.missing).map_err(|problem| odd(&feature.name, problem))?;
            }
            table.frame.push(&row);
            table.positive.push(flag(cell(label)).map_err(|problem| odd(&schema.label, problem))?);
            if let Some(at) = unit {
                table.unit.get_or_insert_default().push(named(cell(at)));
            }
        }
        if table.positive.is_empty() {
            return Err(TableError::Rows { path: path.to_owned(), problem: "no rows".to_owned() });
        }
        Ok(table)
    }

    /// The rows of a part that was read by a mapping, with the schema's features.
    ///
    /// # Errors
    /// The name of a feature that the part does not have, or of the unit where rows do not say whose they are.
    pub fn of_part(part: &Part, schema: &Schema) -> Result<Self, String> {
        let mut frame = Frame::new(Vec::new());
        for name in schema.names() {
            let at = part.frame.names().iter().position(|other| *other == name);
            let column = at.map(|at| part.frame.column(at).to_vec());
            frame.append(name.clone(), column.ok_or(name)?);
        }
        // Rows of unknown customers cannot be protected together, as the schema promises.
        let customers =
            |name: &String| part.customers.iter().copied().collect::<Option<_>>().ok_or(name.clone());
        let unit = schema.unit.as_ref().map(customers).transpose()?;
        Ok(Self { frame, positive: part.labels.clone(), unit })
    }
}

type Reader = csv::Reader<Box<dyn Read>>;

fn open(path: &Path) -> Result<Reader, csv::Error> {
    let file = std::io::BufReader::new(std::fs::File::open(path)?);
    let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
    let bytes: Box<dyn Read> =
        if is_gzip { Box::new(flate2::bufread::MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(csv::Reader::from_reader(bytes))
}

fn number(text: &str, may_be_missing: bool) -> Result<f32, String> {
    if text.is_empty() {
        return if may_be_missing { Ok(f32::NAN) } else { Err("a value is missing".to_owned()) };
    }
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!("{text:?} is not a number")),
    }
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "1.0" | "true" => Ok(true),
        "0" | "0.0" | "false" => Ok(false),
        _ => Err(format!("label {text:?} is neither 0 nor 1")),
    }
}

fn named(text: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(text).into();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The columns of numbers of a CSV file, but for the label and the unit; what is not a number makes a column none.
///
/// # Errors
/// [`TableError`].
pub fn numbers(path: &Path, label: &str, unit: Option<&str>) -> Result<Frame, TableError> {
    let unreadable = |source| TableError::Unreadable { path: path.to_owned(), source };
    let mut reader = open(path).map_err(unreadable)?;
    let headers = reader.headers().map_err(unreadable)?.clone();
    for column in [Some(label), unit].into_iter().flatten() {
        if !headers.iter().any(|header| header == column) {
            return Err(TableError::Column { path: path.to_owned(), column: column.to_owned() });
        }
    }
    let mut columns: Vec<Option<Vec<f32>>> = vec![Some(Vec::new()); headers.len()];
    for record in reader.records() {
        for (column, cell) in columns.iter_mut().zip(record.map_err(unreadable)?.iter()) {
            match (number(cell.trim(), true), column.as_mut()) {
                (Ok(value), Some(values)) => values.push(value),
                _ => *column = None,
            }
        }
    }
    let mut frame = Frame::new(Vec::new());
    for (name, column) in headers.iter().zip(columns) {
        if let Some(column) = column.filter(|_| name != label && Some(name) != unit) {
            frame.append(name.to_owned(), column);
        }
    }
    Ok(frame)
}

/// A schema that fits a table: every column, within its 1 % and 99 % quantiles rounded to two digits. They say something
/// about the rows: look at them before you show them to anybody.
pub fn propose(frame: &Frame, label: &str, unit: Option<&str>) -> Schema {
    let feature = |(at, name): (usize, &String)| {
        let mut values: Vec<f32> = frame.column(at).to_vec();
        values.retain(|value| !value.is_nan());
        let missing = values.len() < frame.rows();
        values.sort_by(f32::total_cmp);
        let quantile = |share: f64| {
            let at = (share * values.len().saturating_sub(1) as f64).round() as usize;
            values.get(at).map_or(0.0, |value| two_digits(f64::from(*value)))
        };
        let (low, high) = (quantile(0.01), quantile(0.99));
        // A flag of something rare has no spread between these.
        let high = if high > low { high } else { low + 1.0 };
        Feature { name: name.clone(), low: Real(low), high: Real(high), missing }
    };
    let features = frame.names().iter().enumerate().map(feature).collect();
    Schema { label: label.to_owned(), unit: unit.map(str::to_owned), features }
}

/// Rounded to two significant digits.
fn two_digits(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "label = \"fraud\"\nunit = \"who\"\n[[features]]\nname = \"a\"\nlow = 0\nhigh = 1\n\
                          [[features]]\nname = \"b\"\nlow = 0\nhigh = 1\nmissing = true\n";

    fn read(text: &str) -> Result<Table, TableError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, text).unwrap();
        Table::read(&path, &Schema::from_toml(SCHEMA).unwrap())
    }

    #[test]
    fn columns_are_found_by_name() {
        let table = read("other,b,who,fraud,a\nx,2,ann,0,1\ny,,bob,1,3\nz,5,ann,0,4\n").unwrap();
        assert_eq!(table.frame.column(0), [1.0, 3.0, 4.0]);
        assert!(table.frame.column(1)[1].is_nan());
        assert_eq!(table.positive, [false, true, false]);
        let unit = table.unit.unwrap();
        assert!(unit[0] == unit[2] && unit[0] != unit[1]);
    }

    #[test]
    fn customers_that_are_to_be_protected_together_must_be_known() {
        let schema = Schema::from_toml(SCHEMA).unwrap();
        let rows = [(0, &[1.0, 2.0][..], 0, true)];
        let part = Part::recorded(schema.names(), rows.into_iter());
        assert_eq!(Table::of_part(&part, &schema), Err("who".to_owned()));
        let by_row = Schema { unit: None, ..schema };
        assert_eq!(Table::of_part(&part, &by_row).unwrap().unit, None);
    }

    #[test]
    fn bad_input_is_told_with_its_place() {
        for (text, expected) in [
            ("a,b,fraud\n1,2,0\n", "no column who"),
            ("a,b,who,fraud\n1,2,ann,0\n1,x,ann,0\n", "line 3, column b: \"x\" is not a number"),
            ("a,b,who,fraud\n,2,ann,0\n", "line 2, column a: a value is missing"),
            ("a,b,who,fraud\ninf,2,ann,0\n", "column a: \"inf\""),
            ("a,b,who,fraud\n1,2,ann,2\n", "column fraud: label \"2\""),
            ("a,b,who,fraud\n1,2,ann\n", "previous record"),
            ("a,b,who,fraud\n", "no rows"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_schema_is_proposed_for_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        let rows: String = (0..1000).map(|i| format!("t{i},{i},{},c{},0\n", i % 2, i % 7)).collect();
        std::fs::write(&path, format!("time,amount,odd,who,fraud\n{rows}")).unwrap();
        let schema = propose(&numbers(&path, "fraud", Some("who")).unwrap(), "fraud", Some("who"));
        assert_eq!(schema.names(), ["amount", "odd"], "text, label and unit are no features");
        assert_eq!((schema.features[0].low.0, schema.features[0].high.0), (10.0, 990.0));
        assert!(Table::read(&path, &schema).is_ok());
        assert!(numbers(&path, "label", None).is_err());
    }
}
