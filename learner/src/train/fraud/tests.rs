use super::*;
use crate::profiles::{ProfileLimits, Profiles};
use crate::simulate::{TransferSettings, transfers};
use crate::train::data::RecordedTransfer;
use std::sync::OnceLock;

fn town() -> &'static Vec<RecordedTransfer> {
    static TOWN: OnceLock<Vec<RecordedTransfer>> = OnceLock::new();
    TOWN.get_or_init(|| transfers(TransferSettings::small(11)))
}

/// Two of the candidates; the whole grid says nothing more about behaviour.
const SHORT: [Parameters; 2] =
    [Parameters { smote_ratio: 0.05, l2: 10.0 }, Parameters { smote_ratio: 0.25, l2: 10.0 }];

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| again(town()))
}

fn again(events: &[RecordedTransfer]) -> Made {
    let origin = ("simulate:small".to_owned(), "test".to_owned());
    train(data::replay(events), Vec::new(), 5, &SHORT, origin, &mut ()).unwrap()
}

#[test]
fn the_same_data_and_seed_give_the_same_bytes() {
    let other = again(&transfers(TransferSettings::small(11)));
    assert_eq!(other.artifact, made().artifact);
    assert_eq!(other.report, made().report);
}

#[test]
fn another_seed_gives_other_data() {
    assert_ne!(transfers(TransferSettings::small(12))[..50], town()[..50]);
}

#[test]
fn the_model_beats_amount_and_rules_on_later_time() {
    let metrics = &made().trained.tests[0];
    let best = metrics.baselines.values().map(|ranking| ranking.auprc).fold(0.0, f64::max);
    assert!(metrics.model.auprc > 1.3 * best, "{} against {best}", metrics.model.auprc);
    assert!(metrics.model.auroc > 0.9, "AUROC {}", metrics.model.auroc);
    assert!(metrics.saved_cents > 0 && metrics.saved_cents < metrics.fraud_cents);
}

#[test]
fn fraud_overlaps_with_lawful_life() {
    let metrics = &made().trained.tests[0];
    assert!(
        metrics.model.auprc < 0.97,
        "a simulator that is this easy teaches nothing: {}",
        metrics.model.auprc
    );
    let amount = &metrics.baselines["amount only"];
    assert!(amount.auroc > 0.5 && amount.auroc < 0.9, "amount alone has {}", amount.auroc);
}

#[test]
fn the_future_never_changes_the_past() {
    let cut = town().len() / 2;
    let before = data::replay(town());
    let mut changed = town().clone();
    for recorded in &mut changed[cut..] {
        recorded.event.amount_minor = recorded.event.amount_minor * 7 + 13;
        recorded.event.payee ^= 0xffff;
        recorded.fraud = recorded.fraud.map(|fraud| !fraud);
        recorded.accepted = !recorded.accepted;
    }
    let after = data::replay(&changed);
    for (row, (a, b)) in before.iter().zip(&after).take(cut).enumerate() {
        assert_eq!(a.vector.map(f64::to_bits), b.vector.map(f64::to_bits), "row {row}");
    }
    assert_ne!(before[cut + 10].vector.map(f64::to_bits), after[cut + 10].vector.map(f64::to_bits));
}

#[test]
fn the_test_part_never_changes_the_model() {
    let rows = data::replay(town());
    let mut changed = rows.clone();
    let from = split(rows).test[0].at_ms;
    for row in changed.iter_mut().filter(|row| row.at_ms >= from) {
        row.vector[0] += 1.0;
        row.fraud ^= row.vector[0] > 3.0;
    }
    let origin = ("simulate:small".to_owned(), "test".to_owned());
    let other = train(changed, Vec::new(), 5, &SHORT, origin, &mut ()).unwrap();
    let model = |made: &Made| {
        artifact::from_bytes::<FraudModel>(&made.artifact, Kind::Fraud, &transfer::schema_hash())
    };
    assert_eq!(model(&other).unwrap().model, model(made()).unwrap().model);
}

