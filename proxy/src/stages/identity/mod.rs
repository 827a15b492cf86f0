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

mod pace;
mod private_key_jwt;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, header};
use policies::facts::Identity;
use policies::ports::{Clock, HotStore, RecordStore, StoreError};
use policies::{Name, Outcome};

pub use config::{Access, ApplicationIdentity, Bounds, IssuerConfig, Requirement};
pub use credentials::{LOGIN_COOKIE, SESSION_COOKIE};
pub use keys::IssuerStatus;
pub use remembered::MemoryStatus;
pub use revocation::{Revocation, Revocations, Target};
pub use upstream_identity::{GatewayKeys, Vouched};

use self::bearer::Proved;
use self::challenge::Scheme;
use self::credentials::{CredentialFault, Presented, presented};
use self::dpop::Nonces;
use self::introspection::Introspector;
use self::keys::IssuerKeys;
use self::pace::Pace;
use self::remembered::{Remembered, Remembrance};
use self::session::{
    Cached, LocalPath, LoginClient, Origin, Sessions, Turns, is_unsafe, login_url, same_origin,
};
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

/// The other end of the connection, as far as it matters for identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address, after trusted proxies were taken off.
    pub address: IpAddr,
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
    /// A session held in the process.
    Session(Arc<Identity>),
    /// One whose tokens expired: it holds once its issuer has been asked, see [`IdentityStage::refreshed`].
    Due(Arc<Identity>),
}

