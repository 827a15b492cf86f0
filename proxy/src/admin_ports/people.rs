//! Staff and customers: who may use the admin API, how the console logs them in, which sessions there are, and their
//! revocation.

use std::collections::VecDeque;
use std::sync::Arc;

use admin::access::{Operator, Role};
use admin::ports::{
    Answer, AuthenticationError, Authenticator, ConsoleLogin, LoginCallback, LoginEnd, LoginStart, PortError,
    Revocations, Sessions,
};
use admin::views::{
    CustomerSession, RevocationInForce, RevocationKind, RevocationOrder, SessionPage, SessionQuery,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, header};
use parking_lot::Mutex;
use secrecy::SecretString;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::ready;
use crate::config::Admin;
use crate::gateway::Core;
use crate::outbound::{Bounds, Outbound};
use crate::refusal::Reason;
use crate::stages::identity::{Access, Authentication, Peer, Requirement, Revocation, Target};

/// The scope of the admin API.
const SCOPE: &str = "admin";
/// A login of the console takes at most this long.
const LOGIN_MS: i64 = 10 * 60 * 1000;
/// Logins under way at once.
const LOGINS_MAX: usize = 256;
/// Orders to revoke that are listed.
const LISTED_MAX: usize = 200;
/// Everything that a revocation could stop has expired after this time: the longest life of a session.
const REVOKED_FOR_MS: i64 = 31 * 24 * 3600 * 1000;

/// Answers the ports that are about people.
pub struct People {
    core: Arc<Core>,
    /// The admin API's place among the applications of the identity stage.
    place: usize,
    requirement: Requirement,
    issuer: String,
    client_id: String,
    resource: String,
    redirect_uri: Url,
    outbound: Outbound,
    logins: DashMap<String, Login>,
    orders: Mutex<VecDeque<RevocationInForce>>,
}

/// A login under way, under the hash of its state.
struct Login {
    verifier: String,
    browser: String,
    return_to: String,
    ends_ms: i64,
}

impl People {
    /// The people of `core`, with staff from the issuer that `admin` names.
    ///
    /// # Errors
    /// The console's address cannot be used.
    pub fn new(core: Arc<Core>, admin: &Admin) -> anyhow::Result<Self> {
        Ok(Self {
            place: core.live().config.applications.len(),
            requirement: Requirement {
                access: Access::Required,
                scopes: vec![SCOPE.to_owned()],
                ..Requirement::default()
            },
            issuer: admin.issuer.clone(),
            client_id: admin.client_id.clone(),
            resource: admin.audience.clone(),
            redirect_uri: admin.external_url.join("/callback")?,
            outbound: Outbound::new(Bounds::default())?,
            logins: DashMap::new(),
            orders: Mutex::new(VecDeque::new()),
            core,
        })
    }

