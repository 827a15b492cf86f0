use super::*;
use crate::simulate::Random;
use crate::table::Mapping;
use std::fmt::Write;

/// A table of claims without time; `fraud` where the kind and the place say so, more or less.
fn claims(seed: u64, rows: usize) -> String {
    let mut random = Random::new(seed);
    let mut csv = "kind,place,age,label\n".to_owned();
    for _ in 0..rows {
        let (kind, place) = (random.below(4), random.below(30));
        let odds = [0.01, 0.02, 0.3, 0.02][kind] + if place == 7 { 0.4 } else { 0.0 };
        let label = if random.chance(odds) { "Yes" } else { "No" };
        let _ = writeln!(csv, "k{kind},p{place},{},{label}", 20 + random.below(60));
    }
    csv
}

/// Payments of customers, some of whom are not named, and some without an amount.
fn payments(rows: usize) -> String {
    let mut random = Random::new(8);
    let mut csv = "at,who,shop,amount,label\n".to_owned();
    for row in 0..rows {
        let fraud = random.chance(0.05);
        let who = if random.chance(0.1) { String::new() } else { format!("c{}", random.below(20)) };
        let amount = if random.chance(0.1) {
            "NA".to_owned()
        } else {
            format!("{}", 10 + random.below(20) + if fraud { 200 } else { 0 })
        };
        let _ = writeln!(
            csv,
            "{},{who},s{},{amount},{}",
            1_700_000_000 + row * 3_600,
            random.below(9),
            u8::from(fraud)
        );
    }
    csv
}

const CLAIMS: &str = "[columns]\ncategorical = [\"kind\", \"place\"]\nnumeric = [\"age\"]\nlabel = \"label\"\npositive = \"Yes\"\n";
const PAYMENTS: &str = "[columns]\ntime = \"at\"\ncustomer = \"who\"\ncounterparty = \"shop\"\namount = \"amount\"\nlabel = \"label\"\n";

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn tables(&self, data: &Path, test: Option<&Path>, mapping: &str) -> Tables {
        let mapping = Mapping::parse(mapping, Path::new("m.toml")).unwrap();
        Tables { data: data.to_owned(), test: test.map(Path::to_owned), mapping, seed: 3 }
    }

    fn train(&self, tables: Tables, model: ModelKind) -> Result<TrainedTable, TrainError> {
        let out = self.0.path().join("model");
        let recipe = Recipe { model: Some(model), seed: 3, ..Recipe::default() };
        train(&TrainTable { tables, recipe, out }, &mut ())
    }

    fn evaluate(&self, tables: &Tables) -> Result<EvaluatedTable, TrainError> {
        evaluate(&self.0.path().join("model"), tables, Costs::default(), &mut ())
    }
}

#[test]
fn customers_and_amounts_that_are_missing_are_no_fault() {
    let desk = Desk::new();
    let data = desk.put("payments.csv", &payments(3_000));
    for model in [ModelKind::Logistic, ModelKind::Boosted] {
        let trained = desk.train(desk.tables(&data, None, PAYMENTS), model).unwrap();
        assert!(trained.test.ranking.auprc > 0.5, "{model}: {}", trained.test.ranking.auprc);
        assert!(
            trained.remarks.iter().any(|remark| remark.contains("no delay_days")),
            "{:?}",
            trained.remarks
        );
    }
}

#[test]
fn a_test_file_without_time_sees_what_the_first_file_taught() {
    let desk = Desk::new();
    let (data, test) = (desk.put("a.csv", &claims(1, 12_000)), desk.put("b.csv", &claims(2, 3_000)));
    let tables = desk.tables(&data, Some(&test), CLAIMS);
    let rows = Dataset::read(&tables, None, &mut ()).unwrap();
    let column = |part: &Part| {
        let at = part.frame.names().iter().position(|name| name == "place.odds").unwrap();
        part.frame.column(at).iter().map(|odds| f64::from(odds.abs())).sum::<f64>() / part.rows() as f64
    };
    assert!(
        column(&rows.test) > 0.8 * column(&rows.validate),
        "{} {}",
        column(&rows.test),
        column(&rows.validate)
    );
    let trained = desk.train(tables, ModelKind::Boosted).unwrap();
    assert!(trained.test.ranking.auroc > 0.7, "{}", trained.test.ranking.auroc);
}

