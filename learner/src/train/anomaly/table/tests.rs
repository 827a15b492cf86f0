use super::*;
use crate::simulate::Random;
use crate::train::autoencoder::Noise;
use std::fmt::Write;

const MAPPING: &str = r#"
[columns]
categorical = ["service"]
numeric = ["bytes", "packets", "rate"]
label = "kind"
scenario = "kind"
[label]
negative = "normal"
"#;

/// Connections whose packets follow their bytes; a `flood` breaks that, a `probe` uses an unheard-of service.
fn csv(seed: u64, rows: usize, kinds: &[&str]) -> String {
    let mut random = Random::new(seed);
    let mut text = "bytes,packets,rate,service,kind\n".to_owned();
    for _ in 0..rows {
        let kind = kinds[random.below(kinds.len())];
        let bytes = random.lognormal(2_000.0, 1.0);
        let mut packets = 3.0 + bytes / 500.0 * (0.9 + 0.2 * random.uniform());
        let mut service = ["http", "smtp", "dns"][random.below(3)];
        match kind {
            "flood" => packets *= 30.0,
            "probe" => service = "gopher",
            _ => {}
        }
        let rate = if random.chance(0.1) { String::new() } else { format!("{:.4}", random.uniform()) };
        let _ = writeln!(text, "{bytes:.1},{packets:.2},{rate},{service},{kind}");
    }
    text
}

struct Case {
    folder: tempfile::TempDir,
    settings: TrainTable,
}

fn case(mapping: &str, train: &str, test: Option<&str>) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let network = Settings {
        widths: vec![12, 3, 12],
        members: 2,
        forest: true,
        epochs_max: 15,
        batch: 32,
        patience: 5,
        rate: 0.005,
        noise: Noise::Swap(0.05),
    };
    let settings = TrainTable {
        data: put("train.csv", train),
        test: test.map(|text| put("test.csv", text)),
        mapping: put("mapping.toml", mapping),
        out: folder.path().join("model"),
        seed: 3,
        network: Some(network),
    };
    Case { folder, settings }
}

const NORMAL_AND_FLOODS: [&str; 5] = ["normal", "normal", "normal", "normal", "flood"];
const ALL: [&str; 4] = ["normal", "normal", "flood", "probe"];

#[test]
fn attacks_of_known_and_unseen_kinds_stand_out_and_training_repeats_to_the_byte() {
    let case = case(MAPPING, &csv(1, 1_500, &NORMAL_AND_FLOODS), Some(&csv(2, 600, &ALL)));
    let trained = table(&case.settings, &mut ()).unwrap();
    let metrics = &trained.metrics;
    assert!(metrics.model.auroc > 0.97, "{metrics}");
    let unseen = metrics.unseen_kinds.as_ref().unwrap();
    assert!(unseen.positives < metrics.model.positives && unseen.auroc > 0.97, "{metrics}");
    assert_eq!(metrics.recall_by_attack.keys().collect::<Vec<_>>(), ["flood", "probe"]);
    assert!(metrics.baselines.contains_key("Mahalanobis distance"), "{metrics}");
    assert!(trained.rows[0] > 900 && trained.rows[0] < 1_200, "{:?}", trained.rows);
    let file = case.settings.out.join(artifact::FILE);
    let first = std::fs::read(&file).unwrap();
    table(&case.settings, &mut ()).unwrap();
    assert!(first == std::fs::read(&file).unwrap(), "training again gave other bytes");
    let (data, test) = (&case.settings.data, case.settings.test.as_deref());
    let again = [(test.unwrap(), None), (data, test)].map(|(data, test)| {
        let metrics = evaluate(&file, data, test, &case.settings.mapping).unwrap();
        (metrics.model, metrics.unseen_kinds)
    });
    let expected = (metrics.model.clone(), metrics.unseen_kinds.clone());
    assert_eq!(again, [expected.clone(), expected]);
    for test in [None, Some(data.as_path())] {
        let refused = evaluate(&file, data, test, &case.settings.mapping).unwrap_err();
        assert!(refused.to_string().contains("--test"), "{refused}");
    }
}

#[test]
fn a_table_that_was_trained_on_is_measured_on_its_test_part_alone() {
    let mapping = format!("{MAPPING}[split]\nfractions = [0.6, 0.1, 0.3]\n");
    let case = case(&mapping, &csv(1, 1_500, &ALL), None);
    let trained = table(&case.settings, &mut ()).unwrap();
    let again = evaluate(&case.settings.out, &case.settings.data, None, &case.settings.mapping).unwrap();
    assert_eq!(again.model, trained.metrics.model);
    assert!((350..550).contains(&again.model.rows), "{}", again.model.rows);
}

