//! What the router is made of.

use std::sync::Arc;
use std::time::Duration;

use policies::ports::{Clock, DecisionReader};
use tokio::sync::Semaphore;

use crate::console::store::ConsoleSessions;
use crate::ports::{
    AuditProof, AuditTrail, Authenticator, Capacity, Cases, ConfigView, ConsoleLogin, DecisionFeed, Figures,
    Labels, Limits, Models, PolicyDocuments, Revocations, Sessions,
};
use crate::trail::RefusalBudget;

/// Everything the admin API leans on.
#[derive(Clone)]
pub struct AdminState {
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Tokens to operators.
    pub authenticator: Arc<dyn Authenticator>,
    /// The console's login.
    pub login: Arc<dyn ConsoleLogin>,
    /// Recorded decisions.
    pub decisions: Arc<dyn DecisionReader>,
    /// New decisions.
    pub feed: Arc<dyn DecisionFeed>,
    /// Live figures.
    pub figures: Arc<dyn Figures>,
    /// Capacity control.
    pub capacity: Arc<dyn Capacity>,
    /// Models in use.
    pub models: Arc<dyn Models>,
    /// What decisions turned out to be.
    pub labels: Arc<dyn Labels>,
    /// Policy documents.
    pub policies: Arc<dyn PolicyDocuments>,
    /// Customers' sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Push revocation.
    pub revocations: Arc<dyn Revocations>,
    /// Review queue.
    pub cases: Arc<dyn Cases>,
    /// Limits in force.
    pub limits: Arc<dyn Limits>,
    /// Configuration in force.
    pub config: Arc<dyn ConfigView>,
    /// Record of admin calls.
    pub trail: Arc<dyn AuditTrail>,
    /// Proofs over the decision log.
    pub proof: Arc<dyn AuditProof>,
    /// Bounds and addresses.
    pub settings: Settings,
}

/// Bounds and addresses of the admin listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Origins under which browsers reach the console, such as `https://gatehouse.bank.example` or
    /// `http://127.0.0.1:9901`: what a write's `Origin` must be one of.
    pub origins: Vec<String>,
    /// A console session ends when it is not used this long.
    pub session_idle: Duration,
    /// A console session ends this long after the login at the latest; at its token's end in any case.
    pub session_absolute: Duration,
    /// Console sessions at once.
    pub sessions_max: usize,
    /// Console sessions at once of one person; the oldest goes.
    pub sessions_per_subject_max: usize,
    /// Event streams at once.
    pub streams_max: usize,
    /// How often the token behind an event stream is judged again.
    pub stream_recheck: Duration,
    /// Calls in progress at once, streams not counted.
    pub calls_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            session_idle: Duration::from_secs(30 * 60),
            session_absolute: Duration::from_secs(8 * 3600),
            sessions_max: 512,
            sessions_per_subject_max: 8,
            streams_max: 64,
            stream_recheck: Duration::from_secs(5),
            calls_max: 256,
        }
    }
}

/// The state that handlers share.
pub(crate) struct App {
    pub ports: AdminState,
    pub console: ConsoleSessions,
    pub streams: Arc<Semaphore>,
    pub calls: Arc<Semaphore>,
    /// The whole log is walked by one caller at a time.
    pub verifications: Semaphore,
    pub refusals: RefusalBudget,
    pub document: utoipa::openapi::OpenApi,
}

impl App {
    pub fn new(ports: AdminState, document: utoipa::openapi::OpenApi) -> Arc<Self> {
        let settings = &ports.settings;
        Arc::new(Self {
            console: ConsoleSessions::new(settings),
            streams: Arc::new(Semaphore::new(settings.streams_max)),
            calls: Arc::new(Semaphore::new(settings.calls_max)),
            verifications: Semaphore::new(1),
            refusals: RefusalBudget::default(),
            document,
            ports,
        })
    }

    pub fn now_ms(&self) -> i64 {
        self.ports.clock.now_ms()
    }
}

/// The handle under which handlers get it.
pub(crate) type Shared = axum::extract::State<Arc<App>>;
