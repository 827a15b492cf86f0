//! The autoencoder as its artifact keeps it, and the score of one row.

use super::encode::Encoding;
use super::network::{Dense, JOINT_MAX, WIDTH_MAX, Whitening, leaky};
use super::{AnomalyScore, Contribution, TOP, Unavailable};
use serde::{Deserialize, Serialize};

/// One feature's scaled error counts at most this much among contributions.
const ERROR_MAX: f32 = 1e6;

/// An autoencoder with its input encoding, error scales and calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnomalyModel {
    /// From a row's columns to the network's inputs.
    pub encoding: Encoding,
    /// From the inputs through the bottleneck back to the inputs; leaky ReLU between layers, the last one linear.
    pub layers: Vec<Dense>,
    /// How many layers lead to the bottleneck, 1 or more.
    pub encoder_depth: usize,
    /// Of what the network could not give back (shape `[inputs]`) and of the bottleneck (shape `[bottleneck]`), one after
    /// the other, over normal validation rows: every error in units of its spread, and none counted twice.
    pub whitening: Whitening,
    /// Errors of normal validation rows at evenly spaced percentiles from 0 to 1, rising.
    pub percentiles: Vec<f32>,
    /// What every evaluation shows beside the network.
    pub baselines: Baselines,
}

/// Simpler detectors on the same inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// Of the inputs of training rows.
    pub mahalanobis: Whitening,
    /// Of the inputs of training rows; shape `[inputs]`.
    pub medians: Vec<f32>,
}

/// What the network makes of a row.
pub(crate) struct Passed {
    joint: [f32; JOINT_MAX],
    inputs: usize,
    bottleneck: usize,
}

impl Passed {
    /// What it could not give back, and the bottleneck; shape `[inputs + bottleneck]`.
    pub(crate) fn joint(&self) -> &[f32] {
        self.joint.get(..self.inputs + self.bottleneck).unwrap_or_default()
    }

    fn bottleneck(&self) -> &[f32] {
        self.joint().get(self.inputs..).unwrap_or_default()
    }
}

