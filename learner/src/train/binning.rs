//! Bins of features, and what each bin says about fraud (weight of evidence).

use super::Part;
use crate::fraud::{Term, bin};
use rayon::prelude::*;

/// Rows that quantiles are taken from, at most.
const SAMPLE: usize = 200_000;
/// Quantiles close to the ends: fraud lives in the tails.
const TAILS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.98, 0.99, 0.995, 0.998, 0.999];
/// Even quantiles between them, at most.
const EVEN: usize = 32;
/// A bin for so many positives, so that small tables get few bins.
const POSITIVES_A_BIN: usize = 20;
/// A bin's evidence leans on the overall share of fraud as if that had been seen in so many positives more.
const LEAN_POSITIVES: f64 = 1.0;

/// What the training part says of each feature: bins, their evidence, and the straight scale. Weights are still zero.
/// Points are ln(odds in the bin / odds overall); shape `[features]`.
pub(super) fn learn(part: &Part) -> Vec<Term> {
    let (positives, weights) = (part.positives(), part.weights());
    (0..part.frame.width())
        .into_par_iter()
        .map(|feature| term(part.frame.column(feature), &part.labels, positives, weights))
        .collect()
}

fn term(column: &[f32], labels: &[bool], positives: usize, weights: [f64; 2]) -> Term {
    let mut present: Vec<f32> = sampled(column).filter(|value| value.is_finite()).collect();
    present.sort_unstable_by(f32::total_cmp);
    let imputed = present.get(present.len() / 2).copied().unwrap_or(0.0);
    let rows = column.len().max(1) as f64;
    let filled = || column.iter().map(|&value| f64::from(if value.is_nan() { imputed } else { value }));
    let mean = filled().sum::<f64>() / rows;
    let spread = (filled().map(|value| (value - mean).powi(2)).sum::<f64>() / rows).sqrt();
    let ends = ends(&present, positives);
    let evidence = evidence(column, labels, &ends, weights);
    let (points, missing) = evidence.split_at(ends.len() + 1);
    Term {
        imputed,
        mean: mean as f32,
        spread: if spread > 1e-6 { spread as f32 } else { 1.0 },
        weight: 0.0,
        points: points.to_vec(),
        missing: missing.first().copied().unwrap_or(0.0),
        ends,
    }
}

/// Evenly spaced rows, all of them where there are few.
fn sampled(column: &[f32]) -> impl Iterator<Item = f32> + '_ {
    column.iter().copied().step_by(column.len().div_ceil(SAMPLE).max(1))
}

/// Ends of bins at quantiles of sorted values, each between two values that differ.
fn ends(sorted: &[f32], positives: usize) -> Vec<f32> {
    let Some(&last) = sorted.last() else { return Vec::new() };
    let even = (positives / POSITIVES_A_BIN).clamp(3, EVEN);
    let tails = if positives / POSITIVES_A_BIN >= EVEN { &TAILS[..] } else { &TAILS[4..6] };
    let mut shares: Vec<f64> =
        (1..even).map(|step| step as f64 / even as f64).chain(tails.iter().copied()).collect();
    shares.sort_by(f64::total_cmp);
    let mut ends: Vec<f32> = Vec::new();
    for share in shares {
        let value = sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        // The end lies above the value, so that a value many rows have is a bin of its own.
        let above = sorted.partition_point(|other| *other <= value);
        let end = if above < sorted.len() { (value + sorted[above]) / 2.0 } else { last };
        let end = if end > value { end } else { sorted.get(above).copied().unwrap_or(last) };
        if above < sorted.len() && end.is_finite() && ends.last().is_none_or(|before| end > *before) {
            ends.push(end);
        }
    }
    ends
}

/// ln odds ratio of each bin, the one for missing values last.
fn evidence(column: &[f32], labels: &[bool], ends: &[f32], weights: [f64; 2]) -> Vec<f64> {
    let mut counts = vec![[0.0f64; 2]; ends.len() + 2];
    for (&value, &label) in column.iter().zip(labels) {
        counts[bin(ends, value)][usize::from(label)] += weights[usize::from(label)];
    }
    let [negatives, positives] = counts.iter().fold([0.0; 2], |sum, [n, p]| [sum[0] + n, sum[1] + p]);
    let odds = positives.max(0.5) / negatives.max(0.5);
    let of = |[n, p]: &[f64; 2]| ((p + LEAN_POSITIVES) / (n + LEAN_POSITIVES / odds) / odds).ln();
    counts.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_end_between_values_and_common_values_have_their_own() {
        let mut sorted: Vec<f32> = vec![0.0; 600];
        sorted.extend((1..=400).map(|n| n as f32));
        let ends = ends(&sorted, 1_000);
        assert_eq!(ends[0], 0.5);
        assert!(ends.is_sorted() && ends.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ends.iter().all(|end| *end < 400.0));
        assert_eq!(super::ends(&[3.0; 50], 1_000), Vec::<f32>::new());
        assert_eq!(super::ends(&[], 1_000), Vec::<f32>::new());
    }

    #[test]
    fn evidence_by_hand() {
        // Overall odds 4 to 12; the bin above 1 has 3 to 1, the missing one nothing but leaning.
        let column = [0.0, 0.0, 2.0, 2.0, 2.0, 2.0];
        let labels = [true, false, true, true, true, false];
        let found = evidence(&column, &labels, &[1.0], [6.0, 1.0]);
        let expected = [(2.0 / 9.0 * 3.0f64).ln(), (4.0 / 9.0 * 3.0f64).ln(), 0.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
        }
    }
}
