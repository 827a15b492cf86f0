//! Models in force, their life, and labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use admin::ports::{Answer, Labels, Models, PortError};
use admin::views::{
    DecisionLabel, LabelsTaken, LoadedModel, ModelLife, ModelVersion, PromotionProposal, RecordedCounts,
    RetrainingStatus, ShadowCounts,
};
use learner::artifact::Manifest;
use learner::fraud::Method;
use learner::train::ModelKind;

use super::{Ports, ready};
use crate::compose;
use crate::gateway::Core;
use crate::models::labels::{Label, Source};
use crate::models::record::decision_number;
use crate::models::store::{Card, Origin};
use crate::models::{FRAUD, Refused};

/// Decisions without a vector that are named in an answer.
const UNKNOWN_MAX: usize = 100;

impl Models for Ports {
    fn list(&self) -> Answer<'_, Vec<LoadedModel>> {
        self.beside(|core| Ok(loaded_models(core)))
    }

    fn retrain<'a>(&'a self, name: &'a str, kind: Option<ModelKind>) -> Answer<'a, LoadedModel> {
        if let Err(error) = known(name) {
            return ready(Err(error));
        }
        Box::pin(async move {
            self.core.lifecycle.retrain(kind).map_err(port_error)?;
            self.beside(fraud).await
        })
    }

    fn promote<'a>(&'a self, name: &'a str, revision: u64, by: &'a str) -> Answer<'a, LoadedModel> {
        let (name, by) = (name.to_owned(), by.to_owned());
        self.beside(move |core| {
            known(&name)?;
            core.lifecycle.propose(revision, &by).map_err(port_error)?;
            fraud(core)
        })
    }

    fn approve<'a>(&'a self, name: &'a str, revision: u64, by: &'a str) -> Answer<'a, LoadedModel> {
        let (name, by) = (name.to_owned(), by.to_owned());
        self.beside(move |core| {
            known(&name)?;
            let _one_at_a_time = core.changes.lock();
            let artifact = core.lifecycle.approve(revision, &by).map_err(port_error)?;
            served(core, &artifact)
        })
    }

    fn rollback<'a>(
        &'a self,
        name: &'a str,
        revision: Option<u64>,
        from: Option<&'a str>,
    ) -> Answer<'a, LoadedModel> {
        let (name, from) = (name.to_owned(), from.map(str::to_owned));
        self.beside(move |core| {
            known(&name)?;
            let _one_at_a_time = core.changes.lock();
            let artifact = core.lifecycle.roll_back(revision, from.as_deref()).map_err(port_error)?;
            served(core, &artifact)
        })
    }
}

impl Labels for Ports {
    fn put<'a>(&'a self, labels: Vec<DecisionLabel>, malformed: u64, by: &'a str) -> Answer<'a, LabelsTaken> {
        let by = by.to_owned();
        self.beside(move |core| {
            core.lifecycle.malformed(malformed);
            let label = |label: DecisionLabel| {
                let DecisionLabel { decision, fraud, known_at_ms } = label;
                let label = Label {
                    fraud,
                    known_ms: known_at_ms,
                    source: Source::Upload,
                    by: by.clone(),
                    taught: false,
                };
                Some((decision_number(&decision)?, label))
            };
            let labels = labels.into_iter().filter_map(label).collect();
            let receipt =
                core.lifecycle.label(labels).map_err(|error| PortError::Unavailable(error.to_string()))?;
            if receipt.full > 0 {
                let said = format!("{} labels found no room; raise learning.labels_max", receipt.full);
                return Err(PortError::Refused(said));
            }
            let unknown = receipt.unknown.iter().take(UNKNOWN_MAX);
            Ok(LabelsTaken {
                accepted: receipt.accepted,
                unchanged: receipt.unchanged,
                replaced: receipt.replaced,
                unknown: receipt.unknown.len() as u64,
                unknown_decisions: unknown.map(|decision| format!("{decision:032x}")).collect(),
                malformed: Vec::new(),
                malformed_total: 0,
            })
        })
    }
}

impl Ports {
    /// Does what reads or writes files on a thread where it holds nobody up.
    fn beside<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&Arc<Core>) -> Result<T, PortError> + Send + 'static,
    ) -> Answer<'a, T> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&core)).await;
            done.map_err(|error| PortError::Unavailable(error.to_string()))?
        })
    }
}

/// The one model that has a life here; another one is trained on the command line.
fn known(name: &str) -> Result<(), PortError> {
    if name == FRAUD { Ok(()) } else { Err(PortError::NotFound) }
}

fn port_error(refused: Refused) -> PortError {
    match refused {
        Refused::Changed => PortError::Conflict,
        Refused::OwnProposal | Refused::Senseless(_) => PortError::Refused(refused.to_string()),
        Refused::Store(_) => PortError::Unavailable(refused.to_string()),
    }
}

