//! An autoencoder on ndarray: leaky ReLU between layers, mean squared error, Adam, batches as matrices.
//!
//! Only sums, products and square roots are used, in a fixed order, so that every machine with IEEE arithmetic
//! trains the very same weights.

use super::TrainError;
use super::product::product;
use crate::anomaly::{LEAK, Rows, WIDTH_MAX, leaky};
use crate::simulate::Random;
use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};

/// What spoils the inputs in training, so that the network learns what belongs together instead of copying
/// (Vincent et al., 2008). The targets stay as they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    /// Nothing.
    None,
    /// This share of features becomes 0, 0 to 1.
    Mask(f64),
    /// This share of features, 0 to 1, is taken from another row of the same batch.
    Swap(f64),
}

/// Form and training of an autoencoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Widths of the hidden layers from first to last, of which the first of the narrowest is the bottleneck; empty: three
    /// quarters, a sixth and three quarters of the inputs.
    pub widths: Vec<usize>,
    /// Networks whose errors are averaged, 1 to 8.
    pub members: usize,
    /// Whether an isolation forest on the same inputs counts beside the networks ([`crate::anomaly::Ensemble`]).
    pub forest: bool,
    /// Passes over the training rows at most; the step falls evenly to a tenth by then.
    pub epochs_max: usize,
    /// Rows in a batch, 1 or more.
    pub batch: usize,
    /// Passes without a better loss on validation rows before training stops.
    pub patience: usize,
    /// First step of Adam, above 0.
    pub rate: f32,
    /// What spoils the inputs.
    pub noise: Noise,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            widths: Vec::new(),
            members: 3,
            forest: true,
            epochs_max: 15,
            batch: 128,
            patience: 4,
            rate: 0.002,
            noise: Noise::None,
        }
    }
}

impl Settings {
    /// Whether they make networks.
    ///
    /// # Errors
    /// [`TrainError::Fit`].
    pub fn check(&self) -> Result<(), TrainError> {
        let share = match self.noise {
            Noise::None => 0.0,
            Noise::Mask(share) | Noise::Swap(share) => share,
        };
        let sound = self.widths.iter().all(|width| (1..=WIDTH_MAX).contains(width))
            && self.batch > 0
            && self.rate > 0.0
            && self.rate.is_finite()
            && (0.0..1.0).contains(&share);
        if sound {
            return Ok(());
        }
        Err(TrainError::Fit(format!(
            "an autoencoder needs layers of 1 to {WIDTH_MAX}, batches, a step above 0 and noise below 1"
        )))
    }

    /// Widths of the hidden layers for so many inputs.
    pub(super) fn hidden(&self, inputs: usize) -> Vec<usize> {
        if !self.widths.is_empty() {
            return self.widths.clone();
        }
        let outer = (inputs * 3 / 4).max(4);
        vec![outer, (inputs / 6).max(2), outer]
    }
}

/// Weights (`[inputs][outputs]`) and biases of one layer.
#[derive(Debug, Clone)]
struct Layer {
    weights: Array2<f32>,
    biases: Array1<f32>,
}

/// A stack of layers.
#[derive(Debug, Clone)]
pub(super) struct Network {
    layers: Vec<Layer>,
}

impl Network {
    /// Random layers between these widths, the last as wide as the first (He et al., 2015; the linear one half as wide).
    pub(super) fn new(widths: &[usize], random: &mut Random) -> Self {
        let layer = |(at, pair): (usize, &[usize])| {
            let gain = if at + 2 == widths.len() { 1.0 } else { 2.0 };
            let scale = (gain / pair[0] as f32).sqrt();
            let weights = Array2::from_shape_simple_fn((pair[0], pair[1]), || scale * random.normal() as f32);
            Layer { weights, biases: Array1::zeros(pair[1]) }
        };
        Self { layers: widths.windows(2).enumerate().map(layer).collect() }
    }

    /// Outputs of every layer for a batch of rows.
    fn forward(&self, input: ArrayView2<'_, f32>) -> Vec<Array2<f32>> {
        let mut outputs: Vec<Array2<f32>> = Vec::with_capacity(self.layers.len());
        for (depth, layer) in self.layers.iter().enumerate() {
            let below = outputs.last().map_or(input.view(), |output| output.view());
            let mut output = product(below, layer.weights.view()) + &layer.biases;
            if depth + 1 < self.layers.len() {
                output.mapv_inplace(leaky);
            }
            outputs.push(output);
        }
        outputs
    }

    /// Half the mean squared error of reconstructing `target` from `input`, and its gradient.
    fn gradient(&self, input: ArrayView2<'_, f32>, target: ArrayView2<'_, f32>) -> (f64, Vec<Layer>) {
        let outputs = self.forward(input);
        let mut delta = &outputs[outputs.len() - 1] - &target;
        let loss = half_mean_square(&delta);
        delta /= target.len().max(1) as f32;
        let mut gradient = Vec::with_capacity(self.layers.len());
        for depth in (0..self.layers.len()).rev() {
            let below = depth.checked_sub(1).map_or(input.view(), |below| outputs[below].view());
            gradient
                .push(Layer { weights: product(below.t(), delta.view()), biases: delta.sum_axis(Axis(0)) });
            if depth > 0 {
                let mut next = product(delta.view(), self.layers[depth].weights.t());
                next.zip_mut_with(&below, |d, &y| *d *= if y > 0.0 { 1.0 } else { LEAK });
                delta = next;
            }
        }
        gradient.reverse();
        (loss, gradient)
    }

