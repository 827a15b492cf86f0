//! Clusters by k-means (Lloyd 1982) from k-means++ centres (Arthur and Vassilvitskii 2007), by linfa.

use super::{chunks, spaced, unusable};
use crate::frame::Frame;
use crate::fraud::{Clusters, RADIUS_MIN, REACH, WIDTH_MAX};
use crate::train::{Part, TrainError, rounded};
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeans;
use ndarray::Array2;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use std::cmp::Reverse;

/// Rows that centres are fitted on, at most; evenly spaced in time.
const ROWS_MAX: usize = 20_000;
/// Rows for a cluster, at least.
const ROWS_A_CLUSTER: usize = 10;
/// Beginnings of which the best is kept, and steps of each.
const RUNS: usize = 3;
const STEPS: u64 = 60;

/// Fits at most `count` clusters. The order of rows and the seed decide all that is drawn: linfa sums row by row, and of its
/// beginnings only k-means|| draws on several threads.
pub(super) fn fit(rows: &Part, count: usize, seed: u64) -> Result<Clusters, TrainError> {
    if rows.rows() < count * ROWS_A_CLUSTER {
        let needed = count * ROWS_A_CLUSTER;
        return Err(unusable(format!("{} rows are too few for {count} clusters, of {needed}", rows.rows())));
    }
    let [means, spreads] = scale(&rows.frame);
    let width = rows.frame.width();
    let mut clusters =
        Clusters { means, spreads, centres: Vec::new(), radii: Vec::new(), frauds: Vec::new(), fraud: 0.0 };
    let failed = |why: String| TrainError::Fit(format!("clusters: {why}"));
    let chosen = spaced((0..rows.rows()).collect(), ROWS_MAX);
    let mut records = Array2::<f64>::zeros((chosen.len(), width));
    let (mut row, mut scaled) = (vec![0.0; width], [0.0; WIDTH_MAX]);
    for (at, mut record) in chosen.into_iter().zip(records.rows_mut()) {
        rows.frame.row(at, &mut row);
        clusters.scale(&row, &mut scaled[..width]).map_err(|why| failed(why.to_string()))?;
        record.iter_mut().zip(&scaled).for_each(|(slot, x)| *slot = f64::from(*x));
    }
    let fitted = KMeans::params_with_rng(count, Xoshiro256PlusPlus::seed_from_u64(seed))
        .n_runs(RUNS)
        .max_n_iterations(STEPS)
        .fit(&DatasetBase::from(records))
        .map_err(|error| failed(error.to_string()))?;
    let centre = |centre: ndarray::ArrayView1<'_, f64>| {
        centre.iter().map(|&x| (rounded(x) as f32).clamp(-REACH, REACH)).collect()
    };
    clusters.centres = fitted.centroids().rows().into_iter().map(centre).collect();
    describe(&mut clusters, rows)?;
    Ok(clusters)
}

/// Means and standard deviations of the columns; missing values count as the mean.
fn scale(frame: &Frame) -> [Vec<f32>; 2] {
    let of = |at: usize| {
        let present = || frame.column(at).iter().copied().filter(|x| x.is_finite()).map(f64::from);
        let mean = present().sum::<f64>() / present().count().max(1) as f64;
        let squares: f64 = present().map(|x| (x - mean).powi(2)).sum();
        let spread = (squares / frame.rows().max(1) as f64).sqrt() as f32;
        (mean as f32, if spread > 1e-6 && spread.is_finite() { spread } else { 1.0 })
    };
    let (means, spreads) = (0..frame.width()).into_par_iter().map(of).unzip();
    [means, spreads]
}

/// What lies in a cluster: rows, summed distances, frauds; the first and the last by what thinned rows stand for.
type Sums = Vec<[f64; 3]>;

/// Radii and shares of fraud from all rows; the largest cluster comes first, and empty ones are left out.
fn describe(clusters: &mut Clusters, rows: &Part) -> Result<(), TrainError> {
    let weights = rows.weights();
    let sums = |range: std::ops::Range<usize>| -> Result<Sums, TrainError> {
        let mut row = vec![0.0; rows.frame.width()];
        let mut sums = vec![[0.0; 3]; clusters.centres.len()];
        for at in range {
            rows.frame.row(at, &mut row);
            let (nearest, distance) =
                clusters.nearest(&row).map_err(|why| TrainError::Fit(format!("clusters: {why}")))?;
            let fraud = rows.labels[at];
            let weight = weights[usize::from(fraud)];
            let [count, distances, frauds] = sums[nearest];
            let fraud = if fraud { weight } else { 0.0 };
            sums[nearest] = [count + weight, distances + weight * f64::from(distance), frauds + fraud];
        }
        Ok(sums)
    };
    let mut total = vec![[0.0; 3]; clusters.centres.len()];
    for sums in chunks(rows.rows()).into_par_iter().map(sums).collect::<Result<Vec<Sums>, _>>()? {
        for (total, sum) in total.iter_mut().zip(sums) {
            total.iter_mut().zip(sum).for_each(|(total, sum)| *total += sum);
        }
    }
    let mut order: Vec<usize> = (0..total.len()).filter(|&at| total[at][0] > 0.0).collect();
    order.sort_by_key(|&at| Reverse(total[at][0] as u64));
    let share = |part: f64, of: f64| rounded(part / of) as f32;
    clusters.centres = order.iter().map(|&at| clusters.centres[at].clone()).collect();
    clusters.radii = order.iter().map(|&at| share(total[at][1], total[at][0]).max(RADIUS_MIN)).collect();
    clusters.frauds = order.iter().map(|&at| share(total[at][2], total[at][0])).collect();
    let all = |what: usize| total.iter().map(|sums| sums[what]).sum::<f64>();
    clusters.fraud = share(all(2), all(0));
    Ok(())
}
