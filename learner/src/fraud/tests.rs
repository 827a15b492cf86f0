use super::model::Column;
use super::*;
use crate::features::transfer::FEATURES;
use proptest::prelude::*;

fn index(name: &str) -> usize {
    FEATURES.iter().position(|spec| spec.name == name).expect("feature exists")
}

fn model(weights: &[(&str, f64)]) -> FraudModel {
    let plain =
        Column { imputed: 0.0, mean: 0.0, sd: 1.0, weight: 0.0, missing_mean: 0.0, missing_weight: 0.0 };
    let mut columns = vec![plain; COUNT];
    for &(name, weight) in weights {
        columns[index(name)].weight = weight;
    }
    FraudModel {
        columns,
        intercept: -4.0,
        calibration: Calibration { slope: 1.0, intercept: 0.0 },
        thresholds: Thresholds { step_up: 0.2, hold: 0.6 },
        smote_ratio: 0.0,
        l2: 1.0,
    }
}

fn scorer(model: FraudModel) -> Result<FraudScorer, ArtifactError> {
    let manifest = Manifest {
        schema_hash: transfer::schema_hash(),
        data: "hand-made".into(),
        data_fingerprint: String::new(),
        seed: 0,
        command: String::new(),
        metrics: serde_json::Value::Null,
    };
    FraudScorer::from_bytes(&artifact::to_bytes(Kind::Fraud, &Artifact { manifest, model }).unwrap())
}

fn event() -> TransferEvent {
    TransferEvent {
        at_ms: 1_750_037_400_000,
        customer: 1,
        payee: 2,
        device: Some(3),
        amount_minor: 1_400_000,
        currency: *b"EUR",
        session_age_s: Some(40),
        auth_age_s: Some(40),
        utc_offset_min: 0,
    }
}

fn view() -> ProfileView {
    ProfileView {
        accepted_total: 20,
        log_cents_mean: 100_001f64.ln(),
        log_cents_sd: 0.4,
        ..ProfileView::default()
    }
}

#[test]
fn a_score_is_the_sum_of_its_parts() {
    let scorer = scorer(model(&[("new_payee", 1.5), ("night", -0.25)])).unwrap();
    let mut vector = [0.0; COUNT];
    vector[index("new_payee")] = 1.0;
    vector[index("night")] = 1.0;
    let score = scorer.score_vector(&vector).unwrap();
    let expected = 1.0 / (1.0 + (4.0f64 - 1.25).exp());
    assert!((score.probability - expected).abs() < 1e-12);
    let [largest, next, none, ..] = score.contributions;
    assert_eq!((largest.feature, largest.log_odds), (index("new_payee"), 1.5));
    assert_eq!((next.feature, next.log_odds), (index("night"), -0.25));
    assert_eq!(none.log_odds, 0.0);
}

#[test]
fn what_is_missing_is_imputed_and_flagged() {
    let mut model = model(&[("session_age", 2.0)]);
    model.columns[index("session_age")] =
        Column { imputed: 3.0, mean: 2.0, sd: 0.5, weight: 0.1, missing_mean: 0.25, missing_weight: 1.0 };
    let mut vector = [0.0; COUNT];
    vector[index("session_age")] = f64::NAN;
    let score = scorer(model).unwrap().score_vector(&vector).unwrap();
    assert!((score.contributions[0].log_odds - (0.2 + 0.75)).abs() < 1e-12);
}

#[test]
fn reasons_read_like_sentences() {
    let weights =
        [("amount_z", 0.5), ("new_payee", 1.0), ("fresh_session_new_payee", 1.0), ("hour_unusual", 0.5)];
    let scorer = scorer(model(&weights)).unwrap();
    let score = scorer.score(&event(), &view()).unwrap();
    let said = sentences(&score, &event(), &view());
    for expected in [
        "amount is 14 times this customer's usual",
        "payee never paid before, by anybody here",
        "session only 40 seconds old",
        "at night, an unusual hour for this customer",
    ] {
        assert!(said.iter().any(|sentence| sentence == expected), "{expected} is not in {said:?}");
    }
}

