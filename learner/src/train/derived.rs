//! Inputs made of the others: memberships in clusters, and what an autoencoder of normal rows makes of a row. All of it is
//! fitted on the training rows of whoever asks, in every fold anew; the labels count for the autoencoder's normal rows alone.

mod cluster;

use super::anomaly::encode;
use super::anomaly::learn::{Columns, ROWS_MIN, encoded, member};
use super::autoencoder::Settings;
use super::dataset::{Dataset, FoldParts};
use super::{Part, Progress, TrainError};
use crate::frame::Frame;
use crate::fraud::{BOTTLENECK_MAX, CLUSTERS_MAX, Derived, Reconstruction, WIDTH_MAX};
use crate::simulate::Random;
use rayon::prelude::*;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Clusters where nobody says how many.
const CLUSTERS: usize = 8;
/// Normal rows that the autoencoder is fitted on, at most; evenly spaced in time.
const NORMAL_MAX: usize = 20_000;
/// Share of them, the latest, that say when to stop and which errors are usual.
const HELD_BACK: f64 = 0.2;
/// A usual error is at least this, so that noise does not become alarm.
const USUAL_MIN: f32 = 1e-3;
/// Rows that one thread takes at a time.
const CHUNK: usize = 4_096;

/// Which inputs are made of the others; none by default. As text, `clusters`, `clusters=12`, `autoencoder`, or two of them
/// with a comma between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How many clusters, 2 to 32; rows too alike to fill them end in fewer.
    pub clusters: Option<usize>,
    /// Error and bottleneck of an autoencoder.
    pub autoencoder: bool,
}

impl Wanted {
    /// Nothing is made.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What a model has, to be fitted anew for another one like it.
    pub(crate) fn of(derived: Option<&Derived>) -> Self {
        derived.map_or_else(Self::default, |derived| Self {
            clusters: derived.clusters.as_ref().map(|clusters| clusters.centres.len().max(2)),
            autoencoder: derived.autoencoder.is_some(),
        })
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut wanted = Self::default();
        for word in text.split(',').map(str::trim) {
            match word.split_once('=') {
                None if word == "clusters" => wanted.clusters = Some(CLUSTERS),
                None if word == "autoencoder" => wanted.autoencoder = true,
                Some(("clusters", number)) => {
                    let number = number.parse().ok().filter(|number| (2..=CLUSTERS_MAX).contains(number));
                    let number = number.ok_or_else(|| format!("clusters are 2 to {CLUSTERS_MAX}"))?;
                    wanted.clusters = Some(number);
                }
                _ => return Err(format!("`{word}` is none of: clusters, clusters=K, autoencoder")),
            }
        }
        Ok(wanted)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.clusters, self.autoencoder) {
            (Some(clusters), true) => write!(out, "clusters={clusters},autoencoder"),
            (Some(clusters), false) => write!(out, "clusters={clusters}"),
            (None, true) => out.write_str("autoencoder"),
            (None, false) => Ok(()),
        }
    }
}

/// Derived inputs as they were fitted on all training rows, and how a fold fits its own.
#[derive(Debug, Clone)]
pub struct Deriving {
    wanted: Wanted,
    seed: u64,
    fitted: Derived,
}

impl Deriving {
    /// As fitted on all training rows.
    pub(super) fn fitted(&self) -> &Derived {
        &self.fitted
    }

    /// The same inputs as these rows alone make them, which have no derived columns yet.
    pub(super) fn anew(&self, rows: &Part) -> Result<Derived, TrainError> {
        fit(rows, self.wanted, self.seed, &mut ())
    }
}

impl Dataset {
    /// Fits the wanted inputs on the training part, and adds them to every part; the mapping's folds get their own.
    ///
    /// # Errors
    /// [`TrainError::Unusable`] where rows are too few or columns too many.
    pub(crate) fn derive(
        &mut self,
        wanted: Wanted,
        seed: u64,
        progress: &mut dyn Progress,
    ) -> Result<(), TrainError> {
        if wanted.is_none() {
            return Ok(());
        }
        let fitted = fit(&self.train, wanted, seed, progress)?;
        for part in [&mut self.train, &mut self.validate, &mut self.test] {
            add(&fitted, part);
        }
        for FoldParts { train, validate } in &mut self.folds {
            let of_fold = fit(train, wanted, seed, progress)?;
            add(&of_fold, train);
            add(&of_fold, validate);
        }
        self.derived = Some(Deriving { wanted, seed, fitted });
        Ok(())
    }

