//! What is known of one issuer: its key set and its metadata, fetched in the background, asked for in requests.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use policies::Name;
use serde::Deserialize;
use tokio::sync::{Mutex, Semaphore};
use url::Url;

use super::super::config::{IssuerConfig, endpoint};
use super::super::token::Algorithm;
use super::set::KeySet;
use crate::outbound::Outbound;

/// An unknown `kid` may cause a fetch this often and no more.
const UNKNOWN_KID_INTERVAL_MS: i64 = 60_000;
/// Without any key, a request may cause a fetch this often.
const EMPTY_INTERVAL_MS: i64 = 5_000;
/// Longest pause of the background refresh after failures.
const RETRY_MAX_MS: i64 = 60_000;
/// Requests that may wait for one fetch.
const WAITING_MAX: usize = 256;

/// No key that may be used: never fetched, or too long ago.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("issuer {issuer} is not usable: {problem}")]
pub struct KeyUnavailable {
    /// Which issuer.
    pub issuer: Name,
    /// What the last fetch said.
    pub problem: String,
}

/// The parts of a discovery document (OpenID Connect Discovery 3, RFC 8414, RFC 9126, RFC 9207) that are used.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Where the keys are.
    pub jwks_uri: Url,
    /// Where people log in.
    pub authorization_endpoint: Option<Url>,
    /// Where codes and refresh tokens are exchanged.
    pub token_endpoint: Option<Url>,
    /// Where authorization requests are pushed.
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// Where opaque tokens are asked about (RFC 7662).
    pub introspection_endpoint: Option<Url>,
    /// Where a browser logs out.
    pub end_session_endpoint: Option<Url>,
    /// Whether authorization responses always carry `iss`.
    pub sends_iss: bool,
}

#[derive(Deserialize)]
struct RawMetadata {
    issuer: String,
    jwks_uri: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    pushed_authorization_request_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// How an issuer stands, for `/readyz`, metrics and the admin API.
#[derive(Clone, Debug)]
pub struct IssuerStatus {
    /// Which issuer.
    pub issuer: Name,
    /// Whether its tokens can be verified now.
    pub usable: bool,
    /// Age of the key set, seconds; `None`: never fetched.
    pub keys_age_s: Option<i64>,
    /// What the last fetch said, if it failed.
    pub last_error: Option<String>,
    /// The keys in use.
    pub keys: Vec<KeyStatus>,
    /// Published entries that are not used, each with the reason.
    pub skipped: Vec<String>,
    /// Fetches that ended since the start.
    pub fetches: u64,
    /// How many of them failed.
    pub failures: u64,
    /// What tokens of it may be signed with.
    pub algorithms: Vec<&'static str>,
}

/// One key in use.
#[derive(Clone, Debug)]
pub struct KeyStatus {
    /// Its id.
    pub kid: Option<String>,
    /// What it verifies.
    pub algorithm: &'static str,
    /// Seconds since the gateway first saw it.
    pub age_s: i64,
}

#[derive(Default)]
struct Held {
    keys: Option<(Arc<KeySet>, i64)>,
    metadata: Option<Arc<Metadata>>,
    last_error: Option<String>,
    last_attempt_ms: Option<i64>,
    asked: Option<Asked>,
    /// An unknown `kid` was seen that no fetch has been made for.
    wanted: bool,
    failures: u32,
}

/// The last fetch that an unknown `kid` caused.
#[derive(Clone, Copy)]
struct Asked {
    at_ms: i64,
    /// Fetches completed before it; as long as there are no more, it is still to come.
    after: u64,
}

impl Asked {
    /// Whether another may follow.
    fn is_over(self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.at_ms) >= UNKNOWN_KID_INTERVAL_MS
    }
}

