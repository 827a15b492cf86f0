//! Scoring of recorded events, one JSON object a line in and out: the offline twin of the gateway's stages.

use crate::anomaly::{self, AnomalyScorer};
use crate::artifact::{self, ArtifactError, Kind};
use crate::behaviour::{ProfileLimits, Profiles};
use crate::features::request;
use crate::fraud::{FraudScore, FraudScorer};
use crate::train::data::{self, RecordedRequest, RecordedTransfer};
use serde_json::{Value, json};
use std::path::Path;

/// A model with what it needs to score a stream of events in their order.
#[derive(Debug)]
pub enum Scorer {
    /// Transfers; the profiles learn from each line that was accepted.
    Fraud(Box<FraudScorer>, Profiles),
    /// Requests.
    Anomaly(Box<AnomalyScorer>),
}

impl Scorer {
    /// Loads whichever model is in a directory or file.
    ///
    /// # Errors
    /// An [`ArtifactError`] by name.
    pub fn load(path: &Path) -> Result<Self, ArtifactError> {
        let bytes = artifact::read(path)?;
        match artifact::kind_of(&bytes) {
            Some(Kind::Anomaly) => Ok(Self::Anomaly(Box::new(AnomalyScorer::from_bytes(&bytes)?))),
            _ => {
                let scorer = Box::new(FraudScorer::from_bytes(&bytes)?);
                Ok(Self::Fraud(scorer, Profiles::new(ProfileLimits::default())))
            }
        }
    }

    /// The answer to one line, itself one line of JSON: score, contributions and sentences, or `{"error": …}`.
    pub fn line(&self, line: &str) -> String {
        let answer = match self {
            Self::Fraud(scorer, profiles) => {
                data::json_line(line).and_then(|event| transfer(scorer, profiles, &event))
            }
            Self::Anomaly(scorer) => serde_json::from_str(line)
                .map_err(|error| error.to_string())
                .and_then(|recorded: RecordedRequest| request(scorer, &recorded)),
        };
        answer.unwrap_or_else(|error| json!({ "error": error })).to_string()
    }
}

fn transfer(scorer: &FraudScorer, profiles: &Profiles, recorded: &RecordedTransfer) -> Result<Value, String> {
    if recorded.event.amount_minor < 0 {
        return Err("the amount is below zero".to_owned());
    }
    let mut vector = Vec::new();
    recorded.event.seen(|event| scorer.model().vector(profiles, event, &mut vector));
    let score = scorer.score(&vector).map_err(|error| error.to_string())?;
    recorded.event.seen(|event| {
        profiles.attempt(event);
        if recorded.accepted {
            profiles.accept(event);
        }
    });
    Ok(explained(scorer, &score, &vector))
}

/// A score of fraud as people and programs read it: probability, what to do, and why.
pub(crate) fn explained(scorer: &FraudScorer, score: &FraudScore, vector: &[f32]) -> Value {
    let contributions: Vec<Value> = score
        .contributions
        .iter()
        .filter(|contribution| contribution.log_odds != 0.0)
        .filter_map(|contribution| {
            let name = scorer.names().get(contribution.feature)?;
            Some(json!({ "feature": name, "value": contribution.value, "log_odds": contribution.log_odds }))
        })
        .collect();
    let thresholds = scorer.thresholds();
    let action = match score.probability {
        probability if probability >= thresholds.hold => "hold",
        probability if probability >= thresholds.step_up => "step_up",
        _ => "allow",
    };
    json!({
        "probability": score.probability,
        "action": action,
        "reasons": scorer.sentences(score, vector),
        "contributions": contributions,
    })
}

fn request(scorer: &AnomalyScorer, recorded: &RecordedRequest) -> Result<Value, String> {
    let score = scorer.score_vector(&recorded.vector()).map_err(|error| error.to_string())?;
    let contributions: Vec<Value> = score
        .contributions
        .iter()
        .filter_map(|contribution| {
            let name = request::FEATURES.get(contribution.feature)?.name;
            Some(json!({ "feature": name, "error": contribution.error }))
        })
        .collect();
    Ok(json!({
        "percentile": score.percentile,
        "error": score.error,
        "reasons": anomaly::sentences(&score),
        "contributions": contributions,
    }))
}
