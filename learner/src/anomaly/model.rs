//! The autoencoder as its artifact keeps it, and the score of one row.

use super::encode::Encoding;
use super::network::{Dense, WIDTH_MAX, Whitening, leaky};
use super::{AnomalyScore, Contribution, TOP, Unavailable};
use crate::trees::isolation::Isolation;
use serde::{Deserialize, Serialize};

/// One input's scaled error counts at most this much: what is odd in many columns stands out, and one column far out, which
/// new but harmless rows have as well, does not outweigh all others.
const COUNTED_MAX: f32 = 10.0;
/// As a contribution, this much: among several columns far out the farthest is named first.
const ERROR_MAX: f32 = 1e4;
/// An [`Ensemble`]'s sum of deviations counts at most this much, far from what a number can hold.
const DEVIATION_MAX: f64 = 60.0;

/// Autoencoders with their input encoding, error scales and calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnomalyModel {
    /// From a row's columns to the networks' inputs.
    pub encoding: Encoding,
    /// Networks that differ in their first weights alone; their errors are averaged, which evens out what each makes of
    /// rows unlike any of training. At least one.
    pub members: Vec<Member>,
    /// What evens out the networks' errors, where the model has it.
    pub ensemble: Option<Ensemble>,
    /// Errors of normal validation rows at evenly spaced percentiles from 0 to 1, rising.
    pub percentiles: Vec<f32>,
    /// What every evaluation shows beside the networks.
    pub baselines: Baselines,
}

/// One autoencoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// From the inputs through the bottleneck back to the inputs; leaky ReLU between layers, the last one linear.
    pub layers: Vec<Dense>,
    /// How many layers lead to the bottleneck, 1 or more.
    pub encoder_depth: usize,
    /// Root mean square error an input on normal validation rows, above zero; shape `[inputs]`.
    pub error_scales: Vec<f32>,
}

/// An isolation forest on the networks' inputs, beside them. They err apart: the networks know which values go together, the
/// forest which are few. What it finds rare adds to what they find; that it finds a row common takes nothing off, because attacks
/// may be made of common values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    /// Learned from training rows.
    pub forest: Isolation,
    /// Mean and deviation of the logarithms of the networks' errors, and of the forest's scores, on normal validation rows.
    pub usual: [[f64; 2]; 2],
    /// Deviations of the forest's scores from which on they count, 0 or more.
    pub rare_from: f64,
}

impl Ensemble {
    /// One error of both, above zero: how many deviations they are off together, as a power of e.
    fn error(&self, networks: f32, forest: f64) -> f32 {
        let apart =
            |found: f64, [mean, deviation]: [f64; 2]| (found.max(f64::MIN_POSITIVE).ln() - mean) / deviation;
        let [of_networks, of_forest] = self.usual;
        let sum =
            apart(f64::from(networks), of_networks) + (apart(forest, of_forest) - self.rare_from).max(0.0);
        sum.clamp(-DEVIATION_MAX, DEVIATION_MAX).exp() as f32
    }

    fn is_sound(&self, inputs: usize) -> bool {
        let sound =
            |[mean, deviation]: &[f64; 2]| mean.is_finite() && deviation.is_finite() && *deviation > 0.0;
        self.forest.trees().width() == inputs
            && self.usual.iter().all(sound)
            && (0.0..=DEVIATION_MAX).contains(&self.rare_from)
    }
}

/// Simpler detectors on the same inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// Of the inputs of training rows.
    pub mahalanobis: Whitening,
    /// Of the inputs of training rows; shape `[inputs]`.
    pub medians: Vec<f32>,
}

impl Baselines {
    /// What each makes of a row's inputs, shape `[inputs]`; higher is more unusual.
    pub fn scores(&self, inputs: &[f32]) -> [(&'static str, f64); 2] {
        let apart = inputs.iter().zip(&self.medians).map(|(x, median)| f64::from(x - median).powi(2));
        [
            ("Mahalanobis distance", f64::from(self.mahalanobis.squared_distance(inputs))),
            ("distance from the median", apart.sum()),
        ]
    }
}

impl Member {
    /// Whether the shapes fit together and the numbers can score.
    pub(crate) fn check(&self, inputs: usize) -> Result<(), &'static str> {
        let mut width = inputs;
        for layer in &self.layers {
            if layer.inputs() != width || layer.outputs() > WIDTH_MAX {
                return Err("layers do not fit together");
            }
            width = layer.outputs();
        }
        if width != inputs || !(1..self.layers.len()).contains(&self.encoder_depth) {
            return Err("the last layer does not give the input back");
        }
        let sound = self.error_scales.len() == inputs
            && self.error_scales.iter().all(|n| n.is_finite() && *n > 0.0)
            && self.layers.iter().all(Dense::is_finite);
        if sound { Ok(()) } else { Err("a number of a network is out of range") }
    }

    /// Width of the bottleneck.
    pub fn bottleneck_width(&self) -> usize {
        self.encoder_depth.checked_sub(1).and_then(|at| self.layers.get(at)).map_or(0, Dense::outputs)
    }

