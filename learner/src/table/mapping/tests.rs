//! Mappings, right and wrong.

use super::super::split::Plan;
use super::*;

fn parse(text: &str) -> Result<Mapping, String> {
    Mapping::parse(text, Path::new("m.toml")).map_err(|error| error.to_string())
}

fn fault(text: &str) -> String {
    parse(text).unwrap_err()
}

const WHOLE: &str = r#"
[columns]
time = "ts"
time_unit = "hours"
customer = "customer_id"
counterparty = "merchant_id"
amount = "amount"
currency = "cur"
coordinates = { customer = ["home_lat", "home_long"], counterparty = ["merch_lat", "merch_long"] }
categorical = ["category"]
numeric = ["city_pop"]
label = "is_fraud"
scenario = "kind"
id = "id"
[label]
delay_days = 7
positive = ["Yes", 1, true]
[split]
train = ["2023-02-01", "2024-01-01"]
validate = [2024-01-08, 2024-03-01T00:00:00Z]
test = ["2024-03-08 00:00", "2024-07-01"]
leave_out_known_customers = true
[[search.folds]]
train = ["2023-02-01", "2023-08-01"]
validate = ["2023-08-08", "2023-10-01"]
[file]
delimiter = "tab"
ignore = ["note"]
skipped_max = 0.05
[train]
rows_max = 1_000
rows = "all"
"#;

#[test]
fn the_order_of_a_date_is_one_of_two_and_no_unit_beside_it() {
    let with = |keys: &str| format!("[columns]\namount = \"a\"\ntime = \"t\"\n{keys}\n");
    let order = |keys: &str| parse(&with(keys)).unwrap().columns.date_order;
    assert_eq!(order(""), None);
    assert_eq!(order("date_order = \"day-month-year\""), Some(DateOrder::DayFirst));
    assert_eq!(order("date_order = \"month-day-year\""), Some(DateOrder::MonthFirst));
    let error = fault(&with("date_order = \"dmy\""));
    assert!(error.contains("no order `dmy`") && error.contains("day-month-year, month-day-year"), "{error}");
    let error = fault(&with("time_unit = \"hours\"\ndate_order = \"day-month-year\""));
    assert!(error.contains("keep `time_unit` or `date_order`"), "{error}");
}

#[test]
fn every_key_is_understood() {
    let mapping = parse(WHOLE).unwrap();
    assert_eq!(mapping.columns.time_unit, Some(TimeUnit::Hours));
    let [[lat, _], [_, long]] = mapping.columns.coordinates.unwrap();
    assert_eq!([lat.as_str(), long.as_str()], ["home_lat", "merch_long"]);
    assert_eq!(mapping.label.delay_ms, 7 * 86_400_000);
    assert_eq!(mapping.label.positive, ["Yes", "1", "true"]);
    let Plan::Periods { train, validate: Some(validate), test: Some(test) } = mapping.split.plan else {
        panic!("{:?}", mapping.split.plan)
    };
    assert_eq!(train.from_ms, 1_675_209_600_000);
    assert_eq!((validate.from_ms, validate.until_ms), (1_704_672_000_000, 1_709_251_200_000));
    assert_eq!(test.until_ms, 1_719_792_000_000);
    assert!(mapping.split.leave_out_known_customers);
    assert_eq!(mapping.folds.len(), 1);
    assert_eq!((mapping.file.delimiter, mapping.file.skipped_max), (Some(b'\t'), 0.05));
    assert_eq!(mapping.train, TrainRule { rows_max: 1_000, rows: RowsKept::All });
}

#[test]
fn little_is_enough() {
    let mapping = parse("[columns]\nnumeric = [\" a \"]\nlabel = \"b\"\npositive = \"Yes\"\n").unwrap();
    assert_eq!(mapping.columns.numeric, ["a"]);
    assert_eq!(mapping.label.positive, ["Yes"]);
    assert_eq!(mapping.split.plan, Plan::Default);
    assert_eq!(mapping.train, TrainRule { rows_max: ROWS_MAX_DEFAULT, rows: RowsKept::Normal });
    assert_eq!(mapping.file.skipped_max, SKIPPED_MAX_DEFAULT);
    assert_eq!(parse("[columns]\namount = \"a\"\n").unwrap().train.rows, RowsKept::All);
}

