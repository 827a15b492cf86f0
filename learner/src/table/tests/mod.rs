//! Tables, good and bad.

mod bad;
mod damage;
mod parquet;
mod text;

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use tempfile::TempDir;

/// A file of these bytes, its mapping, and what reading gave.
struct Read {
    records: Vec<Record>,
    result: Result<Summary, TableError>,
}

impl Read {
    fn summary(&self) -> &Summary {
        self.result.as_ref().unwrap()
    }

    fn error(&self) -> String {
        self.result.as_ref().unwrap_err().to_string()
    }
}

fn mapping(text: &str) -> Mapping {
    Mapping::parse(text, Path::new("m.toml")).unwrap_or_else(|error| panic!("{error}"))
}

fn read_bytes(bytes: &[u8], mapping: &Mapping) -> Read {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("table");
    std::fs::write(&path, bytes).unwrap();
    let mut records = Vec::new();
    let result = read(&path, mapping, &mut |record| {
        records.push(record.clone());
        ControlFlow::Continue(())
    });
    Read { records, result }
}

fn read_text(text: &str, columns: &str) -> Read {
    read_bytes(text.as_bytes(), &mapping(columns))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Transfers of every role; `rows` of them, the last digit of the row deciding most of it.
fn transfers(rows: usize) -> String {
    let mut text = "id,ts,who,to,sum,cur,a,b,c,d,kind,age,fraud,how,note\n".to_owned();
    for row in 0..rows {
        let digit = row % 10;
        let fraud = u8::from(digit == 3);
        let how = if digit == 3 { "card" } else { "" };
        let (minute, second) = (row / 60 % 60, row % 60);
        text += &format!(
            "{row},2024-03-01 12:{minute:02}:{second:02},{digit},M{digit},{digit}.25,EUR,48.1,11.5,{digit},-{digit},\
             k{digit},{row},{fraud},{how},x\n"
        );
    }
    text
}

const TRANSFERS: &str = r#"
[columns]
id = "id"
time = "ts"
customer = "who"
counterparty = "to"
amount = "sum"
currency = "cur"
coordinates = { customer = ["a", "b"], counterparty = ["c", "d"] }
categorical = ["kind"]
numeric = ["age"]
label = "fraud"
scenario = "how"
"#;
