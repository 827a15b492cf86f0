use super::*;
use crate::artifact::Artifact;
use crate::behaviour::{ProfileLimits, Profiles};
use crate::lifecycle::Window;
use crate::simulate::{TransferSettings, transfers};
use crate::train::data::RecordedTransfer;
use crate::train::{Measured, ModelKind};
use std::sync::OnceLock;

fn town() -> &'static Vec<RecordedTransfer> {
    static TOWN: OnceLock<Vec<RecordedTransfer>> = OnceLock::new();
    TOWN.get_or_init(|| transfers(TransferSettings::small(11)))
}

fn settings() -> TrainFraud {
    TrainFraud {
        data: Source::File("small".into()),
        recipe: Recipe { model: Some(ModelKind::Logistic), seed: 5, ..Recipe::default() },
        out: PathBuf::new(),
    }
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| trained(town()))
}

fn trained(events: &[RecordedTransfer]) -> Made {
    train(&Dataset::of_transfers(events), &settings(), None, &mut ()).unwrap()
}

fn loaded(artifact: &[u8]) -> Artifact<Classifier> {
    artifact::from_bytes(artifact, Kind::Fraud, transfer::schema().hash()).unwrap()
}

#[test]
fn the_same_data_and_seed_give_the_same_bytes_and_the_test_part_changes_no_model() {
    let other = trained(&transfers(TransferSettings::small(11)));
    assert!(other.artifact == made().artifact && other.report == made().report);
    let mut changed = town().clone();
    let last_ms = changed.last().unwrap().event.at_ms;
    let first_ms = changed[0].event.at_ms;
    let from_ms = first_ms + ((last_ms - first_ms + 1) as f64 * 0.75) as i64;
    for recorded in changed.iter_mut().filter(|recorded| recorded.event.at_ms >= from_ms) {
        recorded.event.amount_minor += 100;
        recorded.fraud = Some(recorded.event.amount_minor % 5 == 0);
    }
    let other = trained(&changed);
    assert_eq!(loaded(&other.artifact).model, loaded(&made().artifact).model);
}

#[test]
fn another_seed_gives_other_data() {
    assert_ne!(transfers(TransferSettings::small(12))[..50], town()[..50]);
}

/// Towns that the model below never met. Frauds come in bunches: it takes towns of the full size, with some two hundred
/// frauds in their last quarter each, before a figure says more about the model than about chance.
const UNSEEN: [u64; 2] = [31, 32];

/// A model of one town, measured on the later time of its own and of each unseen town. One test, because it is the
/// training that takes long.
#[test]
fn a_model_is_judged_on_later_time_and_on_towns_it_never_met() {
    let events = transfers(TransferSettings { days: 75, ..TransferSettings::full(30) });
    let Made { artifact, trained, .. } = trained(&events);
    let model = loaded(&artifact).model;
    let later = |seed| {
        let rows = Dataset::of_transfers(&transfers(TransferSettings::full(seed)));
        let singles = ["amount_log".to_owned()];
        measure::measure(&rows.test, &model, Costs::default(), &singles, &rows.scenarios)
    };
    let judged: Vec<Measured> = std::iter::once(trained.test).chain(UNSEEN.map(later)).collect();
    the_model_beats_amount_and_rules_on_later_time(&judged);
    fraud_overlaps_with_lawful_life(&judged);
    probabilities_mean_what_they_say(&judged);
}

fn the_model_beats_amount_and_rules_on_later_time(judged: &[Measured]) {
    for (town, Measured { ranking, step_up, baselines, money, .. }) in judged.iter().enumerate() {
        for (name, simpler) in baselines {
            assert!(ranking.auprc > 1.5 * simpler.auprc, "{town}: {} of {name}", simpler.auprc);
            assert!(ranking.auroc > 0.02 + simpler.auroc, "{town}: {} of {name}", simpler.auroc);
            let [_, at_1_percent, _] = ranking.recall_at_fpr;
            assert!(at_1_percent > 0.1 + simpler.recall_at_fpr[1], "{town}: {name} {simpler:?}");
        }
        assert!(step_up.recall > 0.6 && step_up.false_positive_rate < 0.1, "{town}: {step_up:?}");
        let money = money.unwrap();
        assert!(money.saved_cents > 0 && money.saved_cents < money.fraud_cents, "{town}: {money:?}");
    }
    let mean = judged.iter().map(|measured| measured.ranking.auroc).sum::<f64>() / judged.len() as f64;
    assert!(mean > 0.93, "AUROC {mean}");
}