fn served(core: &Arc<Core>, artifact: &[u8]) -> Result<LoadedModel, PortError> {
    compose::serve_fraud(core, artifact).map_err(|error| PortError::Unavailable(error.to_string()))?;
    fraud(core)
}

fn fraud(core: &Arc<Core>) -> Result<LoadedModel, PortError> {
    loaded_models(core).into_iter().find(|model| model.name == FRAUD).ok_or(PortError::NotFound)
}

fn loaded_models(core: &Core) -> Vec<LoadedModel> {
    let models = &core.live().models;
    let mut list = Vec::new();
    if let (Some(fraud), Some(name)) = (&models.fraud, &models.fraud_name) {
        let thresholds = fraud.thresholds();
        let kind = match fraud.model().method {
            Method::Scorecard(_) => "logistic-regression",
            Method::Trees(_) => "trees",
        };
        list.push(LoadedModel {
            thresholds: BTreeMap::from([
                ("step_up".to_owned(), thresholds.step_up),
                ("hold".to_owned(), thresholds.hold),
            ]),
            life: Some(life(core)),
            ..loaded(FRAUD, kind, name, fraud.digest(), fraud.manifest(), models.loaded_ms)
        });
    }
    if let (Some(anomaly), Some(name)) = (&models.anomaly, &models.anomaly_name) {
        list.push(loaded(
            "anomaly",
            "autoencoder",
            name,
            anomaly.digest(),
            anomaly.manifest(),
            models.loaded_ms,
        ));
    }
    list
}

fn life(core: &Core) -> ModelLife {
    let status = core.lifecycle.status();
    let retraining = status.retraining;
    ModelLife {
        revision: status.state.revision,
        champion: status.champion.map(version),
        challenger: status.challenger.map(version),
        proposal: status.state.proposal.map(|p| PromotionProposal {
            hash: p.digest,
            by: p.by,
            at_ms: p.at_ms,
        }),
        previous: status.state.previous.into_iter().rev().collect(),
        displaced: status.state.displaced.into_iter().rev().collect(),
        retraining: RetrainingStatus {
            since_ms: retraining.since_ms,
            ended_at_ms: retraining.last.as_ref().map(|last| last.at_ms),
            ok: retraining.last.as_ref().map(|last| last.ok),
            said: retraining.last.map(|last| last.said),
            next_at_ms: status.next_ms,
            hindrance: status.hindrance,
        },
        shadow: ShadowCounts {
            scored: status.shadow.scored,
            stricter: status.shadow.stricter,
            milder: status.shadow.milder,
            mean_difference: status.shadow.difference / status.shadow.scored.max(1) as f64,
        },
        shadow_comparison: status.survey.shadow,
        shadow_unknown: status.survey.shadow_unknown,
        drift: status.drift,
        drift_against: status.drift_against,
        calibration: status.survey.calibration,
        recorded: RecordedCounts {
            vectors: status.survey.vectors,
            bytes: status.bytes,
            lost: status.lost,
            labels: status.labels.0 as u64,
            frauds: status.labels.1 as u64,
        },
        refused: core.lifecycle.refused(),
    }
}

fn version(card: Card) -> ModelVersion {
    let made = card.challenger;
    ModelVersion {
        hash: card.digest,
        origin: match card.origin {
            Origin::Configured => "configured".to_owned(),
            Origin::Trained => "trained".to_owned(),
        },
        made_at_ms: card.made_ms,
        rows: made.as_ref().map(|made| made.rows),
        frauds: made.as_ref().map(|made| made.frauds),
        comparison: made.and_then(|made| made.comparison),
    }
}

fn loaded(
    name: &str,
    kind: &str,
    version: &str,
    hash: &str,
    manifest: &Manifest,
    loaded_at_ms: i64,
) -> LoadedModel {
    let mut metrics = BTreeMap::new();
    numbers("", &manifest.metrics, &mut metrics);
    LoadedModel {
        name: name.to_owned(),
        version: version.split_once('/').map_or(version, |(_, v)| v).to_owned(),
        kind: kind.to_owned(),
        hash: hash.to_owned(),
        schema_hash: manifest.schema_hash.clone(),
        loaded_at_ms,
        trained_on: Some(manifest.data.clone()),
        metrics,
        thresholds: BTreeMap::new(),
        life: None,
    }
}

/// The numbers of a JSON document under dotted names.
fn numbers(prefix: &str, value: &serde_json::Value, into: &mut BTreeMap<String, f64>) {
    match value {
        serde_json::Value::Number(number) => {
            into.extend(number.as_f64().map(|n| (prefix.to_owned(), n)));
        }
        // Several tests of one model stand in a list; lists of bare numbers are the report's.
        serde_json::Value::Array(members) if members.iter().all(serde_json::Value::is_object) => {
            for (at, value) in members.iter().enumerate() {
                numbers(&format!("{prefix}.{at}"), value, into);
            }
        }
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                numbers(&path, value, into);
            }
        }
        _ => {}
    }
}
