//! From rows of any table to a model that can score them.

use super::encode;
use super::whiten::whitening;
use crate::anomaly::{AnomalyModel, Baselines, Dense};
use crate::frame::Frame;
use crate::simulate::Random;
use crate::train::autoencoder::{self, Network, Settings};
use crate::train::{Progress, TrainError};
use ndarray::{Array2, ArrayView1};
use std::ops::Range;

/// Steps between percentiles in the calibration.
const STEPS: usize = 400;
/// Fewer normal rows than this, in all parts together, teach nothing.
pub(super) const ROWS_MIN: usize = 200;

/// Rows as read, column by column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// Numbers; `NaN` is missing.
    pub numbers: Frame,
    /// Hashes of categories, one vector a column; `None` is missing.
    pub categories: Vec<Vec<Option<u64>>>,
}

impl Columns {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.categories.first().map_or(self.numbers.rows(), Vec::len)
    }

    /// Adds a row.
    pub fn push(&mut self, numbers: &[f32], categories: &[Option<u64>]) {
        self.numbers.push(numbers);
        self.categories.iter_mut().zip(categories).for_each(|(column, value)| column.push(*value));
    }

    /// Hands each of these rows to `visit`, with its place among them.
    pub(super) fn each(
        &self,
        rows: Range<usize>,
        mut visit: impl FnMut(usize, &[f32], &[Option<u64>]) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let mut numbers = vec![0.0; self.numbers.width()];
        let mut categories = vec![None; self.categories.len()];
        for (at, row) in rows.enumerate() {
            self.numbers.row(row, &mut numbers);
            categories.iter_mut().zip(&self.categories).for_each(|(slot, column)| *slot = column[row]);
            visit(at, &numbers, &categories)?;
        }
        Ok(())
    }
}

/// Normal rows by what is done with them; each part follows the one before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parts {
    /// Encoding and weights come from these.
    pub(super) fit: Range<usize>,
    /// When to stop, and what errors are usual.
    pub(super) stop: Range<usize>,
    /// Percentiles.
    pub(super) calibrate: Range<usize>,
}

/// A model, and the epochs it took.
pub(super) struct Learned {
    pub(super) model: AnomalyModel,
    pub(super) epochs: usize,
}

/// Learns a model of these normal rows.
pub(super) fn learn(
    columns: &Columns,
    parts: &Parts,
    settings: &Settings,
    seed: u64,
    progress: &mut dyn Progress,
) -> Result<Learned, TrainError> {
    let encoder_depth = settings.encoder_depth()?;
    let encoding = encode::learn(columns, &parts.fit.clone().collect::<Vec<_>>())?;
    let inputs = encoding.inputs();
    let mut model = AnomalyModel {
        encoding,
        layers: Vec::new(),
        encoder_depth,
        whitening: whitening(&Array2::zeros((0, 0))),
        percentiles: vec![0.0, 1.0],
        baselines: Baselines { mahalanobis: whitening(&Array2::zeros((0, 0))), medians: Vec::new() },
    };
    let fit = encoded(&model, columns, parts.fit.clone())?;
    let stop = encoded(&model, columns, parts.stop.clone())?;
    model.baselines =
        Baselines { mahalanobis: whitening(&fit), medians: fit.columns().into_iter().map(median).collect() };
    progress.stage("fitting", settings.epochs_max as u64);
    let mut random = Random::new(seed);
    let widths: Vec<usize> =
        [inputs].into_iter().chain(settings.widths.iter().copied()).chain([inputs]).collect();
    let network = Network::new(&widths, &mut random);
    let features: Vec<usize> = model.encoding.widths().collect();
    let (network, epochs) =
        autoencoder::fit(network, [fit.view(), stop.view()], &features, settings, &mut random, || {
            progress.step();
        });
    let layers: Result<Vec<Dense>, _> = network.rows().into_iter().map(Dense::try_from).collect();
    model.layers = layers.map_err(|why| TrainError::Fit(why.to_owned()))?;
    calibrate(&mut model, columns, parts)?;
    model.check().map_err(TrainError::Fit)?;
    Ok(Learned { model, epochs })
}

fn median(column: ArrayView1<'_, f32>) -> f32 {
    let mut values = column.to_vec();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Inputs of these rows; shape `[rows][inputs]`.
pub(super) fn encoded(
    model: &AnomalyModel,
    columns: &Columns,
    rows: Range<usize>,
) -> Result<Array2<f32>, TrainError> {
    let mut inputs = Array2::zeros((rows.len(), model.encoding.inputs()));
    columns.each(rows, |at, numbers, categories| {
        let mut row = inputs.row_mut(at);
        let slots = row.as_slice_mut().unwrap_or_default();
        model.encoding.apply(numbers, categories, slots).map_err(|why| TrainError::Fit(why.to_string()))
    })?;
    Ok(inputs)
}

/// Gives a model its whitening and percentiles, from normal rows that it was not fitted on.
fn calibrate(model: &mut AnomalyModel, columns: &Columns, parts: &Parts) -> Result<(), TrainError> {
    let refused = |error: crate::anomaly::Unavailable| TrainError::Fit(error.to_string());
    let inputs = model.encoding.inputs();
    let mut joint = Array2::zeros((parts.stop.len(), inputs + model.bottleneck_width()));
    columns.each(parts.stop.clone(), |at, numbers, categories| {
        let passed = model.pass(numbers, categories).map_err(refused)?;
        joint.row_mut(at).iter_mut().zip(passed.joint()).for_each(|(slot, value)| *slot = *value);
        Ok(())
    })?;
    model.whitening = whitening(&joint);
    let mut errors = Vec::with_capacity(parts.calibrate.len());
    columns.each(parts.calibrate.clone(), |_, numbers, categories| {
        errors.push(model.score(numbers, categories).map_err(refused)?.error);
        Ok(())
    })?;
    errors.sort_by(f32::total_cmp);
    let last = errors.len().saturating_sub(1);
    model.percentiles = (0..=STEPS).map(|step| errors[step * last / STEPS]).collect();
    Ok(())
}