fn fraud_overlaps_with_lawful_life(judged: &[Measured]) {
    for Measured { ranking, baselines, .. } in &judged[1..] {
        assert!(ranking.auprc < 0.95, "so easy that it teaches nothing: {}", ranking.auprc);
        let amount = &baselines["amount_log alone"];
        assert!(amount.auroc > 0.5 && amount.auroc < 0.9, "amount alone has {}", amount.auroc);
        assert!(amount.auprc > ranking.prevalence, "amount alone has {}", amount.auprc);
    }
}

fn probabilities_mean_what_they_say(judged: &[Measured]) {
    for measured in judged {
        let guess = measured.ranking.prevalence * (1.0 - measured.ranking.prevalence);
        assert!(measured.brier < 0.8 * guess, "Brier {} against {guess} of guessing", measured.brier);
        for group in measured.calibration.iter().filter(|group| group.rows >= 150) {
            let bound = 0.05 + 0.5 * group.said;
            assert!((group.said - group.came).abs() < bound, "{group:?}");
        }
    }
}

fn rows(events: &[RecordedTransfer]) -> Vec<Vec<u32>> {
    let part = Dataset::of_transfers(events).into_one().test;
    let mut row = vec![0.0; part.frame.width()];
    (0..part.rows())
        .map(|at| {
            part.frame.row(at, &mut row);
            row.iter().map(|value| value.to_bits()).collect()
        })
        .collect()
}

#[test]
fn the_future_never_changes_the_past() {
    let cut = town().len() / 2;
    let mut changed = town().clone();
    for recorded in &mut changed[cut..] {
        recorded.event.amount_minor = recorded.event.amount_minor * 7 + 13;
        recorded.event.payee ^= 0xffff;
        recorded.fraud = recorded.fraud.map(|fraud| !fraud);
        recorded.accepted = !recorded.accepted;
    }
    let (before, after) = (rows(town()), rows(&changed));
    // Rows begin after the first tenth of the time.
    let skipped = town().len() - before.len();
    assert_eq!(before[..cut - skipped], after[..cut - skipped]);
    assert_ne!(before[cut - skipped + 10], after[cut - skipped + 10]);
}

#[test]
fn labels_are_seen_after_their_delay_and_not_before() {
    let payee = 0xfeed;
    let recorded = |days: i64, fraud: bool| RecordedTransfer {
        event: transfer::TransferEvent { at_ms: days * 86_400_000, payee, ..town()[0].event },
        accepted: true,
        fraud: Some(fraud),
        scenario: None,
    };
    let events: Vec<_> = [(0, false), (50, true), (56, false), (58, false), (100, false)]
        .map(|(days, fraud)| recorded(days, fraud))
        .into();
    let part = Dataset::of_transfers(&events).into_one().test;
    let at = part.frame.names().iter().position(|name| name == "payee_streak").unwrap();
    let streaks: Vec<f32> = part.frame.column(at).to_vec();
    assert_eq!(streaks, [0.0, 0.0, 2f32.ln(), 0.0]);
}

#[test]
fn parts_follow_one_another() {
    let data = Dataset::of_transfers(town());
    let ends = [&data.train, &data.validate, &data.test]
        .map(|part| (*part.at_ms.iter().min().unwrap(), *part.at_ms.iter().max().unwrap()));
    assert!(ends[0].1 < ends[1].0 && ends[1].1 < ends[2].0, "{ends:?}");
}