    /// Adds to the test part the inputs that a model makes, to measure it.
    pub(super) fn derive_as(&mut self, derived: Option<&Derived>) {
        if let Some(derived) = derived {
            add(derived, &mut self.test);
        }
    }
}

/// Adds the inputs of every row.
pub(super) fn add(derived: &Derived, part: &mut Part) {
    let columns = columns(derived, &part.frame);
    for (column, values) in derived.columns().into_iter().zip(columns) {
        part.frame.append(column.name, values);
    }
}

/// The inputs of many rows; shape `[inputs][rows]`.
fn columns(derived: &Derived, frame: &Frame) -> Vec<Vec<f32>> {
    let chunk = |rows: Range<usize>| {
        let (mut row, mut inputs) = (vec![0.0; frame.width()], vec![0.0; derived.width()]);
        let mut columns = vec![Vec::with_capacity(rows.len()); inputs.len()];
        for at in rows {
            frame.row(at, &mut row);
            derived.write(&row, &mut inputs);
            columns.iter_mut().zip(&inputs).for_each(|(column, value)| column.push(*value));
        }
        columns
    };
    let chunks: Vec<Vec<Vec<f32>>> = chunks(frame.rows()).into_par_iter().map(chunk).collect();
    let mut columns = vec![Vec::with_capacity(frame.rows()); derived.width()];
    for chunk in chunks {
        columns.iter_mut().zip(chunk).for_each(|(column, more)| column.extend(more));
    }
    columns
}

/// Places of rows in pieces that do not depend on the number of threads.
fn chunks(rows: usize) -> Vec<Range<usize>> {
    (0..rows).step_by(CHUNK).map(|start| start..(start + CHUNK).min(rows)).collect()
}

/// At most so many of these rows, evenly spaced.
fn spaced(rows: Vec<usize>, most: usize) -> Vec<usize> {
    let step = rows.len().div_ceil(most).max(1);
    rows.into_iter().step_by(step).collect()
}

fn unusable(problem: String) -> TrainError {
    TrainError::Unusable { part: "training", problem }
}

/// Fits on rows without derived columns; the same for the same rows and seed, whatever the number of threads.
fn fit(rows: &Part, wanted: Wanted, seed: u64, progress: &mut dyn Progress) -> Result<Derived, TrainError> {
    progress.stage("making inputs", 2);
    let clusters = wanted.clusters.map(|count| cluster::fit(rows, count, seed)).transpose()?;
    progress.step();
    let autoencoder =
        wanted.autoencoder.then(|| reconstruction(&rows.frame, &rows.labels, seed)).transpose()?;
    progress.step();
    let (derived, plain) = (Derived { clusters, autoencoder }, rows.frame.width());
    if plain + derived.width() > WIDTH_MAX {
        let problem = format!(
            "{plain} features and {} inputs made of them; at most {WIDTH_MAX} altogether: leave some columns out of the \
             mapping",
            derived.width()
        );
        return Err(unusable(problem));
    }
    Ok(derived)
}

fn reconstruction(frame: &Frame, labels: &[bool], seed: u64) -> Result<Reconstruction, TrainError> {
    let normal = spaced((0..labels.len()).filter(|&row| !labels[row]).collect(), NORMAL_MAX);
    if normal.len() < ROWS_MIN {
        let problem =
            format!("{} normal rows are too few for the autoencoder's inputs, of {ROWS_MIN}", normal.len());
        return Err(unusable(problem));
    }
    let columns = Columns { numbers: frame.select(&normal), categories: Vec::new() };
    let cut = (normal.len() as f64 * (1.0 - HELD_BACK)) as usize;
    let encoding = encode::learn(&columns, &(0..cut).collect::<Vec<_>>())?;
    let fitted = encoded(&encoding, &columns, 0..cut)?;
    let held_back = encoded(&encoding, &columns, cut..normal.len())?;
    let inputs = encoding.inputs();
    let outer = (inputs * 3 / 4).max(4);
    let widths = vec![outer, (inputs / 6).clamp(2, BOTTLENECK_MAX), outer];
    let settings = Settings { widths, members: 1, forest: false, ..Settings::default() };
    let mut random = Random::new(seed);
    let (network, _) = member(&fitted, &held_back, &encoding, &settings, &mut random, &mut ())?;
    let mut errors: Vec<f32> =
        held_back.rows().into_iter().map(|row| network.judge(&row.to_vec(), &mut [])).collect();
    errors.sort_by(f32::total_cmp);
    let usual = errors.get(errors.len() / 2).copied().unwrap_or_default().max(USUAL_MIN);
    Ok(Reconstruction { encoding, network, usual })
}

#[cfg(test)]
mod tests;
