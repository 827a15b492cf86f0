//! Pairs of features that say more together than each by itself.

use super::Part;
use crate::fraud::{Cross, Scorecard, bin};
use rayon::prelude::*;

/// Features whose pairs are tried: those that move scores most.
const CANDIDATES: usize = 14;
/// Coarse bins of a feature.
const BINS: usize = 8;
/// Crosses that one feature may be in.
const EACH_MAX: usize = 4;
/// Weight of the penalty on a cell, in rows of full uncertainty.
const LEAN: f64 = 2.0;

/// The crosses that explain most of what a fitted scorecard leaves over, with the log odds of one Newton step for each
/// cell (as one tree of a gradient boosting over two features); at most `most`.
pub(super) fn learn(part: &Part, card: &Scorecard, most: usize) -> Vec<Cross> {
    let rows = part.rows();
    let mut row = vec![0.0; part.frame.width()];
    let mut gradients = Vec::with_capacity(rows);
    let mut moved = vec![[0.0f64; 2]; part.frame.width()];
    let mut parts = vec![0.0; part.frame.width()];
    for (at, &label) in part.labels.iter().enumerate() {
        part.frame.row(at, &mut row);
        let p = 1.0 / (1.0 + (-card.raw(&row)).exp());
        gradients.push([f64::from(u8::from(label)) - p, p * (1.0 - p)]);
        card.contributions(&row, &mut parts);
        for (sums, log_odds) in moved.iter_mut().zip(&parts) {
            *sums = [sums[0] + log_odds, sums[1] + log_odds * log_odds];
        }
    }
    let variance = |[sum, squares]: [f64; 2]| squares - sum * sum / rows.max(1) as f64;
    let mut order: Vec<usize> = (0..moved.len()).collect();
    order.sort_by(|&a, &b| variance(moved[b]).total_cmp(&variance(moved[a])).then(a.cmp(&b)));
    order.truncate(CANDIDATES);
    let coarse: Vec<Vec<f32>> = order.iter().map(|&feature| coarse(&card.terms[feature].ends)).collect();
    let binned: Vec<Vec<u8>> = order
        .par_iter()
        .zip(&coarse)
        .map(|(&feature, ends)| part.frame.column(feature).iter().map(|&v| bin(ends, v) as u8).collect())
        .collect();
    let pairs: Vec<(usize, usize)> =
        (0..order.len()).flat_map(|a| (a + 1..order.len()).map(move |b| (a, b))).collect();
    let mut found: Vec<(f64, usize, usize, Cross)> = pairs
        .into_par_iter()
        .map(|(a, b)| {
            let (gain, points) =
                cells([&binned[a], &binned[b]], [coarse[a].len(), coarse[b].len()], &gradients);
            let ends = [coarse[a].clone(), coarse[b].clone()];
            (gain, a, b, Cross { features: [order[a], order[b]], ends, points })
        })
        .collect();
    found.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
    let mut used = vec![0; order.len()];
    let mut crosses = Vec::new();
    for (_, a, b, cross) in found {
        if crosses.len() < most && used[a] < EACH_MAX && used[b] < EACH_MAX {
            used[a] += 1;
            used[b] += 1;
            crosses.push(cross);
        }
    }
    crosses
}

/// Some of the fine ends, evenly chosen.
fn coarse(ends: &[f32]) -> Vec<f32> {
    if ends.len() < BINS {
        return ends.to_vec();
    }
    let mut chosen: Vec<f32> = (0..BINS - 1).map(|step| ends[step * (ends.len() - 1) / (BINS - 2)]).collect();
    chosen.dedup();
    chosen
}

/// What a cross gains, and its cells: shape `[ends + 2][ends + 2]`.
fn cells(bins: [&[u8]; 2], ends: [usize; 2], gradients: &[[f64; 2]]) -> (f64, Vec<Vec<f64>>) {
    let [lines, width] = ends.map(|ends| ends + 2);
    let mut sums = vec![[0.0f64; 2]; lines * width];
    for ((&a, &b), [gradient, curvature]) in bins[0].iter().zip(bins[1]).zip(gradients) {
        let sum = &mut sums[usize::from(a) * width + usize::from(b)];
        *sum = [sum[0] + gradient, sum[1] + curvature];
    }
    let gain = sums.iter().map(|[g, h]| g * g / (h + LEAN)).sum();
    let points = sums.iter().map(|[g, h]| (g / (h + LEAN)).clamp(-4.0, 4.0)).collect::<Vec<f64>>();
    (gain, points.chunks(width).map(<[f64]>::to_vec).collect())
}
