//! An autoencoder on ndarray: leaky ReLU between layers, mean squared error, Adam.
//!
//! Only sums, products and square roots are used, in a fixed order, so that every machine with IEEE arithmetic
//! trains the very same weights.

use crate::anomaly::Rows;
use crate::simulate::Random;
use ndarray::{Array1, Array2};

const LEAK: f64 = crate::anomaly::LEAK as f64;

/// Weights (`[outputs][inputs]`) and biases of one layer.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) weights: Array2<f64>,
    pub(super) biases: Array1<f64>,
}

/// A stack of layers.
#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) layers: Vec<Layer>,
}

impl Network {
    /// Random layers between these widths, the last as wide as the first (He initialisation).
    pub(super) fn new(widths: &[usize], random: &mut Random) -> Self {
        let layer = |pair: &[usize]| {
            let scale = (2.0 / pair[0] as f64).sqrt();
            let weights = Array2::from_shape_simple_fn((pair[1], pair[0]), || {
                scale * f64::from(random.normal() as f32)
            });
            Layer { weights, biases: Array1::zeros(pair[1]) }
        };
        Self { layers: widths.windows(2).map(layer).collect() }
    }

    /// Outputs of every layer, the input first.
    fn forward(&self, input: &Array1<f64>) -> Vec<Array1<f64>> {
        let mut outputs = vec![input.clone()];
        for (depth, layer) in self.layers.iter().enumerate() {
            let mut output = layer.weights.dot(&outputs[depth]) + &layer.biases;
            if depth + 1 < self.layers.len() {
                output.mapv_inplace(|sum| if sum > 0.0 { sum } else { LEAK * sum });
            }
            outputs.push(output);
        }
        outputs
    }

    /// Half the mean squared error of reconstructing a row.
    pub(super) fn loss(&self, input: &Array1<f64>) -> f64 {
        let outputs = self.forward(input);
        let difference = &outputs[outputs.len() - 1] - input;
        difference.dot(&difference) / (2.0 * input.len() as f64)
    }

    /// Adds the gradient of [`Network::loss`] at `input`, reconstructing `target`, to `gradient`.
    fn backward(&self, input: &Array1<f64>, target: &Array1<f64>, gradient: &mut Network) {
        let outputs = self.forward(input);
        let mut delta = (&outputs[outputs.len() - 1] - target) / target.len() as f64;
        for depth in (0..self.layers.len()).rev() {
            let slot = &mut gradient.layers[depth];
            for (mut row, &d) in slot.weights.rows_mut().into_iter().zip(&delta) {
                row.scaled_add(d, &outputs[depth]);
            }
            slot.biases += &delta;
            if depth > 0 {
                let mut below = Array1::zeros(outputs[depth].len());
                for (row, &d) in self.layers[depth].weights.rows().into_iter().zip(&delta) {
                    below.scaled_add(d, &row);
                }
                below.zip_mut_with(&outputs[depth], |d, &y| *d *= if y > 0.0 { 1.0 } else { LEAK });
                delta = below;
            }
        }
    }

    fn zeros_like(&self) -> Self {
        let zeros = |layer: &Layer| Layer {
            weights: Array2::zeros(layer.weights.raw_dim()),
            biases: Array1::zeros(layer.biases.raw_dim()),
        };
        Self { layers: self.layers.iter().map(zeros).collect() }
    }

    /// As the artifact keeps it.
    pub(super) fn rows(&self) -> Vec<Rows> {
        let rows = |layer: &Layer| Rows {
            weights: layer.weights.rows().into_iter().map(|row| row.mapv(|w| w as f32).to_vec()).collect(),
            biases: layer.biases.mapv(|b| b as f32).to_vec(),
        };
        self.layers.iter().map(rows).collect()
    }
}

/// Adam (Kingma and Ba, 2015) with its usual constants.
struct Adam {
    first: Network,
    second: Network,
    power: (f64, f64),
    rate: f64,
}

impl Adam {
    fn new(network: &Network, rate: f64) -> Self {
        Self { first: network.zeros_like(), second: network.zeros_like(), power: (1.0, 1.0), rate }
    }

