//! The paths under `/.gatehouse/` on every application's host.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use url::{Url, form_urlencoded};

use super::super::challenge;
use super::super::{App, IdentityStage};
use super::client::LoginClient;
use super::login::{Wish, failed};
use super::return_to::LocalPath;
use crate::refusal::{Reason, Refusal};

/// A response of the gateway's own, or a refusal for the one table that renders them.
pub(super) type Answer = Result<Response<Bytes>, Refusal>;

/// Most parameters read from a query or form.
const PARAMETERS_MAX: usize = 32;
/// Seconds after which somebody may ask again who found all places taken.
const SHED_RETRY_AFTER_S: u64 = 3;

/// One request to one of the gateway's own paths.
pub(super) struct Own<'a> {
    pub stage: &'a IdentityStage,
    pub app: &'a App,
    pub client: &'a Arc<LoginClient>,
    pub parts: &'a Parts,
    pub now_ms: i64,
    _place: SemaphorePermit<'a>,
}

impl<'a> Own<'a> {
    /// A request that has one of `places`, whose holders may wait for the application's issuer.
    ///
    /// # Errors
    /// All are taken.
    pub fn enter(
        stage: &'a IdentityStage,
        app: &'a App,
        client: &'a Arc<LoginClient>,
        parts: &'a Parts,
        places: &'a Semaphore,
        now_ms: i64,
    ) -> Result<Self, Refusal> {
        let place = places.try_acquire().map_err(|_| {
            Refusal::new(Reason::Shed, "too many at the gateway's own paths").retry_after(SHED_RETRY_AFTER_S)
        })?;
        Ok(Self { stage, app, client, parts, now_ms, _place: place })
    }
}

impl IdentityStage {
    /// Answers a request under `/.gatehouse/`; `None`: there is no such path.
    ///
    /// # Errors
    /// A refusal to be rendered like every other.
    pub async fn owned(
        &self,
        app: usize,
        parts: &Parts,
        body: Bytes,
        now_ms: i64,
    ) -> Result<Option<Response<Bytes>>, Refusal> {
        let Some(action) = parts.uri.path().strip_prefix("/.gatehouse/") else { return Ok(None) };
        let Some(app) = self.apps.get(app).and_then(Option::as_ref) else { return Ok(None) };
        if action == "jwks.json" {
            return only(parts, &[Method::GET, Method::HEAD], async || Ok(self.published_keys()))
                .await
                .map(Some);
        }
        let Some(client) = &app.login else { return Ok(None) };
        // Whoever logs out does not stand in line with those who log in.
        let places = if action.ends_with("logout") { &app.log_outs } else { &app.own };
        let own = Own::enter(self, app, client, parts, places, now_ms)?;
        let get = [Method::GET];
        let answer = match action {
            "login" => only(parts, &get, async || own.begin_login(own.wish(false)?).await).await,
            "step-up" => only(parts, &get, async || own.begin_login(own.wish(true)?).await).await,
            "callback" => only(parts, &get, async || own.complete_login().await).await,
            "form" => only(parts, &get, async || own.show_form().await).await,
            "session" => only(parts, &get, async || own.who_am_i().await).await,
            "logout" => only(parts, &[Method::GET, Method::POST], async || own.log_out().await).await,
            "backchannel-logout" => {
                only(parts, &[Method::POST], async || own.logged_out_by_issuer(&body).await).await
            }
            _ => return Ok(None),
        };
        answer.map(Some)
    }
}

async fn only(parts: &Parts, methods: &[Method], answer: impl AsyncFnOnce() -> Answer) -> Answer {
    if methods.contains(&parts.method) {
        return answer().await;
    }
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let refusal = Refusal::new(Reason::MethodNotAllowed, "not a method of this path of the gateway");
    Err(match HeaderValue::try_from(names.join(", ")) {
        Ok(value) => refusal.with_header(ALLOW, value),
        Err(_) => refusal,
    })
}

impl Own<'_> {
    fn wish(&self, step_up: bool) -> Result<Wish, Refusal> {
        let query = Parameters::parse(self.parts.uri.query().unwrap_or_default())
            .ok_or_else(|| failed("a parameter stands twice"))?;
        // Anything that is not a local path becomes the start page rather than an error page.
        let return_to = query.get("return_to").and_then(LocalPath::parse).unwrap_or_else(LocalPath::root);
        Ok(Wish { return_to, again: query.get("again").is_some(), step_up, form: None })
    }

    /// `/session`: who the browser's user is, for pages that want to show it.
    async fn who_am_i(&self) -> Answer {
        let Some(session) = self.session().await? else { return Err(challenge::missing()) };
        let identity = session.identity();
        Ok(json_response(&json!({
            "issuer": identity.issuer,
            "subject": identity.subject,
            "scopes": identity.scopes,
            "roles": identity.roles,
            "acr": identity.acr,
            "auth_time": identity.auth_time,
            "begun": identity.issued_at,
            "ends": identity.expires_at,
            "idle_until": session.idle_until_ms().div_euclid(1000),
        })))
    }
}

/// A JSON answer that nobody stores.
pub(super) fn json_response(value: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(value.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Sends a browser on; 303 makes it a GET whatever it was.
pub(in super::super) fn see_other(url: &Url) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    // A parsed URL has no byte that a header may not have.
    if let Ok(value) = HeaderValue::try_from(url.as_str()) {
        headers.insert(LOCATION, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The parameters of a query or form, each at most once.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// `None` when a name stands twice or there are too many.
    pub fn parse(text: &str) -> Option<Self> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if pairs.len() == PARAMETERS_MAX || pairs.iter().any(|(known, _)| *known == name) {
                return None;
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Some(Self(pairs))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
