//! Who is asking: an access token or a browser session becomes a verified [`Identity`], or the request is refused.
//!
//! There are three results and no fourth: an identity, no credential, a refusal. A refused credential never falls through
//! to another way of authenticating.
//!
//! | module | what it is |
//! |---|---|
//! | [`config`] | sections of the configuration, checked |
//! | [`credentials`] | which credential a request presents |
//! | [`token`] | strict reading of JWTs, pure |
//! | [`keys`] | issuers' keys, fetched ahead of need |
//! | `judging` | what is waited for, and the judgement that waits for nothing |
//! | `access` | access tokens as requests bring them, with and without a proof |
//! | [`bearer`] | everything that is checked on a token that is a JWT |
//! | [`dpop`] | proofs of possession, pure |
//! | [`introspection`] | opaque tokens, about which their issuer is asked |
//! | [`remembered`] | tokens verified before |
//! | [`revocation`] | what was revoked, asked on every request |
//! | [`opened`] | the end of what opened a response that stays open |
//! | [`session`] | browser log-ins and their paths under `/.gatehouse/` |
//! | [`upstream_identity`] | what upstreams are told |
//!
//! Nothing here knows Pingora, reads a clock, or decides what an identified caller may do beyond a route's requirement.

mod access;
pub mod bearer;
pub mod bounded;
pub mod challenge;
pub mod config;
pub mod credentials;
pub mod dpop;
pub mod introspection;
pub mod keys;
pub mod opened;
pub mod remembered;
pub mod revocation;
pub mod session;
pub mod signing;
pub mod token;
pub mod upstream_identity;

mod judging;
mod pace;
mod private_key_jwt;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, header};
use policies::facts::Identity;
use policies::ports::{Clock, HotStore, RecordStore, StoreError};
use policies::{Name, Outcome};
use tokio::sync::Semaphore;

pub use config::{Access, ApplicationIdentity, Bounds, IssuerConfig, Requirement};
pub use credentials::{LOGIN_COOKIE, SESSION_COOKIE};
pub use keys::IssuerStatus;
pub use remembered::MemoryStatus;
pub use revocation::{Revocation, Revocations, Target};
pub use upstream_identity::{GatewayKeys, Vouched};

use self::bearer::Proved;
use self::challenge::Scheme;
use self::credentials::{Presented, presented};
use self::dpop::{Nonces, Shares};
use self::introspection::Introspector;
use self::keys::IssuerKeys;
use self::pace::Pace;
use self::remembered::{Remembered, Remembrance};
use self::session::{Cached, LocalPath, LoginClient, Origin, Session, Sessions, Turns, login_url};
use self::session::{see_other, session_key};
use self::upstream_identity::Mint;
use crate::outbound::Outbound;
use crate::refusal::{Reason, Refusal};

/// Log-ins are counted over this time, milliseconds: as long as one may take.
const LOGINS_PER_MS: i64 = 600_000;
/// How often the background looks whether an issuer's keys are due.
const TICK: Duration = Duration::from_secs(1);
/// How often tables are swept, in ticks.
const SWEEP_TICKS: u32 = 30;

/// What a client proved by its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// SHA-256 of its TLS client certificate.
    pub client_cert_sha256: Option<[u8; 32]>,
}

/// What came of looking for an identity.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// No credential, and none was needed.
    Anonymous,
    /// A verified identity that satisfies the route's requirement.
    Known(Arc<Identity>),
}

/// Who a request is from, as far as that is known without waiting.
#[derive(Clone, Debug)]
pub enum Recognised {
    /// A token that was verified before.
    Token(Arc<Remembrance>),
    /// An opaque token of which its issuer spoke well a moment ago.
    Opaque(Arc<Identity>),
    /// A session that is alive.
    Session(Arc<Session>),
    /// One for which something is due before it holds, see [`IdentityStage::consult`].
    Due(Arc<Session>),
}

impl Recognised {
    /// Whose it is.
    pub fn identity(&self) -> &Arc<Identity> {
        match self {
            Self::Token(entry) => entry.identity(),
            Self::Opaque(identity) => identity,
            Self::Session(session) | Self::Due(session) => session.identity(),
        }
    }
}

/// What the stage is made of.
pub struct Setup {
    /// Trusted issuers.
    pub issuers: Vec<IssuerConfig>,
    /// Applications by position, with what each accepts; `None`: it has no identities.
    pub apps: Vec<(Name, Option<ApplicationIdentity>)>,
    /// Bounds of the tables.
    pub bounds: Bounds,
    /// Sessions, log-ins under way, replay memory.
    pub hot: Arc<dyn HotStore>,
    /// Revocations.
    pub records: Arc<dyn RecordStore>,
    /// Requests to issuers.
    pub outbound: Outbound,
    /// Keys that sign the identity token for upstreams.
    pub gateway_keys: GatewayKeys,
    /// `iss` of that token.
    pub gateway_issuer: String,
}