    async fn operator(&self, token: &str) -> Result<Operator, AuthenticationError> {
        let value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| AuthenticationError::Invalid("not a header value".to_owned()))?;
        let mut head = http::Request::new(()).into_parts().0;
        head.headers.insert(AUTHORIZATION, value);
        let peer = Peer { client_cert_sha256: None };
        let now_ms = self.core.clock.now_ms();
        let found = self.core.identity.identify(self.place, &self.requirement, &head, &peer, now_ms).await;
        match found {
            Ok(Authentication::Known(identity)) => Ok(Operator {
                subject: identity.subject.clone(),
                roles: identity.roles.iter().filter_map(|r| Role::from_name(r)).collect(),
                expires_at: identity.expires_at,
            }),
            Ok(Authentication::Anonymous) => Err(AuthenticationError::Invalid("no token".to_owned())),
            Err(refusal) => {
                let inside = refusal.inside.to_string();
                Err(match refusal.reason {
                    Reason::TokenExpired => AuthenticationError::Expired,
                    Reason::TokenRevoked => AuthenticationError::Revoked,
                    Reason::ScopeInsufficient => AuthenticationError::Scope,
                    Reason::IssuerUnavailable => AuthenticationError::Unavailable(inside),
                    _ => AuthenticationError::Invalid(inside),
                })
            }
        }
    }

    /// Addresses of the issuer's endpoints (OpenID Connect Discovery 1.0, section 4).
    async fn endpoints(&self) -> Result<Endpoints, PortError> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let url = Url::parse(&address).map_err(|e| PortError::Unavailable(e.to_string()))?;
        let body = self.outbound.get(&url).await.map_err(|e| PortError::Unavailable(e.to_string()))?;
        let found: Endpoints =
            serde_json::from_slice(&body).map_err(|e| PortError::Unavailable(e.to_string()))?;
        if found.issuer != self.issuer {
            return Err(PortError::Unavailable("the discovery document names another issuer".to_owned()));
        }
        Ok(found)
    }

    async fn begin_login(&self, return_to: &str) -> Result<LoginStart, PortError> {
        let endpoints = self.endpoints().await?;
        let now_ms = self.core.clock.now_ms();
        self.logins.retain(|_, login| login.ends_ms > now_ms);
        if self.logins.len() >= LOGINS_MAX {
            return Err(PortError::Unavailable("too many logins under way".to_owned()));
        }
        let (state, verifier, browser) = (secret(), secret(), secret());
        let mut url = endpoints.authorization_endpoint;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", self.redirect_uri.as_str())
            .append_pair("scope", "openid admin")
            .append_pair("resource", &self.resource)
            .append_pair("state", &state)
            .append_pair("nonce", &secret())
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier)))
            .append_pair("code_challenge_method", "S256");
        let login = Login {
            verifier,
            browser: hash(&browser),
            return_to: return_to.to_owned(),
            ends_ms: now_ms.saturating_add(LOGIN_MS),
        };
        self.logins.insert(hash(&state), login);
        Ok(LoginStart { authorize_url: url.into(), login_state: browser })
    }

    async fn finish_login(&self, callback: LoginCallback, login_state: &str) -> Result<LoginEnd, PortError> {
        let refused = |why: &str| PortError::Refused(why.to_owned());
        let (_, login) = self
            .logins
            .remove(&hash(&callback.state))
            .ok_or_else(|| refused("this login is over; begin again"))?;
        if login.ends_ms <= self.core.clock.now_ms() || login.browser != hash(login_state) {
            return Err(refused("this login was begun elsewhere or is over; begin again"));
        }
        if callback.iss.as_deref().is_some_and(|iss| iss != self.issuer) {
            return Err(refused("the answer is from another issuer"));
        }
        let endpoints = self.endpoints().await?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("client_id", &self.client_id)
            .append_pair("code", &callback.code)
            .append_pair("redirect_uri", self.redirect_uri.as_str())
            .append_pair("code_verifier", &login.verifier)
            .append_pair("resource", &self.resource)
            .finish();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let answer = self.outbound.post(&endpoints.token_endpoint, headers, form.into_bytes()).await;
        let answer = answer.map_err(|e| PortError::Unavailable(e.to_string()))?;
        if !answer.status.is_success() {
            return Err(refused("the identity provider did not accept the login; staff only"));
        }
        let granted: Granted = serde_json::from_slice(&answer.body)
            .map_err(|_| refused("the identity provider's answer cannot be read"))?;
        Ok(LoginEnd { access_token: SecretString::from(granted.access_token), return_to: login.return_to })
    }

    async fn revoke_now(&self, order: RevocationOrder, by: &str) -> Result<RevocationInForce, PortError> {
        let now_ms = self.core.clock.now_ms();
        let expires_ms = now_ms.saturating_add(REVOKED_FOR_MS);
        let target = match order.kind {
            RevocationKind::Jti | RevocationKind::Session => Target::Token(order.value.clone()),
            RevocationKind::Sid => Target::Session(order.value.clone()),
            RevocationKind::Subject => Target::Subject(order.value.clone()),
        };
        let issuers: Vec<String> = match &order.issuer {
            Some(issuer) => vec![issuer.clone()],
            None => self.core.identity.issuers(now_ms).iter().map(|i| i.issuer.to_string()).collect(),
        };
        let before = self.core.identity.sessions_cached();
        for issuer in issuers {
            let revocation = Revocation {
                issuer,
                target: target.clone(),
                issued_before_s: now_ms.div_euclid(1000),
                expires_ms,
            };
            self.core.identity.revocations().revoke(&revocation).await?;
        }
        let in_force = RevocationInForce {
            kind: order.kind,
            value: self.core.pseudonyms.account(&order.value),
            by: by.to_owned(),
            at_ms: now_ms,
            expires_at_ms: expires_ms,
            sessions_ended: before.saturating_sub(self.core.identity.sessions_cached()) as u64,
            note: order.note,
        };
        let mut orders = self.orders.lock();
        orders.push_front(in_force.clone());
        orders.truncate(LISTED_MAX);
        Ok(in_force)
    }
}

#[derive(Deserialize)]
struct Endpoints {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
}

/// 256 random bits.
fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// States are kept hashed, so that comparing them tells nothing by its time.
fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

impl Authenticator for People {
    fn authenticate<'a>(&'a self, token: &'a str) -> Answer<'a, Operator, AuthenticationError> {
        Box::pin(self.operator(token))
    }
}

impl ConsoleLogin for People {
    fn begin<'a>(&'a self, return_to: &'a str) -> Answer<'a, LoginStart> {
        Box::pin(self.begin_login(return_to))
    }

    fn finish<'a>(&'a self, callback: LoginCallback, login_state: &'a str) -> Answer<'a, LoginEnd> {
        Box::pin(self.finish_login(callback, login_state))
    }
}

impl Sessions for People {
    fn page(&self, query: SessionQuery) -> Answer<'_, SessionPage> {
        let live = self.core.identity.live_sessions(self.core.clock.now_ms());
        let shown = live.into_iter().map(|session| {
            let identity = session.identity();
            CustomerSession {
                app: session.app().to_owned(),
                subject: self.core.pseudonyms.subject(&identity.issuer, &identity.subject),
                acr: identity.acr.clone(),
                handle: identity.token_id.clone().unwrap_or_default(),
                created_at_ms: identity.issued_at.saturating_mul(1000),
                last_seen_ms: session.used_ms(),
                expires_at_ms: session.idle_until_ms(),
            }
        });
        let mut sessions: Vec<CustomerSession> = shown.collect();
        sessions.sort_by(|a, b| b.last_seen_ms.cmp(&a.last_seen_ms).then(a.handle.cmp(&b.handle)));
        let start = match &query.after {
            None => 0,
            Some(after) => sessions.iter().position(|s| s.handle == *after).map_or(sessions.len(), |p| p + 1),
        };
        let page: Vec<CustomerSession> = sessions.iter().skip(start).take(query.limit).cloned().collect();
        let more = start.saturating_add(page.len()) < sessions.len();
        let next = page.last().filter(|_| more).map(|s| s.handle.clone());
        ready(Ok(SessionPage { sessions: page, next }))
    }
}

impl Revocations for People {
    fn revoke<'a>(&'a self, order: RevocationOrder, by: &'a str) -> Answer<'a, RevocationInForce> {
        Box::pin(self.revoke_now(order, by))
    }

    /// Orders given since the start of this process; earlier ones stay in force without being listed.
    fn list(&self) -> Answer<'_, Vec<RevocationInForce>> {
        ready(Ok(self.orders.lock().iter().cloned().collect()))
    }
}
