use super::*;
use crate::train::part::Beside;

fn part(rows: usize, draw: impl Fn(&mut Random) -> (Vec<f32>, f64)) -> Part {
    let mut random = Random::new(11);
    let mut part = Part::default();
    for key in 0..rows as u64 {
        let (vector, probability) = draw(&mut random);
        if key == 0 {
            part = Part::new((0..vector.len()).map(|at| format!("x{at}")).collect(), 0);
        }
        let label = random.chance(probability);
        let beside =
            Beside { key, label, at_ms: 0, customer: None, cents: None, scenario: 0, categories: &[] };
        part.push(&vector, &beside);
    }
    part
}

const SETTINGS: Settings =
    Settings { smote_ratio: 0.0, class_weight: 1, l2: 1.0, crosses: 4, rows_max: 20_000, seed: 1 };

fn auprc(card: &Scorecard, part: &Part) -> f64 {
    let mut row = vec![0.0; part.frame.width()];
    let scored: Vec<_> = (0..part.rows())
        .map(|at| {
            part.frame.row(at, &mut row);
            crate::evaluate::Scored { score: card.raw(&row), positive: part.labels[at] }
        })
        .collect();
    crate::evaluate::auprc(&scored)
}

/// Fraud above a step of one feature, or where two others are high together.
fn steps(random: &mut Random) -> (Vec<f32>, f64) {
    let row: Vec<f32> = (0..4).map(|_| random.normal() as f32).collect();
    let fraud = row[0] > 2.0 || (row[1] > 1.2 && row[2] > 1.2);
    (row, if fraud { 0.8 } else { 0.005 })
}

#[test]
fn bins_find_a_step_and_crosses_find_a_corner() {
    let train = part(20_000, steps);
    let crossed = fit(&train, &SETTINGS, None).unwrap();
    let plain = fit(&train, &Settings { crosses: 0, ..SETTINGS }, None).unwrap();
    assert!(crossed.crosses.iter().any(|cross| cross.features == [1, 2] || cross.features == [2, 1]));
    let test = part(30_000, steps);
    let [with, without] = [auprc(&crossed, &test), auprc(&plain, &test)];
    assert!(with > without + 0.02 && with > 0.7, "{with} {without}");
    assert_eq!(crossed.check(4), Ok(()));
}

#[test]
fn what_is_missing_tells() {
    let draw = |random: &mut Random| {
        let missing = random.chance(0.1);
        let value = if missing { f32::NAN } else { random.normal() as f32 };
        (vec![value, random.normal() as f32], if missing { 0.5 } else { 0.02 })
    };
    let card = fit(&part(10_000, draw), &SETTINGS, None).unwrap();
    assert!(card.raw(&[f32::NAN, 0.0]) > card.raw(&[0.0, 0.0]) + 2.0);
}

#[test]
fn resampling_shifts_the_intercept_and_keeps_the_order() {
    let train = part(20_000, steps);
    let test = part(20_000, steps);
    let base = auprc(&fit(&train, &SETTINGS, None).unwrap(), &test);
    for settings in [
        Settings { smote_ratio: 0.5, ..SETTINGS },
        Settings { class_weight: 5, ..SETTINGS },
        Settings { rows_max: 5_000, ..SETTINGS },
    ] {
        let found = auprc(&fit(&train, &settings, None).unwrap(), &test);
        assert!(found > base - 0.08, "{settings:?}: {found} after {base}");
    }
}

#[test]
fn one_class_is_refused() {
    let one = part(50, |random| (vec![random.normal() as f32], 0.0));
    assert!(matches!(fit(&one, &SETTINGS, None), Err(TrainError::Unusable { part: "training", .. })));
}

/// Coefficients and probabilities of scikit-learn 1.9 (`LogisticRegression(C=1/l2, tol=1e-12)`) on a fixed set of 60 rows;
/// `tests/bench/learner/cross_check.py` prints them.
#[test]
fn the_optimiser_agrees_with_scikit_learn() {
    let row = |i: usize| {
        let n = i as f64;
        [(n * 1.3).sin(), ((i * 7) % 11) as f64 / 5.0 - 1.0, ((i * i) % 13) as f64 / 6.0 - 1.0]
    };
    let records = Array2::from_shape_fn((60, 3), |(i, column)| row(i)[column]);
    let positive =
        |i: usize| 1.5 * row(i)[0] - row(i)[1] + 0.3 * row(i)[2] + 0.8 * (i as f64 * 2.7).sin() > 0.4;
    let targets: Array1<bool> = (0..60).map(positive).collect();
    type Expected = (f64, [f64; 4], [(usize, f64); 4]);
    let expected: [Expected; 2] = [
        (
            1.0,
            [2.3926986, -1.665226, 0.3406999, -0.3989274],
            [(0, 0.7161815), (7, 0.6437579), (31, 0.5434538), (59, 0.8583677)],
        ),
        (
            10.0,
            [0.8404386, -0.4881134, 0.1489012, -0.2357414],
            [(0, 0.5258447), (7, 0.5328796), (31, 0.5132217), (59, 0.6401725)],
        ),
    ];
    for (l2, weights, probabilities) in expected {
        let found = fit_plain(records.clone(), targets.clone(), l2).unwrap();
        for (found, expected) in found.iter().zip(weights) {
            assert!((found - expected).abs() < 1e-4, "{found} for {expected} at {l2}");
        }
        for (i, expected) in probabilities {
            let raw = found[3] + row(i).iter().zip(&found).map(|(x, w)| x * w).sum::<f64>();
            let probability = 1.0 / (1.0 + (-raw).exp());
            assert!((probability - expected).abs() < 1e-4, "row {i}: {probability} for {expected}");
        }
    }
}
