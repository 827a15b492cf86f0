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
        derived: None,
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
        let elsewhere = matches!(subject, Subject::Place | Subject::Other | Subject::Pattern);
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

/// Two clusters that differ in whether the payee is new, and a network over all features that gives zeros back.
fn derived(width: usize) -> Derived {
    let at = index("new_payee");
    let centre = |high: f32| (0..width).map(|feature| if feature == at { high } else { 0.0 }).collect();
    let clusters = Clusters {
        means: vec![0.0; width],
        spreads: vec![1.0; width],
        centres: vec![centre(0.0), centre(1.0)],
        radii: vec![0.1, 0.1],
        frauds: vec![0.002, 0.125],
        fraud: 0.01,
    };
    let number = serde_json::json!({
        "knots": [[-10.0, -10.0], [10.0, 10.0]], "tail": 1.0, "reach": 1.0, "imputed": 0.0, "flagged": false
    });
    let encoding = serde_json::json!({ "numbers": vec![number; width], "categories": [] });
    let layer = |inputs: usize, outputs: usize, bias: f32| serde_json::json!({ "weights": vec![vec![0.0; inputs]; outputs], "biases": vec![bias; outputs] });
    let network = serde_json::json!({
        "layers": [layer(width, 2, 0.5), layer(2, width, 0.0)], "encoder_depth": 1, "error_scales": vec![1.0; width]
    });
    let autoencoder = serde_json::json!({ "encoding": encoding, "network": network, "usual": 0.01 });
    Derived { clusters: Some(clusters), autoencoder: serde_json::from_value(autoencoder).unwrap() }
}

/// A model that looks at what is derived alone: so many log odds for each unit, by name.
fn of_whole(weights: &[(&str, f64)]) -> Classifier {
    let mut model = model(&[]);
    model.derived = Some(derived(names().len()));
    let known = model.names();
    let Method::Scorecard(card) = &mut model.method else { unreachable!() };
    let plain = card.terms[0].clone();
    card.terms.resize(known.len(), plain);
    for &(name, weight) in weights {
        let at = known.iter().position(|known| known == name).unwrap_or_else(|| panic!("no {name}"));
        card.terms[at].weight = weight;
    }
    model
}

#[test]
fn derived_inputs_follow_the_others_and_speak_in_sentences() {
    let scorer = scorer(of_whole(&[("cluster 2", 2.0)])).unwrap();
    let plain = names().len();
    let derived = [
        "cluster 1",
        "cluster 2",
        "cluster distance",
        "reconstruction error",
        "bottleneck 1",
        "bottleneck 2",
    ];
    assert_eq!(scorer.names()[plain..], derived);
    let whole = |new: f32| {
        let mut vector = vec![0.0; plain];
        vector[index("new_payee")] = new;
        scorer.model().derived.as_ref().unwrap().extend(&mut vector);
        vector
    };
    let vector = whole(1.0);
    let [ordinary, odd, distance, error, kept, _] = vector[plain..] else { panic!("{}", vector.len()) };
    assert!(odd > 0.999 && ordinary < 0.001 && distance < 0.01, "{ordinary} {odd} {distance}");
    // One feature of all is off by 1, in units of the usual error.
    assert!((error - 100.0 / plain as f32).abs() < 1e-3 && kept == 0.5, "{error} {kept}");
    let score = scorer.score(&vector).unwrap();
    assert_eq!(scorer.names()[score.contributions[0].feature], "cluster 2");
    let said = "it resembles a group of earlier transfers of which 12 in 100 were fraud";
    assert_eq!(scorer.sentences(&score, &vector), [said]);
    let score = scorer.score(&whole(0.0)).unwrap();
    assert!(scorer.sentences(&score, &whole(0.0)).is_empty());
}

#[test]
fn a_bad_picture_and_a_far_place_are_said_with_their_size() {
    let whole = scorer(of_whole(&[("reconstruction error", 1.0), ("cluster distance", 1.0)])).unwrap();
    let said = |value: f32| {
        let mut vector = vec![value; names().len()];
        // Whatever else, it belongs to the first cluster, where hardly any fraud is.
        vector[index("new_payee")] = 0.0;
        whole.model().derived.as_ref().unwrap().extend(&mut vector);
        whole.sentences(&whole.score(&vector).unwrap(), &vector)
    };
    let worse = said(1.0);
    assert!(
        worse[0].contains("fits ordinary transfers") && worse[0].contains("times worse than usual"),
        "{worse:?}"
    );
    let mut without = of_whole(&[]);
    without.derived.as_mut().unwrap().autoencoder = None;
    let Method::Scorecard(card) = &mut without.method else { unreachable!() };
    card.terms.truncate(card.terms.len() - 3);
    card.terms.last_mut().unwrap().weight = 1.0;
    let scorer = scorer(without).unwrap();
    let mut vector = vec![1.0; names().len()];
    vector[index("new_payee")] = 0.0;
    scorer.model().derived.as_ref().unwrap().extend(&mut vector);
    let further = scorer.sentences(&scorer.score(&vector).unwrap(), &vector);
    assert!(further[0].contains("times further than usual from every group"), "{further:?}");
}

