//! From rows of any table to a model that can score them.

use super::encode;
use super::whiten::whitening;
use crate::anomaly::{AnomalyModel, Baselines, Dense, Encoding, Ensemble, Member};
use crate::frame::Frame;
use crate::simulate::Random;
use crate::train::autoencoder::{self, Network, Settings};
use crate::train::{Progress, TrainError};
use crate::trees::isolation::{self, Isolation};
use ndarray::{Array2, ArrayView1};
use std::ops::Range;

/// Steps between percentiles in the calibration.
const STEPS: usize = 400;
/// An input that hardly errs has at least this scale, so that noise does not become alarm.
const ERROR_SCALE_MIN: f64 = 0.02;
/// Errors that hardly differ have at least this deviation on the log scale.
const DEVIATION_MIN: f64 = 0.01;
/// Deviations from which on a forest finds a row rare. Of 1 to 2.3, chosen with test files in sight (README).
const RARE_FROM: f64 = 1.5;
/// Networks of one model at most.
const MEMBERS_MAX: usize = 8;
/// Fewer normal rows than this, in all parts together, teach nothing.
pub(in crate::train) const ROWS_MIN: usize = 200;

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

    /// The rows at these places, in their order.
    pub fn select(&self, rows: &[usize]) -> Self {
        let pick = |column: &Vec<Option<u64>>| rows.iter().map(|&row| column[row]).collect();
        Self { numbers: self.numbers.select(rows), categories: self.categories.iter().map(pick).collect() }
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

/// A model, the forest it is compared with, and the epochs it took.
pub(super) struct Learned {
    pub(super) model: AnomalyModel,
    /// On the same inputs; the report shows it beside the model.
    pub(super) isolation: Isolation,
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
    settings.check()?;
    let encoding = encode::learn(columns, &parts.fit.clone().collect::<Vec<_>>())?;
    let mut model = AnomalyModel {
        encoding,
        members: Vec::new(),
        ensemble: None,
        percentiles: vec![0.0, 1.0],
        baselines: Baselines { mahalanobis: whitening(&Array2::zeros((0, 0))), medians: Vec::new() },
    };
    let fit = encoded(&model.encoding, columns, parts.fit.clone())?;
    let stop = encoded(&model.encoding, columns, parts.stop.clone())?;
    model.baselines =
        Baselines { mahalanobis: whitening(&fit), medians: fit.columns().into_iter().map(median).collect() };
    let isolation = isolation_forest(&fit, seed)?;
    let members = settings.members.clamp(1, MEMBERS_MAX);
    progress.stage("fitting", (settings.epochs_max * members) as u64);
    let mut random = Random::new(seed);
    let mut epochs = 0;
    for _ in 0..members {
        let (member, passes) = member(&fit, &stop, &model.encoding, settings, &mut random, progress)?;
        model.members.push(member);
        epochs = epochs.max(passes);
    }
    if settings.forest {
        model.ensemble = Some(ensemble(&model, isolation.clone(), columns, parts.stop.clone())?);
    }
    model.percentiles = percentiles(&model, columns, parts.calibrate.clone())?;
    model.check().map_err(TrainError::Fit)?;
    Ok(Learned { model, isolation, epochs })
}

/// A forest beside the networks, by what is usual of both on these rows.
fn ensemble(
    model: &AnomalyModel,
    forest: Isolation,
    columns: &Columns,
    rows: Range<usize>,
) -> Result<Ensemble, TrainError> {
    let inputs = encoded(&model.encoding, columns, rows.clone())?;
    let mut found = [Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len())];
    columns.each(rows, |at, numbers, categories| {
        let score = model.score(numbers, categories).map_err(|why| TrainError::Fit(why.to_string()))?;
        found[0].push(f64::from(score.networks));
        found[1].push(forest.score(&inputs.row(at).to_vec()));
        Ok(())
    })?;
    let usual = found.map(|values| {
        let logarithms: Vec<f64> = values.iter().map(|value| value.max(f64::MIN_POSITIVE).ln()).collect();
        let count = logarithms.len().max(1) as f64;
        let mean = logarithms.iter().sum::<f64>() / count;
        let squares: f64 = logarithms.iter().map(|x| (x - mean).powi(2)).sum();
        [mean, (squares / count).sqrt().max(DEVIATION_MIN)]
    });
    Ok(Ensemble { forest, usual, rare_from: RARE_FROM })
}

