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
    Settings { smote_ratio: 0.0, class_weight: 1, l2: 1.0, crosses: 4, negatives_max: 20_000, seed: 1 };

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
    let crossed = fit(&train, &SETTINGS).unwrap();
    let plain = fit(&train, &Settings { crosses: 0, ..SETTINGS }).unwrap();
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
    let card = fit(&part(10_000, draw), &SETTINGS).unwrap();
    assert!(card.raw(&[f32::NAN, 0.0]) > card.raw(&[0.0, 0.0]) + 2.0);
}

#[test]
fn resampling_shifts_the_intercept_and_keeps_the_order() {
    let train = part(20_000, steps);
    let test = part(20_000, steps);
    let base = auprc(&fit(&train, &SETTINGS).unwrap(), &test);
    for settings in [
        Settings { smote_ratio: 0.5, ..SETTINGS },
        Settings { class_weight: 5, ..SETTINGS },
        Settings { negatives_max: 5_000, ..SETTINGS },
    ] {
        let found = auprc(&fit(&train, &settings).unwrap(), &test);
        assert!(found > base - 0.08, "{settings:?}: {found} after {base}");
    }
}

#[test]
fn one_class_is_refused() {
    let one = part(50, |random| (vec![random.normal() as f32], 0.0));
    assert!(matches!(fit(&one, &SETTINGS), Err(TrainError::Unusable { part: "training", .. })));
}
