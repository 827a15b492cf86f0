//! Training of the models that the gateway serves, from recorded or simulated events.
//!
//! Everything fitted (imputation, scaling, resampling, hyper-parameters, calibration, thresholds) sees only the part
//! of the data it is meant for, and periods follow one another in time: training, validation, test.

pub mod adopt;
pub mod anomaly;
pub mod autoencoder;
mod binning;
mod calibrate;
pub mod classify;
mod crossing;
pub mod data;
pub mod dataset;
pub mod derived;
pub mod fraud;
mod measure;
mod methods;
mod part;
mod product;
mod replay;
mod scorecard;
pub mod scores;
pub mod search;
mod smote;
mod thresholds;

pub use data::DataError;
pub use measure::{Costs, Intervals, Measured, Money, Week};
pub(crate) use measure::{LOSS_CENTS, alone};
pub use methods::ModelKind;
pub use part::Part;
pub use smote::oversample;
pub use thresholds::{Rule, Rules};

use std::io;

/// Is told how far training has come, from whichever thread is done with a step.
pub trait Progress: Send {
    /// A stage of `steps` begins.
    fn stage(&mut self, name: &str, steps: u64);
    /// One step of the stage is done.
    fn step(&mut self);
}

/// Says nothing.
impl Progress for () {
    fn stage(&mut self, _name: &str, _steps: u64) {}
    fn step(&mut self) {}
}

/// A bar on the terminal; silent where the output is no terminal.
#[derive(Debug)]
pub struct Bar(indicatif::ProgressBar);

impl Default for Bar {
    fn default() -> Self {
        let bar = indicatif::ProgressBar::new(0);
        if let Ok(style) =
            indicatif::ProgressStyle::with_template("{msg:28} [{bar:40}] {pos}/{len} {elapsed}")
        {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl Progress for Bar {
    fn stage(&mut self, name: &str, steps: u64) {
        self.0.set_message(name.to_owned());
        self.0.set_length(steps);
        self.0.set_position(0);
    }
    fn step(&mut self) {
        self.0.inc(1);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Why training or evaluation gave up.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] crate::table::TableError),
    /// A mapping makes no sense.
    #[error(transparent)]
    Mapping(#[from] crate::table::MappingError),
    /// A part of the data cannot teach anything.
    #[error("{part} part: {problem}")]
    Unusable {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The optimiser failed.
    #[error("fitting the model: {0}")]
    Fit(String),
    /// An artifact cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] crate::artifact::ArtifactError),
    /// The output cannot be written.
    #[error("{path}: {source}")]
    Output {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The report cannot be drawn.
    #[error("report: {0}")]
    Report(String),
}

/// What a model is measured on, in words; figures on its own training data say so.
fn measured_on(data: &data::Source, manifest: &crate::artifact::Manifest) -> String {
    if data.to_string() == manifest.data {
        format!("{data} (what it was TRAINED on: these figures flatter it)")
    } else {
        data.to_string()
    }
}

/// Rounds to six significant digits, so that the last bits of different processors' arithmetic never show.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// Writes a file, making its directory.
pub(crate) fn write(directory: &std::path::Path, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
    let path = directory.join(name);
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&path, bytes))
        .map_err(|source| TrainError::Output { path, source })
}