impl Recognised {
    /// Whose it is.
    pub fn identity(&self) -> &Arc<Identity> {
        match self {
            Self::Token(entry) => entry.identity(),
            Self::Opaque(identity) | Self::Session(identity) | Self::Due(identity) => identity,
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
        let apps = setup
            .apps
            .into_iter()
            .map(|(name, config)| Some(App::new(name, config?, &issuers, &introspectors, &setup.outbound)))
            .collect();
        let bounds = setup.bounds;
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
    /// allocation, no await. `None` says nothing; [`Self::identify`] decides.
    pub fn recognise(&self, app: usize, parts: &Parts, peer: &Peer, now_ms: i64) -> Option<Recognised> {
        let app_config = self.apps.get(app)?.as_ref()?;
        match presented(parts).ok()? {
            Presented::Bearer(token) if app_config.introspects(token) => self
                .recognise_opaque(app_config, token, Proved::Certificate(peer.client_cert_sha256), now_ms)
                .map(Recognised::Opaque),
            Presented::Bearer(token) => self
                .remembered
                .find(app, token, Proved::Certificate(peer.client_cert_sha256), &self.revocations, now_ms)
                .map(Recognised::Token),
            Presented::Session(value) => {
                let key = session_key(&app_config.name, value)?;
                match self.sessions.cached(&key, &self.revocations, now_ms) {
                    Cached::Due(session) if session.refresh_due(now_ms) => {
                        Some(Recognised::Due(Arc::clone(session.identity())))
                    }
                    Cached::Ready(session) | Cached::Due(session) => {
                        Some(Recognised::Session(Arc::clone(session.identity())))
                    }
                    Cached::Over | Cached::Unknown => None,
                }
            }
            // Without its proof a bound token is anybody's, and a proof is not checked twice.
            Presented::Dpop(_) | Presented::Nothing => None,
        }
    }

    /// Waits for the issuer where a recognised session needs it, before the request takes capacity: a slow issuer must
    /// not hold what the application could serve others with. What the issuer said, [`Self::identify`] answers.
    pub async fn refreshed(
        &self,
        recognised: Option<Recognised>,
        app: usize,
        requirement: &Requirement,
        parts: &Parts,
        peer: &Peer,
        now_ms: i64,
    ) -> Option<Recognised> {
        let due = matches!(recognised, Some(Recognised::Due(_))) && requirement.access != Access::Public;
        let Some(config) = self.apps.get(app).and_then(Option::as_ref).filter(|_| due) else {
            return recognised;
        };
        if let (Ok(Presented::Session(value)), Some(client)) = (presented(parts), &config.login) {
            let _told_by_identify = self.find_session(config, client, value, now_ms).await;
        }
        self.recognise(app, parts, peer, now_ms)
    }

    /// Who a request is from, and whether that satisfies the route.
    ///
    /// # Errors
    /// The refusal, with its challenge.
    pub async fn identify(
        &self,
        app: usize,
        requirement: &Requirement,
        parts: &Parts,
        peer: &Peer,
        now_ms: i64,
    ) -> Result<Authentication, Refusal> {
        if requirement.access == Access::Public {
            return Ok(Authentication::Anonymous);
        }
        let found = match self.apps.get(app).and_then(Option::as_ref) {
            Some(config) => self.find(app, config, parts, peer, now_ms).await?,
            None => Found::Nothing,
        };
        match (found, requirement.access) {
            (Found::Identity(identity), _) => {
                satisfies(requirement, &identity, now_ms)?;
                Ok(Authentication::Known(identity))
            }
            (Found::Nothing | Found::EndedSession, Access::Optional) => Ok(Authentication::Anonymous),
            (Found::EndedSession, _) => Err(challenge::refused(
                Scheme::Bearer,
                Reason::SessionEnded,
                "no live session for the cookie",
            )),
            (Found::Nothing, _) => Err(challenge::missing()),
        }
    }

    /// The same for a request that was looked at by [`Self::recognise`]: the memory is not asked twice for one token, but
    /// whatever may have ended it meanwhile is.
    ///
    /// # Errors
    /// The refusal, with its challenge.
    pub async fn identify_recognised(
        &self,
        recognised: Option<Recognised>,
        app: usize,
        requirement: &Requirement,
        parts: &Parts,
        peer: &Peer,
        now_ms: i64,
    ) -> Result<Authentication, Refusal> {
        match recognised {
            Some(Recognised::Token(entry))
                if requirement.access != Access::Public && entry.holds(&self.revocations, now_ms) =>
            {
                satisfies(requirement, entry.identity(), now_ms)?;
                Ok(Authentication::Known(Arc::clone(entry.identity())))
            }
            _ => self.identify(app, requirement, parts, peer, now_ms).await,
        }
    }

    async fn find(
        &self,
        app: usize,
        config: &App,
        parts: &Parts,
        peer: &Peer,
        now_ms: i64,
    ) -> Result<Found, Refusal> {
        match presented(parts).map_err(credential_refused)? {
            Presented::Nothing => Ok(Found::Nothing),
            Presented::Bearer(token) => {
                let proved = Proved::Certificate(peer.client_cert_sha256);
                self.token(app, config, token, proved, now_ms).await.map(Found::Identity)
            }
            Presented::Dpop(token) => {
                self.bound_token(app, config, token, parts, now_ms).await.map(Found::Identity)
            }
            Presented::Session(value) => {
                let Some(client) = &config.login else { return Ok(Found::EndedSession) };
                let Some(session) = self.find_session(config, client, value, now_ms).await? else {
                    return Ok(Found::EndedSession);
                };
                if is_unsafe(parts) && !same_origin(parts, &config.origin) {
                    return Err(Refusal::new(
                        Reason::CrossSite,
                        "Origin and Sec-Fetch-Site are not the application's",
                    ));
                }
                Ok(Found::Identity(Arc::clone(session.identity())))
            }
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
        let session = self.apps.get(app).and_then(Option::as_ref).and_then(|a| a.config.session.as_ref());
        let scheme = match presented(parts) {
            Ok(Presented::Dpop(_)) => Scheme::Dpop,
            _ => Scheme::Bearer,
        };
        challenge::step_up(scheme, session.map_or(&[], |s| &s.step_up_acr_values), Some(0))
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
    pub fn live_sessions(&self, now_ms: i64) -> Vec<Arc<session::Session>> {
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
            config,
        }
    }
}

/// What a request's credential came to.
enum Found {
    Identity(Arc<Identity>),
    Nothing,
    EndedSession,
}

/// The route's own demands on an identity.
fn satisfies(requirement: &Requirement, identity: &Identity, now_ms: i64) -> Result<(), Refusal> {
    if !requirement.scopes.iter().all(|scope| identity.has_scope(scope)) {
        return Err(challenge::scope(identity.credential.into(), requirement));
    }
    let acr = identity.acr.as_deref().unwrap_or_default();
    let strong =
        requirement.acr_values.is_empty() || requirement.acr_values.iter().any(|wanted| wanted == acr);
    let fresh = requirement
        .max_auth_age_s
        .is_none_or(|most| identity.auth_age_s(now_ms).is_some_and(|age| age <= most));
    if strong && fresh {
        Ok(())
    } else {
        let scheme = identity.credential.into();
        Err(challenge::step_up(scheme, &requirement.acr_values, requirement.max_auth_age_s))
    }
}

fn credential_refused(fault: CredentialFault) -> Refusal {
    let reason = match fault {
        CredentialFault::Ambiguous(_) => Reason::TokenAmbiguous,
        CredentialFault::Malformed(_) => Reason::TokenMalformed,
    };
    challenge::refused(Scheme::Bearer, reason, fault.to_string())
}
