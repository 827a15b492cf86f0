//! Layers as an artifact keeps them, and their sums over one row.

use serde::{Deserialize, Serialize};

/// Widest layer, and most inputs, that scoring has room for on its stack.
pub const WIDTH_MAX: usize = 512;
/// Slope of the activation below zero.
pub(crate) const LEAK: f32 = 0.1;

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

impl Dense {
    pub(super) fn inputs(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn outputs(&self) -> usize {
        self.biases.len()
    }

    pub(super) fn is_finite(&self) -> bool {
        self.columns.iter().flatten().chain(&self.biases).all(|n| n.is_finite())
    }

    /// Weighted sums of `input` with the biases; `out` has room for all outputs, and the part that was filled is given
    /// back.
    pub(super) fn sums<'a>(&self, input: &[f32], out: &'a mut [f32; WIDTH_MAX]) -> &'a mut [f32] {
        let sums = out.get_mut(..self.biases.len()).unwrap_or_default();
        sums.fill(0.0);
        for (column, x) in self.columns.iter().zip(input) {
            sums.iter_mut().zip(column).for_each(|(sum, w)| *sum += w * x);
        }
        sums.iter_mut().zip(&self.biases).for_each(|(sum, bias)| *sum += bias);
        sums
    }
}

/// The activation between layers.
pub(crate) fn leaky(sum: f32) -> f32 {
    if sum > 0.0 { sum } else { LEAK * sum }
}

/// How rows lie apart from the middle of normal ones, in units of their spread with all correlation taken out: the inverse
/// of the covariance's symmetric root, which leaves every column as close to itself as can be (Kessy et al., 2018).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Whitening {
    /// Mean of normal rows; shape `[width]`.
    pub centre: Vec<f32>,
    /// The lower half of a symmetric matrix, one row a column of what is whitened, up to the diagonal.
    pub rows: Vec<Vec<f32>>,
}

impl Whitening {
    /// What is left of a row, shape `[width]`: 0 on average over normal rows, with a variance of 1.
    pub(super) fn apply(&self, row: &[f32]) -> [f32; WIDTH_MAX] {
        let mut apart = [0.0f32; WIDTH_MAX];
        let mut sums = [0.0f32; WIDTH_MAX];
        apart.iter_mut().zip(row.iter().zip(&self.centre)).for_each(|(slot, (x, mean))| *slot = x - mean);
        for (at, (half, x)) in self.rows.iter().zip(&apart).enumerate() {
            // Left of the diagonal the half stands for itself, above it for its mirror image.
            let mut mirrored = 0.0;
            for ((sum, w), other) in sums.iter_mut().zip(half).zip(&apart).take(at) {
                *sum += w * x;
                mirrored += w * other;
            }
            if let (Some(sum), Some(w)) = (sums.get_mut(at), half.get(at)) {
                *sum += mirrored + w * x;
            }
        }
        sums
    }

    /// Mahalanobis distance (Mahalanobis, 1936), squared, of a row of shape `[width]`; the mean over normal rows is the
    /// width.
    pub fn squared_distance(&self, row: &[f32]) -> f32 {
        self.apply(row).iter().take(self.centre.len()).map(|x| x * x).sum()
    }

    pub(super) fn fits(&self, width: usize) -> bool {
        self.centre.len() == width
            && width <= WIDTH_MAX
            && self.rows.iter().map(Vec::len).eq(1..=width)
            && self.rows.iter().flatten().chain(&self.centre).all(|n| n.is_finite())
    }
}