    fn step(&mut self, network: &mut Network, gradient: &Network) {
        const BETA: (f64, f64) = (0.9, 0.999);
        self.power = (self.power.0 * BETA.0, self.power.1 * BETA.1);
        let (unbias_first, unbias_second) = (1.0 - self.power.0, 1.0 - self.power.1);
        let rate = self.rate;
        let update = |w: &mut f64, g: f64, m: &mut f64, v: &mut f64| {
            *m = BETA.0 * *m + (1.0 - BETA.0) * g;
            *v = BETA.1 * *v + (1.0 - BETA.1) * g * g;
            *w -= rate * (*m / unbias_first) / ((*v / unbias_second).sqrt() + 1e-8);
        };
        let moments = self.first.layers.iter_mut().zip(&mut self.second.layers);
        for ((layer, slope), (first, second)) in network.layers.iter_mut().zip(&gradient.layers).zip(moments)
        {
            let weights = layer
                .weights
                .iter_mut()
                .zip(&slope.weights)
                .zip(first.weights.iter_mut().zip(&mut second.weights));
            weights.for_each(|((w, g), (m, v))| update(w, *g, m, v));
            let biases = layer
                .biases
                .iter_mut()
                .zip(&slope.biases)
                .zip(first.biases.iter_mut().zip(&mut second.biases));
            biases.for_each(|((b, g), (m, v))| update(b, *g, m, v));
        }
    }
}

/// How to train.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) epochs_max: usize,
    pub(super) batch: usize,
    /// Epochs without a better validation loss before training stops.
    pub(super) patience: usize,
    pub(super) rate: f64,
}

/// Trains until the loss on the validation rows stops falling; gives the best network and the epochs it took.
pub(super) fn fit(
    mut network: Network,
    train: &[Array1<f64>],
    validate: &[Array1<f64>],
    schedule: Schedule,
    random: &mut Random,
    mut after_epoch: impl FnMut(),
) -> (Network, usize) {
    let mut adam = Adam::new(&network, schedule.rate);
    let mut order: Vec<usize> = (0..train.len()).collect();
    let mut best = (mean_loss(&network, validate), network.clone(), 0);
    for epoch in 1..=schedule.epochs_max {
        for at in (1..order.len()).rev() {
            order.swap(at, random.below(at + 1));
        }
        for batch in order.chunks(schedule.batch) {
            let mut gradient = network.zeros_like();
            for &row in batch {
                network.backward(&train[row], &train[row], &mut gradient);
            }
            let share = 1.0 / batch.len() as f64;
            for layer in &mut gradient.layers {
                layer.weights *= share;
                layer.biases *= share;
            }
            adam.step(&mut network, &gradient);
        }
        let loss = mean_loss(&network, validate);
        after_epoch();
        if loss < best.0 {
            best = (loss, network.clone(), epoch);
        } else if epoch - best.2 >= schedule.patience {
            break;
        }
    }
    (best.1, best.2)
}

fn mean_loss(network: &Network, rows: &[Array1<f64>]) -> f64 {
    rows.iter().map(|row| network.loss(row)).sum::<f64>() / rows.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(random: &mut Random, width: usize) -> Array1<f64> {
        Array1::from_shape_simple_fn(width, || random.normal())
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        const STEP: f64 = 1e-6;
        let mut random = Random::new(4);
        let network = Network::new(&[5, 4, 2, 4, 5], &mut random);
        let input = row(&mut random, 5);
        let mut gradient = network.zeros_like();
        network.backward(&input, &input, &mut gradient);
        for depth in 0..network.layers.len() {
            let (outputs, inputs) = network.layers[depth].weights.dim();
            for output in 0..outputs {
                for at in 0..=inputs {
                    let nudge = |by: f64| {
                        let mut other = network.clone();
                        let layer = &mut other.layers[depth];
                        if at == inputs {
                            layer.biases[output] += by
                        } else {
                            layer.weights[[output, at]] += by
                        }
                        other.loss(&input)
                    };
                    let slope = (nudge(STEP) - nudge(-STEP)) / (2.0 * STEP);
                    let layer = &gradient.layers[depth];
                    let found = if at == inputs { layer.biases[output] } else { layer.weights[[output, at]] };
                    assert!(
                        (found - slope).abs() < 1e-6,
                        "layer {depth}, {output} from {at}: {found} for {slope}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_plane_in_space_fits_through_a_bottleneck() {
        let mut random = Random::new(9);
        let rows: Vec<_> = (0..600)
            .map(|_| {
                let (a, b) = (random.normal(), random.normal());
                Array1::from(vec![a, b, a + b, a - b, 2.0 * a, 0.5 * b])
            })
            .collect();
        let network = Network::new(&[6, 8, 2, 8, 6], &mut random);
        let before = mean_loss(&network, &rows[500..]);
        let schedule = Schedule { epochs_max: 60, batch: 16, patience: 60, rate: 0.01 };
        let (trained, _) = fit(network, &rows[..500], &rows[500..], schedule, &mut random, || ());
        let after = mean_loss(&trained, &rows[500..]);
        assert!(after < 0.05 * before, "{before} became {after}");
    }
}
