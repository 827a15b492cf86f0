//! The fraud model as the life cycle needs it, whatever its kind: the one place that knows which model serves, how it
//! scores a recorded vector, and how another one like it is fitted.

use super::join::{LabelledVector, Periods};
use crate::artifact::{self, Artifact, ArtifactError, Kind, Manifest};
use crate::fraud::{Classifier, FraudScorer, Method, Thresholds};
use crate::train::dataset::Dataset;
use crate::train::{ModelKind, Part, TrainError, classify};
use std::collections::BTreeMap;

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
    pub fn names(&self) -> &[String] {
        self.0.names()
    }

    /// What kind it is.
    pub fn kind(&self) -> ModelKind {
        match self.0.model().method {
            Method::Scorecard(_) => ModelKind::Logistic,
            Method::Trees(_) => ModelKind::Boosted,
        }
    }

    /// Probability of fraud, 0 to 1; `None` for a vector of another length, or one that cannot be scored.
    pub fn probability(&self, vector: &[f32]) -> Option<f64> {
        Some(self.0.score(vector).ok()?.probability)
    }

    /// Fits another model over the same features on the first two periods.
    ///
    /// # Errors
    /// The optimiser failed, or a period has nothing to teach.
    pub(super) fn another(
        &self,
        periods: &Periods,
        kind: ModelKind,
        seed: u64,
    ) -> Result<Fitted, TrainError> {
        let part = |rows: &[LabelledVector]| {
            let rows = rows.iter().map(|row| (row.at_ms, row.vector.as_slice(), row.cents, row.fraud));
            Part::recorded(self.names().to_vec(), rows)
        };
        let model = self.0.model();
        let data = Dataset {
            schema: model.schema.clone(),
            // Recorded vectors have the columns that this model's encoder gave them.
            encoder: model.encoder.clone(),
            train: part(&periods.train),
            validate: part(&periods.validate),
            test: Part::default(),
            folds: Vec::new(),
            remarks: Vec::new(),
            scenarios: BTreeMap::new(),
            fingerprint: String::new(),
        };
        classify::fit_unmeasured(&data, Some(kind), seed).map(Fitted)
    }
}

/// A model that was just fitted.
pub(super) struct Fitted(Classifier);

impl Fitted {
    /// The bytes of its artifact.
    pub(super) fn artifact(&self, manifest: Manifest) -> Result<Vec<u8>, TrainError> {
        Ok(artifact::to_bytes(Kind::Fraud, &Artifact { manifest, model: &self.0 })?)
    }
}