    /// Sends `front` through the first layers, so many of them, and gives where the outputs are; what the bottleneck has of
    /// it is put into `kept`.
    fn pass<'a>(
        &self,
        depth: usize,
        mut front: &'a mut [f32; WIDTH_MAX],
        mut back: &'a mut [f32; WIDTH_MAX],
        kept: &mut [f32],
    ) -> &'a mut [f32; WIDTH_MAX] {
        for (at, layer) in self.layers.iter().enumerate().take(depth) {
            let sums = layer.sums(front, back);
            if at + 1 < self.layers.len() {
                sums.iter_mut().for_each(|sum| *sum = leaky(*sum));
            }
            if at + 1 == self.encoder_depth {
                kept.iter_mut().zip(sums.iter()).for_each(|(slot, value)| *slot = *value);
            }
            std::mem::swap(&mut front, &mut back);
        }
        front
    }

    /// Adds to `errors`, shape `[inputs]`, how far off the network's picture of `input` is, in units of what is usual.
    pub(crate) fn add_errors(&self, input: &[f32], errors: &mut [f32]) {
        self.add_errors_and_keep(input, errors, &mut []);
    }

    /// The mean over all inputs of how far off the network's picture of `input` is, in units of what is usual; what the
    /// bottleneck has of it is put into `kept`.
    pub(crate) fn judge(&self, input: &[f32], kept: &mut [f32]) -> f32 {
        let mut errors = [0.0f32; WIDTH_MAX];
        let errors = errors.get_mut(..input.len()).unwrap_or_default();
        self.add_errors_and_keep(input, errors, kept);
        errors.iter().map(|error| error.min(COUNTED_MAX)).sum::<f32>() / errors.len().max(1) as f32
    }

    fn add_errors_and_keep(&self, input: &[f32], errors: &mut [f32], kept: &mut [f32]) {
        let (mut front, mut back) = ([0.0f32; WIDTH_MAX], [0.0f32; WIDTH_MAX]);
        front.iter_mut().zip(input).for_each(|(slot, x)| *slot = *x);
        let output = self.pass(self.layers.len(), &mut front, &mut back, kept);
        let pairs = input.iter().zip(output.iter()).zip(&self.error_scales);
        errors.iter_mut().zip(pairs).for_each(|(error, ((x, y), scale))| *error += (x - y).abs() / scale);
    }
}

impl AnomalyModel {
    /// Whether the shapes fit together and the numbers can score.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.encoding.check()?;
        let inputs = self.encoding.inputs();
        if self.members.is_empty() {
            return Err("no network".to_owned());
        }
        self.members.iter().try_for_each(|member| member.check(inputs))?;
        if !self.baselines.mahalanobis.fits(inputs) || self.baselines.medians.len() != inputs {
            return Err("baselines for other inputs".to_owned());
        }
        if self.ensemble.as_ref().is_some_and(|ensemble| !ensemble.is_sound(inputs)) {
            return Err("an isolation forest for other inputs, or a spread that is none".to_owned());
        }
        let sound = self.percentiles.len() >= 2
            && self.percentiles.iter().chain(&self.baselines.medians).all(|n| n.is_finite())
            && self.percentiles.is_sorted();
        if sound { Ok(()) } else { Err("a number is out of range".to_owned()) }
    }

    /// Scores a row: its numbers in the order of training (`NaN` is missing) and the hashes of its categories.
    ///
    /// # Errors
    /// [`Unavailable`] for infinities and for other numbers of columns than were learned.
    pub fn score(&self, numbers: &[f32], categories: &[Option<u64>]) -> Result<AnomalyScore, Unavailable> {
        let (mut input, mut errors) = ([0.0f32; WIDTH_MAX], [0.0f32; WIDTH_MAX]);
        let input = input.get_mut(..self.encoding.inputs()).ok_or(Unavailable::BadInput)?;
        let errors = errors.get_mut(..input.len()).ok_or(Unavailable::BadInput)?;
        self.encoding.apply(numbers, categories, input)?;
        self.members.iter().for_each(|member| member.add_errors(input, errors));
        let share = 1.0 / self.members.len().max(1) as f32;
        errors.iter_mut().for_each(|error| *error = (*error * share).min(ERROR_MAX));
        let networks =
            errors.iter().map(|error| error.min(COUNTED_MAX)).sum::<f32>() / errors.len().max(1) as f32;
        let error = match &self.ensemble {
            Some(ensemble) => ensemble.error(networks, ensemble.forest.score(input)),
            None => networks,
        };
        if !error.is_finite() || !networks.is_finite() {
            return Err(Unavailable::NotFinite);
        }
        let mut contributions = [Contribution::default(); TOP];
        let mut rest = errors.iter();
        for (feature, width) in self.encoding.widths().enumerate() {
            let squares = rest.by_ref().take(width).map(|error| error * error);
            let error = squares.sum::<f32>() / width.max(1) as f32;
            keep_largest(&mut contributions, Contribution { feature, error });
        }
        Ok(AnomalyScore { percentile: self.percentile(error), error, networks, contributions })
    }

    /// Width of the bottleneck.
    pub fn bottleneck_width(&self) -> usize {
        self.members.first().map_or(0, Member::bottleneck_width)
    }

    /// Fills in the first network's bottleneck of a row, shape [`AnomalyModel::bottleneck_width`]: what it keeps of the
    /// row, in fewer dimensions.
    ///
    /// # Errors
    /// As [`AnomalyModel::score`].
    pub fn bottleneck(
        &self,
        numbers: &[f32],
        categories: &[Option<u64>],
        out: &mut [f32],
    ) -> Result<(), Unavailable> {
        let (mut front, mut back) = ([0.0f32; WIDTH_MAX], [0.0f32; WIDTH_MAX]);
        let input = front.get_mut(..self.encoding.inputs()).ok_or(Unavailable::BadInput)?;
        self.encoding.apply(numbers, categories, input)?;
        let member = self.members.first().ok_or(Unavailable::BadInput)?;
        member.pass(member.encoder_depth, &mut front, &mut back, out);
        Ok(())
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