#[test]
fn subjects_add_up_and_each_has_its_own() {
    let weights =
        [("amount_z", 0.5), ("amount_log", -0.2), ("new_payee", 1.0), ("night", 0.3), ("attempts_10m", 0.1)];
    let scorer = scorer(model(&weights)).unwrap();
    let score = scorer.score(&event(), &view()).unwrap();
    let sum: f64 = score.subjects.iter().sum();
    let log_odds = (score.probability / (1.0 - score.probability)).ln();
    assert!((sum - (log_odds + 4.0)).abs() < 1e-9);
    for subject in Subject::ALL {
        assert!(FEATURES.iter().any(|spec| Subject::of(spec.name) == subject), "{subject:?} has no feature");
    }
}

#[test]
fn a_subject_that_speaks_against_fraud_is_not_named() {
    let scorer = scorer(model(&[("new_payee", -1.0), ("amount_z", 1.0)])).unwrap();
    let score = scorer.score(&event(), &view()).unwrap();
    assert_eq!(sentences(&score, &event(), &view()), ["amount is 14 times this customer's usual"]);
}

#[test]
fn senseless_models_are_refused() {
    let mut few = model(&[]);
    few.columns.pop();
    let mut flat = model(&[]);
    flat.columns[4].sd = 0.0;
    let mut upside_down = model(&[]);
    upside_down.calibration.slope = -1.0;
    let mut crossed = model(&[]);
    crossed.thresholds = Thresholds { step_up: 0.9, hold: 0.5 };
    for (what, model) in [("few", few), ("flat", flat), ("upside down", upside_down), ("crossed", crossed)] {
        assert!(matches!(scorer(model), Err(ArtifactError::Malformed(_))), "{what}");
    }
}

#[test]
fn senseless_input_has_no_score() {
    let plain = scorer(model(&[("amount_log", 1.0)])).unwrap();
    let minus = TransferEvent { amount_minor: -1, ..event() };
    assert_eq!(plain.score(&minus, &view()), Err(Unavailable::BadInput));
    for broken in [f64::NAN, f64::INFINITY] {
        let view = ProfileView { log_cents_mean: broken, ..view() };
        assert_eq!(plain.score(&event(), &view), Err(Unavailable::BadInput));
    }
    let mut vector = [0.0; COUNT];
    vector[index("new_payee")] = f64::NAN;
    assert_eq!(plain.score_vector(&vector), Err(Unavailable::BadInput));
    vector[index("new_payee")] = f64::MAX;
    let huge = scorer(model(&[("new_payee", 1e300)])).unwrap();
    assert_eq!(huge.score_vector(&vector), Err(Unavailable::NotFinite));
}

proptest! {
    #[test]
    fn any_event_has_a_probability_or_none(
        at_ms: i64, amount_minor: i64, currency: [u8; 3], session_age_s: Option<u32>, device: Option<u64>, utc_offset_min: i16,
        counts: [u32; 4], sums_cents: [i64; 4], accepted_total: u32, mean: f64, sd: f64, since_last_ms: Option<i64>, payee_age_ms: Option<i64>,
    ) {
        let scorer = scorer(model(&[("amount_z", 1.0), ("sum_30d", -2.0), ("since_last", 0.5), ("payee_age", -0.1)])).unwrap();
        let event = TransferEvent { at_ms, amount_minor, currency, session_age_s, device, utc_offset_min, ..event() };
        let view = ProfileView {
            counts, sums_cents, accepted_total, log_cents_mean: mean, log_cents_sd: sd, since_last_ms, payee_age_ms, ..view()
        };
        if let Ok(score) = scorer.score(&event, &view) {
            prop_assert!((0.0..=1.0).contains(&score.probability));
            let sizes: Vec<f64> = score.contributions.iter().map(|contribution| contribution.log_odds.abs()).collect();
            prop_assert!(sizes.windows(2).all(|pair| pair[0] >= pair[1]));
            sentences(&score, &event, &view);
        }
    }

    #[test]
    fn any_vector_is_safe(values in prop::collection::vec(prop::num::f64::ANY, COUNT)) {
        let scorer = scorer(model(&[("amount_z", 1.0), ("night", 3.0)])).unwrap();
        let vector: [f64; COUNT] = values.try_into().expect("COUNT values");
        if let Ok(score) = scorer.score_vector(&vector) {
            prop_assert!((0.0..=1.0).contains(&score.probability));
        }
    }
}
