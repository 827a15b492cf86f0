//! Groups of training rows, and how an event lies to them.

use super::scorecard::REACH;
use super::{Unavailable, WIDTH_MAX};
use serde::{Deserialize, Serialize};

/// Clusters at most: what the scoring path has room for.
pub const CLUSTERS_MAX: usize = 32;
/// A cluster's rows lie at least so far from its centre on average, so that no distance is endless.
pub(crate) const RADIUS_MIN: f32 = 1e-3;
/// Mean squares below this are one: a row on a centre belongs to it.
const SQUARE_MIN: f32 = 1e-12;

/// Clusters in the space of standardised features, the largest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clusters {
    /// Mean of each feature over the training rows that have it; stands for a missing value. Shape `[features]`.
    pub means: Vec<f32>,
    /// Standard deviation of each, above zero.
    pub spreads: Vec<f32>,
    /// Centres in standard deviations from the mean, within the reach of a straight term; shape `[clusters][features]`.
    pub centres: Vec<Vec<f32>>,
    /// Mean distance of a cluster's training rows from its centre; shape `[clusters]`.
    pub radii: Vec<f32>,
    /// Share of fraud among a cluster's training rows, 0 to 1; shape `[clusters]`.
    pub frauds: Vec<f32>,
    /// The same among all training rows.
    pub fraud: f32,
}

impl Clusters {
    /// Inputs made of a row: the membership in each cluster, and the distance from the nearest centre.
    pub fn width(&self) -> usize {
        self.centres.len() + 1
    }

    /// Puts the standardised features of a row into `out`, shape `[features]`.
    ///
    /// # Errors
    /// [`Unavailable::BadInput`] for infinities, and for rows of another width.
    pub(crate) fn scale(&self, row: &[f32], out: &mut [f32]) -> Result<(), Unavailable> {
        let fits = [self.means.len(), out.len()] == [row.len(); 2];
        if !fits || row.iter().any(|value| value.is_infinite()) {
            return Err(Unavailable::BadInput);
        }
        let scales = self.means.iter().zip(&self.spreads);
        for ((slot, value), (mean, spread)) in out.iter_mut().zip(row).zip(scales) {
            *slot = if value.is_nan() { 0.0 } else { ((value - mean) / spread).clamp(-REACH, REACH) };
        }
        Ok(())
    }

    /// The nearest centre of a row, and the distance from it: the root of the mean square over the features.
    pub(crate) fn nearest(&self, row: &[f32]) -> Result<(usize, f32), Unavailable> {
        let mut room = [0.0f32; WIDTH_MAX];
        let scaled = room.get_mut(..row.len()).ok_or(Unavailable::BadInput)?;
        self.scale(row, scaled)?;
        let squares = self.centres.iter().map(|centre| mean_square(scaled, centre)).enumerate();
        let nearest = squares.min_by(|a, b| a.1.total_cmp(&b.1)).ok_or(Unavailable::BadInput)?;
        Ok((nearest.0, nearest.1.sqrt()))
    }

    /// Fills in `out`, shape [`Clusters::width`]: the fuzzy membership in each cluster (Bezdek 1981, with the exponent 2),
    /// 0 to 1 and 1 together, and the distance from the nearest centre in units of its radius.
    ///
    /// # Errors
    /// As [`Clusters::scale`].
    pub(crate) fn write(&self, row: &[f32], out: &mut [f32]) -> Result<(), Unavailable> {
        let mut room = [0.0f32; WIDTH_MAX];
        let scaled = room.get_mut(..row.len()).ok_or(Unavailable::BadInput)?;
        self.scale(row, scaled)?;
        let (distance, memberships) = out.split_last_mut().ok_or(Unavailable::BadInput)?;
        let (mut nearest, mut sum) = ((f32::INFINITY, 1.0), 0.0);
        for ((slot, centre), radius) in memberships.iter_mut().zip(&self.centres).zip(&self.radii) {
            let square = mean_square(scaled, centre).max(SQUARE_MIN);
            *slot = 1.0 / square;
            sum += *slot;
            if square < nearest.0 {
                nearest = (square, *radius);
            }
        }
        memberships.iter_mut().for_each(|slot| *slot /= sum);
        *distance = nearest.0.sqrt() / nearest.1;
        Ok(())
    }

    /// The fraud share of the cluster that a row belongs to, by what was written of it, where it is at least twice that of
    /// all rows.
    pub(super) fn telling_share(&self, written: &[f32]) -> Option<f32> {
        let of_clusters = written.iter().zip(&self.frauds);
        let (_, share) = of_clusters.max_by(|a, b| a.0.total_cmp(b.0))?;
        (*share > 0.0 && *share >= 2.0 * self.fraud).then_some(*share)
    }

    /// Whether the parts fit together, over so many features, and the numbers can score.
    pub(super) fn check(&self, width: usize) -> Result<(), String> {
        let count = self.centres.len();
        if !(1..=CLUSTERS_MAX).contains(&count) {
            return Err(format!("{count} clusters, of 1 to {CLUSTERS_MAX}"));
        }
        if [self.means.len(), self.spreads.len()] != [width; 2] {
            return Err(format!("clusters over {} features, of {width}", self.means.len()));
        }
        let scale = self.means.iter().chain(&self.spreads).all(|n| n.is_finite());
        if !scale || self.spreads.iter().any(|spread| *spread <= 0.0) {
            return Err("the scale of the clusters is out of range".to_owned());
        }
        let within = |centre: &Vec<f32>| centre.len() == width && centre.iter().all(|x| x.abs() <= REACH);
        if let Some(at) = self.centres.iter().position(|centre| !within(centre)) {
            return Err(format!("the centre of cluster {} is out of range", at + 1));
        }
        let shares = self.frauds.len() == count
            && self.frauds.iter().chain([&self.fraud]).all(|share| (0.0..=1.0).contains(share));
        let radii = self.radii.len() == count
            && self.radii.iter().all(|radius| (RADIUS_MIN..=2.0 * REACH).contains(radius));
        if shares && radii { Ok(()) } else { Err("the size of a cluster is out of range".to_owned()) }
    }
}

fn mean_square(a: &[f32], b: &[f32]) -> f32 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f32>() / a.len().max(1) as f32
}