impl AnomalyModel {
    /// Whether the shapes fit together and the numbers can score.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.encoding.check()?;
        let inputs = self.encoding.inputs();
        let mut width = inputs;
        for layer in &self.layers {
            if layer.inputs() != width || layer.outputs() > WIDTH_MAX {
                return Err("layers do not fit together".to_owned());
            }
            width = layer.outputs();
        }
        if width != inputs || !(1..self.layers.len()).contains(&self.encoder_depth) {
            return Err("the last layer does not give the input back".to_owned());
        }
        if !self.baselines.mahalanobis.fits(inputs) || self.baselines.medians.len() != inputs {
            return Err("baselines for other inputs".to_owned());
        }
        if !self.whitening.fits(inputs + self.bottleneck_width()) {
            return Err("whitening for other inputs".to_owned());
        }
        let sound = self.layers.iter().all(Dense::is_finite)
            && self.percentiles.len() >= 2
            && self.percentiles.iter().chain(&self.baselines.medians).all(|n| n.is_finite())
            && self.percentiles.is_sorted();
        if sound { Ok(()) } else { Err("a number is out of range".to_owned()) }
    }

    /// Width of the bottleneck.
    pub fn bottleneck_width(&self) -> usize {
        self.encoder_depth.checked_sub(1).and_then(|at| self.layers.get(at)).map_or(0, Dense::outputs)
    }

    /// Scores a row: its numbers in the order of training (`NaN` is missing) and the hashes of its categories.
    ///
    /// # Errors
    /// [`Unavailable`] for infinities and for other numbers of columns than were learned.
    pub fn score(&self, numbers: &[f32], categories: &[Option<u64>]) -> Result<AnomalyScore, Unavailable> {
        let passed = self.pass(numbers, categories)?;
        let whitened = self.whitening.apply(passed.joint());
        let whitened = whitened.get(..passed.joint().len()).unwrap_or_default();
        // Not squared, so that one odd feature, which new but harmless traffic has as well, does not outweigh all others.
        let error = whitened.iter().map(|x| x.abs()).sum::<f32>() / whitened.len().max(1) as f32;
        if !error.is_finite() {
            return Err(Unavailable::NotFinite);
        }
        let mut contributions = [Contribution::default(); TOP];
        let mut residuals = whitened.iter();
        for (feature, width) in self.encoding.widths().enumerate() {
            let squares = residuals.by_ref().take(width).map(|x| x * x);
            let error = (squares.sum::<f32>() / width.max(1) as f32).min(ERROR_MAX);
            keep_largest(&mut contributions, Contribution { feature, error });
        }
        Ok(AnomalyScore { percentile: self.percentile(error), error, contributions })
    }

    /// Fills in the bottleneck of a row, shape [`AnomalyModel::bottleneck_width`]: what the network keeps of it, in
    /// fewer dimensions.
    ///
    /// # Errors
    /// As [`AnomalyModel::score`].
    pub fn bottleneck(
        &self,
        numbers: &[f32],
        categories: &[Option<u64>],
        out: &mut [f32],
    ) -> Result<(), Unavailable> {
        let passed = self.pass(numbers, categories)?;
        out.iter_mut().zip(passed.bottleneck()).for_each(|(slot, value)| *slot = *value);
        Ok(())
    }

    /// One forward pass.
    pub(crate) fn pass(&self, numbers: &[f32], categories: &[Option<u64>]) -> Result<Passed, Unavailable> {
        let (inputs, bottleneck) = (self.encoding.inputs(), self.bottleneck_width());
        let mut joint = [0.0f32; JOINT_MAX];
        let input = joint.get_mut(..inputs).ok_or(Unavailable::BadInput)?;
        self.encoding.apply(numbers, categories, input)?;
        let (mut front, mut back) = (&mut [0.0f32; WIDTH_MAX], &mut [0.0f32; WIDTH_MAX]);
        front.iter_mut().zip(&*input).for_each(|(slot, x)| *slot = *x);
        for (depth, layer) in self.layers.iter().enumerate() {
            let sums = layer.sums(front, back);
            if depth + 1 < self.layers.len() {
                sums.iter_mut().for_each(|sum| *sum = leaky(*sum));
            }
            if depth + 1 == self.encoder_depth {
                let slots = joint.get_mut(inputs..).unwrap_or_default();
                slots.iter_mut().zip(&*sums).for_each(|(slot, value)| *slot = *value);
            }
            std::mem::swap(&mut front, &mut back);
        }
        joint.iter_mut().take(inputs).zip(front.iter()).for_each(|(slot, given)| *slot -= given);
        Ok(Passed { joint, inputs, bottleneck })
    }

    /// Where an error stands among normal ones, by linear interpolation; above all of them the distance to 1 halves
    /// whenever the error doubles.
    fn percentile(&self, error: f32) -> f64 {
        let steps = self.percentiles.len().saturating_sub(1).max(1) as f64;
        let above = self.percentiles.partition_point(|&known| known <= error);
        let (Some(&low), Some(&high)) =
            (self.percentiles.get(above.wrapping_sub(1)), self.percentiles.get(above))
        else {
            let Some(&top) = self.percentiles.last() else { return 1.0 };
            return if error < top {
                0.0
            } else {
                1.0 - 0.5 / steps * f64::from(top.max(f32::MIN_POSITIVE) / error.max(f32::MIN_POSITIVE))
            };
        };
        let part = f64::from((error - low) / (high - low));
        ((above - 1) as f64 + part) / steps * (1.0 - 0.5 / steps)
    }
}

fn keep_largest(top: &mut [Contribution; TOP], mut candidate: Contribution) {
    for place in top.iter_mut() {
        if candidate.error > place.error {
            std::mem::swap(place, &mut candidate);
        }
    }
}
