//! Artifacts whose checksum is right and whose numbers are not: somebody who may write a model file writes any model. The
//! first byte chooses a model, three more each change one place in it. What loads scores whatever comes without a panic, and
//! says a probability or that it has none.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use learner::artifact::{self, Artifact, Kind};
use learner::behaviour::{Event, ProfileLimits, Profiles, Schema};
use learner::fraud::FraudScorer;
use learner::table::{Mapping, Record};
use learner::train::anomaly::table::{self as anomaly, Row};
use learner::train::classify::{self, Recipe, TrainTable};
use learner::train::dataset::Tables;
use learner::train::derived::Wanted;
use learner::train::{ModelKind, autoencoder};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Changes of one input at most.
const CHANGES_MAX: usize = 8;

/// Models of a small table, as their artifacts keep them, and how to load them.
struct Base {
    kind: Kind,
    document: Value,
    /// Where a value stands in the document.
    places: Vec<String>,
}

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().unwrap());
static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
    let path = FOLDER.path().join("m.toml");
    let text = "[columns]\ntime = \"t\"\ncustomer = \"who\"\namount = \"sum\"\ncategorical = [\"kind\"]\n\
                numeric = [\"age\"]\nlabel = \"fraud\"\n";
    fs::write(&path, text).unwrap();
    Mapping::read(&path).unwrap()
});
static PROFILES: LazyLock<Profiles> = LazyLock::new(|| Profiles::new(ProfileLimits::default()));
static BASES: LazyLock<Vec<Base>> = LazyLock::new(bases);

/// Trains the models that are changed, which takes longer than an input may.
pub fn prepare() {
    LazyLock::force(&BASES);
}

/// Whether the changed model loads.
pub fn run(data: &[u8]) -> bool {
    let Some((first, changes)) = data.split_first() else { return false };
    let base = &BASES[usize::from(*first) % BASES.len()];
    let mut document = base.document.clone();
    for change in changes.chunks_exact(3).take(CHANGES_MAX) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % base.places.len();
        if let Some(value) = document.pointer_mut(&base.places[place]) {
            alter(value, change[2]);
        }
    }
    let Ok(written) = serde_json::from_value::<Artifact<Value>>(document) else { return false };
    match base.kind {
        Kind::Fraud => fraud(written),
        Kind::Anomaly => anomalies(&artifact::to_bytes(Kind::Anomaly, &written).unwrap()),
    }
}

/// What a hand or a fault could make of a value.
fn alter(value: &mut Value, how: u8) {
    let numbers = [
        -1.0,
        0.0,
        0.5,
        1.0,
        2.0,
        63.0,
        64.0,
        255.0,
        256.0,
        65_535.0,
        65_536.0,
        4_294_967_295.0,
        1e-45,
        1e-300,
        3.4e38,
        1e39,
        1.7e308,
        -1e308,
        9_007_199_254_740_993.0,
    ];
    let at = usize::from(how);
    match (how, &mut *value) {
        (..=63, _) => {
            let number = numbers[at % numbers.len()];
            let whole = number as i64;
            *value = if whole as f64 == number { json!(whole) } else { json!(number) };
        }
        (64..=127, Value::Number(number)) => {
            let factor = [-1.0, 2.0, 0.5, 1e6, 1e-6, 1.0 + 1e-7][at % 6];
            *value = match number.as_i64() {
                Some(whole) => json!(whole.saturating_add([-1, 1, 2, 64, -64, 256][at % 6])),
                None => json!(number.as_f64().unwrap_or(0.0) * factor),
            };
        }
        (..=191, Value::Array(values)) => match at % 4 {
            0 => drop(values.pop()),
            1 => values.extend_from_within(..),
            2 => values.reverse(),
            _ => values.clear(),
        },
        (..=191, Value::Bool(yes)) => *yes = !*yes,
        (..=191, Value::Object(fields)) => drop(
            fields.iter().nth(at % 4).map(|(name, _)| name.clone()).and_then(|name| fields.remove(&name)),
        ),
        (192..=207, _) => *value = Value::Null,
        (208..=223, _) => *value = json!([]),
        (224..=239, _) => *value = json!(""),
        _ => *value = json!({}),
    }
}

