//! The values that cross the ports and, as JSON, the API. Times are Unix milliseconds unless a name says otherwise.

use policies::record::Pseudonym;
use policies::{Name, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Role;

mod models;

pub use models::{
    DecisionLabel, LabelsTaken, LoadedModel, MalformedLabel, ModelLife, ModelVersion, PromotionProposal,
    RecordedCounts, RetrainingStatus, ShadowCounts,
};

/// Requests counted by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutcomeCounts {
    /// Forwarded.
    pub allow: u64,
    /// Forwarded and marked.
    pub observe: u64,
    /// Limited (429).
    pub throttle: u64,
    /// Sent to authenticate again.
    pub step_up: u64,
    /// Held for review.
    pub hold: u64,
    /// Refused.
    pub deny: u64,
}

impl OutcomeCounts {
    /// The counter of one outcome.
    pub fn of(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Allow => &mut self.allow,
            Outcome::Observe => &mut self.observe,
            Outcome::Throttle => &mut self.throttle,
            Outcome::StepUp => &mut self.step_up,
            Outcome::Hold => &mut self.hold,
            Outcome::Deny => &mut self.deny,
        }
    }
}

/// One step of the live chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FigurePoint {
    /// Start of the step.
    pub at_ms: i64,
    /// Requests ended in this step.
    pub requests: OutcomeCounts,
    /// Requests shed for want of capacity.
    pub shed: u64,
    /// Median duration in microseconds; absent in a step without requests.
    pub p50_us: Option<u64>,
    /// 99th percentile in microseconds.
    pub p99_us: Option<u64>,
}

/// Durations over the last minute, microseconds; absent without requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Median.
    pub p50_us: Option<u64>,
    /// 90th percentile.
    pub p90_us: Option<u64>,
    /// 99th percentile.
    pub p99_us: Option<u64>,
}

/// How often a reason was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonCount {
    /// Stable code.
    #[schema(value_type = String)]
    pub code: Name,
    /// Requests it led in the window.
    pub count: u64,
}

/// What the console shows live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveFigures {
    /// When they were taken.
    pub at_ms: i64,
    /// When the gateway started.
    pub started_at_ms: i64,
    /// Version of the gateway.
    pub version: String,
    /// Length of a step of `points`, in seconds.
    pub step_s: u32,
    /// The last five minutes, oldest first, one point a step, none missing; the last one is still filling.
    pub points: Vec<FigurePoint>,
    /// Durations over the last minute.
    pub latency: Latency,
    /// Anomaly scores in the window: counts in equal bins over 0..=1.
    pub anomaly_bins: Vec<u64>,
    /// Fraud scores in the window: counts in equal bins over 0..=1.
    pub fraud_bins: Vec<u64>,
    /// Leading reasons in the window other than of plain allows, most frequent first, at most 10.
    pub reasons: Vec<ReasonCount>,
    /// Cases waiting for a verdict.
    pub cases_open: u64,
    /// How far the decision log is behind, milliseconds.
    pub audit_lag_ms: u64,
    /// What does not work as it should, in sentences; empty when all is well.
    pub degraded: Vec<String>,
}

/// A version of the policy document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicySummary {
    /// Its version; the `{version}` of its path.
    pub version: String,
    /// SHA-256 of its text, hex: the `policy` of decision records.
    pub hash: String,
    /// Whether requests are decided by it.
    pub active: bool,
    /// When it was loaded.
    pub loaded_at_ms: i64,
    /// How many rules it has.
    pub rules: u32,
}

/// A version of the policy document with its text and its rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyDocument {
    /// Version, hash, whether active.
    #[serde(flatten)]
    pub summary: PolicySummary,
    /// The TOML as loaded.
    pub text: String,
    /// Its rules, in the document's order.
    pub rule_hits: Vec<RuleHits>,
}

/// A rule and how often it matched since the document was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleHits {
    /// Rule id.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// Its condition (CEL).
    pub when: String,
    /// What it asks for.
    #[schema(value_type = String)]
    pub outcome: Outcome,
    /// `enforce`, `shadow` or `off`.
    pub mode: String,
    /// Routes it applies to; empty: all.
    pub routes: Vec<String>,
    /// Requests it matched.
    pub hits: u64,
    /// Evaluations that failed.
    pub failures: u64,
    /// When it last matched.
    pub last_hit_ms: Option<i64>,
}

/// Which sessions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionQuery {
    /// After this cursor (a page's `next`).
    pub after: Option<String>,
    /// At most this many, 1..=200.
    pub limit: usize,
}

/// A page of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionPage {
    /// Most recently used first.
    pub sessions: Vec<CustomerSession>,
    /// Ask for this `after` next; absent at the end.
    pub next: Option<String>,
}

/// A customer's browser session, without anything that could be used to enter it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerSession {
    /// Stands for the session in a revocation; a keyed hash of its id.
    pub handle: String,
    /// Application.
    pub app: String,
    /// Keyed hash of issuer and subject, the same as in decision records.
    #[schema(value_type = String)]
    pub subject: Pseudonym,
    /// Authentication context class.
    pub acr: Option<String>,
    /// When it began.
    pub created_at_ms: i64,
    /// When it was last used.
    pub last_seen_ms: i64,
    /// When it ends at the latest.
    pub expires_at_ms: i64,
}

/// What a revocation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevocationKind {
    /// A token, by its `jti`.
    Jti,
    /// All sessions and tokens of an issuer's session, by its `sid`.
    Sid,
    /// All sessions and tokens of a subject.
    Subject,
    /// One browser session, by the handle in the list of sessions.
    Session,
}

