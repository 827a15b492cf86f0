//! From a federated training to a model that the gateway loads.

use super::*;
use crate::federate::table::propose;
use crate::fraud::FraudScorer;
use crate::simulate::{TransferSettings, transfers};
use crate::train::adopt::{Origin, adopt};
use crate::train::dataset::Dataset;

#[test]
fn what_banks_train_together_serves_in_the_gateway() {
    let town = |seed| TransferSettings { customers: 400, ..TransferSettings::small(seed) };
    let banks: Vec<Dataset> = (1..=3).map(|seed| Dataset::of_transfers(&transfers(town(seed)))).collect();
    let mut schema = propose(&banks[0].train.frame, "fraud", Some("customer"));
    // Not everything that the gateway makes need be agreed on.
    let left_out = schema.features.remove(3).name;
    let missing = schema.features.iter().filter(|feature| feature.missing).count();
    assert!(missing > 0 && missing < schema.features.len());
    let terms = Terms {
        schema: schema.digest(),
        learning_rate: Real(0.005),
        ..terms(Method::Averaging { epochs: 1, batch: 64 }, 4)
    };
    let seat = |(name, data): (&&str, &Dataset)| {
        let work = Box::new(Bank::new(Table::of_part(&data.train, &schema).unwrap()));
        let entropy = Box::new(SeededEntropy::new(data.train.rows() as u64));
        let notary = Box::new(Simulated((*name).into()));
        ((*name).to_owned(), Party::new(schema.clone(), Limits::default(), notary, entropy, work))
    };
    let mut seats: BTreeMap<String, Party> = NAMES.iter().zip(&banks).map(seat).collect();
    let names = seats.keys().cloned().collect();
    let begun = Coordinator::new(terms, schema.clone(), names, Box::new(Simulated("coordinator".into())));
    let played = play(begun, &mut seats, |_, _| Fate::Arrives).unwrap();
    assert_eq!(played.outcome.end, End::Complete, "{:?}", played.refused);
    let model = Model::of(schema.clone(), played.state).unwrap();

    let (data, out) = (&banks[0], tempfile::tempdir().unwrap());
    let origin = Origin {
        chosen: serde_json::json!({ "model": "federated" }),
        data: "simulate:1".into(),
        command: "gatehouse federate party".into(),
        seed: 7,
    };
    let card = model.scorecard(data.train.frame.names()).unwrap();
    let trained = adopt(card, data, origin, out.path()).unwrap();
    // The gateway's own way to load a model.
    let served = FraudScorer::load(out.path()).unwrap();
    let thresholds = served.thresholds();
    assert!(thresholds.step_up < 1.0 && thresholds.step_up <= thresholds.hold, "{thresholds:?}");
    assert!(trained.test.ranking.auprc > 5.0 * trained.test.ranking.prevalence, "{:?}", trained.test.ranking);

    let rows = Table::of_part(&data.test, &schema).unwrap();
    let (mut vector, mut row) = (vec![0.0; data.test.frame.width()], vec![0.0; schema.features.len()]);
    for at in 0..data.test.rows() {
        data.test.frame.row(at, &mut vector);
        rows.frame.row(at, &mut row);
        let expected = served.model().calibrator.probability(model.log_odds(&row));
        let found = served.score(&vector).unwrap().probability;
        assert!((found - expected).abs() < 1e-4, "row {at}: {found} for {expected}");
    }
    let columns: Vec<String> = schema.names().into_iter().skip(1).collect();
    assert_eq!(model.scorecard(&columns), Err(schema.features[0].name.clone()));
    assert!(data.train.frame.names().contains(&left_out));
    // Clusters and autoencoders are each bank's own: no schema can agree on them.
    schema.features[0].name = "cluster 1".to_owned();
    assert_eq!(Table::of_part(&data.train, &schema).unwrap_err(), "cluster 1");
}

#[test]
fn a_served_term_is_clipped_standardised_and_flagged_as_in_training() {
    let text = "label = \"y\"\n[[features]]\nname = \"a\"\nlow = -2\nhigh = 10\nmissing = true\n\
                [[features]]\nname = \"b\"\nlow = 0\nhigh = 4\n";
    let schema = Schema::from_toml(text).unwrap();
    let sum = fixed::encode(&[-30.0, 40.0, 20.0, 50.0, 60.0, 0.0, 10.0, 100.0]);
    let terms = Terms { schema: schema.digest(), ..averaging() };
    let mut state = State::default().after(&terms, &schema, Purpose::Statistics, 3, &sum).unwrap().0;
    state.weights = [1.5, -0.7, 2.0, -3.0].map(Real).to_vec();
    let model = Model::of(schema, state).unwrap();
    let card = model.scorecard(&["b".to_owned(), "c".to_owned(), "a".to_owned()]).unwrap();
    for a in [-1e6, -2.0, -1.9, 0.0, 4.0, 9.9, 10.0, 1e6, f32::NAN] {
        for b in [-1.0, 0.0, 3.3, 4.0, 5.0] {
            let (trained, served) = (model.log_odds(&[a, b]), card.raw(&[b, 77.0, a]));
            assert!((trained - served).abs() < 1e-5, "{a} {b}: {served} for {trained}");
        }
    }
}
