use super::model::WIDTH_MAX;
use super::*;
use proptest::prelude::*;

/// A network that gives back its first ten inputs and nothing of the others.
fn model() -> AnomalyModel {
    let unit = |width: usize, at: usize| {
        let mut row = vec![0.0; width];
        if at < 10 {
            row[at] = 1.0;
        }
        row
    };
    AnomalyModel {
        transforms: vec![Transform { centre: 1.0, spread: 2.0 }; COUNT],
        layers: vec![
            dense((0..10).map(|at| unit(COUNT, at)).collect(), vec![10.0; 10]),
            dense(
                (0..COUNT).map(|at| unit(10, at)).collect(),
                (0..COUNT).map(|at| if at < 10 { -10.0 } else { 0.0 }).collect(),
            ),
        ],
        error_scales: vec![0.5; COUNT],
        percentiles: vec![0.0, 1.0, 2.0, 4.0, 8.0],
    }
}

fn dense(weights: Vec<Vec<f32>>, biases: Vec<f32>) -> Dense {
    Dense::try_from(Rows { weights, biases }).unwrap()
}

fn scorer(model: AnomalyModel) -> Result<AnomalyScorer, ArtifactError> {
    let manifest = Manifest {
        schema_hash: request::schema_hash(),
        data: "hand-made".into(),
        data_fingerprint: String::new(),
        seed: 0,
        command: String::new(),
        metrics: serde_json::Value::Null,
    };
    AnomalyScorer::from_bytes(&artifact::to_bytes(Kind::Anomaly, &Artifact { manifest, model }).unwrap())
}

#[test]
fn the_error_is_what_cannot_be_given_back() {
    let scorer = scorer(model()).unwrap();
    let mut vector = [1.0; COUNT];
    vector[3] = 4.0;
    assert!(scorer.score_vector(&vector).unwrap().error < 1e-6);
    vector[20] = 2.0;
    vector[21] = 3.0;
    let score = scorer.score_vector(&vector).unwrap();
    assert!((score.error - ((1.0 + 16.0) / COUNT as f32).sqrt()).abs() < 1e-6);
    assert_eq!(score.contributions[0], Contribution { feature: 21, error: 4.0 });
    assert_eq!(score.contributions[1], Contribution { feature: 20, error: 1.0 });
    let words = sentences(&score);
    assert_eq!(words, [format!("unusual {}", request::FEATURES[21].meaning)]);
}

#[test]
fn the_percentile_rises_with_the_error() {
    let scorer = scorer(model()).unwrap();
    let mut last = -1.0;
    for size in [0.0, 1.0, 2.0, 5.0, 10.0, 100.0, 1e6] {
        let mut vector = [1.0; COUNT];
        vector[12..].iter_mut().for_each(|value| *value += size);
        let percentile = scorer.score_vector(&vector).unwrap().percentile;
        assert!(
            (0.0..=1.0).contains(&percentile) && percentile >= last,
            "{size} gives {percentile} after {last}"
        );
        last = percentile;
    }
    assert!(last > 0.98);
}

#[test]
fn missing_values_are_the_centre_and_others_refused() {
    let scorer = scorer(model()).unwrap();
    let rate = request::FEATURES.iter().position(|spec| spec.name == "client_rate").unwrap();
    let mut vector = [1.0; COUNT];
    vector[rate] = f32::NAN;
    assert!(scorer.score_vector(&vector).unwrap().error < 1e-6);
    vector[0] = f32::NAN;
    assert_eq!(scorer.score_vector(&vector), Err(Unavailable::BadInput));
    vector[0] = f32::INFINITY;
    assert_eq!(scorer.score_vector(&vector), Err(Unavailable::BadInput));
}

#[test]
fn senseless_models_are_refused() {
    type Change = fn(&mut AnomalyModel);
    let changed = |change: Change| {
        let mut model = model();
        change(&mut model);
        scorer(model)
    };
    let cases: [(&str, Change); 6] = [
        ("no layers", |model| model.layers.clear()),
        ("other width", |model| model.layers.truncate(1)),
        ("flat", |model| model.transforms[0].spread = 0.0),
        ("no scale", |model| model.error_scales[5] = 0.0),
        ("falling percentiles", |model| model.percentiles.reverse()),
        ("too wide", |model| {
            let wide = WIDTH_MAX + 1;
            model.layers[0] = dense(vec![vec![0.0; COUNT]; wide], vec![0.0; wide]);
            model.layers[1] = dense(vec![vec![0.0; wide]; COUNT], vec![0.0; COUNT]);
        }),
    ];
    for (what, change) in cases {
        assert!(matches!(changed(change), Err(ArtifactError::Malformed(_))), "{what}");
    }
}

#[test]
fn layers_with_ragged_rows_are_refused_and_others_kept_as_they_are() {
    let read = |text: &str| serde_json::from_str::<Dense>(text).map_err(|error| error.to_string());
    for ragged in [
        r#"{"weights":[[1.0,2.0],[3.0]],"biases":[0.0,0.0]}"#,
        r#"{"weights":[[1.0,2.0],[3.0,4.0]],"biases":[0.0]}"#,
    ] {
        assert!(read(ragged).unwrap_err().contains("do not fit together"), "{ragged}");
    }
    let text = r#"{"weights":[[1.0,2.0,3.0],[4.0,5.0,6.0]],"biases":[7.0,8.0]}"#;
    assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
}

proptest! {
    #[test]
    fn any_vector_is_safe(values in prop::collection::vec(prop::num::f32::ANY, COUNT)) {
        let vector: [f32; COUNT] = values.try_into().unwrap();
        if let Ok(score) = scorer(model()).unwrap().score_vector(&vector) {
            prop_assert!((0.0..=1.0).contains(&score.percentile) && score.error.is_finite());
            prop_assert!(score.contributions.windows(2).all(|pair| pair[0].error >= pair[1].error));
        }
    }
}