#[test]
fn the_label_teaches_nothing_unless_all_rows_are_wanted() {
    let (train, test) = (csv(1, 800, &NORMAL_AND_FLOODS), csv(2, 400, &ALL));
    let made = |mapping: &str, train: &str| {
        let case = case(mapping, train, Some(&test));
        table(&case.settings, &mut ()).unwrap().rows[0]
    };
    let normal = made(MAPPING, &train);
    let all = made(&format!("{MAPPING}[train]\nrows = \"all\"\n"), &train);
    assert!(all > normal * 11 / 10, "{all} of all rows, {normal} of the normal ones");
}

#[test]
fn a_row_is_explained_by_its_columns() {
    let case = case(MAPPING, &csv(1, 1_000, &["normal"]), Some(&csv(2, 200, &ALL)));
    table(&case.settings, &mut ()).unwrap();
    let mapping = Mapping::read(&case.settings.mapping).unwrap();
    let model = load(&case.settings.out, &mapping).unwrap().model;
    let mut row = Row::new(&mapping);
    let flood = Record {
        numbers: vec![2_000.0, 900.0, 0.5],
        categories: vec![Some(table::hash_text(b"http"))],
        ..Record::default()
    };
    let score = model.score(&flood, &mut row).unwrap();
    assert!(score.percentile > 0.99);
    assert_eq!(model.feature(score.contributions[0].feature), Some("packets"));
    let probe = Record {
        numbers: vec![2_000.0, 7.0, 0.5],
        categories: vec![Some(table::hash_text(b"gopher"))],
        ..Record::default()
    };
    let score = model.score(&probe, &mut row).unwrap();
    assert_eq!(model.feature(score.contributions[0].feature), Some("service"));
}

#[test]
fn a_model_of_other_columns_is_refused() {
    let case = case(MAPPING, &csv(1, 400, &["normal"]), Some(&csv(2, 100, &ALL)));
    table(&case.settings, &mut ()).unwrap();
    let other = case.folder.path().join("other.toml");
    std::fs::write(&other, MAPPING.replace("\"packets\", ", "")).unwrap();
    let test = case.settings.test.as_ref().unwrap();
    let refused = evaluate(&case.settings.out, test, None, &other).unwrap_err();
    assert!(refused.to_string().contains("schema"), "{refused}");
    let bytes = std::fs::read(case.settings.out.join(artifact::FILE)).unwrap();
    assert!(crate::anomaly::AnomalyScorer::from_bytes(&bytes).is_err(), "the gateway loads a table's model");
}

#[test]
fn too_few_rows_and_parts_of_one_kind_are_said() {
    let said = |train: &str, test: &str| {
        let case = case(MAPPING, train, Some(test));
        table(&case.settings, &mut ()).unwrap_err().to_string()
    };
    let few = said(&csv(1, 40, &["normal"]), &csv(2, 50, &ALL));
    assert!(few.contains("40 normal rows are too few"), "{few}");
    let calm = said(&csv(1, 400, &["normal"]), &csv(2, 50, &["normal"]));
    assert!(calm.contains("both normal rows and attacks"), "{calm}");
    let same = said(&csv(1, 900, &ALL), &csv(1, 900, &ALL));
    assert!(same.contains("no test"), "{same}");
    let none = said("bytes,packets,rate,service,kind\n", &csv(2, 50, &ALL));
    assert!(none.contains("train.csv"), "{none}");
}

#[test]
fn more_rows_than_wanted_are_thinned_evenly() {
    let mapping = format!("{MAPPING}[train]\nrows_max = 100\n");
    let case = case(&mapping, &csv(1, 10, &["normal"]), None);
    let mapping = Mapping::read(&case.settings.mapping).unwrap();
    let mut thinned = Thinned::new(&mapping);
    let mut row = Row::new(&mapping);
    for at in 0..1_000 {
        let record =
            Record { numbers: vec![at as f32, 0.0, 0.0], categories: vec![None], ..Record::default() };
        row.fill(&record);
        thinned.push(&row);
    }
    let kept = thinned.columns.numbers.column(0);
    assert!(kept.len() > 50 && kept.len() <= 100, "{}", kept.len());
    assert!(kept.windows(2).all(|pair| pair[1] - pair[0] == kept[1] - kept[0]), "{kept:?}");
    assert!(kept[kept.len() - 1] > 980.0);
}
