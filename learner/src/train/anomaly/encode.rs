//! Learns the encoding of a table's columns from training rows.

use super::learn::Columns;
use crate::anomaly::{Category, Encoding, Level, Number, WIDTH_MAX};
use crate::train::TrainError;
use std::collections::HashMap;

/// Knots of a number's table are about evenly spaced in scores; a step between values gets two, so up to twice as many.
const KNOTS: f64 = 64.0;
/// Normal scores that lie beyond those of training.
const TAIL: f64 = 4.0;
/// A column of which nearly all values are the same has at least this spread of scores.
const SPREAD_MIN: f64 = 0.3;
/// Levels of one category that are remembered, the most frequent ones.
const LEVELS_MAX: usize = 4_096;
/// A level has an input of its own from this share of rows on,
const FREQUENT_SHARE: f64 = 0.002;
/// and from this many rows on,
const FREQUENT_ROWS: usize = 10;
/// and at most so many have.
const FREQUENT_MAX: usize = 48;

/// Learns from these rows of the columns.
///
/// # Errors
/// [`TrainError::Unusable`] where the columns are too many.
pub(in crate::train) fn learn(columns: &Columns, rows: &[usize]) -> Result<Encoding, TrainError> {
    let numbers: Vec<Number> =
        (0..columns.numbers.width()).map(|at| number(columns.numbers.column(at), rows)).collect();
    let flags = numbers.iter().filter(|number| number.flagged).count();
    let room = WIDTH_MAX.checked_sub(numbers.len() + flags + 2 * columns.categories.len());
    let Some(room) = room else {
        let problem = format!("more columns than {WIDTH_MAX} inputs have room for");
        return Err(TrainError::Unusable { part: "training", problem });
    };
    let each = (room / columns.categories.len().max(1)).min(FREQUENT_MAX);
    let categories = columns.categories.iter().map(|values| category(values, rows, each)).collect();
    Ok(Encoding { numbers, categories })
}

fn number(values: &[f32], rows: &[usize]) -> Number {
    let mut present: Vec<f32> = rows.iter().map(|&row| values[row]).filter(|x| !x.is_nan()).collect();
    present.sort_by(f32::total_cmp);
    let scored = scored(&present);
    let mean = |of: &dyn Fn(f64) -> f64| {
        let sum: f64 = scored.iter().map(|&(_, score, count)| of(f64::from(score)) * count as f64).sum();
        sum / present.len().max(1) as f64
    };
    let centre = mean(&|score| score);
    let spread = mean(&|score| (score - centre).powi(2)).sqrt().max(SPREAD_MIN);
    let standard = |[value, score]: [f32; 2]| [value, steady((f64::from(score) - centre) / spread)];
    let mut knots: Vec<[f32; 2]> = thinned(&scored).into_iter().map(standard).collect();
    if knots.is_empty() {
        knots.push([0.0, 0.0]);
    }
    let (first, last) = (knots[0][0], knots[knots.len() - 1][0]);
    let reach = if last > first { last - first } else { last.abs().max(1.0) };
    Number {
        tail: (TAIL / spread) as f32,
        reach: if reach.is_finite() { reach } else { f32::MAX },
        imputed: 0.0,
        flagged: present.len() < rows.len(),
        knots,
    }
}

/// Distinct values with the normal score of their middle rank, and how often each is there.
fn scored(sorted: &[f32]) -> Vec<(f32, f32, usize)> {
    let mut below = 0;
    let groups = sorted.chunk_by(|a, b| a == b).map(|group| {
        let middle = (below as f64 + group.len() as f64 / 2.0) / sorted.len() as f64;
        below += group.len();
        (group[0], normal_score(middle), group.len())
    });
    groups.collect()
}

