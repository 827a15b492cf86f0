//! Inline fraud score: a calibrated probability with contributions that add up, and sentences for people.

#![deny(clippy::indexing_slicing)]

mod calibrator;
mod classifier;
mod clusters;
mod derived;
mod encoder;
mod scorecard;
mod sentences;
mod subject;

pub use calibrator::Calibrator;
pub use classifier::{Classifier, Method, Thresholds, WIDTH_MAX};
pub(crate) use clusters::RADIUS_MIN;
pub use clusters::{CLUSTERS_MAX, Clusters};
pub use derived::{BOTTLENECK_MAX, Derived, Reconstruction};
pub use encoder::{Encoder, Level};
pub use scorecard::{Cross, Scorecard, Term};
pub(crate) use scorecard::{REACH, bin};
pub use subject::Subject;

use crate::artifact::{self, Artifact, ArtifactError, Kind, Manifest};
use crate::behaviour::{Column, Schema};
use crate::transfer;
use sentences::Facts;
use serde::Serialize;
use std::path::Path;

/// How many contributions a score names.
pub const TOP: usize = 6;

/// The model cannot say anything; policy says what then.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// A vector of another shape, a number that is not finite, or one missing that never is.
    #[error("the input is out of range")]
    BadInput,
    /// The model's arithmetic left the range of numbers.
    #[error("the score is not a number")]
    NotFinite,
}

/// One feature's share in a score.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Contribution {
    /// Index into the vector.
    pub feature: usize,
    /// Raw score added (above zero: towards fraud) against an average event; natural-log odds but for forests.
    pub log_odds: f64,
    /// The feature's value; `NaN` where it was missing.
    pub value: f32,
}

/// An event's score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FraudScore {
    /// Calibrated probability of fraud, strictly between 0 and 1.
    pub probability: f64,
    /// The largest contributions by size, largest first; unused places have `log_odds` 0.
    pub contributions: [Contribution; TOP],
    /// Contributions by subject, in the order of [`Subject::ALL`]: the sum over all features that speak of it. Features
    /// of one subject overlap, so only their sum tells how much the subject matters.
    pub subjects: [f64; Subject::ALL.len()],
}

/// A loaded fraud model. Scoring neither allocates nor blocks nor reads anything but its arguments.
#[derive(Debug, Clone)]
pub struct FraudScorer {
    model: Classifier,
    names: Vec<String>,
    subjects: Vec<Subject>,
    manifest: Manifest,
    digest: String,
}

impl FraudScorer {
    /// Loads a model of transfers from a model directory or an artifact file.
    ///
    /// # Errors
    /// An [`ArtifactError`] by name; a model of another schema is refused.
    pub fn load(path: &Path) -> Result<Self, ArtifactError> {
        Self::from_bytes(&artifact::read(path)?)
    }

    /// Loads a model of transfers from an artifact's bytes.
    ///
    /// # Errors
    /// An [`ArtifactError`] by name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArtifactError> {
        Self::of_schema(bytes, &transfer::schema())
    }

    /// Loads a model of any schema from an artifact's bytes.
    ///
    /// # Errors
    /// An [`ArtifactError`] by name.
    pub fn of_schema(bytes: &[u8], schema: &Schema) -> Result<Self, ArtifactError> {
        let Artifact { manifest, model } =
            artifact::from_bytes::<Classifier>(bytes, Kind::Fraud, schema.hash())?;
        model.check().map_err(ArtifactError::Malformed)?;
        let names = model.names();
        if manifest.baseline.as_ref().is_some_and(|bins| !bins.is_sound() || bins.names != names) {
            return Err(ArtifactError::Malformed("the bins of its training part do not fit it".to_owned()));
        }
        let plain = model.plain_width();
        let subject =
            |(at, name): (usize, &String)| if at < plain { Subject::of(name) } else { Subject::Pattern };
        let subjects = names.iter().enumerate().map(subject).collect();
        Ok(Self { model, names, subjects, manifest, digest: artifact::digest(bytes) })
    }

    /// Scores a vector as [`Classifier::vector`] makes it (or as a decision record kept it).
    ///
    /// # Errors
    /// [`Unavailable`] for another shape, infinities, or `NaN` where a feature cannot be missing; never panics.
    pub fn score(&self, vector: &[f32]) -> Result<FraudScore, Unavailable> {
        let columns = self.model.schema.columns();
        let whole =
            |(value, column): (&f32, &Column)| value.is_finite() || (value.is_nan() && column.may_be_missing);
        let (behaviour, others) = vector.split_at_checked(columns.len()).ok_or(Unavailable::BadInput)?;
        let sound = vector.len() == self.names.len()
            && behaviour.iter().zip(columns).all(whole)
            && others.iter().all(|value| value.is_finite());
        if !sound {
            return Err(Unavailable::BadInput);
        }
        let mut room = [0.0; WIDTH_MAX];
        let shares = room.get_mut(..vector.len()).ok_or(Unavailable::BadInput)?;
        let raw = self.model.contributions(vector, shares);
        if !raw.is_finite() {
            return Err(Unavailable::NotFinite);
        }
        let mut contributions = [Contribution::default(); TOP];
        let mut subjects = [0.0; Subject::ALL.len()];
        let each = shares.iter().zip(vector).zip(&self.subjects).enumerate();
        for (feature, ((&log_odds, &value), subject)) in each {
            if let Some(sum) = subjects.get_mut(*subject as usize) {
                *sum += log_odds;
            }
            keep_largest(&mut contributions, Contribution { feature, log_odds, value });
        }
        Ok(FraudScore { probability: self.model.calibrator.probability(raw), contributions, subjects })
    }

    /// Why an event looks like fraud, in words, the strongest reason first; empty where nothing speaks for it.
    pub fn sentences(&self, score: &FraudScore, vector: &[f32]) -> Vec<String> {
        sentences::sentences(score, &Facts { names: &self.names, vector, model: &self.model })
    }

    /// The model.
    pub fn model(&self) -> &Classifier {
        &self.model
    }

    /// Names of a vector's columns.
    pub fn names(&self) -> &[String] {
        &self.names
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

/// Insertion into a short list that is kept sorted by size, largest first.
fn keep_largest(top: &mut [Contribution; TOP], mut candidate: Contribution) {
    for place in top.iter_mut() {
        if candidate.log_odds.abs() > place.log_odds.abs() {
            std::mem::swap(place, &mut candidate);
        }
    }
}

#[cfg(test)]
mod tests;