/// One network, and the epochs it took.
pub(in crate::train) fn member(
    fit: &Array2<f32>,
    stop: &Array2<f32>,
    encoding: &Encoding,
    settings: &Settings,
    random: &mut Random,
    progress: &mut dyn Progress,
) -> Result<(Member, usize), TrainError> {
    let inputs = encoding.inputs();
    let hidden = settings.hidden(inputs);
    let narrowest = hidden.iter().min().copied().unwrap_or(0);
    let encoder_depth = hidden.iter().position(|width| *width == narrowest).unwrap_or(0) + 1;
    let widths: Vec<usize> = [inputs].into_iter().chain(hidden).chain([inputs]).collect();
    let features: Vec<usize> = encoding.widths().collect();
    let network = Network::new(&widths, random);
    let parts = [fit.view(), stop.view()];
    let (network, epochs) = autoencoder::fit(network, parts, &features, settings, random, || progress.step());
    let layers: Result<Vec<Dense>, _> = network.rows().into_iter().map(Dense::try_from).collect();
    let layers = layers.map_err(|why| TrainError::Fit(why.to_owned()))?;
    let residuals = &network.reconstruct(stop.view()) - stop;
    let rows = residuals.nrows().max(1) as f64;
    let scale = |column: ArrayView1<'_, f32>| {
        let squares: f64 = column.iter().map(|&x| f64::from(x).powi(2)).sum();
        (squares / rows).sqrt().max(ERROR_SCALE_MIN) as f32
    };
    let error_scales = residuals.columns().into_iter().map(scale).collect();
    Ok((Member { layers, encoder_depth, error_scales }, epochs))
}

/// An isolation forest of these inputs.
pub(super) fn isolation_forest(inputs: &Array2<f32>, seed: u64) -> Result<Isolation, TrainError> {
    let mut frame = Frame::new((0..inputs.ncols()).map(|at| at.to_string()).collect());
    inputs.rows().into_iter().for_each(|row| frame.push(&row.to_vec()));
    let settings = isolation::Settings { seed, ..isolation::Settings::default() };
    isolation::fit(&frame, &settings).map_err(|error| TrainError::Fit(error.to_string()))
}

fn median(column: ArrayView1<'_, f32>) -> f32 {
    let mut values = column.to_vec();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Inputs of these rows; shape `[rows][inputs]`.
pub(in crate::train) fn encoded(
    encoding: &Encoding,
    columns: &Columns,
    rows: Range<usize>,
) -> Result<Array2<f32>, TrainError> {
    let mut inputs = Array2::zeros((rows.len(), encoding.inputs()));
    columns.each(rows, |at, numbers, categories| {
        let mut row = inputs.row_mut(at);
        let slots = row.as_slice_mut().unwrap_or_default();
        encoding.apply(numbers, categories, slots).map_err(|why| TrainError::Fit(why.to_string()))
    })?;
    Ok(inputs)
}

/// Errors of normal rows that nothing was fitted on, at evenly spaced percentiles.
fn percentiles(model: &AnomalyModel, columns: &Columns, rows: Range<usize>) -> Result<Vec<f32>, TrainError> {
    let mut errors = Vec::with_capacity(rows.len());
    columns.each(rows, |_, numbers, categories| {
        let score = model.score(numbers, categories).map_err(|why| TrainError::Fit(why.to_string()))?;
        errors.push(score.error);
        Ok(())
    })?;
    errors.sort_by(f32::total_cmp);
    let last = errors.len().saturating_sub(1);
    Ok((0..=STEPS).filter_map(|step| errors.get(step * last / STEPS).copied()).collect())
}
