//! The ready mappings read the public tables to the last row, and split them as the reference figures do.
//! Run with `GATEHOUSE_DATA=… cargo test -p learner --test public_tables -- --ignored`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use learner::table::{self, Mapping, Part, Record, Summary};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    let root =
        std::env::var_os("GATEHOUSE_DATA").expect("GATEHOUSE_DATA names the folder of the public tables");
    Path::new(&root).join(name)
}

fn mapping(name: &str) -> Mapping {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/mappings");
    Mapping::read(&folder.join(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn read(path: &Path, mapping: &Mapping, mut visit: impl FnMut(&Record)) -> Summary {
    let summary = table::read(path, mapping, &mut |record| {
        visit(record);
        ControlFlow::Continue(())
    });
    summary.unwrap_or_else(|error| panic!("{error}"))
}

/// Rows and frauds of each part.
fn parts(mapping: &Mapping) -> [(u64, u64); 3] {
    let cut = mapping.split.cut(None, false, 0, 0).unwrap();
    let mut counts = [(0, 0); 3];
    let summary = read(&data("fraud/handbook.csv.gz"), mapping, |record| {
        if let Some(part) = cut.part(record.at_ms, record.row) {
            let (rows, frauds) = &mut counts[part as usize];
            *rows += 1;
            *frauds += u64::from(record.label == Some(true));
        }
    });
    assert_eq!((summary.delivered, summary.labels.positive), (1_754_155, 14_681));
    assert!(summary.remarks().is_empty(), "{:?}", summary.remarks());
    counts
}

#[test]
#[ignore = "needs the public tables: set GATEHOUSE_DATA"]
fn handbook_over_months() {
    let [_, _, test] = parts(&mapping("handbook-p2.toml"));
    assert_eq!(test, (316_197, 2_824));
}

#[test]
#[ignore = "needs the public tables: set GATEHOUSE_DATA"]
fn handbook_by_weeks() {
    let mapping = mapping("handbook-p1.toml");
    assert!(mapping.split.leave_out_known_customers);
    let [train, validate, test] = parts(&mapping);
    // A week each. The reference figure of 58,264 test rows is without the customers with known fraud.
    assert!(train.0 > 60_000 && validate.0 == 0 && test.0 > 58_264, "{train:?} {test:?}");
}

#[test]
#[ignore = "needs the public tables: set GATEHOUSE_DATA"]
fn nsl_kdd() {
    let mapping = mapping("nsl-kdd.toml");
    assert_eq!(mapping.columns.numeric.len() + mapping.columns.categorical.len(), 41);
    let cut = mapping.split.cut(None, true, 0, 1).unwrap();
    let mut train = 0;
    let summary = read(&data("network/KDDTrain+.txt.gz"), &mapping, |record| {
        train += u64::from(cut.part(record.at_ms, record.row) == Some(Part::Train));
    });
    assert_eq!((summary.delivered, summary.labels.positive, summary.skipped.rows), (125_973, 58_630, 0));
    assert!((0.84..0.86).contains(&(train as f64 / 125_973.0)), "{train}");
    let summary = read(&data("network/KDDTest+.txt.gz"), &mapping, |_| {});
    assert_eq!((summary.delivered, summary.labels.positive, summary.skipped.rows), (22_544, 12_833, 0));
    assert_eq!(summary.scenarios.unwrap().kept().len(), 37, "38 values, one of which is normal");
}
