//! What the admin API needs from the gateway, as traits that the proxy implements. Small, object-safe, boxed futures.
//!
//! The decision log's reading side and the clock are the ones of [`policies::ports`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use learner::capacity::{Mode, PoolSnapshot};
use learner::train::ModelKind;
use policies::DecisionRecord;
use policies::ports::StoreError;
use secrecy::SecretString;
use tokio::sync::broadcast;

use crate::access::Operator;
use crate::views::{
    AdminCall, Case, CasePage, CaseQuery, Checkpoint, DecisionLabel, Judgement, LabelsTaken, Limit,
    LiveFigures, LoadedModel, PolicyDocument, PolicySummary, RevocationInForce, RevocationOrder, SessionPage,
    SessionQuery, Verification,
};

/// A port's answer, boxed so that the traits stay object-safe.
pub type Answer<'a, T, E = PortError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Why a port did not do what it was asked. Texts for the log and texts for the operator are kept apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Out of reach or failing; the text goes to the log alone. Answered 503.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// There is no such thing. Answered 404.
    #[error("not found")]
    NotFound,
    /// It changed since the caller looked, or it is settled already. Answered 409, or 412 where an `If-Match` was sent.
    #[error("changed meanwhile")]
    Conflict,
    /// It makes no sense here; the sentence is for the operator. Answered 422.
    #[error("{0}")]
    Refused(String),
}

impl From<StoreError> for PortError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Turns an access token into an operator. Called on every request, so a revoked token ends at once; remembers what it
/// verified.
pub trait Authenticator: Send + Sync {
    /// The operator of `token`: issuer, signature, audience of the admin API, times and revocation all checked.
    fn authenticate<'a>(&'a self, token: &'a str) -> Answer<'a, Operator, AuthenticationError>;
}

/// Why a token is no operator. Every variant is final: nothing else is tried after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// Not a token of a configured issuer for this API, or not genuine; the text goes to the log alone.
    #[error("invalid token: {0}")]
    Invalid(String),
    /// Genuine and past its time.
    #[error("expired token")]
    Expired,
    /// Genuine and revoked.
    #[error("revoked token")]
    Revoked,
    /// Genuine, without the scope of the admin API.
    #[error("token lacks the scope of the admin API")]
    Scope,
    /// It cannot be told now (keys out of reach); the text goes to the log alone. Answered 503.
    #[error("cannot verify tokens: {0}")]
    Unavailable(String),
}

/// The authorization-code dance for the console: the implementation owns client, PKCE verifier, state and nonce.
pub trait ConsoleLogin: Send + Sync {
    /// Starts a login that shall end at `return_to`, a path of this listener that is already checked to be one.
    fn begin<'a>(&'a self, return_to: &'a str) -> Answer<'a, LoginStart>;
    /// Ends a login: checks that `login_state` belongs to `callback.state`, both used once, and redeems the code.
    fn finish<'a>(&'a self, callback: LoginCallback, login_state: &'a str) -> Answer<'a, LoginEnd>;
}

/// A login under way.
#[derive(Clone, Debug)]
pub struct LoginStart {
    /// Where the browser is sent.
    pub authorize_url: String,
    /// Kept in the browser by a cookie and handed to [`ConsoleLogin::finish`], so that a login ends where it began.
    /// Opaque, unguessable, of cookie characters, at most 256 bytes.
    pub login_state: String,
}

/// What the identity provider sent back through the browser.
#[derive(Clone, Debug)]
pub struct LoginCallback {
    /// Authorization code.
    pub code: String,
    /// `state`, as it came.
    pub state: String,
    /// `iss` (RFC 9207), where it came.
    pub iss: Option<String>,
}

/// A login that succeeded.
#[derive(Debug)]
pub struct LoginEnd {
    /// An access token that the [`Authenticator`] takes; it stays in the gateway's memory.
    pub access_token: SecretString,
    /// What [`ConsoleLogin::begin`] was given.
    pub return_to: String,
}

/// New decisions as they are recorded.
pub trait DecisionFeed: Send + Sync {
    /// From now on. A receiver that lags loses the oldest; the sender never waits.
    fn subscribe(&self) -> broadcast::Receiver<Arc<FeedItem>>;
}

/// A decision with its position in the log.
#[derive(Clone, Debug)]
pub struct FeedItem {
    /// Position in the log.
    pub position: u64,
    /// The record.
    pub record: DecisionRecord,
}

