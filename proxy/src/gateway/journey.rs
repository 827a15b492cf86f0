//! One request's way through the gateway, and the record that ends it whatever happens.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::request::Parts;
use learner::capacity::Class;
use policies::facts::{Identity, TransferIntent};
use policies::{Evidence, Facts, Name, Outcome, Verdict};

use super::core::{Core, Live};
use super::pool::permit_outcome;
use crate::config::Route;
use crate::front::{Exchange, Remote};
use crate::refusal::{Reason, Refusal};
use crate::stages::admission::Permit;
use crate::stages::forwarded::Client;
use crate::stages::transfer::{Assessment, Authorisation, Claim, Repeat};

/// Where a request's journey was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Address limits and capacity.
    Admission,
    /// The canonical request and its route.
    Normalize,
    /// Who asks.
    Identity,
    /// Customer, client and route limits.
    Limits,
    /// Body and anomaly.
    Inspection,
    /// Transfer and fraud.
    Transfer,
    /// The policy.
    Decision,
    /// The durable record before money moves.
    Audit,
    /// The application behind.
    Upstream,
    /// A defect: the journey was dropped before it was settled.
    Dropped,
}

impl Stage {
    /// Name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Normalize => "normalize",
            Self::Identity => "identity",
            Self::Limits => "limits",
            Self::Inspection => "inspection",
            Self::Transfer => "transfer",
            Self::Decision => "decision",
            Self::Audit => "audit",
            Self::Upstream => "upstream",
            Self::Dropped => "dropped",
        }
    }
}

/// What is known of a request so far. Only the hooks of the gateway write it.
pub struct Journey {
    core: Arc<Core>,
    /// The configuration, policy and models that this request sees from start to end.
    pub live: Arc<Live>,
    /// The id in `Gatehouse-Decision`.
    pub id: String,
    /// When it entered.
    pub entered: Instant,
    /// The same on the wall clock, Unix milliseconds.
    pub at_ms: i64,
    /// The client: who connected, or for whom a trusted peer speaks.
    pub client: Client,
    /// Method.
    pub method: Name,
    /// Canonical path.
    pub path: Name,
    /// Position of the application and of its route.
    pub place: Option<(usize, usize)>,
    /// Capacity class.
    pub class: Class,
    /// The permit, held to the last byte.
    pub permit: Option<Permit>,
    /// Who asks.
    pub identity: Option<Arc<Identity>>,
    /// What is to be transferred.
    pub intent: Option<TransferIntent>,
    /// What was found out about the transfer.
    pub assessment: Option<Assessment>,
    /// The transfer's claim to be the only one of its kind under way.
    pub claim: Option<Claim>,
    /// What of the token's the transfer will spend; the first of these that is not spent yet.
    pub authorisations: Vec<Authorisation>,
    /// What of it was spent.
    pub spent: Option<Authorisation>,
    /// The transfer was judged before.
    pub repeat: Option<Repeat>,
    /// Everything found.
    pub evidence: Evidence,
    /// The policy's verdict.
    pub verdict: Option<Verdict>,
    /// What a would-be transfer would meet, on routes that only want to know.
    pub would_be: Option<Verdict>,
    /// Position of its durable record, once that is on disk.
    pub intent_at: Option<u64>,
    /// Case opened or spent.
    pub case: Option<String>,
    /// The stage that settled it.
    pub stage: Stage,
    /// The refusal, where a stage refused.
    pub refusal: Option<Refusal>,
    /// Status sent to the client.
    pub status: u16,
    /// Status the upstream answered.
    pub upstream_status: Option<u16>,
    /// Attempts to reach an upstream peer.
    pub attempts: u8,
    /// Whether the request has been sent to a peer.
    pub sent: bool,
    /// Request body bytes streamed so far.
    pub body_bytes: usize,
    /// The connection became a WebSocket.
    pub upgraded: bool,
    exchange: Exchange,
    /// Why the exchange was ended from outside.
    cut: Arc<OnceLock<Reason>>,
    ended: bool,
}

impl Journey {
    /// A journey that begins now, of the request of `exchange`.
    pub fn begin(core: &Arc<Core>, exchange: Exchange) -> Self {
        core.entered();
        let at_ms = core.clock.now_ms();
        Self {
            live: core.live(),
            id: decision_id(at_ms),
            entered: Instant::now(),
            at_ms,
            client: Client::of(exchange.remote()),
            method: core.names.none.clone(),
            path: core.names.none.clone(),
            place: None,
            class: Class::Anonymous,
            permit: None,
            identity: None,
            intent: None,
            assessment: None,
            claim: None,
            authorisations: Vec::new(),
            spent: None,
            repeat: None,
            evidence: Evidence::default(),
            verdict: None,
            would_be: None,
            intent_at: None,
            case: None,
            stage: Stage::Dropped,
            refusal: None,
            status: 0,
            upstream_status: None,
            attempts: 0,
            sent: false,
            body_bytes: 0,
            upgraded: false,
            exchange,
            cut: Arc::default(),
            core: Arc::clone(core),
            ended: false,
        }
    }

    /// The other end of the connection.
    pub fn remote(&self) -> Remote {
        self.exchange.remote()
    }

