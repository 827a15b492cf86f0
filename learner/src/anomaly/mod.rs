//! Inline anomaly score: an autoencoder that knows normal rows only, of requests or of any table.

#![deny(clippy::indexing_slicing)]

mod encode;
mod model;
mod network;

pub use crate::fraud::Unavailable;
pub use encode::{Category, Encoding, Level, Number};
pub use model::{AnomalyModel, Baselines, Ensemble, Member};
pub use network::{Dense, Rows, WIDTH_MAX, Whitening};
pub(crate) use network::{LEAK, leaky};

use crate::artifact::{self, Artifact, ArtifactError, Kind, Manifest};
use crate::features::request::{self, COUNT, RequestSample};
use crate::lexical::Findings;
use serde::Serialize;
use std::path::Path;

/// How many contributions a score names.
pub const TOP: usize = 4;

/// One feature's share in the reconstruction error.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Contribution {
    /// Place of the feature: of a request in [`request::FEATURES`], of a table among its columns, numbers first.
    pub feature: usize,
    /// Squared error in units of what is usual for the feature, 0 or more; about 1 on average over normal rows.
    pub error: f32,
}

/// How unlike normal traffic a request is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AnomalyScore {
    /// Share of normal validation traffic that is less unusual, 0 to 1; 0.99 is passed by one normal request in 100.
    /// Beyond all of it the score goes on rising towards 1.
    pub percentile: f64,
    /// What the percentile is of: the error of the networks, or of networks and forest together ([`Ensemble`]); of the
    /// order of 1 for normal traffic.
    pub error: f32,
    /// Mean over all inputs of the reconstruction's error, in units of what is usual for that input.
    pub networks: f32,
    /// The largest contributions, largest first.
    pub contributions: [Contribution; TOP],
}

/// A loaded autoencoder. Scoring works on the stack alone.
#[derive(Debug, Clone)]
pub struct AnomalyScorer {
    model: AnomalyModel,
    manifest: Manifest,
    digest: String,
}

impl AnomalyScorer {
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
            artifact::from_bytes::<AnomalyModel>(bytes, Kind::Anomaly, &request::schema_hash())?;
        model.check().map_err(ArtifactError::Malformed)?;
        if model.encoding.numbers.len() != COUNT || !model.encoding.categories.is_empty() {
            return Err(ArtifactError::Malformed(format!("a model of other than {COUNT} numbers")));
        }
        Ok(Self { model, manifest, digest: artifact::digest(bytes) })
    }

    /// Scores a request with what [`crate::lexical::inspect`] found in it.
    ///
    /// # Errors
    /// [`Unavailable`] where a value is not a number; never panics.
    pub fn score(
        &self,
        sample: &RequestSample<'_>,
        findings: &Findings,
    ) -> Result<AnomalyScore, Unavailable> {
        self.score_vector(&request::vector(sample, findings))
    }

    /// Scores a vector as [`request::vector`] makes it.
    ///
    /// # Errors
    /// [`Unavailable`] for infinities, or `NaN` where a feature cannot be missing.
    pub fn score_vector(&self, vector: &[f32; COUNT]) -> Result<AnomalyScore, Unavailable> {
        let missing =
            vector.iter().zip(&request::FEATURES).any(|(x, spec)| x.is_nan() && !spec.may_be_missing);
        if missing { Err(Unavailable::BadInput) } else { self.model.score(vector, &[]) }
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

/// Two standard deviations, squared.
const UNUSUAL: f32 = 4.0;

/// What is unusual about a request, in words, strongest first.
pub fn sentences(score: &AnomalyScore) -> Vec<String> {
    let unusual = score.contributions.iter().filter(|contribution| contribution.error > UNUSUAL);
    unusual
        .filter_map(|contribution| request::FEATURES.get(contribution.feature))
        .map(|spec| format!("unusual {}", spec.meaning))
        .collect()
}

#[cfg(test)]
mod tests;