/// One application, as the stage needs it.
pub(crate) struct App {
    name: Name,
    config: ApplicationIdentity,
    origin: Origin,
    issuers: Vec<Arc<IssuerKeys>>,
    introspectors: Vec<Arc<Introspector>>,
    login: Option<Arc<LoginClient>>,
    nonces: Option<Nonces>,
    /// Places at the application's own paths. They need none of its capacity, and may wait for its issuer.
    own: Semaphore,
    /// The same for those who log out.
    log_outs: Semaphore,
}

/// The identity stage.
pub struct IdentityStage {
    apps: Vec<Option<App>>,
    issuers: Vec<Arc<IssuerKeys>>,
    introspectors: Vec<Arc<Introspector>>,
    remembered: Remembered,
    revocations: Arc<Revocations>,
    hot: Arc<dyn HotStore>,
    sessions: Arc<Sessions>,
    turns: Turns,
    logins: Pace,
    proofs: Shares,
    mint: Mint,
}

impl IdentityStage {
    /// The stage, before anything was fetched or loaded. Follow it with [`Self::load`] and spawn [`Self::maintain`].
    pub fn new(setup: Setup) -> Self {
        let logs_in = |issuer: &IssuerConfig| {
            let sessions = setup.apps.iter().filter_map(|(_, app)| app.as_ref()?.session.as_ref());
            sessions.into_iter().any(|session| session.issuer == issuer.issuer)
        };
        let issuers: Vec<Arc<IssuerKeys>> = setup
            .issuers
            .iter()
            .map(|i| Arc::new(IssuerKeys::new(i.clone(), logs_in(i), setup.outbound.clone())))
            .collect();
        let introspectors: Vec<Arc<Introspector>> =
            issuers.iter().filter_map(|i| Introspector::new(i, &setup.outbound).map(Arc::new)).collect();
        let bounds = setup.bounds;
        let apps = setup
            .apps
            .into_iter()
            .map(|(name, config)| {
                Some(App::new(name, config?, &issuers, &introspectors, &setup.outbound, bounds.own_requests))
            })
            .collect();
        Self {
            apps,
            issuers,
            introspectors,
            remembered: Remembered::new(bounds.remembered_tokens),
            revocations: Arc::new(Revocations::new(setup.records, bounds.revocations)),
            hot: Arc::clone(&setup.hot),
            sessions: Arc::new(Sessions::new(setup.hot, bounds.cached_sessions)),
            turns: Turns::default(),
            logins: Pace::new(bounds.logins, LOGINS_PER_MS),
            proofs: Shares::new(bounds.proofs_of_subject),
            mint: Mint::new(setup.gateway_keys, setup.gateway_issuer, bounds.minted_tokens),
        }
    }

    /// Loads revocations; before this, nothing may be served.
    ///
    /// # Errors
    /// The store's.
    pub async fn load(&self, now_ms: i64) -> Result<(), StoreError> {
        self.revocations.load(now_ms).await.map(|_| ())
    }

    /// Fetches every issuer's keys once, all at the same time. Failure is no error: the issuer's status tells.
    pub async fn prime(&self, now_ms: i64) {
        let mut fetches = tokio::task::JoinSet::new();
        for issuer in &self.issuers {
            let issuer = Arc::clone(issuer);
            fetches.spawn(async move { issuer.refresh(now_ms).await });
        }
        fetches.join_all().await;
    }

    /// Keeps keys fresh and tables small, for as long as it is polled.
    pub async fn maintain(self: Arc<Self>, clock: Arc<dyn Clock>) {
        let mut ticks = 0_u32;
        loop {
            let now_ms = clock.now_ms();
            for issuer in self.issuers.iter().filter(|i| i.due(now_ms)) {
                let issuer = Arc::clone(issuer);
                tokio::spawn(async move { issuer.refresh(now_ms).await });
            }
            if ticks.is_multiple_of(SWEEP_TICKS) {
                self.sweep(now_ms).await;
            }
            ticks = ticks.wrapping_add(1);
            tokio::time::sleep(TICK).await;
        }
    }

    async fn sweep(&self, now_ms: i64) {
        self.remembered.sweep(now_ms);
        self.introspectors.iter().for_each(|i| i.sweep(now_ms));
        self.sessions.sweep(now_ms);
        self.mint.sweep(now_ms);
        if let Err(error) = self.revocations.sweep(now_ms).await {
            tracing::warn!(%error, "expired revocations could not be removed");
        }
    }