/// Figures of the last minutes.
pub trait Figures: Send + Sync {
    /// Now; cheap enough to be asked once a second.
    fn live(&self) -> Answer<'_, LiveFigures>;
}

/// The capacity control of every upstream pool.
pub trait Capacity: Send + Sync {
    /// All pools.
    fn pools(&self) -> Answer<'_, Vec<PoolSnapshot>>;
    /// Puts one pool's controller into `mode`. `NotFound`: no such pool; `Refused`: that controller has no modes.
    fn set_mode<'a>(&'a self, pool: &'a str, mode: Mode) -> Answer<'a, ()>;
}

/// Models in use, and their life. `NotFound`: no such model; `Conflict`: it is not at `revision` any more; `Refused`: it
/// makes no sense now, or the model has no life here.
pub trait Models: Send + Sync {
    /// All of them, by name.
    fn list(&self) -> Answer<'_, Vec<LoadedModel>>;
    /// Begins to train a challenger of the kind, or of the champion's, beside the traffic.
    fn retrain<'a>(&'a self, name: &'a str, kind: Option<ModelKind>) -> Answer<'a, LoadedModel>;
    /// Proposes to promote the challenger.
    fn promote<'a>(&'a self, name: &'a str, revision: u64, by: &'a str) -> Answer<'a, LoadedModel>;
    /// Approves what somebody other than `by` proposed: the challenger serves from now on.
    fn approve<'a>(&'a self, name: &'a str, revision: u64, by: &'a str) -> Answer<'a, LoadedModel>;
    /// Puts the champion before this one back; without a revision, whichever is in force now.
    fn rollback<'a>(
        &'a self,
        name: &'a str,
        revision: Option<u64>,
        from: Option<&'a str>,
    ) -> Answer<'a, LoadedModel>;
}

/// What decisions turned out to be.
pub trait Labels: Send + Sync {
    /// Takes labels in, durably; `by` is the subject of whoever says so. `malformed` rows were left out before, and are
    /// counted alone.
    fn put<'a>(&'a self, labels: Vec<DecisionLabel>, malformed: u64, by: &'a str) -> Answer<'a, LabelsTaken>;
}

/// Policy documents.
pub trait PolicyDocuments: Send + Sync {
    /// All known versions, newest first.
    fn list(&self) -> Answer<'_, Vec<PolicySummary>>;
    /// One version with its text and the hits of its rules.
    fn get<'a>(&'a self, version: &'a str) -> Answer<'a, Option<PolicyDocument>>;
}

/// Customers' browser sessions at the gateway, pseudonymised.
pub trait Sessions: Send + Sync {
    /// One page, most recently used first.
    fn page(&self, query: SessionQuery) -> Answer<'_, SessionPage>;
}

/// Push revocation of tokens and sessions.
pub trait Revocations: Send + Sync {
    /// Revokes durably and at once; `by` is the operator's subject. `NotFound`: no session with that handle.
    fn revoke<'a>(&'a self, order: RevocationOrder, by: &'a str) -> Answer<'a, RevocationInForce>;
    /// Those in force, newest first, at most 200.
    fn list(&self) -> Answer<'_, Vec<RevocationInForce>>;
}

/// The review queue of held transfers.
pub trait Cases: Send + Sync {
    /// One page, newest first.
    fn page(&self, query: CaseQuery) -> Answer<'_, CasePage>;
    /// One case.
    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Case>>;
    /// Settles an open case. `Conflict` when the case is no longer at `judgement.revision` or no longer open.
    fn judge<'a>(&'a self, id: &'a str, judgement: Judgement) -> Answer<'a, Case>;
}

/// Limits in force.
pub trait Limits: Send + Sync {
    /// All of them.
    fn list(&self) -> Answer<'_, Vec<Limit>>;
}

/// The configuration in force.
pub trait ConfigView: Send + Sync {
    /// As JSON, every secret replaced by `"***"` by the one who knows which they are.
    fn redacted(&self) -> Answer<'_, serde_json::Value>;
}

/// The record of admin calls: durable when answered.
pub trait AuditTrail: Send + Sync {
    /// Appends one entry.
    fn record(&self, call: AdminCall) -> Answer<'_, ()>;
}

/// Proofs over the decision log.
pub trait AuditProof: Send + Sync {
    /// The log's size and head.
    fn checkpoint(&self) -> Answer<'_, Checkpoint>;
    /// Walks the whole log and checks every link. May take long; asked for one at a time.
    fn verify(&self) -> Answer<'_, Verification>;
}
