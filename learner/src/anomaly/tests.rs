use super::*;
use crate::frame::Frame;
use crate::trees::isolation;
use proptest::prelude::*;

/// A network that gives back its first ten inputs and nothing of the others; values of 0 to 2 are inputs of -0.5 to 0.5.
fn model() -> AnomalyModel {
    let unit = |width: usize, at: usize| {
        let mut row = vec![0.0; width];
        if at < 10 {
            row[at] = 1.0;
        }
        row
    };
    let number =
        Number { knots: vec![[0.0, -0.5], [2.0, 0.5]], tail: 4.0, reach: 2.0, imputed: 0.0, flagged: false };
    AnomalyModel {
        encoding: Encoding { numbers: vec![number; COUNT], categories: Vec::new() },
        members: vec![Member {
            layers: vec![
                dense((0..10).map(|at| unit(COUNT, at)).collect(), vec![10.0; 10]),
                dense(
                    (0..COUNT).map(|at| unit(10, at)).collect(),
                    (0..COUNT).map(|at| if at < 10 { -10.0 } else { 0.0 }).collect(),
                ),
            ],
            encoder_depth: 1,
            error_scales: vec![0.5; COUNT],
        }],
        ensemble: None,
        percentiles: vec![0.0, 1.0, 2.0, 4.0, 8.0],
        baselines: Baselines { mahalanobis: scaled(COUNT, |_| 1.0), medians: vec![0.0; COUNT] },
    }
}

/// Every column times a factor of its own.
fn scaled(width: usize, factor: impl Fn(usize) -> f32) -> Whitening {
    let row = |at: usize| {
        let mut row = vec![0.0; at + 1];
        row[at] = factor(at);
        row
    };
    Whitening { centre: vec![0.0; width], rows: (0..width).map(row).collect() }
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
        baseline: None,
    };
    AnomalyScorer::from_bytes(&artifact::to_bytes(Kind::Anomaly, &Artifact { manifest, model }).unwrap())
}

#[test]
fn the_error_is_what_cannot_be_given_back() {
    let scorer = scorer(model()).unwrap();
    let mut vector = [1.0; COUNT];
    vector[3] = 2.0;
    assert!(scorer.score_vector(&vector).unwrap().error < 1e-6);
    vector[20] = 0.5;
    vector[21] = 2.0;
    let score = scorer.score_vector(&vector).unwrap();
    assert!((score.error - (0.5 + 1.0) / COUNT as f32).abs() < 1e-6);
    assert_eq!(score.contributions[0], Contribution { feature: 21, error: 1.0 });
    assert_eq!(score.contributions[1], Contribution { feature: 20, error: 0.25 });
    vector[21] = 4.0;
    let score = scorer.score_vector(&vector).unwrap();
    let words = sentences(&score);
    assert_eq!(words, [format!("unusual {}", request::FEATURES[21].meaning)]);
}

#[test]
fn whitening_is_the_product_with_a_symmetric_matrix() {
    let whitening = Whitening {
        centre: vec![1.0, 0.0, 2.0],
        rows: vec![vec![2.0], vec![3.0, 5.0], vec![7.0, 11.0, 13.0]],
    };
    assert!(whitening.fits(3) && !whitening.fits(2));
    let row = [2.0, 10.0, 102.0];
    assert_eq!(whitening.apply(&row)[..4], [732.0, 1153.0, 1417.0, 0.0]);
    assert_eq!(whitening.squared_distance(&row), 732.0 * 732.0 + 1153.0 * 1153.0 + 1417.0 * 1417.0);
}

#[test]
fn the_bottleneck_is_handed_out() {
    let mut bottleneck = [0.0; 12];
    model().bottleneck(&[2.0; COUNT], &[], &mut bottleneck).unwrap();
    assert_eq!((bottleneck[..10].to_vec(), bottleneck[10..].to_vec()), (vec![10.5; 10], vec![0.0; 2]));
    assert_eq!(model().bottleneck_width(), 10);
}

#[test]
fn many_columns_a_little_off_outweigh_one_far_out() {
    let (mut one, mut many) = ([1.0; COUNT], [1.0; COUNT]);
    one[21] = f32::MAX;
    many[10..30].fill(2.0);
    let [one, many] = [one, many].map(|vector| model().score(&vector, &[]).unwrap().error);
    assert!(one < many && one > many / 10.0, "{one} and {many}");
}

