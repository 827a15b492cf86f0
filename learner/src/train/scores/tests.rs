use super::*;
use crate::simulate::Random;
use crate::table::Mapping;
use crate::train::ModelKind;
use crate::train::classify::{Recipe, TrainTable, train};
use crate::train::dataset::{Dataset, Tables, Trained};
use std::fmt::Write;

const PAYMENTS: &str = "[columns]\ntime = 'at'\ncustomer = 'who'\namount = 'amount'\ncategorical = ['kind']\nlabel = 'label'\n\
                        [label]\ndelay_days = 1\n[split]\nfractions = [0.5, 0.2, 0.3]\n";
const CLAIMS: &str = "[columns]\ncategorical = ['kind']\nnumeric = ['amount']\nlabel = 'label'\n\
                      [split]\nfractions = [0.5, 0.2, 0.3]\n[file]\nignore = ['at', 'who']\n";

fn payments(rows: usize) -> String {
    let mut random = Random::new(5);
    let mut csv = "at,who,amount,kind,label\n".to_owned();
    for row in 0..rows {
        let fraud = random.chance(0.08);
        let amount = 10 + random.below(40) + if fraud { random.below(300) } else { 0 };
        let kind = if fraud && random.chance(0.7) { "odd" } else { ["a", "b"][random.below(2)] };
        let at = 1_700_000_000 + row * 3_600;
        let _ = writeln!(csv, "{at},c{},{amount},{kind},{}", random.below(30), u8::from(fraud));
    }
    csv
}

struct Desk(tempfile::TempDir);

impl Desk {
    fn new(mapping: &str) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.put("m.toml", mapping);
        desk.put("all.csv", &payments(3_000));
        desk
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn tables(&self) -> Tables {
        let mapping = Mapping::read(&self.path("m.toml")).unwrap();
        Tables { data: self.path("all.csv"), test: None, mapping, seed: 2 }
    }

    fn train(&self) {
        let recipe = Recipe { model: Some(ModelKind::Logistic), seed: 2, ..Recipe::default() };
        train(&TrainTable { tables: self.tables(), recipe, out: self.path("model") }, &mut ()).unwrap();
    }

    fn scores(&self, data: &str, history: Option<&str>) -> Result<Vec<Value>, TrainError> {
        let settings = ScoreTable {
            model: self.path("model"),
            data: self.path(data),
            history: history.map(|name| self.path(name)),
            mapping: self.path("m.toml"),
        };
        let mut said = Vec::new();
        table(&settings, &mut |score| said.push(score))?;
        Ok(said)
    }

    /// What the model says of the test part, by the way that measures it.
    fn measured(&self) -> Vec<f64> {
        let bytes = artifact::read(&self.path("model")).unwrap();
        let schema = Schema::new(inputs(&self.tables().mapping));
        let scorer = FraudScorer::of_schema(&bytes, &schema).unwrap();
        let encoder = &scorer.model().encoder;
        let trained = Trained { encoder, fingerprint: &scorer.manifest().data_fingerprint };
        let test = Dataset::read(&self.tables(), Some(&trained), &mut ()).unwrap().test;
        let mut row = vec![0.0; test.frame.width()];
        let probability = |at: usize| {
            test.frame.row(at, &mut row);
            scorer.score(&row).unwrap().probability
        };
        (0..test.rows()).map(probability).collect()
    }
}

fn probabilities(said: &[Value]) -> Vec<f64> {
    said.iter().map(|row| row["probability"].as_f64().unwrap()).collect()
}

#[test]
fn scoring_says_what_was_measured_whether_or_not_the_label_is_there() {
    let desk = Desk::new(PAYMENTS);
    desk.train();
    let (measured, whole) = (desk.measured(), desk.scores("all.csv", None).unwrap());
    assert_eq!(whole.len(), 3_000);
    assert_eq!(
        probabilities(&whole)[3_000 - measured.len()..],
        measured,
        "the same features, the same scores"
    );
    let text = std::fs::read_to_string(desk.path("all.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (before, after) = (lines[..2_001].join("\n"), &lines[2_001..]);
    desk.put("before.csv", &before);
    desk.put("after.csv", &[&lines[..1], after].concat().join("\n"));
    let after_history = desk.scores("after.csv", Some("before.csv")).unwrap();
    assert_eq!(
        probabilities(&after_history),
        probabilities(&whole)[2_000..],
        "a history is what came before"
    );
    let unlabelled: Vec<String> = after.iter().map(|line| line[..line.len() - 1].to_owned()).collect();
    desk.put("new.csv", &(lines[0].to_owned() + "\n" + &unlabelled.join("\n")));
    let new = desk.scores("new.csv", Some("before.csv")).unwrap();
    assert_eq!(new.len(), 1_000);
    assert_eq!(probabilities(&new)[..20], probabilities(&whole)[2_000..2_020], "labels of a day come later");
    let settings = ScoreTable {
        model: desk.path("model"),
        data: desk.path("before.csv"),
        history: Some(desk.path("after.csv")),
        mapping: desk.path("m.toml"),
    };
    let remarks = table(&settings, &mut |_| ()).unwrap();
    assert!(remarks.iter().any(|remark| remark.contains("begins before its history ends")), "{remarks:?}");
    let alarmed = whole.iter().find(|row| row["action"] == "hold").unwrap();
    assert!(alarmed["row"].is_u64() && !alarmed["reasons"].as_array().unwrap().is_empty(), "{alarmed}");
    // Backwards, rows are scored in the order of time and keep their numbers.
    let backwards: Vec<&str> = lines[1..].iter().rev().copied().collect();
    desk.put("backwards.csv", &(lines[0].to_owned() + "\n" + &backwards.join("\n")));
    let said = desk.scores("backwards.csv", None).unwrap();
    assert_eq!((probabilities(&said), &said[0]["row"]), (probabilities(&whole), &json!(3_000)));
}

#[test]
fn without_time_the_training_table_is_the_history() {
    let desk = Desk::new(CLAIMS);
    desk.train();
    let refused = desk.scores("all.csv", None).unwrap_err().to_string();
    assert!(refused.contains("--history"), "{refused}");
    let said = probabilities(&desk.scores("all.csv", Some("all.csv")).unwrap());
    let mut measured = desk.measured();
    let mut found: Vec<f64> =
        measured.iter().filter(|probability| said.contains(probability)).copied().collect();
    found.sort_by(f64::total_cmp);
    measured.sort_by(f64::total_cmp);
    assert!(measured.len() > 700 && found == measured, "{} of {} scores", found.len(), measured.len());
}

#[test]
fn models_of_other_columns_are_refused_and_anomalies_name_theirs() {
    let desk = Desk::new(PAYMENTS);
    desk.train();
    desk.put("m.toml", CLAIMS);
    let refused = desk.scores("all.csv", None).unwrap_err().to_string();
    assert!(refused.contains("schema"), "{refused}");
    let settings = anomaly::TrainTable {
        data: desk.path("all.csv"),
        test: None,
        mapping: desk.path("m.toml"),
        out: desk.path("model"),
        seed: 1,
        network: Some(crate::train::autoencoder::Settings { epochs_max: 3, ..Default::default() }),
    };
    anomaly::table(&settings, &mut ()).unwrap();
    let said = desk.scores("all.csv", None).unwrap();
    assert_eq!(said.len(), 3_000);
    let named = said.iter().flat_map(|row| row["contributions"].as_array().unwrap());
    assert!(named.clone().count() > 0);
    assert!(named.map(|one| &one["feature"]).all(|name| name == "kind" || name == "amount"));
}
