//! The gate before every guarded route: who calls, whether they may, and that it is on record.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use crate::access::{self, Operator};
use crate::console::cookies;
use crate::console::store::{Csrf, LiveSession, SessionKey};
use crate::extract::QUERY_BYTES_MAX;
use crate::ports::{AuditTrail, AuthenticationError};
use crate::refusal::{ReasonCode, Refusal};
use crate::state::App;
use crate::trail;
use crate::views::{AdminCall, Phase, Via};

/// A token is at most this long, as everywhere in the gateway.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The header that carries a console page's anti-forgery token.
pub const CSRF_HEADER: &str = "gatehouse-csrf";

/// Proof that the gate let this call in. Only the gate makes one; handlers that act must hold it.
#[derive(Clone)]
pub(crate) struct Permit {
    operator: Operator,
    proof: Proof,
    call: AdminCall,
    trail: Arc<dyn AuditTrail>,
}

/// How the caller proved who it is.
#[derive(Clone)]
pub(crate) enum Proof {
    /// By a bearer token.
    Bearer(SecretString),
    /// By a console session.
    Console(LiveSession),
}

impl Proof {
    fn via(&self) -> Via {
        match self {
            Self::Bearer(_) => Via::Bearer,
            Self::Console(_) => Via::Console,
        }
    }

    /// The access token, to be judged again while a stream lives.
    pub fn token(&self) -> &SecretString {
        match self {
            Self::Bearer(token) => token,
            Self::Console(session) => &session.token,
        }
    }

    /// The console session, if it is one.
    pub fn session(&self) -> Option<(&SessionKey, &Csrf)> {
        match self {
            Self::Bearer(_) => None,
            Self::Console(session) => Some((&session.key, &session.csrf)),
        }
    }
}

impl Permit {
    /// Who called.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// How it was proved.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Puts a write on record before it is carried out. Without a record there is no write.
    pub async fn intend(&self, detail: serde_json::Value) -> Result<(), Refusal> {
        let entry = AdminCall { detail: Some(detail), ..self.call.clone() };
        self.trail.record(entry).await.map_err(|error| {
            tracing::error!(%error, "admin trail");
            Refusal::AuditDown
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Permit {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or(Refusal::Internal("route outside the gate"))
    }
}

/// The middleware.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let route =
        parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let mut call = trail::entry(&parts, &route, app.now_ms());
    let Ok(_running) = app.calls.clone().try_acquire_owned() else {
        return Refusal::Busy("calls in progress").into_response();
    };
    let response = match admit(&app, &parts, &route, &mut call).await {
        Ok((operator, proof)) => {
            let permit = Permit { operator, proof, call: call.clone(), trail: app.ports.trail.clone() };
            parts.extensions.insert(permit);
            let served = AssertUnwindSafe(next.run(Request::from_parts(parts, body))).catch_unwind();
            served.await.unwrap_or_else(|_| Refusal::Internal("a handler panicked").into_response())
        }
        Err(refusal) => {
            let ended =
                matches!(refusal, Refusal::SessionEnded) && cookies::session(&parts.headers).is_some();
            let mut response = refusal.into_response();
            if ended {
                response.headers_mut().append(header::SET_COOKIE, cookies::clear_session());
            }
            response
        }
    };
    call.status = response.status().as_u16();
    call.reason = response.extensions().get::<ReasonCode>().map(|code| code.0.to_owned());
    note_done(&app, call).await;
    response
}

/// Judges the call; the entry learns who it was as soon as that is known.
async fn admit(
    app: &App,
    parts: &Parts,
    route: &str,
    call: &mut AdminCall,
) -> Result<(Operator, Proof), Refusal> {
    let (operator, proof) = identify(app, parts).await?;
    trail::name_caller(call, &operator, proof.via());
    let access = access::route(parts.method.as_str(), route).ok_or(Refusal::Method)?;
    if let Proof::Console(session) = &proof {
        same_site(app, parts, session)?;
    }
    if !access.need.met_by(&operator) {
        return Err(Refusal::Role(access.need.role()));
    }
    known_query(parts.uri.query().unwrap_or_default(), access.query)?;
    Ok((operator, proof))
}

/// A bearer token if there is any `Authorization`, else a console session. Whatever is refused is refused for good.
async fn identify(app: &App, parts: &Parts) -> Result<(Operator, Proof), Refusal> {
    let (token, proof) = match bearer(&parts.headers)? {
        Some(token) => (token.clone(), Proof::Bearer(token)),
        None => {
            let cookie = cookies::session(&parts.headers).ok_or(Refusal::NoCredential)?;
            let session = app.console.touch(cookie, app.now_ms()).ok_or(Refusal::SessionEnded)?;
            (session.token.clone(), Proof::Console(session))
        }
    };
    let judged = app.ports.authenticator.authenticate(token.expose_secret()).await;
    let over = |operator: &Operator| operator.expires_at.saturating_mul(1000) <= app.now_ms();
    match (judged, &proof) {
        (Ok(operator), _) if over(&operator) => Err(Refusal::Token(AuthenticationError::Expired)),
        (Ok(operator), _) => Ok((operator, proof)),
        (Err(error @ AuthenticationError::Unavailable(_)), _) | (Err(error), Proof::Bearer(_)) => {
            Err(Refusal::Token(error))
        }
        (Err(_), Proof::Console(session)) => {
            app.console.close(&session.key);
            Err(Refusal::SessionEnded)
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<SecretString>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    let text = value.to_str().map_err(|_| Refusal::BadCredential)?;
    let (scheme, token) = text.split_once(' ').ok_or(Refusal::BadCredential)?;
    let token = token.trim_start_matches(' ');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let well_formed = second.is_none()
        && scheme.eq_ignore_ascii_case("bearer")
        && (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.bytes().all(fits);
    if well_formed { Ok(Some(token.into())) } else { Err(Refusal::BadCredential) }
}

/// A browser adds the cookie by itself, so a call in a console session must come from the console's own page.
fn same_site(app: &App, parts: &Parts, session: &LiveSession) -> Result<(), Refusal> {
    let headers = &parts.headers;
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    match headers.get("sec-fetch-site").map(|value| value.as_bytes()) {
        None | Some(b"same-origin") => {}
        Some(b"none") if reads => {}
        Some(_) => return Err(Refusal::CrossSite),
    }
    if reads {
        return Ok(());
    }
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !app.ports.settings.origins.iter().any(|ours| ours == origin) {
        return Err(Refusal::CrossSite);
    }
    let sent = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if session.csrf.matches(sent) { Ok(()) } else { Err(Refusal::CsrfToken) }
}

fn known_query(query: &str, known: &[&str]) -> Result<(), Refusal> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(Refusal::Query("the query is too long".to_owned()));
    }
    let names =
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or(pair));
    for name in names {
        if !known.contains(&name) {
            return Err(Refusal::Query(
                "unknown parameter; the OpenAPI document lists the known ones".to_owned(),
            ));
        }
    }
    Ok(())
}

/// Records the outcome. A write has its intent on record already; a read is served even when this fails, loudly.
async fn note_done(app: &App, mut call: AdminCall) {
    call.phase = Phase::Done;
    call.at_ms = app.now_ms();
    if call.subject.is_none() {
        match app.refusals.spend(call.at_ms) {
            Some(unrecorded) => call.unrecorded = unrecorded,
            None => return,
        }
    }
    if let Err(error) = app.ports.trail.record(call).await {
        tracing::error!(%error, "admin trail");
    }
}
