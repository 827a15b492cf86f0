//! Tables by a mapping: the first byte chooses it, the rest is the file. Whatever is handed over is what a model may see,
//! every row is either handed over or counted, and gzip changes nothing.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use learner::table::{self, Mapping, Record, Summary};
use tempfile::TempDir;

static MAPPINGS: LazyLock<Vec<Mapping>> = LazyLock::new(|| {
    let texts = [
        "[columns]\ntime = \"t\"\ncustomer = \"who\"\ncounterparty = \"to\"\namount = \"sum\"\ncurrency = \"cur\"\n\
         categorical = [\"kind\"]\nnumeric = [\"age\"]\nlabel = \"fraud\"\nid = \"id\"\n\
         coordinates = { customer = [\"a\", \"b\"], counterparty = [\"c\", \"d\"] }\n[file]\nskipped_max = 1.0\n",
        "[columns]\nnumeric = [\"x\", \"y\"]\nlabel = \"l\"\nscenario = \"l\"\n[label]\nnegative = \"ok\"\n",
        "[columns]\nnumeric = [\"x\"]\ncategorical = [\"y\"]\n[file]\nnames = [\"x\", \"y\"]\ndelimiter = \"\\t\"\n",
    ];
    texts.iter().map(|text| Mapping::parse(text, Path::new("m.toml")).unwrap()).collect()
});

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().unwrap());

/// Whether the data is a table.
pub fn run(data: &[u8]) -> bool {
    let Some((first, file)) = data.split_first() else { return false };
    let mapping = &MAPPINGS[usize::from(*first) % MAPPINGS.len()];
    let plain = read(file, mapping);
    // What is packed already would be packed twice.
    if !file.starts_with(&[0x1f, 0x8b]) && !file.starts_with(b"PAR1") {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(file).unwrap();
        let packed = read(&packed.finish().unwrap(), mapping);
        match (&plain, packed) {
            (Some(a), Some(b)) => assert_eq!((&a.fingerprint, a.rows), (&b.fingerprint, b.rows)),
            (a, b) => assert_eq!(a.is_some(), b.is_some(), "gzip makes another table"),
        }
    }
    plain.is_some()
}

fn read(file: &[u8], mapping: &Mapping) -> Option<Summary> {
    let path = FOLDER.path().join(format!("{}", std::process::id()));
    fs::write(&path, file).unwrap();
    let (mut delivered, mut last) = (0, 0);
    let result = table::read(&path, mapping, &mut |record| {
        sound(record, mapping);
        assert!(record.row > last, "rows out of order");
        (delivered, last) = (delivered + 1, record.row);
        ControlFlow::Continue(())
    });
    match result {
        Ok(summary) => {
            assert_eq!(summary.delivered, delivered);
            let skipped = &summary.skipped;
            // A row that a broken quote runs through several lines counts as many as it swallowed.
            assert!(
                (delivered..=delivered + skipped.rows).contains(&summary.rows),
                "{delivered}: {summary:?}"
            );
            assert_eq!(
                skipped.rows,
                skipped.faults.iter().map(|fault| fault.count).sum::<u64>(),
                "{skipped:?}"
            );
            assert!(skipped.rows > 0 || summary.rows == delivered, "{summary:?}");
            let known = summary.labels;
            assert!(known.positive + known.negative + known.unknown <= delivered);
            Some(summary)
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains(&*path.to_string_lossy()) && said.len() < 8_192, "{said}");
            None
        }
    }
}

fn sound(record: &Record, mapping: &Mapping) {
    let columns = &mapping.columns;
    assert_eq!(record.numbers.len(), columns.numeric.len());
    assert_eq!(record.categories.len(), columns.categorical.len());
    assert!(record.numbers.iter().all(|number| !number.is_infinite()), "{record:?}");
    assert!(record.amount.is_none_or(f64::is_finite), "{record:?}");
    assert_eq!(record.at_ms.is_some(), columns.time.is_some(), "{record:?}");
    let on_earth = |[latitude, longitude]: &[f64; 2]| latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    assert!(record.coordinates.iter().flatten().all(on_earth), "{record:?}");
}
