use super::*;
use crate::simulate::Random;
use crate::table::Mapping;
use crate::train::classify::{Recipe, TrainTable, TrainedTable, train};
use crate::train::dataset::Tables;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const DELAY_DAYS: i64 = 3;

/// Payments of 200 days, a channel that is new in the last quarter of them, two of which share each moment.
fn payments(rows: usize) -> String {
    let mut random = Random::new(8);
    let mut csv = "at,amount,channel,label\n".to_owned();
    for row in 0..rows {
        let fraud = random.chance(0.08);
        let amount = 10.0 + 90.0 * random.uniform() + if fraud { 60.0 * random.uniform() } else { 0.0 };
        let late = row > rows * 7 / 16 && random.chance(0.5);
        let channel = if late { "late" } else { ["web", "app"][random.below(2)] };
        let at = 1_700_000_000 + row / 2 * 17_280_000 / rows * 2;
        let _ = writeln!(csv, "{at},{amount:.2},{channel},{}", u8::from(fraud));
    }
    csv
}

struct Desk(tempfile::TempDir);

impl Desk {
    fn new(rows: usize) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        std::fs::write(desk.0.path().join("payments.csv"), payments(rows)).unwrap();
        desk
    }

    fn tables(&self, split: &str) -> Tables {
        let mapping = format!(
            "[columns]\ntime = 'at'\namount = 'amount'\ncategorical = ['channel']\nlabel = 'label'\n[label]\n\
             delay_days = {DELAY_DAYS}\n[split]\nfractions = {split}\n"
        );
        let mapping = Mapping::parse(&mapping, Path::new("m.toml")).unwrap();
        Tables { data: self.0.path().join("payments.csv"), test: None, mapping, seed: 3 }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Trains into a folder: what training says, and the bytes of model and report.
    fn train(&self, out: &str, seed: u64, split: &str) -> (TrainedTable, [Vec<u8>; 2]) {
        let search = Search { random: 3, folds: Some(3) };
        let recipe = Recipe { model: Some(ModelKind::Tree), seed, search, ..Recipe::default() };
        let settings = TrainTable { tables: self.tables(split), recipe, out: self.out(out) };
        let trained = train(&settings, &mut ()).unwrap();
        let bytes =
            ["model.artifact", "report.html"].map(|file| std::fs::read(self.out(out).join(file)).unwrap());
        (trained, bytes)
    }

    fn log(&self, out: &str) -> String {
        std::fs::read_to_string(self.out(out).join(TRIALS_FILE)).unwrap()
    }

    fn begin(&self, out: &str, log: &str) {
        std::fs::create_dir_all(self.out(out)).unwrap();
        std::fs::write(self.out(out).join(TRIALS_FILE), log).unwrap();
    }
}

const WITH_VALIDATION: &str = "[0.5, 0.2, 0.3]";
const WITHOUT: &str = "[0.7, 0.0, 0.3]";

/// Keys of a log's lines, in their order.
fn keys(log: &str) -> Vec<String> {
    let key = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["seconds"].is_number() && line["auprc"].as_array().unwrap().len() == 3, "{line}");
        line["key"].as_str().unwrap().to_owned()
    };
    let mut keys: Vec<String> = log.lines().map(key).collect();
    keys.sort();
    keys
}

#[test]
fn a_search_that_was_killed_goes_on_to_the_very_same_model_on_any_number_of_threads() {
    let desk = Desk::new(2_400);
    for split in [WITH_VALIDATION, WITHOUT] {
        let (whole, bytes) = desk.train("whole", 7, split);
        let log = desk.log("whole");
        // Two of the grid and three drawn; what was tried first is done first on one thread.
        assert_eq!((whole.trials.len(), log.lines().count()), (5, 5));
        for done in [1, 4, 5] {
            let lines: Vec<&str> = log.lines().collect();
            let torn = lines.get(done).map_or("", |line| &line[..line.len() / 2]);
            desk.begin("resumed", &(lines[..done].join("\n") + "\n" + torn));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let (resumed, again) = pool.install(|| desk.train("resumed", 7, split));
            assert!(again == bytes, "{done} trials known, {split}");
            assert_eq!(resumed.trials, whole.trials);
            assert_eq!(keys(&desk.log("resumed")), keys(&log));
            assert!(
                resumed
                    .remarks
                    .contains(&format!("trials.jsonl: {done} trials are known from an earlier run"))
            );
        }
        std::fs::remove_dir_all(desk.out("whole")).unwrap();
    }
}

#[test]
fn known_trials_are_believed_and_those_of_other_data_stay_unused() {
    let desk = Desk::new(2_400);
    let (fresh, bytes) = desk.train("fresh", 7, WITH_VALIDATION);
    desk.train("other", 8, WITH_VALIDATION);
    let others = desk.log("other") + "no trial\n";
    desk.begin("mixed", &others);
    let (mixed, again) = desk.train("mixed", 7, WITH_VALIDATION);
    assert!(again == bytes);
    let said = "trials.jsonl: 6 lines of other data or settings, or not readable, were not used";
    assert!(mixed.remarks.iter().any(|remark| remark == said), "{:?}", mixed.remarks);
    assert!(desk.log("mixed").starts_with(&others));
    // Had a known trial come out best, it would have won.
    let worst = fresh.trials.iter().min_by(|a, b| a.mean.total_cmp(&b.mean)).unwrap();
    let better = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line["candidate"] == worst.candidate {
            line["mean"] = 1.0.into();
        }
        line.to_string() + "\n"
    };
    desk.begin("believed", &desk.log("fresh").lines().map(better).collect::<String>());
    assert_eq!(desk.train("believed", 7, WITH_VALIDATION).0.chosen, worst.candidate);
}

