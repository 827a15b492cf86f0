//! The fraud model as the life cycle needs it, whatever its kind: the one place that knows which model serves, how it
//! scores a recorded vector, and how another one like it is fitted.

use super::join::{LabelledVector, Periods};
use crate::artifact::{self, Artifact, ArtifactError, Kind, Manifest};
use crate::features::transfer::{self, COUNT, FEATURES};
use crate::fraud::{FraudModel, FraudScorer, Thresholds};
use crate::train::data::Row;
use crate::train::{TrainError, fraud};

/// A fraud model that scores recorded vectors.
#[derive(Debug, Clone)]
pub struct Model(FraudScorer);

impl Model {
    /// From an artifact's bytes.
    ///
    /// # Errors
    /// An [`ArtifactError`] by name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArtifactError> {
        FraudScorer::from_bytes(bytes).map(Self)
    }

    /// SHA-256 of the artifact, hex.
    pub fn digest(&self) -> &str {
        self.0.digest()
    }

    /// Where it comes from; its schema hash says which vectors it can score.
    pub fn manifest(&self) -> &Manifest {
        self.0.manifest()
    }

    /// Where to act.
    pub fn thresholds(&self) -> Thresholds {
        self.0.thresholds()
    }

    /// Names of a vector's features.
    pub fn names(&self) -> Vec<String> {
        FEATURES.iter().map(|feature| feature.name.to_owned()).collect()
    }

    /// Probability of fraud, 0 to 1; `None` for a vector of another length, or one that cannot be scored.
    pub fn probability(&self, vector: &[f32]) -> Option<f64> {
        Some(self.0.score_vector(&wide(vector)?).ok()?.probability)
    }

    /// Fits another model of the same kind and schema on the first two periods.
    ///
    /// # Errors
    /// The optimiser failed.
    pub(super) fn another(&self, periods: &Periods, seed: u64) -> Result<Fitted, TrainError> {
        let rows = |rows: &[LabelledVector]| rows.iter().filter_map(row).collect();
        fraud::fit(rows(&periods.train), rows(&periods.validate), seed).map(Fitted)
    }

    /// Hash of the features that it takes.
    pub fn schema_hash(&self) -> String {
        transfer::schema_hash()
    }
}

/// A model that was just fitted.
pub(super) struct Fitted(FraudModel);

impl Fitted {
    /// The bytes of its artifact.
    pub(super) fn artifact(&self, manifest: Manifest) -> Result<Vec<u8>, TrainError> {
        Ok(artifact::to_bytes(Kind::Fraud, &Artifact { manifest, model: &self.0 })?)
    }
}

fn wide(vector: &[f32]) -> Option<[f64; COUNT]> {
    let narrow: &[f32; COUNT] = vector.try_into().ok()?;
    Some(narrow.map(f64::from))
}

fn row(row: &LabelledVector) -> Option<Row> {
    Some(Row {
        at_ms: row.at_ms,
        vector: wide(&row.vector)?,
        fraud: row.fraud,
        amount_cents: row.cents,
        scenario: None,
        rule_score: 0.0,
    })
}