/// An order to revoke.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationOrder {
    /// What `value` is.
    pub kind: RevocationKind,
    /// The `jti`, `sid`, subject or handle; 1..=256 bytes.
    pub value: String,
    /// Issuer of the subject; absent: of every issuer.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Why, for the record; at most 500 characters.
    #[serde(default)]
    pub note: Option<String>,
}

/// A revocation in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevocationInForce {
    /// What was named.
    pub kind: RevocationKind,
    /// Keyed hash of the value.
    #[schema(value_type = String)]
    pub value: Pseudonym,
    /// Subject of the operator who ordered it.
    pub by: String,
    /// When.
    pub at_ms: i64,
    /// When it may be forgotten because everything it could stop has expired.
    pub expires_at_ms: i64,
    /// Sessions ended by it at once.
    pub sessions_ended: u64,
    /// Why.
    pub note: Option<String>,
}

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaseStatus {
    /// Waits for a verdict.
    Open,
    /// Released: the customer may send the transfer again, once.
    Released,
    /// Rejected.
    Rejected,
    /// Released, and the transfer went through.
    Spent,
    /// Nobody judged it in time.
    Expired,
}

/// Which cases to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaseQuery {
    /// Only with this status.
    pub status: Option<CaseStatus>,
    /// After this cursor (a page's `next`).
    pub after: Option<String>,
    /// At most this many, 1..=200.
    pub limit: usize,
}

/// A page of cases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CasePage {
    /// Newest first.
    pub cases: Vec<Case>,
    /// Ask for this `after` next; absent at the end.
    pub next: Option<String>,
}

/// A held transfer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Case {
    /// Its id.
    pub id: String,
    /// Goes up with every change; its ETag.
    pub revision: u64,
    /// The decision that opened it.
    pub decision_id: String,
    /// Where it stands.
    pub status: CaseStatus,
    /// When it was opened.
    pub opened_at_ms: i64,
    /// Until when a verdict helps.
    pub expires_at_ms: i64,
    /// Route of the request.
    pub route: String,
    /// Keyed hash of the customer.
    #[schema(value_type = String)]
    pub subject: Pseudonym,
    /// Keyed hash of the paying account.
    #[schema(value_type = String)]
    pub from: Pseudonym,
    /// Keyed hash of the payee.
    #[schema(value_type = String)]
    pub to: Pseudonym,
    /// Minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Fraud score, where there was one.
    pub fraud: Option<f64>,
    /// Why it was held, in sentences.
    pub reasons: Vec<String>,
    /// Subject of the analyst who judged it.
    pub judged_by: Option<String>,
    /// When it was judged.
    pub judged_at_ms: Option<i64>,
    /// What the analyst noted.
    pub note: Option<String>,
}

/// What an analyst says of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// The customer may send it again, once.
    Release,
    /// It stays refused.
    Reject,
}

/// A verdict on a case, as it reaches the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What is said.
    pub ruling: Ruling,
    /// What the transfer was, where the analyst knows: its label.
    pub fraud: Option<bool>,
    /// What was noted.
    pub note: Option<String>,
    /// Subject of the analyst.
    pub by: String,
    /// When.
    pub at_ms: i64,
    /// The revision that the analyst saw.
    pub revision: u64,
}

/// A limit in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// Its name in the configuration.
    pub name: String,
    /// `address`, `customer`, `client` or `route`.
    pub scope: String,
    /// Requests a second.
    pub per_second: f64,
    /// Requests at once.
    pub burst: u32,
    /// Keys held now.
    pub keys: u64,
    /// Keys held at most.
    pub keys_max: u64,
    /// Requests it stopped since the start.
    pub exceeded_total: u64,
}

/// The decision log's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checkpoint {
    /// Entries in the log.
    pub size: u64,
    /// Hash of the last entry, hex; it covers all before it.
    pub head: String,
    /// When it was taken.
    pub at_ms: i64,
}

/// Result of walking the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// Whether every link holds.
    pub intact: bool,
    /// Entries checked.
    pub checked: u64,
    /// Position of the first entry that does not fit.
    pub first_bad: Option<u64>,
    /// Hash of the last entry that fits, hex.
    pub head: String,
    /// How long it took.
    pub took_ms: u64,
    /// The finding in a sentence.
    pub finding: String,
}

/// How a caller proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A bearer token.
    Bearer,
    /// A console session.
    Console,
    /// Nothing, or nothing that was accepted.
    Nobody,
}

/// When in a call's life an entry was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before a write is carried out; without this entry it is not.
    Intent,
    /// After the answer was known.
    Done,
}

/// One entry of the admin trail: who did what, when, with what outcome. Never a token, a cookie or a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminCall {
    /// The call; both entries of a write have the same.
    pub id: String,
    /// Intent or done.
    pub phase: Phase,
    /// When.
    pub at_ms: i64,
    /// Who; absent when nobody was accepted.
    pub subject: Option<String>,
    /// Roles held.
    pub roles: Vec<Role>,
    /// How it was proved.
    pub via: Via,
    /// Method.
    pub method: String,
    /// Path template, such as `/api/v1/cases/{id}/verdict`.
    pub route: String,
    /// The path as sent, at most 256 bytes; never the query.
    pub path: String,
    /// What a write asks for, such as `{"ruling":"release"}`; values that name people are left out.
    pub detail: Option<serde_json::Value>,
    /// Status answered; 0 while not known.
    pub status: u16,
    /// Code of a refusal.
    pub reason: Option<String>,
    /// Refused calls since the last entry that got none of their own, because too many came.
    pub unrecorded: u64,
}
