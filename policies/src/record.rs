//! The decision record: one for every request that entered.

use serde::{Deserialize, Serialize};

use crate::evidence::{Behaviour, Contribution, Evidence, Exceeded, Finding, Scored, Unavailability};
use crate::facts::{Credential, Facts, Identity, TransferIntent};
use crate::name::Name;
use crate::outcome::Outcome;
use crate::pseudonym::Pseudonymizer;
use crate::verdict::{Reason, Verdict};

/// Everything needed to show, and to recompute, one decision. Identifiers are keyed hashes ([`Pseudonym`]); there is
/// no body and no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// The id in the `Gatehouse-Decision` header.
    pub id: String,
    /// When the request entered, Unix milliseconds.
    pub at_ms: i64,
    /// Local hour that the rules saw.
    pub hour: u8,
    /// From entry to the last byte, microseconds.
    pub duration_us: u64,
    /// Application and route; `-` before one was found.
    pub app: Name,
    /// Route name.
    pub route: Name,
    /// Method.
    pub method: Name,
    /// Keyed hash of the client's address.
    pub source: Pseudonym,
    /// Capacity class 0..=3.
    pub class: u8,
    /// Who asked.
    pub identity: Option<RecordedIdentity>,
    /// The transfer asked for.
    pub transfer: Option<RecordedTransfer>,
    /// Final outcome.
    pub outcome: Outcome,
    /// The stage that settled it: `normalize`, `identity`, …, `decision`, `upstream`.
    pub stage: Name,
    /// Status sent to the client; 0 when the client went away first.
    pub status: u16,
    /// Status the upstream answered.
    pub upstream_status: Option<u16>,
    /// Enforced reasons, leading one first.
    pub reasons: Vec<Reason>,
    /// What rules in shadow would have said.
    pub shadow: Vec<Reason>,
    /// Anomaly score.
    pub anomaly: Option<RecordedScore>,
    /// Fraud score.
    pub fraud: Option<RecordedScore>,
    /// Lexical findings.
    pub inspection: Vec<Finding>,
    /// Behaviour profile as the rules saw it.
    pub behaviour: Option<Behaviour>,
    /// Limits exceeded.
    pub limits_exceeded: Vec<Exceeded>,
    /// Case opened or released by this request.
    pub case: Option<String>,
    /// The decision that judged this transfer, where the request repeats it under the same idempotency key. The transfer
    /// was not judged again: the rules saw the request without it, or it waits in the first one's case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<String>,
    /// Hash of the policy document in force.
    pub policy: Name,
}

/// A keyed hash (HMAC-SHA-256, first 128 bits, hex) that stands for an identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pseudonym(pub String);

/// The identity part of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedIdentity {
    /// Keyed hash of issuer and subject.
    pub subject: Pseudonym,
    /// Client id, which names software, not a person.
    pub client_id: String,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// Authentication context class.
    pub acr: Option<String>,
    /// Seconds since authentication.
    pub auth_age_s: Option<i64>,
    /// Seconds since the token or session began.
    pub age_s: i64,
    /// How it was proved.
    pub credential: Credential,
}

/// The transfer part of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedTransfer {
    /// Keyed hash of the paying account.
    pub from: Pseudonym,
    /// Keyed hash of the payee.
    pub to: Pseudonym,
    /// Minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// A score in a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedScore {
    /// The score, where there was one.
    pub value: Option<f64>,
    /// Why there was none.
    pub unavailable: Option<Unavailability>,
    /// Model name and version.
    pub model: Option<Name>,
    /// The whole feature vector; a missing value is not a number, and `null` in JSON.
    #[serde(deserialize_with = "crate::evidence::numbers_or_nan")]
    pub features: Vec<f64>,
    /// Strongest contributions.
    pub contributions: Vec<Contribution>,
    /// The same in sentences.
    pub sentences: Vec<String>,
}

/// How a request went, beside what was known and decided: the part of a record that only the gateway can say.
#[derive(Clone, Debug)]
pub struct Course {
    /// The id in the `Gatehouse-Decision` header.
    pub id: String,
    /// From entry to the last byte, microseconds.
    pub duration_us: u64,
    /// Capacity class 0..=3.
    pub class: u8,
    /// The stage that settled it.
    pub stage: Name,
    /// Status sent to the client; 0 when the client went away first.
    pub status: u16,
    /// Status the upstream answered.
    pub upstream_status: Option<u16>,
    /// Case opened or released by this request.
    pub case: Option<String>,
    /// The decision that this request repeats.
    pub repeat_of: Option<String>,
}