#[test]
fn derived_inputs_of_nonsense_have_no_score_and_allocate_nothing() {
    let scorer = scorer(of_whole(&[("cluster 2", 2.0)])).unwrap();
    for senseless in [f32::INFINITY, f32::NEG_INFINITY] {
        let mut vector = vec![0.0; names().len()];
        vector[index("amount_z")] = senseless;
        scorer.model().derived.as_ref().unwrap().extend(&mut vector);
        assert_eq!(vector.len(), scorer.names().len());
        assert_eq!(scorer.score(&vector), Err(Unavailable::BadInput));
    }
    for value in [f32::MAX, f32::MIN, f32::NAN, f32::MIN_POSITIVE] {
        let mut vector = Vec::with_capacity(scorer.names().len());
        vector.resize(names().len(), value);
        let derived = scorer.model().derived.as_ref().unwrap();
        let counted = allocation_counter::measure(|| derived.extend(&mut vector));
        assert_eq!(counted.count_total, 0);
        assert!(vector[names().len()..].iter().all(|input| input.is_finite()), "{value}");
    }
    let mut short = vec![0.0; 3];
    scorer.model().derived.as_ref().unwrap().extend(&mut short);
    assert!(short[3..].iter().all(|input| input.is_nan()));
}

#[test]
fn altered_derived_parts_are_refused_by_name() {
    type Change = fn(&mut Derived);
    fn clusters(derived: &mut Derived) -> &mut Clusters {
        derived.clusters.as_mut().unwrap()
    }
    let cases: [(&str, Change); 12] = [
        ("neither clusters nor", |derived| *derived = Derived { clusters: None, autoencoder: None }),
        ("clusters over", |derived| clusters(derived).means.truncate(3)),
        ("clusters over", |derived| clusters(derived).spreads.push(1.0)),
        ("scale of the clusters", |derived| clusters(derived).spreads[2] = 0.0),
        ("scale of the clusters", |derived| clusters(derived).means[2] = f32::INFINITY),
        ("centre of cluster 2", |derived| clusters(derived).centres[1][4] = 1e9),
        ("centre of cluster 1", |derived| clusters(derived).centres[0].truncate(4)),
        ("0 clusters", |derived| clusters(derived).centres.clear()),
        ("size of a cluster", |derived| clusters(derived).radii[0] = 0.0),
        ("size of a cluster", |derived| clusters(derived).frauds.truncate(1)),
        ("no usual error", |derived| derived.autoencoder.as_mut().unwrap().usual = 0.0),
        ("of the inputs", |derived| derived.autoencoder.as_mut().unwrap().network.error_scales.truncate(1)),
    ];
    for (said, change) in cases {
        let mut model = of_whole(&[]);
        change(model.derived.as_mut().unwrap());
        let error = model.check().unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
    }
    // What is no number, and what is missing, does not get so far.
    let body = serde_json::to_value(of_whole(&[])).unwrap();
    for part in ["radii", "centres", "means", "frauds"] {
        for with in [None, Some(serde_json::json!([null, null]))] {
            let mut body = body.clone();
            let clusters = body["derived"]["clusters"].as_object_mut().unwrap();
            match &with {
                None => clusters.remove(part),
                Some(value) => clusters.insert(part.to_owned(), value.clone()),
            };
            let error = serde_json::from_value::<Classifier>(body).unwrap_err().to_string();
            assert!(with.is_some() || error.contains(part), "{part}: {error}");
        }
    }
    // A model whose derived part is gone has terms for features that it does not have.
    let mut model = of_whole(&[]);
    model.derived = None;
    assert!(scorer(model).is_err());
}

#[test]
fn a_model_that_derives_nothing_says_nothing_of_it() {
    assert!(!serde_json::to_string(&model(&[])).unwrap().contains("derived"));
}