    /// Ends the exchange together with the credential that opened it: a response that stays open may outlive it.
    pub fn tie(&self, head: &Parts) {
        let (Some((app, _)), Some(identity)) = (self.place, &self.identity) else { return };
        let opened = self.core.identity.opened(app, head, identity);
        let (core, cut) = (Arc::clone(&self.core), Arc::clone(&self.cut));
        self.exchange.ends_with(async move {
            // A journey is cut at most once.
            let _ = cut.set(core.identity.ended(&opened, &*core.clock).await);
        });
    }

    /// The facts as far as they are known.
    pub fn facts(&self) -> Facts {
        let (app, route) = self.names();
        Facts {
            at_ms: self.at_ms,
            hour: self.live.local_hour(self.at_ms),
            app,
            route,
            method: self.method.clone(),
            path: self.path.clone(),
            source: self.client.address,
            identity: self.identity.clone(),
            transfer: self.intent.clone(),
        }
    }

    /// Names of application and route; `-` before they are known.
    pub fn names(&self) -> (Name, Name) {
        let none = || (self.core.names.none.clone(), self.core.names.none.clone());
        self.place.and_then(|(app, route)| self.live.names(app, route)).unwrap_or_else(none)
    }

    /// The route, once it is known.
    pub fn route(&self) -> Option<&Route> {
        let (app, route) = self.place?;
        self.live.config.applications.get(app)?.routes.get(route)
    }

    /// The names under which tokens know the application: audience and address.
    pub fn resource(&self) -> Option<(&str, &str)> {
        let app = self.live.config.applications.get(self.place?.0)?;
        let audience = app.identity.as_ref()?.audience.as_str();
        Some((audience, app.external_url.as_str().trim_end_matches('/')))
    }

    /// The outcome for records and metrics.
    pub fn outcome(&self) -> Outcome {
        match (&self.refusal, &self.verdict) {
            (Some(refusal), _) => refusal.reason.row().outcome,
            (None, Some(verdict)) => verdict.outcome,
            (None, None) => Outcome::Allow,
        }
    }

    /// The verdict as it is recorded: the rules' reasons, and before them the stage's own refusal.
    pub fn recorded_verdict(&self) -> Verdict {
        let mut verdict =
            self.verdict.clone().unwrap_or_else(|| Verdict::from_reasons(Vec::new(), Vec::new()));
        if let Some(refusal) = &self.refusal {
            let row = refusal.reason.row();
            verdict.outcome = row.outcome;
            verdict.reasons.insert(
                0,
                policies::Reason {
                    code: row.code.into(),
                    source: self.stage.name().into(),
                    outcome: row.outcome,
                    precedence: u16::MAX,
                    message: row.title.into(),
                },
            );
        }
        verdict
    }

    /// Gives the permit back: the request takes nothing of the application's any more.
    pub fn release(&mut self) {
        let Some(mut permit) = self.permit.take() else { return };
        let refused = !self.outcome().forwards();
        permit.outcome(permit_outcome(refused, self.sent, self.upstream_status));
    }

    /// Ends the journey: gives the permit back, counts, learns, records. Later calls do nothing.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            let core = Arc::clone(&self.core);
            core.settle(self);
        }
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        if let Some(reason) = self.cut.get() {
            let inside = "what opened the response ended while it was open";
            self.refusal = Some(Refusal::new(*reason, inside));
        }
        // A panic outside of what the hooks contain, or a connection torn down before `logging`, ends here; it must not read
        // as an allow.
        if !self.ended && std::thread::panicking() {
            self.core.metrics.panics.inc();
            self.refusal = Some(Refusal::new(Reason::Internal, "a stage panicked"));
        } else if !self.ended && self.refusal.is_none() && self.status == 0 {
            self.refusal = Some(Refusal::new(Reason::Internal, "the connection was torn down"));
        }
        self.end();
    }
}

/// 48 bits of milliseconds and 80 random bits, hex: sortable by time, unguessable.
fn decision_id(at_ms: i64) -> String {
    let random: u128 = rand::random();
    let time = u128::try_from(at_ms).unwrap_or_default() << 80;
    format!("{:032x}", time | (random >> 48))
}

/// What the caller is told to answer instead of going on.
pub enum Stop {
    /// A stage refused.
    Refused(Stage, Box<Refusal>),
    /// The policy did not let it through.
    Verdict,
    /// A path of the gateway's own, answered.
    Own(Box<http::Response<bytes::Bytes>>),
    /// The connection failed.
    Broken(pingora::BError),
}

impl From<pingora::BError> for Stop {
    fn from(error: pingora::BError) -> Self {
        Self::Broken(error)
    }
}

/// Marks a stage's refusal with the stage.
pub trait At<T> {
    /// The refusal as a stop at `stage`.
    fn at(self, stage: Stage) -> Result<T, Stop>;
}

impl<T> At<T> for Result<T, Refusal> {
    fn at(self, stage: Stage) -> Result<T, Stop> {
        self.map_err(|refusal| Stop::Refused(stage, Box::new(refusal)))
    }
}

/// The client's head, copied where a later stage needs it beside the mutable session.
pub fn copy_head(head: &Parts) -> Parts {
    let mut copy = http::Request::new(()).into_parts().0;
    copy.method = head.method.clone();
    copy.uri = head.uri.clone();
    copy.version = head.version;
    copy.headers = head.headers.clone();
    copy
}