fn fraud(mut written: Artifact<Value>) -> bool {
    let Ok(schema) = serde_json::from_value::<Schema>(written.model["schema"].clone()) else { return false };
    // Whoever changes the features of a model changes their hash as well.
    written.manifest.schema_hash = schema.hash().to_owned();
    let bytes = artifact::to_bytes(Kind::Fraud, &written).unwrap();
    let Ok(scorer) = FraudScorer::of_schema(&bytes, &schema) else { return false };
    let width = scorer.names().len();
    let (categories, numbers) = (schema.inputs().categorical.len(), schema.inputs().numeric.len());
    let event = Event {
        at_ms: 1_790_000_000_000,
        customer: Some(1),
        counterparty: Some(2),
        amount_cents: Some(i64::MAX),
        utc_offset_min: 0,
        coordinates: Some([[90.0, 180.0], [-90.0, 0.0]]),
        categories: &vec![Some(7); categories],
        numbers: &vec![f32::MAX; numbers],
    };
    let mut vector = Vec::new();
    scorer.model().vector(&PROFILES, &event, &mut vector);
    assert_eq!(vector.len(), width);
    let _ = scorer.score(&vector);
    for value in [0.0, -1.0, 1e-45, f32::MAX, f32::MIN, f32::NAN, f32::INFINITY] {
        let vector = vec![value; width];
        if let Ok(score) = scorer.score(&vector) {
            assert!((0.0..=1.0).contains(&score.probability), "{}", score.probability);
            let _ = scorer.sentences(&score, &vector);
        }
    }
    true
}

fn anomalies(bytes: &[u8]) -> bool {
    let path = FOLDER.path().join(format!("{}.artifact", std::process::id()));
    fs::write(&path, bytes).unwrap();
    let Ok(Artifact { model, .. }) = anomaly::load(&path, &MAPPING) else { return false };
    let mut row = Row::new(&MAPPING);
    for number in [0.0, 1e-45, f32::MAX, f32::MIN, f32::NAN, f32::INFINITY] {
        let record = Record {
            amount: Some(f64::from(number)),
            numbers: vec![number],
            categories: vec![Some(7)],
            ..Record::default()
        };
        if let Ok(score) = model.score(&record, &mut row) {
            assert!((0.0..=1.0).contains(&score.percentile), "{}", score.percentile);
        }
    }
    true
}

/// One model of every form that an artifact has.
fn bases() -> Vec<Base> {
    let data = FOLDER.path().join("t.csv");
    fs::write(&data, transfers()).unwrap();
    let out = FOLDER.path().join("model");
    let classifier = |model: ModelKind, inputs: Wanted| {
        let tables = Tables { data: data.clone(), test: None, mapping: MAPPING.clone(), seed: 1 };
        let recipe = Recipe { model: Some(model), seed: 1, inputs, ..Recipe::default() };
        classify::train(&TrainTable { tables, recipe, out: out.clone() }, &mut ()).unwrap();
        base(Kind::Fraud, &out)
    };
    let none = Wanted::default();
    let both = Wanted { clusters: Some(2), autoencoder: true };
    let mut bases = vec![
        classifier(ModelKind::Logistic, none),
        classifier(ModelKind::Tree, none),
        classifier(ModelKind::Boosted, none),
        classifier(ModelKind::Svm, both),
    ];
    let network = autoencoder::Settings { epochs_max: 2, ..autoencoder::Settings::default() };
    let settings = anomaly::TrainTable {
        data,
        test: None,
        mapping: MAPPING.path.clone(),
        out: out.clone(),
        seed: 1,
        network: Some(network),
    };
    anomaly::table(&settings, &mut ()).unwrap();
    bases.push(base(Kind::Anomaly, &out));
    bases
}

fn base(kind: Kind, folder: &Path) -> Base {
    let bytes = artifact::read(folder).unwrap();
    let body = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    let document: Value = serde_json::from_slice(&bytes[body..]).unwrap();
    let mut places = Vec::new();
    walk(&document["model"], "/model", &mut places);
    Base { kind, document, places }
}

/// Every place of a document; of long lists the first and last few, so that no list drowns the others.
fn walk(value: &Value, at: &str, places: &mut Vec<String>) {
    const EACH: usize = 3;
    places.push(at.to_owned());
    match value {
        Value::Array(values) => {
            let near_an_end = |at: &usize| *at < EACH || at + EACH >= values.len();
            for (index, value) in values.iter().enumerate().filter(|(index, _)| near_an_end(index)) {
                walk(value, &format!("{at}/{index}"), places);
            }
        }
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            walk(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), places);
        }),
        _ => {}
    }
}

/// A small table on which every kind can be trained.
fn transfers() -> String {
    let mut text = "t,who,sum,kind,age,fraud\n".to_owned();
    for row in 0u32..1_200 {
        let fraud = row % 9 == 4;
        let sum = if fraud { 900 + row % 70 } else { 20 + row % 61 };
        let kind = ["card", "sepa", "cash"][row as usize % 3];
        writeln!(text, "{},c{},{sum},{kind},{},{}", row * 600, row % 37, row % 53, u8::from(fraud)).unwrap();
    }
    text
}
