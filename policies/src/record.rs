//! The decision record: one for every request that entered.

use serde::{Deserialize, Serialize};

use crate::evidence::{Behaviour, Contribution, Exceeded, Finding, Unavailability};
use crate::facts::Credential;
use crate::name::Name;
use crate::outcome::Outcome;
use crate::verdict::Reason;

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
    /// The whole feature vector.
    pub features: Vec<f64>,
    /// Strongest contributions.
    pub contributions: Vec<Contribution>,
    /// The same in sentences.
    pub sentences: Vec<String>,
}