    /// Half the mean squared error of reconstructing these rows.
    fn loss(&self, rows: ArrayView2<'_, f32>) -> f64 {
        let parts = rows.axis_chunks_iter(Axis(0), 1024).map(|part| {
            let outputs = self.forward(part);
            half_mean_square(&(&outputs[outputs.len() - 1] - &part)) * part.nrows() as f64
        });
        parts.sum::<f64>() / rows.nrows().max(1) as f64
    }

    /// What the network gives back of these rows.
    pub(super) fn reconstruct(&self, rows: ArrayView2<'_, f32>) -> Array2<f32> {
        self.forward(rows).pop().unwrap_or_default()
    }

    /// As the artifact keeps it.
    pub(super) fn rows(&self) -> Vec<Rows> {
        let rows = |layer: &Layer| Rows {
            weights: layer.weights.columns().into_iter().map(|column| column.to_vec()).collect(),
            biases: layer.biases.to_vec(),
        };
        self.layers.iter().map(rows).collect()
    }
}

fn half_mean_square(difference: &Array2<f32>) -> f64 {
    difference.iter().map(|&d| f64::from(d).powi(2)).sum::<f64>() / (2 * difference.len().max(1)) as f64
}

/// Adam (Kingma and Ba, 2015) with its usual constants.
struct Adam {
    moments: Vec<[Layer; 2]>,
    power: [f32; 2],
}

impl Adam {
    fn new(network: &Network) -> Self {
        let zeros = |layer: &Layer| Layer {
            weights: Array2::zeros(layer.weights.raw_dim()),
            biases: Array1::zeros(layer.biases.raw_dim()),
        };
        let moments = network.layers.iter().map(|layer| [zeros(layer), zeros(layer)]).collect();
        Self { moments, power: [1.0, 1.0] }
    }

    fn step(&mut self, network: &mut Network, gradient: &[Layer], rate: f32) {
        const BETA: [f32; 2] = [0.9, 0.999];
        self.power = [self.power[0] * BETA[0], self.power[1] * BETA[1]];
        let unbias = self.power.map(|power| 1.0 - power);
        let update = |w: &mut f32, g: &f32, m: &mut f32, v: &mut f32| {
            *m = BETA[0] * *m + (1.0 - BETA[0]) * g;
            *v = BETA[1] * *v + (1.0 - BETA[1]) * g * g;
            *w -= rate * (*m / unbias[0]) / ((*v / unbias[1]).sqrt() + 1e-8);
        };
        for ((layer, slope), [first, second]) in
            network.layers.iter_mut().zip(gradient).zip(&mut self.moments)
        {
            Zip::from(&mut layer.weights)
                .and(&slope.weights)
                .and(&mut first.weights)
                .and(&mut second.weights)
                .for_each(update);
            Zip::from(&mut layer.biases)
                .and(&slope.biases)
                .and(&mut first.biases)
                .and(&mut second.biases)
                .for_each(update);
        }
    }
}

/// Trains until the loss on the validation rows stops falling; gives the best network and the epochs it took. `features`
/// has the number of inputs of each feature, which noise spoils together.
pub(super) fn fit(
    mut network: Network,
    [train, validate]: [ArrayView2<'_, f32>; 2],
    features: &[usize],
    settings: &Settings,
    random: &mut Random,
    mut after_epoch: impl FnMut(),
) -> (Network, usize) {
    let mut adam = Adam::new(&network);
    let mut order: Vec<usize> = (0..train.nrows()).collect();
    let mut best = (network.loss(validate), network.clone(), 0);
    for epoch in 1..=settings.epochs_max {
        for at in (1..order.len()).rev() {
            order.swap(at, random.below(at + 1));
        }
        let rate = settings.rate * (1.0 - 0.9 * (epoch - 1) as f32 / settings.epochs_max as f32);
        for batch in order.chunks(settings.batch) {
            let target = train.select(Axis(0), batch);
            let input = spoiled(&target, features, settings.noise, random);
            let (_, gradient) = network.gradient(input.view(), target.view());
            adam.step(&mut network, &gradient, rate);
        }
        let loss = network.loss(validate);
        after_epoch();
        if loss < best.0 {
            best = (loss, network.clone(), epoch);
        } else if epoch - best.2 >= settings.patience {
            break;
        }
    }
    (best.1, best.2)
}

fn spoiled(rows: &Array2<f32>, features: &[usize], noise: Noise, random: &mut Random) -> Array2<f32> {
    let mut spoiled = rows.clone();
    let (Noise::Mask(share) | Noise::Swap(share)) = noise else { return spoiled };
    for at in 0..rows.nrows() {
        let mut input = 0;
        for width in features {
            if random.chance(share) {
                let other = random.below(rows.nrows());
                for input in input..input + width {
                    let swapped = matches!(noise, Noise::Swap(_)).then(|| rows[[other, input]]);
                    spoiled[[at, input]] = swapped.unwrap_or(0.0);
                }
            }
            input += width;
        }
    }
    spoiled
}

#[cfg(test)]
mod tests;