fn thinned(scored: &[(f32, f32, usize)]) -> Vec<[f32; 2]> {
    let (Some(first), Some(last)) = (scored.first(), scored.last()) else { return Vec::new() };
    let step = ((f64::from(last.1) - f64::from(first.1)) / KNOTS) as f32;
    let mut knots = vec![[first.0, first.1]];
    for pair in scored.windows(2) {
        let (before, here) = (pair[0], pair[1]);
        if knots.last().is_some_and(|knot| here.1 - knot[1] >= step) {
            // What lies before a step must not be drawn up along it.
            if here.1 - before.1 >= step && knots.last().is_some_and(|knot| knot[0] < before.0) {
                knots.push([before.0, before.1]);
            }
            knots.push([here.0, here.1]);
        }
    }
    if knots.last().is_some_and(|knot| knot[0] < last.0) {
        knots.push([last.0, last.1]);
    }
    knots
}

/// Quantile of the standard normal distribution, within 0.0005 (Abramowitz and Stegun, 26.2.23).
fn normal_score(share: f64) -> f32 {
    let tail = share.min(1.0 - share);
    let t = (-2.0 * tail.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let score = (t - above / below).max(0.0);
    steady(if share < 0.5 { -score } else { score })
}

/// Rounded, so that the last bits of a machine's logarithm do not show.
fn steady(value: f64) -> f32 {
    ((value * 1e5).round() / 1e5) as f32
}

fn category(values: &[Option<u64>], rows: &[usize], inputs_max: usize) -> Category {
    let mut counts: HashMap<Option<u64>, usize> = HashMap::new();
    rows.iter().for_each(|&row| *counts.entry(values[row]).or_default() += 1);
    let mut counts: Vec<(Option<u64>, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    counts.truncate(LEVELS_MAX);
    let rarity = |count: usize| steady(((rows.len() + 1) as f64 / (count + 1) as f64).ln() / 3.0);
    let enough = ((rows.len() as f64 * FREQUENT_SHARE) as usize).max(FREQUENT_ROWS);
    let frequent = counts.iter().take(inputs_max).take_while(|(_, count)| *count >= enough).count();
    let level = |(at, &(hash, count)): (usize, &(Option<u64>, usize))| Level {
        hash,
        rarity: rarity(count),
        input: (at < frequent).then_some(at as u16),
    };
    let mut levels: Vec<Level> = counts.iter().enumerate().map(level).collect();
    levels.sort_by_key(|level| level.hash);
    Category { levels, frequent: frequent as u16, unseen: rarity(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use crate::simulate::Random;

    fn encoding(numbers: &[f32], categories: &[Option<u64>]) -> Encoding {
        let mut frame = Frame::new(vec!["x".into()]);
        numbers.iter().for_each(|x| frame.push(&[*x]));
        let columns = Columns { numbers: frame, categories: vec![categories.to_vec()] };
        learn(&columns, &(0..numbers.len()).collect::<Vec<_>>()).unwrap()
    }

    fn encoded(encoding: &Encoding, number: f32, category: Option<u64>) -> Vec<f32> {
        let mut out = vec![0.0; encoding.inputs()];
        encoding.apply(&[number], &[category], &mut out).unwrap();
        out
    }

    #[test]
    fn normal_scores_are_those_of_the_tables() {
        for (share, score) in [(0.5, 0.0), (0.841_345, 1.0), (0.025, -1.959_96), (0.999, 3.090_23)] {
            assert!((normal_score(share) - score).abs() < 5e-4, "{share}: {}", normal_score(share));
        }
    }

    #[test]
    fn numbers_of_any_shape_become_normal_and_extremes_stay_apart() {
        let mut random = Random::new(5);
        let skewed: Vec<f32> = (0..4_000).map(|_| random.lognormal(50.0, 2.0) as f32).collect();
        let encoding = encoding(&skewed, &vec![None; 4_000]);
        assert!(encoding.numbers[0].knots.len() < 130);
        let scores: Vec<f32> = skewed.iter().map(|x| encoded(&encoding, *x, None)[0]).collect();
        let mean = scores.iter().sum::<f32>() / 4_000.0;
        let variance = scores.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 4_000.0;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.03, "mean {mean}, variance {variance}");
        let top = skewed.iter().copied().fold(0.0, f32::max);
        let beyond: Vec<f32> =
            [1.0, 1.01, 1.5, 3.0, 1e3, 1e6].iter().map(|by| encoded(&encoding, top * by, None)[0]).collect();
        assert!(beyond.windows(2).all(|pair| pair[0] < pair[1]), "{beyond:?}");
        assert!(beyond[5] <= beyond[0] + 4.1 && beyond[4] > beyond[0] + 3.6, "{beyond:?}");
        assert!(encoded(&encoding, -f32::MAX, None)[0] < encoded(&encoding, -top, None)[0]);
    }

    #[test]
    fn mostly_zero_and_constant_columns_say_when_they_are_not() {
        let mut values = vec![0.0; 1_000];
        (0..50).for_each(|at| values[at] = (at + 1) as f32);
        let mostly = encoding(&values, &[None; 1_000]);
        let score = |x: f32| encoded(&mostly, x, None)[0];
        assert!(score(0.0).abs() < 0.5 && score(1.0) > 2.0 && score(50.0) > score(1.0) + 1.0);
        assert!(score(200.0) > score(50.0) + 2.0);
        let constant = encoding(&[7.0; 100], &[None; 100]);
        assert_eq!(encoded(&constant, 7.0, None)[0], 0.0);
        assert!(encoded(&constant, 8.0, None)[0] > 0.3 && encoded(&constant, 6.0, None)[0] < -0.3);
    }

    #[test]
    fn what_is_missing_is_imputed_and_flagged() {
        let mut values: Vec<f32> = (0..100).map(|x| x as f32).collect();
        values[..20].fill(f32::NAN);
        let encoding = encoding(&values, &[Some(1); 100]);
        assert_eq!(encoded(&encoding, f32::NAN, Some(1))[..2], [encoding.numbers[0].imputed, 1.0]);
        assert_eq!(encoded(&encoding, 60.0, Some(1))[1], 0.0);
        let mean = (20..100).map(|x| encoded(&encoding, x as f32, Some(1))[0]).sum::<f32>() / 80.0;
        assert!((encoding.numbers[0].imputed - mean).abs() < 1e-2, "{mean}");
        let mut out = vec![0.0; encoding.inputs()];
        assert!(encoding.apply(&[f32::INFINITY], &[None], &mut out).is_err());
        assert!(encoding.apply(&[1.0], &[], &mut out).is_err());
    }

    #[test]
    fn rare_and_unseen_levels_share_an_input_and_differ_in_rarity() {
        let levels: Vec<_> = (0..1_000u64)
            .map(|at| match at {
                0..700 => Some(5),
                700..990 => Some(3),
                990 => None,
                _ => Some(9),
            })
            .collect();
        let encoding = encoding(&[1.0; 1_000], &levels);
        assert_eq!(encoding.categories[0].frequent, 2);
        let of = |level: Option<u64>| encoded(&encoding, 1.0, level)[1..].to_vec();
        assert_eq!(
            (of(Some(5))[..3].to_vec(), of(Some(3))[..3].to_vec()),
            (vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0])
        );
        for rare in [Some(9), None, Some(77)] {
            assert_eq!(of(rare)[..3], [0.0, 0.0, 1.0], "{rare:?}");
        }
        let rarity = [Some(5), Some(3), Some(9), None, Some(77)].map(|level| of(level)[3]);
        assert!(rarity.windows(2).all(|pair| pair[0] < pair[1]), "{rarity:?}");
    }

    #[test]
    fn too_many_columns_are_refused_and_many_levels_share_the_room() {
        let wide = Frame::new((0..WIDTH_MAX + 1).map(|at| at.to_string()).collect());
        let columns = Columns { numbers: wide, categories: Vec::new() };
        assert!(learn(&columns, &[]).unwrap_err().to_string().contains("512"));
        let many: Vec<_> = (0..2_000u64).map(|row| Some(row % 40)).collect();
        let columns = Columns { numbers: Frame::new(Vec::new()), categories: vec![many; 60] };
        let encoding = learn(&columns, &(0..2_000).collect::<Vec<_>>()).unwrap();
        assert!(encoding.inputs() <= WIDTH_MAX && encoding.inputs() > WIDTH_MAX - 60);
    }
}
