use super::*;
use crate::simulate::{TrafficSettings, traffic};
use std::sync::OnceLock;

fn requests(seed: u64, count: usize, attacks: f64) -> Vec<RecordedRequest> {
    traffic(&TrafficSettings { attacks, ..TrafficSettings::normal(seed, count) })
}

fn again() -> Made {
    let origin = ("simulate:small".to_owned(), "test".to_owned());
    train(&requests(21, 2_500, 0.0), &requests(22, 2_000, 0.1), 5, origin, &mut ()).unwrap()
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(again)
}

#[test]
fn the_same_data_and_seed_give_the_same_bytes() {
    let other = again();
    assert_eq!(other.artifact, made().artifact);
    assert_eq!(other.report, made().report);
}

#[test]
fn attacks_stand_out_from_normal_traffic() {
    let metrics = &made().trained.metrics;
    assert!(metrics.model.auroc > 0.95, "AUROC {}", metrics.model.auroc);
    let lexical = &metrics.baselines["lexical findings only"];
    assert!(metrics.model.auroc > lexical.auroc, "lexical findings alone have {}", lexical.auroc);
}

#[test]
fn percentiles_mean_what_they_say() {
    let rate = made().trained.metrics.at_99.false_positive_rate;
    assert!((0.001..0.03).contains(&rate), "{rate} of other normal traffic passes the 99th percentile");
}

#[test]
fn serving_gives_what_training_measured() {
    let scorer = AnomalyScorer::from_bytes(&made().artifact).unwrap();
    let test = requests(22, 2_000, 0.1);
    let positives = test.iter().filter(|request| request.attack.is_some());
    let found =
        positives.filter(|request| scorer.score_vector(&request.vector()).unwrap().percentile >= 0.99);
    assert_eq!(found.count(), made().trained.metrics.at_99.confusion.true_positives);
}

#[test]
fn too_little_or_one_sided_data_is_said_by_part() {
    let origin = || (String::new(), String::new());
    let few = train(&requests(1, 50, 0.0), &requests(2, 50, 0.5), 1, origin(), &mut ()).err().unwrap();
    assert!(few.to_string().starts_with("training part: 50 normal requests"), "{few}");
    let calm = train(&requests(1, 300, 0.0), &requests(2, 50, 0.0), 1, origin(), &mut ()).err().unwrap();
    assert!(calm.to_string().starts_with("test part:"), "{calm}");
}

#[test]
fn figures_are_told_with_units_baselines_and_thresholds() {
    let said = made().trained.metrics.to_string();
    for wanted in [
        "requests of other traffic",
        "AUROC",
        "this model",
        "lexical findings only",
        "distance from the median",
        "Mahalanobis distance",
        "isolation forest",
        "act from a percentile of",
        "scanner",
    ] {
        assert!(said.contains(wanted), "{wanted} is not in\n{said}");
    }
}

/// Says at once when features, simulator, inspection or scoring changed and the shipped model did not.
#[test]
fn the_shipped_model_still_has_the_figures_it_shipped_with() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models/anomaly");
    let Artifact { manifest, model } =
        artifact::load::<AnomalyModel>(folder.as_ref(), Kind::Anomaly, &request::schema_hash()).unwrap();
    let (normal, test) = sources(&manifest.data.parse().unwrap()).unwrap();
    let inputs = learn::encoded(&model.encoding, &columns(&normal), parts(normal.len()).fit).unwrap();
    let forest = learn::isolation_forest(&inputs, manifest.seed).unwrap();
    let shipped = &manifest.metrics["metrics"];
    let (today, _) = measured(shipped["on"].as_str().unwrap(), &test, &model, Some(&forest)).unwrap();
    assert_eq!(&serde_json::to_value(today).unwrap(), shipped);
}