#[test]
fn training_and_serving_see_the_same_numbers() {
    let scorer = FraudScorer::from_bytes(&made().artifact).unwrap();
    let trained = rows(town());
    let profiles = Profiles::new(ProfileLimits::default());
    let skipped = town().len() - trained.len();
    let mut due: std::collections::VecDeque<(i64, &RecordedTransfer, f32)> = Default::default();
    let surprise = scorer.names().iter().position(|name| name == "amount_to_norm_log").unwrap();
    let mut vector = Vec::new();
    for (number, recorded) in town().iter().enumerate() {
        while due.front().is_some_and(|(due_ms, ..)| *due_ms <= recorded.event.at_ms) {
            let (_, fraud, surprise) = due.pop_front().unwrap();
            fraud.event.seen(|event| profiles.label(event, Some(surprise)));
        }
        recorded.event.seen(|event| scorer.model().vector(&profiles, event, &mut vector));
        if number >= skipped {
            let bits: Vec<u32> = vector.iter().map(|value| value.to_bits()).collect();
            assert_eq!(bits, trained[number - skipped], "{number}");
            assert_eq!(
                scorer.score(&vector).unwrap().probability.to_bits(),
                scorer.model().probability(&vector).to_bits()
            );
        }
        recorded.event.seen(|event| profiles.attempt(event));
        if recorded.accepted {
            recorded.event.seen(|event| profiles.accept(event));
            if recorded.fraud == Some(true) {
                due.push_back((recorded.event.at_ms + 7 * 86_400_000, recorded, vector[surprise]));
            }
        }
    }
}

#[test]
fn the_artifact_carries_bins_of_its_training_part() {
    let of = |made: &Made| FraudScorer::from_bytes(&made.artifact).unwrap();
    let scorer = of(made());
    let bins = scorer.manifest().baseline.clone().unwrap();
    assert_eq!((bins.rows, &*bins.names), (made().trained.rows[0], scorer.names()));
    let train = Dataset::of_transfers(town()).train;
    let drift = |rows: &mut dyn Iterator<Item = usize>| {
        let (mut window, mut vector) = (Window::new(bins.clone(), 1_000), vec![0.0; scorer.names().len()]);
        for row in rows {
            train.frame.row(row, &mut vector);
            window.add(0, &vector, scorer.model().probability(&vector));
        }
        window.drift(0).unwrap()
    };
    let same = drift(&mut (0..train.rows()));
    assert!(same.score < 1e-3 && same.features.iter().all(|one| one.psi < 1e-3), "{same:?}");
    let frauds = drift(&mut (0..train.rows()).filter(|&row| train.labels[row]).cycle().take(1_000));
    assert!(frauds.score > 1.0, "{}", frauds.score);
    let without = |artifact: &[u8]| {
        artifact::from_bytes::<Classifier>(artifact, Kind::Fraud, transfer::schema().hash())
    };
    let mut plain = without(&made().artifact).unwrap();
    plain.manifest.baseline = None;
    let plain = artifact::to_bytes(Kind::Fraud, &plain).unwrap();
    assert!(FraudScorer::from_bytes(&plain).unwrap().manifest().baseline.is_none(), "as old ones are");
    let bytes = made().artifact.len() - plain.len();
    assert!(bytes < 16_000, "{bytes} bytes of bins");
    let mut other = without(&made().artifact).unwrap();
    other.manifest.baseline.as_mut().unwrap().names[0].clear();
    let refused = FraudScorer::from_bytes(&artifact::to_bytes(Kind::Fraud, &other).unwrap());
    assert!(refused.unwrap_err().to_string().contains("bins"));
}

/// Says at once when features, simulator or scoring changed and the shipped model did not.
#[test]
fn the_shipped_model_still_has_the_figures_it_shipped_with() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models/fraud");
    let loaded: Artifact<Classifier> =
        artifact::load(folder.as_ref(), Kind::Fraud, transfer::schema().hash()).unwrap();
    let Manifest { data, data_fingerprint, metrics, .. } = loaded.manifest;
    let rows = Dataset::of_transfers(&data::transfers(&data.parse().unwrap()).unwrap());
    assert_eq!(rows.fingerprint, data_fingerprint);
    let singles: Vec<String> = serde_json::from_value(metrics["singles"].clone()).unwrap();
    let today = measure::measure(&rows.test, &loaded.model, Costs::default(), &singles, &rows.scenarios);
    assert_eq!(serde_json::to_value(today).unwrap(), metrics["test"]);
}