#[test]
fn faults_say_where_they_are_and_what_may_help() {
    let head = "[columns]\namount = \"a\"\ntime = \"t\"\nlabel = \"l\"\n";
    for (body, expected) in [
        ("numerical = [\"b\"]", "m.toml:5:1: unknown field `numerical`"),
        ("custmer = \"b\"", "did you mean `customer`?"),
        (
            "customer = \"t\"",
            "m.toml:5:12: the column `t` is `time` already, and cannot be `customer` as well",
        ),
        ("numeric = [\"x\", \"x\"]", "m.toml:5:17: the column `x` is `numeric` already"),
        ("customer = \"\"", "`customer` names no column"),
        ("time_unit = \"weeks\"", "there is no unit `weeks` (nanoseconds"),
        ("coordinates = { customer = [\"a1\"], counterparty = [\"b1\", \"b2\"] }", "a place is two columns"),
        ("[label]\ndelay_days = -1", "m.toml:6:14: `delay_days` is 0 to 36500"),
        ("[label]\npositive = []", "`positive` is no value of a label"),
        ("[label]\npositive = \"a\"\nnegative = [\"b\", \"A\"]", "m.toml:7:12: `a` is positive and negative"),
        (
            "positive = 1\n[label]\npositive = 1",
            "m.toml:7:12: `positive` is given in [columns] and in [label]",
        ),
        ("[split]\ntrain = [\"2024-02-30\", \"2024-03-01\"]", "m.toml:6:9: `train` is no period"),
        ("[split]\ntrain = [\"2024-02-01\", \"2024-02-01\"]", "`train` is no period (two dates"),
        ("[split]\ntest = [\"2024-02-01\", \"2024-03-01\"]", "there is no period to train on (say `train`)"),
        (
            "[split]\ntrain = [\"2024-01-01\", \"2024-02-02\"]\ntest = [\"2024-02-01\", \"2024-03-01\"]",
            "m.toml:7:8: the period of `test` begins before that of `train` ends",
        ),
        ("[split]\nfractions = [0.5, 0.1, 0.3]", "m.toml:6:13: `fractions` are not shares that make one"),
        ("[split]\nfractions = [0.0, 0.5, 0.5]", "`fractions` are not shares"),
        ("[split]\nfractions = [1.5, -0.5]", "`fractions` are not shares"),
        (
            "[split]\nfractions = [0.6, 0.1, 0.3]\ntrain = [\"2024-01-01\", \"2024-02-02\"]",
            "fractions stand beside periods (keep one of them)",
        ),
        ("[split]\nleave_out_known_customers = true", "needs the columns time, customer and label"),
        (
            "[split]\ntrain = [\"2024-01-01\", \"2024-02-01\"]\ntest = [\"2024-03-01\", \"2024-04-01\"]\n\
             [[search.folds]]\ntrain = [\"2024-01-01\", \"2024-02-01\"]\nvalidate = [\"2024-02-01\", \"2024-03-02\"]",
            "m.toml:10:12: the fold reaches into the test period",
        ),
        ("[file]\nnames = [\"a\", \"t\", \"lab\"]", "m.toml:4:9: `l` is not among the names of [file]"),
        ("[file]\nnames = [\"a\", \"t\", \"l\", \"a\"]", "the name `a` is empty or stands twice"),
        ("[file]\nignore = [\"a\"]", "the column `a` is `amount` already, and cannot be `ignore`"),
        ("[file]\ndelimiter = \"ab\"", "`ab` cannot be a delimiter"),
        ("[file]\nskipped_max = 2", "`skipped_max` is 0 to 1"),
        ("[train]\nrows_max = 0", "`rows_max` is 1 or more"),
        ("[train]\nrows = \"some\"", "there are no rows `some` (normal or all)"),
        ("x", "m.toml:5:"),
    ] {
        let told = fault(&format!("{head}{body}\n"));
        assert!(told.contains(expected), "{body}\n  {told}\n  {expected}");
    }
    assert!(fault("").contains("missing field `columns`"));
    assert!(fault("[columns]\ntime = \"t\"").contains("there is nothing to learn from"));
    assert!(fault("[columns]\namount = \"a\"\n[train]\nrows = \"normal\"").contains("without a label"));
    assert!(fault("[columns]\namount = \"a\"\nscenario = \"s\"").contains("there is none"));
    assert!(
        fault("[columns]\namount = \"a\"\n[split]\ntrain = [\"2024-01-01\", \"2024-02-01\"]")
            .contains("time column")
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let text = "[columns]\namount = \"a\"\ntime = \"a\"\n[label]\ndelay_days = -1\n[train]\nrows_max = 0\n";
    assert_eq!(fault(text).lines().count(), 3);
}

#[test]
fn the_label_may_be_the_scenario() {
    assert!(parse("[columns]\namount = \"a\"\nlabel = \"l\"\nscenario = \"l\"").is_ok());
}

#[test]
fn the_mappings_of_this_project_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/mappings");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        Mapping::read(&path).unwrap_or_else(|error| panic!("{error}"));
        seen += 1;
    }
    assert!(seen >= 3);
    let missing = Mapping::read(Path::new("/nowhere/m.toml")).unwrap_err();
    assert!(missing.to_string().starts_with("/nowhere/m.toml: "), "{missing}");
}

proptest::proptest! {
    #[test]
    fn altered_mappings_never_panic(at in 0..WHOLE.len(), byte in 0_u8..128) {
        let mut text = WHOLE.as_bytes().to_vec();
        text[at] = byte;
        if let Ok(text) = std::str::from_utf8(&text) {
            let _ = parse(text);
        }
    }
}