/// One issuer's keys.
pub struct IssuerKeys {
    /// Its section of the configuration.
    pub config: IssuerConfig,
    /// Its name, shared by every identity that it vouches for.
    pub name: Name,
    discovers: bool,
    outbound: Outbound,
    held: RwLock<Held>,
    flight: Mutex<()>,
    waiting: Arc<Semaphore>,
    fetches: AtomicU64,
    failed: AtomicU64,
}

impl fmt::Debug for IssuerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKeys").field("issuer", &self.name).finish_non_exhaustive()
    }
}

impl IssuerKeys {
    /// An issuer about which nothing is known yet. `logs_in`: some application logs people in there, so that its
    /// discovery document is needed even where `jwks_uri` is configured.
    pub fn new(config: IssuerConfig, logs_in: bool, outbound: Outbound) -> Self {
        let introspects = config.introspection.as_ref().is_some_and(|i| i.endpoint.is_none());
        Self {
            name: config.issuer.as_str().into(),
            discovers: logs_in || introspects || config.jwks_uri.is_none(),
            config,
            outbound,
            held: RwLock::default(),
            flight: Mutex::default(),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            fetches: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// The key set in which to look for `kid`. With a usable set that knows the `kid` this never waits; an unknown `kid`
    /// waits for one fetch that all share, at most once a minute. One that comes too late for it, as a real one may where
    /// somebody makes up others, has the background fetch as soon as the minute is over.
    ///
    /// # Errors
    /// [`KeyUnavailable`] when there is no usable set, or too many requests wait already.
    pub async fn find(
        self: &Arc<Self>,
        kid: Option<&str>,
        now_ms: i64,
    ) -> Result<Arc<KeySet>, KeyUnavailable> {
        let seen = self.fetches.load(Ordering::Acquire);
        let usable = self.usable(now_ms);
        match usable {
            Some(set) if set.knows(kid) || !self.may_ask(now_ms) => Ok(set),
            None if !self.may_start(now_ms) => Err(self.unavailable()),
            _ => {
                self.join_fetch(seen, now_ms).await?;
                self.usable(now_ms).ok_or_else(|| self.unavailable())
            }
        }
    }

    /// The same for what the gateway asked the issuer for, or is sent by it: where it is too early to ask about an unknown
    /// `kid`, nobody can say whether that is the issuer's.
    ///
    /// # Errors
    /// As [`Self::find`], and then.
    pub async fn find_surely(
        self: &Arc<Self>,
        kid: Option<&str>,
        now_ms: i64,
    ) -> Result<Arc<KeySet>, KeyUnavailable> {
        let set = self.find(kid, now_ms).await?;
        if !set.knows(kid) && self.held.read().wanted {
            let problem = "the key is not known yet, and will be asked for within a minute".to_owned();
            return Err(KeyUnavailable { issuer: self.name.clone(), problem });
        }
        Ok(set)
    }

    /// The key set held now, without waiting.
    ///
    /// # Errors
    /// [`KeyUnavailable`] when there is no usable one.
    pub fn keys(&self, now_ms: i64) -> Result<Arc<KeySet>, KeyUnavailable> {
        self.usable(now_ms).ok_or_else(|| self.unavailable())
    }

    /// Whether the key set is usable and knows `kid`.
    pub fn knows(&self, kid: Option<&str>, now_ms: i64) -> bool {
        self.usable(now_ms).is_some_and(|set| set.knows(kid))
    }

    /// What is held now, if it may be used.
    fn usable(&self, now_ms: i64) -> Option<Arc<KeySet>> {
        let held = self.held.read();
        let (set, fetched_ms) = held.keys.as_ref()?;
        let fresh = now_ms.saturating_sub(*fetched_ms) <= self.config.jwks_stale_max_s.saturating_mul(1000);
        fresh.then(|| Arc::clone(set))
    }

    /// The issuer's metadata; waits for a fetch only where there is none yet.
    ///
    /// # Errors
    /// [`KeyUnavailable`] when it cannot be had.
    pub async fn metadata(self: &Arc<Self>, now_ms: i64) -> Result<Arc<Metadata>, KeyUnavailable> {
        let seen = self.fetches.load(Ordering::Acquire);
        let known = || self.held.read().metadata.clone();
        if let Some(metadata) = known() {
            return Ok(metadata);
        }
        if self.may_start(now_ms) {
            self.join_fetch(seen, now_ms).await?;
        }
        known().ok_or_else(|| self.unavailable())
    }

    /// Whether the background refresh should fetch now.
    pub fn due(&self, now_ms: i64) -> bool {
        let held = self.held.read();
        let Some(last) = held.last_attempt_ms else { return true };
        let free = held.asked.is_none_or(|asked| asked.is_over(now_ms));
        if held.wanted && free {
            return true;
        }
        let pause = match held.failures {
            0 => self.config.jwks_refresh_s.saturating_mul(1000),
            n => (1_000_i64 << n.min(6)).min(RETRY_MAX_MS),
        };
        now_ms.saturating_sub(last) >= pause
    }

    /// Fetches now, unless a fetch is under way already.
    pub async fn refresh(&self, now_ms: i64) {
        if let Ok(_flight) = self.flight.try_lock() {
            self.fetch(now_ms).await;
        }
    }

    /// How the issuer stands.
    pub fn status(&self, now_ms: i64) -> IssuerStatus {
        let usable = self.usable(now_ms).is_some();
        let held = self.held.read();
        let age = |since: i64| now_ms.saturating_sub(since).max(0) / 1000;
        let set = held.keys.as_ref().map(|(set, _)| set);
        IssuerStatus {
            issuer: self.name.clone(),
            usable,
            keys_age_s: held.keys.as_ref().map(|(_, at)| age(*at)),
            last_error: held.last_error.clone(),
            keys: set
                .iter()
                .flat_map(|set| set.keys())
                .map(|k| KeyStatus {
                    kid: k.kid.clone(),
                    algorithm: k.algorithm.name(),
                    age_s: age(k.first_seen_ms),
                })
                .collect(),
            skipped: set.map(|s| s.skipped.clone()).unwrap_or_default(),
            fetches: self.fetches.load(Ordering::Relaxed),
            failures: self.failed.load(Ordering::Relaxed),
            algorithms: self.config.algorithms.iter().map(|a| a.name()).collect(),
        }
    }

    /// Takes the minute's one fetch for an unknown `kid`, or joins it while it is still to come.
    fn may_ask(&self, now_ms: i64) -> bool {
        let fetches = self.fetches.load(Ordering::Acquire);
        let mut held = self.held.write();
        match held.asked {
            Some(asked) if asked.after == fetches => true,
            Some(asked) if !asked.is_over(now_ms) => {
                held.wanted = true;
                false
            }
            _ => {
                held.asked = Some(Asked { at_ms: now_ms, after: fetches });
                true
            }
        }
    }

    fn may_start(&self, now_ms: i64) -> bool {
        let last = self.held.read().last_attempt_ms;
        last.is_none_or(|last| now_ms.saturating_sub(last) >= EMPTY_INTERVAL_MS)
            || self.flight.try_lock().is_err()
    }

    /// Fetches, or waits for whoever does; `seen` is the number of fetches that the caller knew of. The fetch is a task
    /// of its own: a client that goes away must not cut it short and cause another.
    async fn join_fetch(self: &Arc<Self>, seen: u64, now_ms: i64) -> Result<(), KeyUnavailable> {
        let Ok(waiting) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return Err(self.unavailable());
        };
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            let _waiting = waiting;
            let _flight = this.flight.lock().await;
            if this.fetches.load(Ordering::Acquire) == seen {
                this.fetch(now_ms).await;
            }
        });
        task.await.map_err(|_| self.unavailable())
    }

    async fn fetch(&self, now_ms: i64) {
        self.begin_attempt(now_ms);
        let outcome = self.fetch_all(now_ms).await;
        let mut held = self.held.write();
        match outcome {
            Ok((set, metadata)) => {
                let set = match &held.keys {
                    Some((older, _)) => set.succeeding(older),
                    None => set,
                };
                held.keys = Some((Arc::new(set), now_ms));
                held.metadata = metadata.or(held.metadata.take());
                held.failures = 0;
                held.last_error = None;
            }
            Err(problem) => {
                tracing::warn!(issuer = %self.name, problem, "keys could not be fetched");
                held.failures = held.failures.saturating_add(1);
                held.last_error = Some(problem);
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(held);
        self.fetches.fetch_add(1, Ordering::Release);
    }

    /// A fetch made for a wanted `kid` is its minute's, whoever begins it.
    fn begin_attempt(&self, now_ms: i64) {
        let mut held = self.held.write();
        held.last_attempt_ms = Some(now_ms);
        if std::mem::take(&mut held.wanted) {
            held.asked = Some(Asked { at_ms: now_ms, after: self.fetches.load(Ordering::Acquire) });
        }
    }

    async fn fetch_all(&self, now_ms: i64) -> Result<(KeySet, Option<Arc<Metadata>>), String> {
        let metadata = if self.discovers { Some(Arc::new(self.discover().await?)) } else { None };
        let url = match (&self.config.jwks_uri, &metadata) {
            (Some(url), _) => url,
            (None, Some(metadata)) => &metadata.jwks_uri,
            (None, None) => return Err("no jwks_uri".into()),
        };
        let body = self.outbound.get(url).await.map_err(|e| format!("{url} {e}"))?;
        let set = KeySet::parse(&body, &self.config.algorithms, now_ms).map_err(|e| format!("{url} {e}"))?;
        Ok((set, metadata))
    }

    async fn discover(&self) -> Result<Metadata, String> {
        let url = format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/'));
        let url = endpoint(&url)?;
        let body = self.outbound.get(&url).await.map_err(|e| format!("{url} {e}"))?;
        self.read_metadata(&body).map_err(|e| format!("{url} {e}"))
    }

    /// Discovery 4.3: the document's `issuer` must be exactly the one that was asked for.
    fn read_metadata(&self, body: &[u8]) -> Result<Metadata, String> {
        let raw: RawMetadata =
            serde_json::from_slice(body).map_err(|e| format!("is no discovery document: {e}"))?;
        if raw.issuer != self.config.issuer {
            return Err(format!(
                "speaks for another issuer, {:?}",
                raw.issuer.chars().take(200).collect::<String>()
            ));
        }
        let checked = |text: String| {
            let url = endpoint(&text)?;
            let secure = url.scheme() == "https" || self.config.plain_http;
            if secure { Ok(url) } else { Err(format!("{text:?} is plain HTTP")) }
        };
        let optional = |text: Option<String>| text.map(checked).transpose();
        Ok(Metadata {
            jwks_uri: checked(raw.jwks_uri)?,
            authorization_endpoint: optional(raw.authorization_endpoint)?,
            token_endpoint: optional(raw.token_endpoint)?,
            pushed_authorization_request_endpoint: optional(raw.pushed_authorization_request_endpoint)?,
            introspection_endpoint: optional(raw.introspection_endpoint)?,
            end_session_endpoint: optional(raw.end_session_endpoint)?,
            sends_iss: raw.authorization_response_iss_parameter_supported,
        })
    }

    fn unavailable(&self) -> KeyUnavailable {
        let problem = self.held.read().last_error.clone().unwrap_or_else(|| "keys not fetched yet".into());
        KeyUnavailable { issuer: self.name.clone(), problem }
    }

    /// Whether tokens of this algorithm are accepted from the issuer.
    pub fn accepts(&self, algorithm: Algorithm) -> bool {
        self.config.algorithms.contains(&algorithm)
    }
}