#[test]
fn a_model_is_measured_on_rows_it_never_saw_whatever_the_table() {
    let desk = Desk::new();
    let (data, other) = (desk.put("a.csv", &claims(1, 6_000)), desk.put("b.csv", &claims(2, 3_000)));
    let trained = desk.train(desk.tables(&data, None, CLAIMS), ModelKind::Boosted).unwrap();
    // Another seed in the tables changes nothing: the model knows how its table was shuffled.
    let again = desk.evaluate(&Tables { seed: 99, ..desk.tables(&data, None, CLAIMS) }).unwrap();
    assert_eq!(again.test.ranking, trained.test.ranking);
    assert!(desk.evaluate(&desk.tables(&other, None, CLAIMS)).unwrap_err().to_string().contains("--test"));
    let both = desk.evaluate(&desk.tables(&data, Some(&other), CLAIMS)).unwrap();
    assert_eq!(both.rows[2], 3_000);
    let same = |tables: &Tables| desk.evaluate(tables).unwrap_err().to_string();
    for first in [&data, &other] {
        let said = same(&desk.tables(first, Some(&data), CLAIMS));
        assert!(said.contains("no test"), "{said}");
    }
    let said = desk.train(desk.tables(&other, Some(&other), CLAIMS), ModelKind::Tree).unwrap_err();
    assert!(said.to_string().contains("no test"), "{said}");
    desk.train(desk.tables(&data, Some(&other), CLAIMS), ModelKind::Tree).unwrap();
    let whole = desk.evaluate(&desk.tables(&data, None, CLAIMS)).unwrap_err().to_string();
    assert!(whole.contains("trained on all of it"), "{whole}");
}

#[test]
fn a_newer_table_of_payments_is_measured_whole() {
    let desk = Desk::new();
    let data = desk.put("payments.csv", &payments(3_000));
    desk.train(desk.tables(&data, None, PAYMENTS), ModelKind::Boosted).unwrap();
    let newer = desk.put("newer.csv", &payments(1_000).replace("\n17", "\n18"));
    let measured = desk.evaluate(&desk.tables(&newer, None, PAYMENTS)).unwrap();
    assert_eq!(measured.rows, [0, 0, 1_000]);
}

#[test]
fn folds_hold_nothing_that_is_tested_on() {
    let desk = Desk::new();
    let data = desk.put("payments.csv", &payments(3_000));
    // The table ends in the middle of March 2024; the fold reaches to its end.
    let mapping = format!(
        "{PAYMENTS}[split]\nfractions = [0.7, 0.0, 0.3]\n[[search.folds]]\ntrain = [\"2023-11-14\", \"2024-01-01\"]\nvalidate = [\"2024-01-01\", \"2024-06-01\"]\n"
    );
    let rows = Dataset::read(&desk.tables(&data, None, &mapping), None, &mut ()).unwrap();
    let tested_from = *rows.test.at_ms.iter().min().unwrap();
    assert!(rows.folds[0].validate.rows() > 0);
    assert!(rows.folds[0].validate.at_ms.iter().all(|at_ms| *at_ms < tested_from));
}

#[test]
fn too_many_columns_are_refused_before_any_row_is_read() {
    let desk = Desk::new();
    let list = |n: usize| (0..n).map(|at| format!("\"c{at}\"")).collect::<Vec<_>>().join(", ");
    for (kind, count, said) in [("categorical", 65, "65 categories"), ("numeric", 513, "513 features")] {
        let mapping = format!("[columns]\n{kind} = [{}]\nlabel = \"label\"\n", list(count));
        let tables = desk.tables(Path::new("/no/such/table.csv"), None, &mapping);
        let error = Dataset::read(&tables, None, &mut ()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