    /// Who a request is from, if that is known without waiting: a token verified before, a session in the process. No
    /// allocation, no await. `None` says nothing; [`Self::judge`] decides.
    pub fn recognise(&self, app: usize, parts: &Parts, peer: &Peer, now_ms: i64) -> Option<Recognised> {
        let app_config = self.apps.get(app)?.as_ref()?;
        match presented(parts).ok()? {
            Presented::Bearer(token) if app_config.introspects(token) => {
                self.recognise_opaque(app_config, token, peer, now_ms)
            }
            Presented::Bearer(token) => self
                .remembered
                .find(app, token, Proved::Certificate(peer.client_cert_sha256), &self.revocations, now_ms)
                .map(Recognised::Token),
            Presented::Session(value) => {
                let key = session_key(&app_config.name, value)?;
                match self.sessions.cached(&key, &self.revocations, now_ms) {
                    Cached::Ready(session) => Some(Recognised::Session(session)),
                    Cached::Due(session) => Some(Recognised::Due(session)),
                    Cached::Over | Cached::Unknown => None,
                }
            }
            // Without its proof a bound token is anybody's, and a proof is not checked twice.
            Presented::Dpop(_) | Presented::Nothing => None,
        }
    }

    /// For a person's browser: the redirect to a log-in or a step-up that would satisfy what refused the request.
    /// `step_up_return` is where to go on after a step-up, where the request itself cannot be repeated.
    pub fn login_redirect(
        &self,
        app: usize,
        parts: &Parts,
        reason: Option<Reason>,
        outcome: Outcome,
        step_up_return: Option<&str>,
    ) -> Option<Response<Bytes>> {
        let app = self.apps.get(app)?.as_ref()?;
        app.login.as_ref()?;
        let action = match (reason, outcome) {
            (Some(Reason::TokenMissing | Reason::SessionEnded), _) => "login",
            (_, Outcome::StepUp) => "step-up",
            _ => return None,
        };
        // A token was presented: this is a program, whatever it accepts.
        if parts.headers.contains_key(header::AUTHORIZATION) {
            return None;
        }
        let here = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        let repeatable = matches!(parts.method, Method::GET | Method::HEAD);
        let return_to = match step_up_return {
            Some(path) if action == "step-up" => path,
            _ if repeatable => here,
            _ => "/",
        };
        let return_to = LocalPath::parse(return_to).unwrap_or_else(LocalPath::root);
        Some(see_other(&login_url(&app.config.external_url, action, return_to.as_str(), false)))
    }

    /// The challenge (RFC 9470) for a step-up that a policy asks for.
    pub fn step_up_challenge(&self, app: usize, parts: &Parts) -> Refusal {
        let config = self.apps.get(app).and_then(Option::as_ref).map(|app| &app.config);
        let scheme = match presented(parts) {
            Ok(Presented::Dpop(_)) => Scheme::Dpop,
            _ => Scheme::Bearer,
        };
        challenge::step_up(scheme, config.map_or(&[], |config| &config.step_up_acr_values), Some(0))
    }

    /// The signed identity for an upstream.
    ///
    /// # Errors
    /// [`Reason::Internal`] when nothing can be signed.
    pub fn upstream_identity(
        &self,
        app: usize,
        identity: &Arc<Identity>,
        now_ms: i64,
    ) -> Result<Arc<Vouched>, Refusal> {
        let audience =
            self.apps.get(app).and_then(Option::as_ref).map(|a| a.config.upstream_audience.as_str());
        audience.and_then(|audience| self.mint.vouch(app, audience, identity, now_ms)).ok_or_else(|| {
            Refusal::new(Reason::Internal, "the identity for the upstream could not be signed")
        })
    }

    /// `/.gatehouse/jwks.json`.
    fn published_keys(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.mint.jwks().to_string()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        response
    }

    /// How the issuers stand.
    pub fn issuers(&self, now_ms: i64) -> Vec<IssuerStatus> {
        self.issuers.iter().map(|i| i.status(now_ms)).collect()
    }

    /// How the memory of verified tokens does.
    pub fn memory(&self) -> MemoryStatus {
        self.remembered.status()
    }

    /// The sessions in the process that are not over.
    pub fn live_sessions(&self, now_ms: i64) -> Vec<Arc<Session>> {
        self.sessions.live(now_ms)
    }

    /// Sessions held in the process.
    pub fn sessions_cached(&self) -> usize {
        self.sessions.len()
    }

    /// The revocations in force; revoke through it, watch it for streams.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }
}

impl App {
    fn new(
        name: Name,
        config: ApplicationIdentity,
        issuers: &[Arc<IssuerKeys>],
        introspectors: &[Arc<Introspector>],
        outbound: &Outbound,
        own_requests: usize,
    ) -> Self {
        let find = |wanted: &str| issuers.iter().find(|i| i.config.issuer == wanted).cloned();
        let asked = |wanted: &str| introspectors.iter().find(|i| &**i.issuer() == wanted).cloned();
        let login = config.session.clone().and_then(|session| {
            let issuer = find(&session.issuer)?;
            Some(Arc::new(LoginClient::new(session, issuer, &config.external_url, outbound.clone())))
        });
        Self {
            name,
            origin: Origin::of(&config.external_url),
            issuers: config.issuers.iter().filter_map(|i| find(i)).collect(),
            introspectors: config.issuers.iter().filter_map(|i| asked(i)).collect(),
            login,
            nonces: config.proof_nonce.then(Nonces::default),
            own: Semaphore::new(own_requests),
            log_outs: Semaphore::new(own_requests),
            config,
        }
    }
}