#[test]
fn folds_follow_one_another_in_time_and_leave_the_delay_out() {
    let desk = Desk::new(2_400);
    for (split, within) in [(WITH_VALIDATION, 3), (WITHOUT, 4)] {
        let data = Dataset::read(&desk.tables(split), None, &mut ()).unwrap();
        let folds = folds(&data, Some(4)).unwrap();
        assert_eq!(folds.len(), 4);
        let mut judged = Vec::new();
        for (at, fold) in folds.iter().enumerate() {
            let [train, judge] = fold.parts(&data);
            let [known_ms, from_ms] =
                [train.at_ms.iter().max().unwrap(), judge.at_ms.iter().min().unwrap()].map(|at_ms| *at_ms);
            assert!(known_ms + DELAY_DAYS * 86_400_000 <= from_ms, "fold {at}: {known_ms} {from_ms}");
            assert!(
                at >= within || known_ms + (DELAY_DAYS + 1) * 86_400_000 > from_ms,
                "fold {at} wastes rows"
            );
            assert_eq!(train.at_ms[0], data.train.at_ms[0], "windows expand");
            assert_eq!(train.frame.names(), judge.frame.names());
            judged.extend(judge.at_ms.iter().copied());
        }
        assert!(judged.is_sorted(), "no row is judged on twice");
        let last = if within == 3 { &data.validate } else { &data.train };
        assert_eq!(judged.last(), last.at_ms.last());
    }
}

#[test]
fn windows_judge_no_customer_whose_fraud_was_known() {
    const DAY_MS: i64 = 86_400_000;
    let mut random = Random::new(4);
    let mut csv = "at,who,amount,label\n".to_owned();
    for row in 0..2_400 {
        let (at, who) = (1_700_000_000 + row * 7_200, random.below(60));
        let _ = writeln!(csv, "{at},{who},{},{}", random.below(90), u8::from(random.chance(0.03)));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.csv");
    std::fs::write(&file, csv).unwrap();
    for leave_out in [false, true] {
        let mapping = format!(
            "[columns]\ntime = 'at'\ncustomer = 'who'\namount = 'amount'\nlabel = 'label'\n[label]\n\
             delay_days = {DELAY_DAYS}\n[split]\nfractions = [0.7, 0.0, 0.3]\nleave_out_known_customers = {leave_out}\n"
        );
        let mapping = Mapping::parse(&mapping, Path::new("m.toml")).unwrap();
        let tables = Tables { data: file.clone(), test: None, mapping, seed: 3 };
        let data = Dataset::read(&tables, None, &mut ()).unwrap();
        let all = &data.train;
        let known = |who: Option<u64>, at_ms: i64| {
            let until_ms = at_ms.div_euclid(DAY_MS) * DAY_MS - DELAY_DAYS * DAY_MS;
            (0..all.rows())
                .any(|row| all.labels[row] && all.customers[row] == who && all.at_ms[row] < until_ms)
        };
        let (mut judged, mut of) = (0, 0);
        for (at, fold) in folds(&data, Some(4)).unwrap().iter().enumerate() {
            let [train, judge] = fold.parts(&data);
            assert_eq!(train.positives(), (0..train.rows()).filter(|&row| all.labels[row]).count());
            let rows = judge.customers.iter().zip(&judge.at_ms);
            assert_eq!(
                rows.filter(|(who, at_ms)| known(**who, **at_ms)).count() > 0,
                !leave_out,
                "fold {at}"
            );
            let (from, until) = (all.rows() * (at + 1) / 5, all.rows() * (at + 2) / 5);
            judged += judge.rows();
            of +=
                (from..until).filter(|&row| !leave_out || !known(all.customers[row], all.at_ms[row])).count();
        }
        assert_eq!(judged, of, "no other row is left out");
    }
}

#[test]
fn a_fold_knows_no_level_of_a_category_that_came_later() {
    let desk = Desk::new(2_400);
    let data = Dataset::read(&desk.tables(WITHOUT), None, &mut ()).unwrap();
    let late = |part: &Part| part.frame.names().iter().any(|name| name == "channel=late");
    assert!(late(&data.train));
    let known: Vec<bool> =
        folds(&data, Some(3)).unwrap().iter().map(|fold| late(&fold.parts(&data)[0])).collect();
    assert_eq!(known, [false, false, true]);
}

#[test]
fn of_equals_the_first_is_best_whichever_was_done_first() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let best = Mutex::new(None);
        order.into_iter().for_each(|number| Best::offer(&best, [0.5, 0.7, 0.7][number], number, None));
        assert_eq!(best.into_inner().unwrap().number, 1, "{order:?}");
    }
}

#[test]
fn what_is_no_log_of_trials_is_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    let basis = Basis {
        version: "1",
        schema: "",
        fingerprint: "",
        mapping: String::new(),
        seed: 1,
        folds: None,
        inputs: String::new(),
    };
    let file = std::fs::File::create(folder.path().join(TRIALS_FILE)).unwrap();
    file.set_len(1 << 40).unwrap();
    let refused = TrialLog::open(folder.path(), &basis).unwrap_err();
    assert!(refused.to_string().contains(TRIALS_FILE), "{refused}");
}
