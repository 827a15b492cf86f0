//! One issuer's introspection endpoint: what it said of a token, asked once however many requests wait for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use parking_lot::{Mutex, RwLock};
use policies::Name;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::oneshot;
use url::Url;

use super::super::bearer::{RETRY_AFTER_S, TokenFault};
use super::super::config::IntrospectionConfig;
use super::super::keys::IssuerKeys;
use super::super::private_key_jwt::client_assertion;
use super::answer::{self, AnswerFault};
use super::denied::Denied;
use super::held::{Active, Held, Key, Known};
use super::lane::Lane;
use super::status::{Counts, Status, count};
use crate::outbound::{Bounds, Outbound};
use crate::refusal::Reason;

/// One call, for which a request waits.
const CALL: Bounds = Bounds { deadline: Duration::from_secs(2), body_bytes_max: 64 * 1024 };
/// Seconds after which a client may ask again when too many calls were asked for.
pub const BUSY_RETRY_AFTER_S: u64 = 1;

type Outcome = Result<Arc<Active>, Denied>;
type Flight = Shared<BoxFuture<'static, Outcome>>;

/// What one issuer knows of opaque tokens.
pub struct Introspector {
    config: IntrospectionConfig,
    issuer: Arc<IssuerKeys>,
    outbound: Outbound,
    held: Held,
    flights: Mutex<HashMap<Key, Flight>>,
    /// For tokens never seen, which anybody can make up.
    unknown: Lane,
    /// For tokens known to be given, so that a flood of made-up ones does not keep them out.
    known: Lane,
    counts: Counts,
    last_error: RwLock<Option<String>>,
}

impl fmt::Debug for Introspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspector").field("issuer", &self.issuer.name).finish_non_exhaustive()
    }
}

impl Introspector {
    /// `None` for an issuer whose opaque tokens are not taken.
    pub fn new(issuer: &Arc<IssuerKeys>, outbound: &Outbound) -> Option<Self> {
        let config = issuer.config.introspection.clone()?;
        Some(Self {
            held: Held::new(config.entries_max, config.cache_s),
            unknown: Lane::new(config.calls_per_s, config.parallel_max),
            known: Lane::new(config.calls_per_s, config.parallel_max),
            issuer: Arc::clone(issuer),
            outbound: outbound.within(CALL),
            flights: Mutex::default(),
            counts: Counts::default(),
            last_error: RwLock::default(),
            config,
        })
    }

    /// Its section of the configuration.
    pub fn config(&self) -> &IntrospectionConfig {
        &self.config
    }

    /// The issuer's name.
    pub fn issuer(&self) -> &Name {
        &self.issuer.name
    }

    /// A token that is believed to be active, without waiting and without counting.
    pub fn held(&self, key: &Key, now_ms: i64) -> Option<Arc<Active>> {
        match self.held.find(key, now_ms) {
            Known::Active(active) => Some(active),
            Known::Refused(_) | Known::Stale | Known::Nothing => None,
        }
    }

    /// Whether a token is one of this issuer's.
    pub fn knows(&self, key: &Key, now_ms: i64) -> bool {
        matches!(self.held.find(key, now_ms), Known::Active(_) | Known::Stale)
    }

