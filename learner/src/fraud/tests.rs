use super::*;
use crate::behaviour::{ProfileLimits, Profiles};
use crate::transfer::TransferEvent;
use proptest::prelude::*;

fn names() -> Vec<String> {
    transfer::schema().columns().iter().map(|column| column.name.clone()).collect()
}

fn index(name: &str) -> usize {
    names().iter().position(|known| known == name).unwrap_or_else(|| panic!("no feature {name}"))
}

/// A straight model: so many log odds for each unit of a feature.
fn model(weights: &[(&str, f64)]) -> Classifier {
    let plain = Term {
        imputed: 0.0,
        mean: 0.0,
        spread: 1.0,
        weight: 0.0,
        ends: Vec::new(),
        points: vec![0.0],
        missing: 0.0,
    };
    let mut terms = vec![plain; names().len()];
    for &(name, weight) in weights {
        terms[index(name)].weight = weight;
    }
    Classifier {
        schema: transfer::schema(),
        encoder: Encoder::default(),
        method: Method::Scorecard(Scorecard { intercept: -4.0, terms, crosses: Vec::new() }),
        calibrator: Calibrator::Platt { slope: 1.0, intercept: 0.0 },
        thresholds: Thresholds { step_up: 0.2, hold: 0.6 },
        best_f1: 0.5,
    }
}

