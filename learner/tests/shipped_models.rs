//! The models in `configs/models`: they load, nothing else loads in their place, and the README's commands make them again.

#![allow(clippy::unwrap_used, clippy::panic)]

use learner::anomaly::AnomalyScorer;
use learner::artifact::{ArtifactError, FILE};
use learner::capacity::q_learning;
use learner::capacity::train_report::TABLE_FILE;
use learner::fraud::FraudScorer;
use learner::report;
use learner::train::ModelKind;
use learner::train::anomaly::{TrainAnomaly, anomaly};
use learner::train::classify::Recipe;
use learner::train::data::Source;
use learner::train::fraud::{TrainFraud, fraud};
use std::fs;
use std::path::{Path, PathBuf};

fn shipped(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/models").join(model)
}

/// Why bytes are refused as a model; `None` where they load.
type Load = fn(&[u8]) -> Option<String>;

/// Every kind with its file, its loader, and how many bytes at the end are no part of it.
fn kinds() -> [(&'static str, PathBuf, Load, usize); 3] {
    fn table(bytes: &[u8]) -> Option<String> {
        match std::str::from_utf8(bytes) {
            Ok(text) => q_learning::Artifact::from_text(text).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }
    [
        (
            "fraud",
            shipped("fraud").join(FILE),
            |bytes| FraudScorer::from_bytes(bytes).err().map(|error| error.to_string()),
            0,
        ),
        (
            "anomaly",
            shipped("anomaly").join(FILE),
            |bytes| AnomalyScorer::from_bytes(bytes).err().map(|error| error.to_string()),
            0,
        ),
        // A line end after the last brace says nothing.
        ("capacity", shipped("capacity").join(TABLE_FILE), table, 1),
    ]
}

/// About `count` places in `0..end`, the first ones and the last ones among them.
fn sample(end: usize, count: usize) -> impl Iterator<Item = usize> {
    let within = (0..end).step_by((end / count).max(1));
    (0..end.min(80)).chain(within).chain(end.saturating_sub(20)..end)
}

#[test]
fn shipped_models_load_for_the_features_of_this_program() {
    for (kind, file, load, _) in kinds() {
        assert_eq!(load(&fs::read(file).unwrap()), None, "{kind}");
    }
}

#[test]
fn a_model_cut_short_is_refused_by_name() {
    for (kind, file, load, idle) in kinds() {
        let bytes = fs::read(file).unwrap();
        for length in sample(bytes.len() - idle, 60) {
            let why = load(&bytes[..length]).unwrap_or_else(|| panic!("{kind} loads {length} bytes"));
            let named = ["cut short", "not a gatehouse model", "cannot be read"];
            assert!(named.iter().any(|name| why.contains(name)), "{kind}, {length} bytes: {why}");
        }
    }
}

#[test]
fn an_altered_model_is_refused_by_name() {
    let named = [
        "fails its checksum",
        "checksum does not match",
        "cut short",
        "not a gatehouse model",
        "artifact format",
        "a model of kind",
        "cannot be read",
        "this gateway reads",
        "other states or actions",
        "utf-8",
    ];
    for (kind, file, load, idle) in kinds() {
        let bytes = fs::read(file).unwrap();
        for at in sample(bytes.len() - idle, 60) {
            for mask in [0x01, 0x10, 0x80] {
                let mut altered = bytes.clone();
                altered[at] ^= mask;
                let why = load(&altered).unwrap_or_else(|| panic!("{kind} loads with byte {at} ^ {mask:#x}"));
                assert!(named.iter().any(|name| why.contains(name)), "{kind}, byte {at} ^ {mask:#x}: {why}");
            }
        }
    }
}

#[test]
fn a_model_in_the_place_of_another_is_refused_by_name() {
    let kinds = kinds();
    for (kind, file, ..) in &kinds {
        let bytes = fs::read(file).unwrap();
        for (other, _, load, _) in kinds.iter().filter(|(other, ..)| other != kind) {
            let why = load(&bytes).unwrap_or_else(|| panic!("{kind} loads as {other}"));
            let named = ["a model of kind", "not a gatehouse model", "cannot be read"];
            assert!(named.iter().any(|name| why.contains(name)), "{kind} as {other}: {why}");
        }
    }
}

#[test]
fn a_model_of_another_schema_is_refused_by_name() {
    let other = "0".repeat(64);
    for kind in [learner::artifact::Kind::Fraud, learner::artifact::Kind::Anomaly] {
        let bytes = fs::read(shipped(kind.name()).join(FILE)).unwrap();
        let loaded = learner::artifact::from_bytes::<serde_json::Value>(&bytes, kind, &other);
        assert!(matches!(loaded, Err(ArtifactError::SchemaMismatch { .. })), "{}", kind.name());
    }
    let text = fs::read_to_string(shipped("capacity").join(TABLE_FILE)).unwrap();
    let schema = text.split("\"schema\": \"").nth(1).and_then(|rest| rest.get(..64)).unwrap();
    let loaded = q_learning::Artifact::from_text(&text.replace(schema, &other));
    assert_eq!(loaded.unwrap_err(), q_learning::ArtifactError::Schema);
}

fn assert_same(kind: &str, made: &Path) {
    for name in [FILE, report::FILE] {
        let (made, shipped) =
            (fs::read(made.join(name)).unwrap(), fs::read(shipped(kind).join(name)).unwrap());
        assert!(made == shipped, "{kind}/{name} is not what training makes: train again and ship the result");
    }
}

#[test]
#[ignore = "needs minutes; remakes the shipped fraud model: cargo test --release -p learner --test shipped_models -- --ignored"]
fn training_makes_the_shipped_fraud_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = Some(ModelKind::Logistic);
    let settings = TrainFraud {
        data: Source::Simulate(7),
        recipe: Recipe { model, seed: 7, ..Recipe::default() },
        out: folder.path().to_owned(),
    };
    fraud(&settings, &mut ()).unwrap();
    assert_same("fraud", folder.path());
}

#[test]
#[ignore = "needs minutes; remakes the shipped anomaly model: cargo test --release -p learner --test shipped_models -- --ignored"]
fn training_makes_the_shipped_anomaly_model() {
    let folder = tempfile::tempdir().unwrap();
    let settings = TrainAnomaly { data: Source::Simulate(7), out: folder.path().to_owned(), seed: 7 };
    anomaly(&settings, &mut ()).unwrap();
    assert_same("anomaly", folder.path());
}
