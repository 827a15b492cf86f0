//! Models in use, and their life.

use std::collections::BTreeMap;

use learner::lifecycle::{CalibrationDrift, Comparison, Drift};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A model in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadedModel {
    /// Name, such as `fraud`.
    pub name: String,
    /// Version, such as `2026-11-01`.
    pub version: String,
    /// `logistic-regression`, `autoencoder`, `q-learning` …
    pub kind: String,
    /// SHA-256 of the artifact, hex.
    pub hash: String,
    /// Hash of the feature schema it was trained on.
    pub schema_hash: String,
    /// When it was loaded.
    pub loaded_at_ms: i64,
    /// What it was trained on, in words.
    pub trained_on: Option<String>,
    /// Held-out metrics by name, such as `auprc`, `precision`, `recall`, `f1`.
    pub metrics: BTreeMap<String, f64>,
    /// Decision thresholds by name.
    pub thresholds: BTreeMap<String, f64>,
    /// Its life, where it learns on in the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<ModelLife>,
}

/// The life of a model that learns on in the gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelLife {
    /// Goes up with every change; the model's ETag.
    pub revision: u64,
    /// In force; another one serves where its file is broken.
    pub champion: Option<ModelVersion>,
    /// Scores in shadow.
    pub challenger: Option<ModelVersion>,
    /// A promotion that waits for somebody else.
    pub proposal: Option<PromotionProposal>,
    /// Artifacts that a rollback goes back to, the next one first.
    pub previous: Vec<String>,
    /// Artifacts that were rolled back from, the latest first.
    #[serde(default)]
    pub displaced: Vec<String>,
    /// Training of challengers.
    pub retraining: RetrainingStatus,
    /// The challenger's opinions since it began to score.
    pub shadow: ShadowCounts,
    /// Champion against challenger on transfers that both scored as they happened and whose truth is known.
    #[schema(value_type = Option<Object>)]
    pub shadow_comparison: Option<Comparison>,
    /// Of the transfers that both scored and that are old enough, the share that this leaves out because nobody knows what
    /// they were, 0 to 1: what the champion stopped gets no label, so the comparison favours the champion.
    #[serde(default)]
    pub shadow_unknown: Option<f64>,
    /// Drift of the last hours against what the champion was trained on; absent while there is too little. Features of the
    /// calendar are not in it.
    #[schema(value_type = Option<Object>)]
    pub drift: Option<Drift>,
    /// What drift is measured against, in words.
    pub drift_against: Option<String>,
    /// Expected beside observed fraud where the truth is known.
    #[schema(value_type = Option<Object>)]
    pub calibration: Option<CalibrationDrift>,
    /// What is recorded.
    pub recorded: RecordedCounts,
    /// Files of the store that were refused since the start.
    pub refused: Vec<String>,
}

/// An artifact of a model that learns on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelVersion {
    /// SHA-256 of the artifact, hex.
    pub hash: String,
    /// `configured` or `trained`.
    pub origin: String,
    /// When it came here.
    pub made_at_ms: i64,
    /// Rows of training, validation and the newest period, where it was trained here.
    pub rows: Option<[usize; 3]>,
    /// Frauds among them.
    pub frauds: Option<[usize; 3]>,
    /// It against the champion of its time, on the newest period, which neither had seen.
    #[schema(value_type = Option<Object>)]
    pub comparison: Option<Comparison>,
}

/// A promotion that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromotionProposal {
    /// The challenger.
    pub hash: String,
    /// Subject of the operator who proposed it.
    pub by: String,
    /// When.
    pub at_ms: i64,
}

/// Where the training of challengers stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetrainingStatus {
    /// Since when one is being trained.
    pub since_ms: Option<i64>,
    /// When the last one ended, since the start.
    pub ended_at_ms: Option<i64>,
    /// Whether it became the challenger.
    pub ok: Option<bool>,
    /// What came of it, in a sentence.
    pub said: Option<String>,
    /// When the next one is due.
    pub next_at_ms: Option<i64>,
    /// Why none can ever come to anything, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<String>,
}

/// How a challenger's opinions differ from what was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShadowCounts {
    /// Transfers it scored.
    pub scored: u64,
    /// Those on which it would have acted more strictly.
    pub stricter: u64,
    /// Those on which it would have acted more mildly.
    pub milder: u64,
    /// Mean difference of the probabilities, without sign.
    pub mean_difference: f64,
}

/// What is kept to learn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordedCounts {
    /// Vectors of the champion that the last survey saw.
    pub vectors: u64,
    /// Bytes of all vectors on the disk.
    pub bytes: u64,
    /// Vectors lost since the start: the queue was full, or the disk did not take them.
    pub lost: u64,
    /// Labels.
    pub labels: u64,
    /// Labels that say fraud.
    pub frauds: u64,
}

/// What a decision turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionLabel {
    /// The decision's id.
    pub decision: String,
    /// Whether it was fraud.
    pub fraud: bool,
    /// Since when it is known.
    pub known_at_ms: i64,
}

/// What became of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabelsTaken {
    /// Labels that stand now, whether or not they stood before.
    pub accepted: u64,
    /// Of these, those that stood before.
    pub unchanged: u64,
    /// Of these, those that replaced the opposite.
    pub replaced: u64,
    /// Labels of decisions that the gateway keeps no vector of.
    pub unknown: u64,
    /// The first 100 of those decisions.
    pub unknown_decisions: Vec<String>,
    /// Rows that were not understood, the first 100 of them.
    #[serde(default)]
    pub malformed: Vec<MalformedLabel>,
    /// How many there are.
    #[serde(default)]
    pub malformed_total: u64,
}

/// A row that is no label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MalformedLabel {
    /// Line of the CSV, or place in the JSON list, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}