fn scorer(model: Classifier) -> Result<FraudScorer, ArtifactError> {
    let manifest = Manifest {
        schema_hash: transfer::schema().hash().to_owned(),
        data: "hand-made".into(),
        data_fingerprint: String::new(),
        seed: 0,
        command: String::new(),
        metrics: serde_json::Value::Null,
        baseline: None,
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

/// Twenty transfers of 1,000.00 at other hours, to another payee; the vector of `event` after them.
fn vector(scorer: &FraudScorer, event: &TransferEvent) -> Vec<f32> {
    let profiles = Profiles::new(ProfileLimits::default());
    for day in 1..=20 {
        let at_ms = event.at_ms - day * 86_400_000 + 10 * 3_600_000;
        let past = TransferEvent { at_ms, payee: 9, amount_minor: 100_000, ..*event };
        past.seen(|event| profiles.accept(event));
    }
    let mut vector = Vec::new();
    event.seen(|event| scorer.model().vector(&profiles, event, &mut vector));
    vector
}

#[test]
fn a_score_is_the_sum_of_its_parts() {
    let scorer = scorer(model(&[("new_payee", 1.5), ("night", -0.25)])).unwrap();
    let mut vector = vec![0.0; names().len()];
    vector[index("new_payee")] = 1.0;
    vector[index("night")] = 1.0;
    let score = scorer.score(&vector).unwrap();
    let expected = 1.0 / (1.0 + (4.0f64 - 1.25).exp());
    assert!((score.probability - expected).abs() < 1e-12);
    let [largest, next, none, ..] = score.contributions;
    assert_eq!((largest.feature, largest.log_odds), (index("new_payee"), 1.5));
    assert_eq!((next.feature, next.log_odds), (index("night"), -0.25));
    assert_eq!(none.log_odds, 0.0);
}

#[test]
fn reasons_read_like_sentences() {
    let weights = [("amount_z_log", 0.5), ("new_payee", 1.0), ("session_age_s", 0.1), ("hour_unusual", 0.5)];
    let scorer = scorer(model(&weights)).unwrap();
    let vector = vector(&scorer, &event());
    let score = scorer.score(&vector).unwrap();
    let said = scorer.sentences(&score, &vector);
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
fn subjects_add_up_and_each_of_transfers_has_its_own() {
    let weights =
        [("amount_z", 0.5), ("amount_log", -0.2), ("new_payee", 1.0), ("night", 0.3), ("attempts_10m", 0.1)];
    let scorer = scorer(model(&weights)).unwrap();
    let score = scorer.score(&vector(&scorer, &event())).unwrap();
    let sum: f64 = score.subjects.iter().sum();
    let log_odds = (score.probability / (1.0 - score.probability)).ln();
    assert!((sum - (log_odds + 4.0)).abs() < 1e-9);
    for subject in Subject::ALL {
        let used = names().iter().any(|name| Subject::of(name) == subject);
        let elsewhere = matches!(subject, Subject::Place | Subject::Other);
        assert_eq!(used, !elsewhere, "{subject:?}");
    }
}

#[test]
fn a_subject_that_speaks_against_fraud_is_not_named() {
    let scorer = scorer(model(&[("new_payee", -1.0), ("amount_z_log", 1.0)])).unwrap();
    let vector = vector(&scorer, &event());
    let score = scorer.score(&vector).unwrap();
    assert_eq!(scorer.sentences(&score, &vector), ["amount is 14 times this customer's usual"]);
}

#[test]
fn senseless_models_are_refused() {
    type Change = fn(&mut Classifier);
    let cases: [(&str, Change); 5] = [
        ("few", |model| {
            if let Method::Scorecard(card) = &mut model.method {
                card.terms.pop();
            }
        }),
        ("upside down", |model| model.calibrator = Calibrator::Platt { slope: -1.0, intercept: 0.0 }),
        ("crossed", |model| model.thresholds = Thresholds { step_up: 0.9, hold: 0.5 }),
        ("no threshold", |model| model.best_f1 = f64::NAN),
        ("a column too many", |model| {
            model.encoder =
                serde_json::from_str(r#"{"levels":[{"category":3,"hash":1,"text":"x"}]}"#).unwrap();
        }),
    ];
    for (what, change) in cases {
        let mut model = model(&[]);
        change(&mut model);
        assert!(scorer(model).is_err(), "{what}");
    }
}

#[test]
fn a_model_of_other_inputs_is_refused_by_name() {
    let mut other = model(&[]);
    other.schema = Schema::new(crate::behaviour::Inputs { amount: true, ..Default::default() });
    let manifest = Manifest {
        schema_hash: other.schema.hash().to_owned(),
        data: String::new(),
        data_fingerprint: String::new(),
        seed: 0,
        command: String::new(),
        metrics: serde_json::Value::Null,
        baseline: None,
    };
    let bytes = artifact::to_bytes(Kind::Fraud, &Artifact { manifest, model: other }).unwrap();
    assert!(matches!(FraudScorer::from_bytes(&bytes), Err(ArtifactError::SchemaMismatch { .. })));
}

#[test]
fn senseless_input_has_no_score() {
    let plain = scorer(model(&[("amount_log", 1.0)])).unwrap();
    let whole = vec![0.0; names().len()];
    assert!(plain.score(&whole).is_ok());
    for (name, value) in [("new_payee", f32::NAN), ("amount_z", f32::INFINITY), ("night", f32::NEG_INFINITY)]
    {
        let mut vector = whole.clone();
        vector[index(name)] = value;
        assert_eq!(plain.score(&vector), Err(Unavailable::BadInput), "{name}");
    }
    assert_eq!(plain.score(&whole[1..]), Err(Unavailable::BadInput));
    assert_eq!(plain.score(&[]), Err(Unavailable::BadInput));
    let huge = scorer(model(&[("new_payee", f64::MAX), ("night", f64::MAX)])).unwrap();
    let mut vector = whole;
    vector[index("new_payee")] = 5.0;
    vector[index("night")] = 5.0;
    assert_eq!(huge.score(&vector), Err(Unavailable::NotFinite));
}

proptest! {
    #[test]
    fn any_event_has_a_probability_or_none(
        at_ms: i64, amount_minor: i64, currency: [u8; 3], session_age_s: Option<u32>, device: Option<u64>, utc_offset_min: i16,
    ) {
        let scorer = scorer(model(&[("amount_z", 1.0), ("sum_30d", -2.0), ("since_last", 0.5), ("payee_age", -0.1)])).unwrap();
        let event = TransferEvent { at_ms, amount_minor, currency, session_age_s, device, utc_offset_min, ..event() };
        let profiles = Profiles::new(ProfileLimits::default());
        let mut vector = Vec::new();
        for _ in 0..6 {
            event.seen(|event| scorer.model().vector(&profiles, event, &mut vector));
            event.seen(|event| profiles.accept(event));
            event.seen(|event| profiles.label(event, vector.first().copied()));
        }
        if let Ok(score) = scorer.score(&vector) {
            prop_assert!((0.0..=1.0).contains(&score.probability));
            let sizes: Vec<f64> = score.contributions.iter().map(|contribution| contribution.log_odds.abs()).collect();
            prop_assert!(sizes.windows(2).all(|pair| pair[0] >= pair[1]));
            scorer.sentences(&score, &vector);
        }
    }

    #[test]
    fn any_vector_is_safe(values in prop::collection::vec(prop::num::f32::ANY, 0..120)) {
        let scorer = scorer(model(&[("amount_z", 1.0), ("night", 3.0)])).unwrap();
        if let Ok(score) = scorer.score(&values) {
            prop_assert!((0.0..=1.0).contains(&score.probability));
            scorer.sentences(&score, &values);
        }
    }
}