impl DecisionRecord {
    /// The record of a request that came as far as a verdict. `policy` is the hash of the document that gave it.
    pub fn of(
        facts: &Facts,
        evidence: &Evidence,
        verdict: &Verdict,
        policy: &Name,
        course: Course,
        pseudonyms: &Pseudonymizer,
    ) -> Self {
        Self {
            id: course.id,
            at_ms: facts.at_ms,
            hour: facts.hour,
            duration_us: course.duration_us,
            app: facts.app.clone(),
            route: facts.route.clone(),
            method: facts.method.clone(),
            source: pseudonyms.address(facts.source),
            class: course.class,
            identity: facts.identity.as_deref().map(|i| RecordedIdentity::of(i, facts.at_ms, pseudonyms)),
            transfer: facts.transfer.as_ref().map(|t| RecordedTransfer::of(t, pseudonyms)),
            outcome: verdict.outcome,
            stage: course.stage,
            status: course.status,
            upstream_status: course.upstream_status,
            reasons: verdict.reasons.clone(),
            shadow: verdict.shadow.clone(),
            anomaly: evidence.anomaly.as_ref().map(RecordedScore::of),
            fraud: evidence.fraud.as_ref().map(RecordedScore::of),
            inspection: evidence.inspection.iter().map(finite_finding).collect(),
            behaviour: evidence.behaviour.as_ref().map(finite_behaviour),
            limits_exceeded: evidence.limits_exceeded.clone(),
            case: course.case.or_else(|| evidence.released_case.clone()),
            repeat_of: course.repeat_of,
            policy: policy.clone(),
        }
    }
}

/// JSON has no number that is not one: such a score is recorded as what the rules made of it.
fn finite_finding(finding: &Finding) -> Finding {
    let score = if finding.score.is_finite() { finding.score } else { 1.0 };
    Finding { score, ..finding.clone() }
}

fn finite_behaviour(behaviour: &Behaviour) -> Behaviour {
    let finite = |value: Option<f64>, otherwise| value.map(|v| if v.is_finite() { v } else { otherwise });
    Behaviour {
        amount_ratio: finite(behaviour.amount_ratio, f64::MAX),
        hour_share: finite(behaviour.hour_share, 0.0),
        ..behaviour.clone()
    }
}

impl RecordedIdentity {
    /// What a record keeps of an identity at `at_ms`.
    pub fn of(identity: &Identity, at_ms: i64, pseudonyms: &Pseudonymizer) -> Self {
        Self {
            subject: pseudonyms.subject(&identity.issuer, &identity.subject),
            client_id: identity.client_id.clone(),
            scopes: identity.scopes.clone(),
            acr: identity.acr.clone(),
            auth_age_s: identity.auth_age_s(at_ms),
            age_s: identity.age_s(at_ms),
            credential: identity.credential,
        }
    }
}

impl RecordedTransfer {
    /// What a record keeps of a transfer.
    pub fn of(transfer: &TransferIntent, pseudonyms: &Pseudonymizer) -> Self {
        Self {
            from: pseudonyms.account(&transfer.from),
            to: pseudonyms.account(&transfer.to),
            amount_minor: transfer.amount_minor,
            currency: transfer.currency_code().to_owned(),
        }
    }
}

impl RecordedScore {
    /// What a record keeps of a score. A value that is not a number is kept as none, as the rules saw it.
    pub fn of(scored: &Scored) -> Self {
        match scored {
            Scored::Available(score) => Self {
                value: Some(score.value).filter(|value| value.is_finite()),
                unavailable: (!score.value.is_finite()).then_some(Unavailability::Failed),
                model: Some(score.model.clone()),
                features: score.features.clone(),
                contributions: score.contributions.clone(),
                sentences: score.sentences.clone(),
            },
            Scored::Unavailable(why) => Self {
                value: None,
                unavailable: Some(*why),
                model: None,
                features: Vec::new(),
                contributions: Vec::new(),
                sentences: Vec::new(),
            },
        }
    }
}