#[test]
fn parts_follow_one_another() {
    let parts = split(data::replay(town()));
    let last = |rows: &[Row]| rows.iter().map(|row| row.at_ms).max().unwrap();
    let first = |rows: &[Row]| rows.iter().map(|row| row.at_ms).min().unwrap();
    assert!(last(&parts.train) < first(&parts.validate));
    assert!(last(&parts.validate) < first(&parts.test));
}

#[test]
fn training_and_serving_see_the_same_numbers() {
    let scorer = FraudScorer::from_bytes(&made().artifact).unwrap();
    let model = artifact::from_bytes::<FraudModel>(&made().artifact, Kind::Fraud, &transfer::schema_hash());
    let model = model.unwrap().model;
    let rows = data::replay(town());
    let trained = scores(&rows, &model);
    let profiles = Profiles::new(ProfileLimits::default());
    for (recorded, (row, trained)) in town().iter().zip(rows.iter().zip(&trained)) {
        let view = profiles.view(&recorded.event);
        assert_eq!(transfer::vector(&recorded.event, &view).map(f64::to_bits), row.vector.map(f64::to_bits));
        let served = scorer.score(&recorded.event, &view).unwrap();
        assert_eq!(served.probability.to_bits(), trained.score.to_bits());
        profiles.attempt(&recorded.event);
        if recorded.accepted {
            profiles.accept(&recorded.event);
        }
    }
}

#[test]
fn probabilities_mean_what_they_say() {
    let metrics = &made().trained.tests[0];
    let guess = metrics.model.prevalence * (1.0 - metrics.model.prevalence);
    assert!(metrics.brier < 0.8 * guess, "Brier {} against {guess} of guessing", metrics.brier);
    for group in metrics.calibration.iter().filter(|group| group.rows >= 150) {
        let bound = 0.05 + 0.5 * group.said;
        assert!((group.said - group.came).abs() < bound, "{group:?}");
    }
}

#[test]
fn platt_scaling_undoes_a_known_distortion() {
    let mut random = crate::simulate::Random::new(2);
    let scored: Vec<_> = (0..40_000)
        .map(|_| {
            let truth = 1.5 * random.normal() - 2.0;
            let positive = random.chance(1.0 / (1.0 + (-truth).exp()));
            Scored { score: 2.0 * truth + 5.0, positive }
        })
        .collect();
    let Calibration { slope, intercept } = platt(&scored);
    assert!((slope - 0.5).abs() < 0.03 && (intercept + 2.5).abs() < 0.15, "{slope} {intercept}");
}

#[test]
fn the_cheapest_threshold_by_hand() {
    let row = |fraud, amount_cents| Row {
        at_ms: 0,
        vector: [0.0; transfer::COUNT],
        fraud,
        amount_cents,
        scenario: None,
        rule_score: 0.0,
    };
    let rows = [row(true, 10_000), row(false, 0), row(true, 1_000), row(false, 0), row(true, 100)];
    let scored: Vec<_> = [0.9, 0.8, 0.7, 0.6, 0.5]
        .iter()
        .zip(&rows)
        .map(|(&score, row)| Scored { score, positive: row.fraud })
        .collect();
    // Each alarm costs its price: 200 pays down to the fraud of 1 000, 600 only for the first.
    assert_eq!(cheapest(&scored, &rows, 200.0), 0.7);
    assert_eq!(cheapest(&scored, &rows, 600.0), 0.9);
    assert_eq!(cheapest(&scored, &rows, 20_000.0), 1.0);
}

#[test]
fn too_little_data_is_said_by_part() {
    let rows: Vec<_> = data::replay(town()).into_iter().filter(|row| !row.fraud).collect();
    let origin = (String::new(), String::new());
    let error = train(rows, Vec::new(), 1, &SHORT, origin, &mut ()).err().unwrap();
    assert!(error.to_string().starts_with("training part: 0 frauds"), "{error}");
}
