//! Inline fraud score of a transfer: a linear model with exact contributions and a calibrated probability.

#![deny(clippy::indexing_slicing)]

mod calibrator;
mod classifier;
mod encoder;
mod model;
mod scorecard;
mod sentences;
mod subject;

pub use calibrator::Calibrator;
pub use classifier::{Classifier, Method};
pub use encoder::{Encoder, Level};
pub use model::{Calibration, Column, FraudModel, Thresholds};
pub(crate) use scorecard::bin;
pub use scorecard::{Cross, Scorecard, Term};
pub use sentences::sentences;
pub use subject::Subject;

use crate::artifact::{self, Artifact, ArtifactError, Kind, Manifest};
use crate::features::transfer::{self, COUNT, TransferEvent};
use crate::profiles::ProfileView;
use serde::Serialize;
use std::path::Path;

/// How many contributions a score names.
pub const TOP: usize = 6;

/// The model cannot say anything; policy says what then.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// A value that no honest caller sends: a negative amount, a number that is not finite.
    #[error("the input is out of range")]
    BadInput,
    /// The model's arithmetic left the range of numbers.
    #[error("the score is not a number")]
    NotFinite,
}

/// One feature's share in a score.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Contribution {
    /// Index into [`transfer::FEATURES`].
    pub feature: usize,
    /// Natural-log odds added (above zero: towards fraud) against an average transfer.
    pub log_odds: f64,
    /// The feature's value; `NaN` where it was missing.
    pub value: f64,
}

/// A transfer's score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FraudScore {
    /// Calibrated probability of fraud, 0 to 1.
    pub probability: f64,
    /// The largest contributions by size, largest first; unused places have `log_odds` 0.
    pub contributions: [Contribution; TOP],
    /// Log odds by subject, in the order of [`Subject::ALL`]: the sum over all features that speak of it. Features of
    /// one subject overlap, so only their sum tells how much the subject matters.
    pub subjects: [f64; Subject::ALL.len()],
}

/// A loaded fraud model. Scoring neither allocates nor blocks nor reads anything but its arguments.
#[derive(Debug, Clone)]
pub struct FraudScorer {
    model: FraudModel,
    subjects: [Subject; COUNT],
    manifest: Manifest,
    digest: String,
}

/// The vector that a transfer is scored by, against what was known before it.
///
/// # Errors
/// [`Unavailable::BadInput`] for values no honest caller sends.
pub fn features(event: &TransferEvent, view: &ProfileView) -> Result<[f64; COUNT], Unavailable> {
    if event.amount_minor < 0 || !view.is_finite() {
        return Err(Unavailable::BadInput);
    }
    Ok(transfer::vector(event, view))
}

impl FraudScorer {
    /// Loads from a model directory or an artifact file.
    ///
    /// # Errors
    /// An [`ArtifactError`] by name.
    pub fn load(path: &Path) -> Result<Self, ArtifactError> {
        Self::from_bytes(&artifact::read(path)?)
    }

    /// Loads from an artifact's bytes.
    ///
    /// # Errors
    /// An [`ArtifactError`] by name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArtifactError> {
        let Artifact { manifest, model } =
            artifact::from_bytes::<FraudModel>(bytes, Kind::Fraud, &transfer::schema_hash())?;
        model.check().map_err(ArtifactError::Malformed)?;
        Ok(Self { model, subjects: Subject::table(), manifest, digest: artifact::digest(bytes) })
    }

    /// Scores a transfer against what was known before it.
    ///
    /// # Errors
    /// [`Unavailable`] for values no honest caller sends; never panics.
    pub fn score(&self, event: &TransferEvent, view: &ProfileView) -> Result<FraudScore, Unavailable> {
        self.score_vector(&features(event, view)?)
    }

    /// Scores a vector as [`transfer::vector`] makes it (or as a decision record kept it).
    ///
    /// # Errors
    /// [`Unavailable`] for infinities, or `NaN` where a feature cannot be missing.
    pub fn score_vector(&self, vector: &[f64; COUNT]) -> Result<FraudScore, Unavailable> {
        self.model.score(vector, &self.subjects)
    }

    /// Thresholds on the probability, learned on validation data.
    pub fn thresholds(&self) -> Thresholds {
        self.model.thresholds
    }

    /// Where the model comes from.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the artifact; decision records name it.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

#[cfg(test)]
mod tests;
