//! The fraud model as the life cycle needs it, whatever its kind: the one place that knows which model serves, how it
//! scores a recorded vector, and how another one like it is fitted.

use super::join::{LabelledVector, Periods};
use crate::artifact::{self, Artifact, ArtifactError, Kind, Manifest};
use crate::fraud::{Classifier, FraudScorer, Method, Thresholds};
use crate::train::dataset::Dataset;
use crate::train::derived::Wanted;
use crate::train::{ModelKind, Part, TrainError, classify};
use std::borrow::Cow;
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

    /// Probability of fraud, 0 to 1; `None` for a vector that is too short, or one that cannot be scored. What another model
    /// derived in it is derived anew.
    pub fn probability(&self, vector: &[f32]) -> Option<f64> {
        Some(self.0.score(&self.own(vector)?).ok()?.probability)
    }

    /// What a recorded vector has of the event alone, without what the model that recorded it derived of that; `None` where it
    /// is too short.
    pub(super) fn plain<'a>(&self, vector: &'a [f32]) -> Option<&'a [f32]> {
        vector.get(..self.0.model().plain_width())
    }

    /// A recorded vector with what this model derives of it.
    pub(super) fn own<'a>(&self, vector: &'a [f32]) -> Option<Cow<'a, [f32]>> {
        let plain = self.plain(vector)?;
        Some(self.0.model().derived.as_ref().map_or(Cow::Borrowed(plain), |derived| {
            let mut own = plain.to_vec();
            derived.extend(&mut own);
            Cow::Owned(own)
        }))
    }

    /// Fits another model over the same features on the first two periods, whose vectors have nothing derived. What this
    /// model derives, the other derives by its own training rows.
    ///
    /// # Errors
    /// The optimiser failed, or a period has nothing to teach.
    pub(super) fn another(
        &self,
        periods: &Periods,
        kind: ModelKind,
        seed: u64,
    ) -> Result<Fitted, TrainError> {
        self.fitted(periods, kind, Wanted::of(self.0.model().derived.as_ref()), seed)
    }

    /// A tree with other inputs on the same periods.
    #[cfg(test)]
    pub(super) fn with_inputs(
        &self,
        periods: &Periods,
        inputs: Wanted,
        seed: u64,
    ) -> Result<Fitted, TrainError> {
        self.fitted(periods, ModelKind::Tree, inputs, seed)
    }

    fn fitted(
        &self,
        periods: &Periods,
        kind: ModelKind,
        inputs: Wanted,
        seed: u64,
    ) -> Result<Fitted, TrainError> {
        let model = self.0.model();
        let names: Vec<String> = self.names().iter().take(model.plain_width()).cloned().collect();
        let part = |rows: &[LabelledVector]| {
            let rows = rows.iter().map(|row| (row.at_ms, row.vector.as_slice(), row.cents, row.fraud));
            Part::recorded(names.clone(), rows)
        };
        let mut data = Dataset {
            schema: model.schema.clone(),
            // Recorded vectors have the columns that this model's encoder gave them.
            encoder: model.encoder.clone(),
            derived: None,
            train: part(&periods.train),
            validate: part(&periods.validate),
            test: Part::default(),
            folds: Vec::new(),
            leave_out_known_customers: false,
            remarks: Vec::new(),
            scenarios: BTreeMap::new(),
            fingerprint: String::new(),
        };
        data.derive(inputs, seed, &mut ())?;
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
