//! The autoencoder as its artifact keeps it, and its forward pass over one row.

use super::{AnomalyScore, Contribution, TOP, Unavailable};
use crate::features::request::{COUNT, FEATURES};
use serde::{Deserialize, Serialize};

/// Widest layer the forward pass has room for on its stack.
pub(crate) const WIDTH_MAX: usize = 64;
/// Slope of the activation below zero.
pub(crate) const LEAK: f32 = 0.1;
/// A transformed input never leaves this range, so that no single feature can overflow the rest.
const INPUT_MAX: f32 = 6.0;
/// One feature's scaled error counts at most this much.
const ERROR_MAX: f32 = 100.0;

/// How one input becomes comparable with the others: standardised, then bounded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Transform {
    /// Median of the training part; also put in where the value is missing.
    pub centre: f32,
    /// Spread of the training part, above zero.
    pub spread: f32,
}

impl Transform {
    /// The transformed value, -6 to 6; the centre for `NaN`.
    pub fn apply(&self, value: f32) -> f32 {
        if value.is_nan() { 0.0 } else { ((value - self.centre) / self.spread).clamp(-INPUT_MAX, INPUT_MAX) }
    }
}

/// A fully connected layer as an artifact keeps it, weights by output: shape `[outputs][inputs]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// Weights, one row an output.
    pub weights: Vec<Vec<f32>>,
    /// Biases, one an output.
    pub biases: Vec<f32>,
}

/// The same with its weights by input. Every output then grows by one input's share at a time: many outputs in one
/// instruction, and each in the order of its inputs, so that sums come out the same to the last bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Rows", into = "Rows")]
pub struct Dense {
    /// One an input, each one weight an output.
    columns: Vec<Vec<f32>>,
    biases: Vec<f32>,
}

impl TryFrom<Rows> for Dense {
    type Error = &'static str;

    fn try_from(rows: Rows) -> Result<Self, Self::Error> {
        let inputs = rows.weights.first().map_or(0, Vec::len);
        if rows.weights.len() != rows.biases.len() || rows.weights.iter().any(|row| row.len() != inputs) {
            return Err("a layer's rows do not fit together");
        }
        let column = |at: usize| rows.weights.iter().filter_map(|row| row.get(at).copied()).collect();
        Ok(Self { columns: (0..inputs).map(column).collect(), biases: rows.biases })
    }
}

impl From<Dense> for Rows {
    fn from(layer: Dense) -> Self {
        let row = |at: usize| layer.columns.iter().filter_map(|column| column.get(at).copied()).collect();
        Self { weights: (0..layer.biases.len()).map(row).collect(), biases: layer.biases }
    }
}

/// An autoencoder with its input transform, error scales and calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnomalyModel {
    /// One a feature, in table order.
    pub transforms: Vec<Transform>,
    /// From the input through the bottleneck back to the input; leaky ReLU between layers, the last one linear.
    pub layers: Vec<Dense>,
    /// Root mean square error a feature on normal validation traffic, above zero; shape `[COUNT]`.
    pub error_scales: Vec<f32>,
    /// Errors of normal validation traffic at evenly spaced percentiles from 0 to 1, rising.
    pub percentiles: Vec<f32>,
}

impl AnomalyModel {
    /// Whether the shapes fit together and the numbers can score.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.transforms.len() != COUNT || self.error_scales.len() != COUNT {
            return Err(format!("transforms or error scales for other than {COUNT} features"));
        }
        let mut width = COUNT;
        for layer in &self.layers {
            if layer.columns.len() != width || layer.biases.len() > WIDTH_MAX {
                return Err("layers do not fit together".to_owned());
            }
            width = layer.biases.len();
        }
        if width != COUNT || self.layers.is_empty() {
            return Err("the last layer does not give the input back".to_owned());
        }
        let positive =
            self.transforms.iter().map(|transform| transform.spread).chain(self.error_scales.clone());
        let sound = positive.into_iter().all(|n| n.is_finite() && n > 0.0)
            && self.transforms.iter().all(|transform| transform.centre.is_finite())
            && self.layers.iter().all(Dense::is_finite)
            && self.percentiles.len() >= 2
            && self.percentiles.iter().all(|n| n.is_finite())
            && self.percentiles.is_sorted();
        if sound { Ok(()) } else { Err("a number is out of range".to_owned()) }
    }

    pub(crate) fn score(&self, vector: &[f32; COUNT]) -> Result<AnomalyScore, Unavailable> {
        let input = self.input(vector)?;
        let output = self.reconstruct(&input);
        let mut contributions = [Contribution::default(); TOP];
        let mut sum = 0.0;
        for (feature, ((x, y), scale)) in input.iter().zip(&output).zip(&self.error_scales).enumerate() {
            let error = ((x - y) / scale).powi(2).min(ERROR_MAX);
            // Squared once more, so that one feature far out is not lost in the mean over all others.
            sum += error * error;
            keep_largest(&mut contributions, Contribution { feature, error });
        }
        let error = (sum / COUNT as f32).sqrt();
        if !error.is_finite() {
            return Err(Unavailable::NotFinite);
        }
        Ok(AnomalyScore { percentile: self.percentile(error), error, contributions })
    }

    /// Transformed input; shape `[COUNT]` in an array of the widest layer.
    pub(crate) fn input(&self, vector: &[f32; COUNT]) -> Result<[f32; COUNT], Unavailable> {
        let mut input = [0.0; COUNT];
        let rows = input.iter_mut().zip(vector).zip(&self.transforms).zip(&FEATURES);
        for (((slot, &value), transform), spec) in rows {
            if value.is_infinite() || (value.is_nan() && !spec.may_be_missing) {
                return Err(Unavailable::BadInput);
            }
            *slot = transform.apply(value);
        }
        Ok(input)
    }

    /// One forward pass.
    pub(crate) fn reconstruct(&self, input: &[f32; COUNT]) -> [f32; COUNT] {
        let mut front = [0.0f32; WIDTH_MAX];
        let mut back = [0.0f32; WIDTH_MAX];
        front.iter_mut().zip(input).for_each(|(slot, x)| *slot = *x);
        for (depth, layer) in self.layers.iter().enumerate() {
            let last = depth + 1 == self.layers.len();
            let sums = back.get_mut(..layer.biases.len()).unwrap_or_default();
            sums.fill(0.0);
            for (column, x) in layer.columns.iter().zip(&front) {
                sums.iter_mut().zip(column).for_each(|(sum, w)| *sum += w * x);
            }
            for (slot, bias) in sums.iter_mut().zip(&layer.biases) {
                let sum = bias + *slot;
                *slot = if last || sum > 0.0 { sum } else { LEAK * sum };
            }
            std::mem::swap(&mut front, &mut back);
        }
        let mut output = [0.0; COUNT];
        output.iter_mut().zip(&front).for_each(|(slot, y)| *slot = *y);
        output
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

impl Dense {
    fn is_finite(&self) -> bool {
        self.columns.iter().flatten().chain(&self.biases).all(|n| n.is_finite())
    }
}

fn keep_largest(top: &mut [Contribution; TOP], mut candidate: Contribution) {
    for place in top.iter_mut() {
        if candidate.error > place.error {
            std::mem::swap(place, &mut candidate);
        }
    }
}