    /// Whether a token is active: as far as that is still believed without waiting, else by one call that all requests
    /// with the token share.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn ask(self: &Arc<Self>, key: Key, token: &str, now_ms: i64) -> Outcome {
        if token.len() > self.issuer.config.token_bytes_max {
            return Err(TokenFault::new(Reason::TokenMalformed, "longer than token_bytes_max").into());
        }
        if let Some(outcome) = self.believed(&key, now_ms) {
            count(&self.counts.hits);
            return outcome;
        }
        count(&self.counts.misses);
        let flight = self.flight(key, token, now_ms)?;
        flight.await
    }

    fn believed(&self, key: &Key, now_ms: i64) -> Option<Outcome> {
        match self.held.find(key, now_ms) {
            Known::Active(active) => Some(Ok(active)),
            Known::Refused(denied) => Some(Err(denied)),
            Known::Stale | Known::Nothing => None,
        }
    }

    /// The call about a token that is under way, or a new one. It is a task of its own: a client that goes away must not
    /// cut it short for the others.
    fn flight(self: &Arc<Self>, key: Key, token: &str, now_ms: i64) -> Result<Flight, Denied> {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&key) {
            return Ok(flight.clone());
        }
        // Whoever landed since the look-up has left what was said in the tables.
        let stale = match self.held.find(&key, now_ms) {
            Known::Active(active) => return Ok(std::future::ready(Ok(active)).boxed().shared()),
            Known::Refused(denied) => return Err(denied),
            Known::Stale => true,
            Known::Nothing => false,
        };
        if !self.lane(stale).begin(now_ms) {
            count(&self.counts.shed);
            return Err(Denied::unavailable("too many calls a second", BUSY_RETRY_AFTER_S));
        }
        let (land, landed) = oneshot::channel();
        let cut_short = |_| Err(Denied::unavailable("the call was cut short", RETRY_AFTER_S));
        let flight = landed.map(move |said| said.unwrap_or_else(cut_short)).boxed().shared();
        flights.insert(key, flight.clone());
        drop(flights);
        let (token, landing) = (SecretString::from(token), Landing { introspector: Arc::clone(self), key });
        tokio::spawn(async move {
            let said = landing.introspector.call(key, stale, &token, now_ms).await;
            drop(landing);
            // Nobody may be waiting any more; what was said is in the tables.
            let _ = land.send(said);
        });
        Ok(flight)
    }

    fn lane(&self, known: bool) -> &Lane {
        if known { &self.known } else { &self.unknown }
    }

    async fn call(&self, key: Key, known: bool, token: &SecretString, now_ms: i64) -> Outcome {
        let Some(_permit) = self.lane(known).permit().await else {
            count(&self.counts.shed);
            return Err(Denied::unavailable("too many calls under way", BUSY_RETRY_AFTER_S));
        };
        count(&self.counts.calls);
        let body = match self.exchange(token, now_ms).await {
            Ok(body) => body,
            Err(problem) => return Err(self.failed(problem)),
        };
        match answer::read(&body, &self.issuer, now_ms) {
            Err(AnswerFault::Unreadable(problem)) => Err(self.failed(problem)),
            Err(AnswerFault::Refused(fault)) => {
                self.succeeded();
                let denied = Denied::from(fault);
                self.held.refuse(key, denied.clone(), now_ms);
                Err(denied)
            }
            Ok(answer) => {
                self.succeeded();
                Ok(self.held.keep(key, answer, now_ms))
            }
        }
    }

    /// RFC 7662 2.1. An error of the endpoint, our own client being refused among them, says nothing of the token.
    async fn exchange(&self, token: &SecretString, now_ms: i64) -> Result<bytes::Bytes, String> {
        let url = self.endpoint(now_ms).await?;
        let form = self.form(token, now_ms).ok_or("no randomness for a client assertion")?;
        let form_type = http::HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, form_type)]);
        let said = self.outbound.post(&url, headers, form).await.map_err(|e| format!("{url} {e}"))?;
        match said.status {
            http::StatusCode::OK => Ok(said.body),
            status => Err(format!("{url} answered with status {}", status.as_u16())),
        }
    }

    async fn endpoint(&self, now_ms: i64) -> Result<Url, String> {
        if let Some(url) = &self.config.endpoint {
            return Ok(url.clone());
        }
        let metadata = self.issuer.metadata(now_ms).await.map_err(|e| e.to_string())?;
        metadata
            .introspection_endpoint
            .clone()
            .ok_or_else(|| "the issuer has no introspection_endpoint".into())
    }

    fn form(&self, token: &SecretString, now_ms: i64) -> Option<Vec<u8>> {
        let config = &self.config;
        let issuer = &self.issuer.config.issuer;
        let assertion = client_assertion(&config.client_key, &config.client_id, issuer, now_ms)?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token.expose_secret())
            .append_pair("token_type_hint", "access_token")
            .append_pair("client_id", &config.client_id)
            .extend_pairs(assertion)
            .finish();
        Some(form.into_bytes())
    }

    fn failed(&self, problem: String) -> Denied {
        count(&self.counts.failures);
        let denied = Denied::unavailable(&problem, RETRY_AFTER_S);
        if self.last_error.write().replace(problem).is_none() {
            tracing::warn!(issuer = %self.issuer.name, problem = %denied.inside, "opaque tokens cannot be checked");
        }
        denied
    }

    fn succeeded(&self) {
        if self.last_error.read().is_some() && self.last_error.write().take().is_some() {
            tracing::info!(issuer = %self.issuer.name, "opaque tokens can be checked again");
        }
    }

    /// Drops what has had its time.
    pub fn sweep(&self, now_ms: i64) {
        self.held.sweep(now_ms);
    }

    /// How it does.
    pub fn status(&self) -> Status {
        let last_error = self.last_error.read().clone();
        self.counts.status(self.issuer.name.clone(), self.held.len(), last_error)
    }
}

/// Ends a flight whatever becomes of its task.
struct Landing {
    introspector: Arc<Introspector>,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.introspector.flights.lock().remove(&self.key);
    }
}