#[test]
fn a_forest_adds_what_it_finds_rare() {
    let mut rows = Frame::new((0..COUNT).map(|at| at.to_string()).collect());
    let mut random = crate::simulate::Random::new(5);
    for _ in 0..600 {
        rows.push(&(0..COUNT).map(|_| random.uniform() as f32 - 0.5).collect::<Vec<_>>());
    }
    let forest = isolation::fit(&rows, &isolation::Settings::default()).unwrap();
    let ensemble = Ensemble { forest, usual: [[-3.0, 0.5], [-1.0, 0.1]], rare_from: 1.5 };
    let model = AnomalyModel { ensemble: Some(ensemble.clone()), ..model() };
    model.check().unwrap();
    let mut vector = [1.0; COUNT];
    vector[30] = 2.0;
    let score = model.score(&vector, &[]).unwrap();
    let mut inputs = [0.0; COUNT];
    model.encoding.apply(&vector, &[], &mut inputs).unwrap();
    let networks = |score: &AnomalyScore| (f64::from(score.networks).ln() + 3.0) / 0.5;
    let apart = (ensemble.forest.score(&inputs).ln() + 1.0) / 0.1;
    let expected = networks(&score) + (apart - 1.5).max(0.0);
    assert!((f64::from(score.error).ln() - expected).abs() < 1e-4, "{} and {expected}", score.error);
    // The first ten inputs come back whatever they are: the networks see nothing, the forest does.
    let mut far = vector;
    far[..10].fill(500.0);
    let seen = model.score(&far, &[]).unwrap();
    assert!(seen.networks == score.networks && seen.error > 2.0 * score.error, "{seen:?} after {score:?}");
    // A row that it finds common is as far off as the networks find it.
    let common = Ensemble { usual: [[-3.0, 0.5], [0.0, 0.1]], ..ensemble.clone() };
    let score = AnomalyModel { ensemble: Some(common), ..model.clone() }.score(&vector, &[]).unwrap();
    assert!((f64::from(score.error).ln() - networks(&score)).abs() < 1e-4, "{score:?}");

    for usual in [[[0.0, 0.0], [0.0, 1.0]], [[f64::NAN, 1.0], [0.0, 1.0]]] {
        let broken = Ensemble { usual, ..ensemble.clone() };
        assert!(AnomalyModel { ensemble: Some(broken), ..model.clone() }.check().is_err());
    }
    for rare_from in [-0.1, f64::NAN, f64::INFINITY] {
        let broken = Ensemble { rare_from, ..ensemble.clone() };
        assert!(AnomalyModel { ensemble: Some(broken), ..model.clone() }.check().is_err());
    }
    let narrow = AnomalyModel { encoding: Encoding { numbers: Vec::new(), categories: Vec::new() }, ..model };
    assert!(narrow.check().is_err());
}

#[test]
fn networks_are_averaged() {
    let mut model = model();
    model.members.push(model.members[0].clone());
    let mut vector = [1.0; COUNT];
    vector[21] = 2.0;
    let alike = model.score(&vector, &[]).unwrap().error;
    model.members[1].error_scales[21] = 1.0;
    let other = model.score(&vector, &[]).unwrap().error;
    assert!((alike - 1.0 / COUNT as f32).abs() < 1e-6 && (other - 0.75 / COUNT as f32).abs() < 1e-6);
}

#[test]
fn the_inputs_of_a_category_are_one_contribution() {
    let level = |hash: u64, input: Option<u16>| Level { hash: Some(hash), rarity: 0.0, input };
    let category = Category { levels: vec![level(4, Some(0)), level(7, None)], frequent: 1, unseen: 3.0 };
    let zeros = |outputs: usize, inputs: usize| dense(vec![vec![0.0; inputs]; outputs], vec![0.0; outputs]);
    let number =
        Number { knots: vec![[0.0, 0.0], [1.0, 1.0]], tail: 4.0, reach: 1.0, imputed: 0.5, flagged: true };
    let model = AnomalyModel {
        encoding: Encoding { numbers: vec![number], categories: vec![category] },
        members: vec![Member {
            layers: vec![zeros(1, 5), zeros(5, 1)],
            encoder_depth: 1,
            error_scales: vec![1.0; 5],
        }],
        baselines: Baselines { mahalanobis: scaled(5, |_| 1.0), medians: vec![0.0; 5] },
        ..model()
    };
    model.check().unwrap();
    let errors = |number: f32, level: Option<u64>| {
        let mut found = model.score(&[number], &[level]).unwrap().contributions;
        found[..2].sort_by_key(|contribution| contribution.feature);
        [found[0].error, found[1].error]
    };
    assert_eq!(errors(1.0, Some(4)), [0.5, 1.0 / 3.0]);
    assert_eq!(errors(f32::NAN, Some(7)), [(0.25 + 1.0) / 2.0, 1.0 / 3.0]);
    assert_eq!(errors(1.0, Some(1)), [0.5, (1.0 + 9.0) / 3.0]);
    assert_eq!(model.score(&[1.0, 2.0], &[None]), Err(Unavailable::BadInput));
}

#[test]
fn the_percentile_rises_with_the_error() {
    let scorer = scorer(AnomalyModel { percentiles: vec![0.0, 0.1, 0.2, 0.4, 0.8], ..model() }).unwrap();
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
fn missing_values_are_imputed_and_others_refused() {
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
    let cases: [(&str, Change); 12] = [
        ("no network", |model| model.members.clear()),
        ("no layers", |model| model.members[0].layers.clear()),
        ("other width", |model| model.members[0].layers.truncate(1)),
        ("no bottleneck", |model| model.members[0].encoder_depth = 2),
        ("no scale", |model| model.members[0].error_scales[5] = 0.0),
        ("no reach", |model| model.encoding.numbers[0].reach = 0.0),
        ("no tail", |model| model.encoding.numbers[0].tail = 0.0),
        ("falling knots", |model| model.encoding.numbers[0].knots.reverse()),
        ("other medians", |model| model.baselines.medians.clear()),
        ("falling percentiles", |model| model.percentiles.reverse()),
        ("other columns", |model| model.encoding.numbers.truncate(9)),
        ("too wide", |model| {
            let wide = WIDTH_MAX + 1;
            model.members[0].layers = vec![
                dense(vec![vec![0.0; COUNT]; wide], vec![0.0; wide]),
                dense(vec![vec![0.0; wide]; COUNT], vec![0.0; COUNT]),
            ];
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
