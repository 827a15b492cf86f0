//! What the stages found out about a request.

use serde::{Deserialize, Deserializer, Serialize};

use crate::name::Name;

/// Everything found about one request before the decision.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Anomaly of the request; `None` on routes that do not ask for it.
    pub anomaly: Option<Scored>,
    /// Fraud probability of the transfer; `None` where there is no transfer.
    pub fraud: Option<Scored>,
    /// Findings of the lexical inspection, strongest first.
    pub inspection: Vec<Finding>,
    /// What the customer's behaviour profile says of the transfer.
    pub behaviour: Option<Behaviour>,
    /// Limits that this request exceeded; empty when within all.
    pub limits_exceeded: Vec<Exceeded>,
    /// A reviewer released this very transfer (same customer, payee, amount, key); spent when forwarded.
    pub released_case: Option<String>,
}

/// A score, or why there is none: a scorer never guesses.
#[derive(Clone, Debug, PartialEq)]
pub enum Scored {
    /// Scored.
    Available(Score),
    /// Not scored; the policy says what then.
    Unavailable(Unavailability),
}

impl Scored {
    /// The score's value where there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Available(score) => Some(score.value),
            Self::Unavailable(_) => None,
        }
    }
}

/// Why a score is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unavailability {
    /// No model is loaded.
    NoModel,
    /// The scorer took longer than its bound.
    TooSlow,
    /// The scorer failed or its input was not a number.
    Failed,
}

/// One model's judgement of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// 0..=1; a calibrated probability (fraud) or a percentile of normal traffic (anomaly).
    pub value: f64,
    /// The model's name and version, such as `fraud/2026-11-01`.
    pub model: Name,
    /// Feature values and their contributions to the score, strongest first.
    pub contributions: Vec<Contribution>,
    /// The same in sentences that a person understands.
    pub sentences: Vec<String>,
    /// The whole feature vector, so that the score can be recomputed from the record.
    pub features: Vec<f64>,
}

/// How much one feature moved a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// Feature name.
    pub feature: Name,
    /// The feature's value; not a number where it is missing, which JSON writes as `null`.
    #[serde(deserialize_with = "number_or_nan")]
    pub value: f64,
    /// Signed contribution in the model's own unit (log-odds, or scaled error).
    #[serde(deserialize_with = "number_or_nan")]
    pub weight: f64,
}

fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::deserialize(deserializer).map(|value| value.unwrap_or(f64::NAN))
}

pub(crate) fn numbers_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let values: Vec<Option<f64>> = Vec::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

/// Kinds of attack that the lexical inspection knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttackKind {
    /// SQL injection.
    Sqli,
    /// Cross-site scripting.
    Xss,
    /// Path traversal.
    Traversal,
    /// Command injection.
    Command,
    /// Scanners and other probes.
    Probe,
}

/// One finding of the lexical inspection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it looks like.
    pub kind: AttackKind,
    /// 0..=1.
    pub score: f64,
    /// Where: `query:q`, `header:user-agent`, `json:/memo`, `path`.
    pub location: String,
    /// What matched, in words; never the input itself.
    pub why: String,
}

/// What the behaviour profile says, before this transfer is counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Behaviour {
    /// The customer never paid this payee before.
    pub new_payee: bool,
    /// Accepted transfers known of this customer.
    pub known_transfers: u64,
    /// Amount over the customer's usual (geometric mean) amount; 1 is usual; `None` without history.
    pub amount_ratio: Option<f64>,
    /// Transfers of the last 24 hours.
    pub count_1d: u64,
    /// Minor units of the last 24 hours.
    pub sum_1d_minor: i64,
    /// Refused attempts of the last hour.
    pub refused_1h: u64,
    /// Share of the customer's accepted transfers made around this hour, 0..=1.
    pub hour_share: Option<f64>,
}

/// A limit that was exceeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exceeded {
    /// Which: `address`, `customer`, `client`, `route`.
    pub limit: Name,
    /// Seconds until a further request would pass.
    pub retry_after_s: u64,
}
