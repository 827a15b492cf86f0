//! `/authorize` and `/par`: from a request to a log-in, a consent, a code or an error.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::Idp;
use super::client_auth;
use super::clients::Refresh;
use super::cookies::{BROWSER, SESSION};
use super::errors::{ErrorCode, IdpError, OAuthError};
use super::pages;
use super::params::{Ambiguous, Params};
use super::provider::PUSHED_LIFETIME_MS;
use super::request::{AuthorizationRequest, ErrorReturn, Refused, response_url};
use super::secret::{digest_base64url, random_id, random_token};
use super::session::{Interaction, Session, Stage};
use super::token::IssuedCode;

const REQUEST_URI_PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

pub(super) async fn get(
    State(idp): State<Arc<Idp>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(&idp, &headers, Params::parse(query.unwrap_or_default().as_bytes()))
}

pub(super) async fn post(State(idp): State<Arc<Idp>>, headers: HeaderMap, params: Params) -> Response {
    answer(&idp, &headers, Ok(params))
}

/// Pushed authorization requests (RFC 9126): checked now, used once within a minute.
pub(super) async fn push(State(idp): State<Arc<Idp>>, params: Params) -> Response {
    match push_request(&idp, &params) {
        Ok(request_uri) => {
            let body = json!({ "request_uri": request_uri, "expires_in": PUSHED_LIFETIME_MS / 1000 });
            (StatusCode::CREATED, Json(body)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

fn push_request(idp: &Idp, params: &Params) -> Result<String, OAuthError> {
    let client = client_auth::authenticate(idp, params, &idp.endpoint("/par"))?;
    let request = AuthorizationRequest::check(params, &idp.clients).map_err(|refused| match refused {
        Refused::Here(_) => {
            OAuthError::new(ErrorCode::InvalidRequest, "client_id or redirect_uri does not fit")
        }
        Refused::ToClient(told) => told.error,
    })?;
    if request.client_id != client.id {
        return Err(OAuthError::new(ErrorCode::InvalidRequest, "client_id is another client's"));
    }
    let request_uri = format!("{REQUEST_URI_PREFIX}{}", random_token()?);
    idp.pushed.insert(&request_uri, request, idp.now_ms());
    Ok(request_uri)
}

fn answer(idp: &Idp, headers: &HeaderMap, params: Result<Params, Ambiguous>) -> Response {
    let refused = match params.map(|params| read_request(idp, &params)) {
        Ok(Ok(request)) => {
            return begin(idp, headers, request).unwrap_or_else(pages::failure);
        }
        Ok(Err(refused)) => refused,
        Err(Ambiguous) => Refused::Here("The application that sent you here repeated itself."),
    };
    match refused {
        Refused::Here(reason) => pages::refusal(StatusCode::BAD_REQUEST, reason),
        Refused::ToClient(told) => pages::redirect(&told.url(idp.issuer()), []),
    }
}

fn read_request(idp: &Idp, params: &Params) -> Result<AuthorizationRequest, Refused> {
    match params.get("request_uri") {
        Some(request_uri) if request_uri.starts_with(REQUEST_URI_PREFIX) => idp
            .pushed
            .take(request_uri, idp.now_ms())
            .filter(|request| params.get("client_id") == Some(request.client_id))
            .ok_or(Refused::Here(
                "This log-in request was used before or took too long. Go back and try again.",
            )),
        _ => AuthorizationRequest::check(params, &idp.clients),
    }
}

/// Logs in first where that is needed, else goes on with the session that is there.
pub(super) fn begin(
    idp: &Idp,
    headers: &HeaderMap,
    mut request: AuthorizationRequest,
) -> Result<Response, IdpError> {
    let now_ms = idp.now_ms();
    let secret = idp.cookies.read(headers, SESSION);
    let session = secret.as_deref().and_then(|secret| idp.sessions.get(secret, now_ms));
    let known = session.as_ref().map(|session| session.username.clone());
    let usable = session.filter(|session| !needs_login(&request, session, now_ms));
    if usable.is_none() && request.login_hint.is_none() {
        // Somebody who has to log in again finds the name already there.
        request.login_hint = known;
    }
    match (usable, secret) {
        (Some(session), Some(secret)) => {
            let login = LoggedIn { username: session.username, secret };
            proceed(idp, headers, request, &login)
        }
        _ if request.prompt.none => {
            let told = request.error(ErrorCode::LoginRequired, "nobody is logged in");
            Ok(pages::redirect(&told.url(idp.issuer()), []))
        }
        _ => interact(idp, headers, request, None),
    }
}

fn needs_login(request: &AuthorizationRequest, session: &Session, now_ms: i64) -> bool {
    let age_ms = now_ms.saturating_sub(session.auth_time_ms);
    let too_old = request.max_age_s.is_some_and(|max_age_s| age_ms > max_age_s.saturating_mul(1000));
    let somebody_else = request.login_hint.as_deref().is_some_and(|hint| hint != session.username);
    request.step_up || request.prompt.login || too_old || somebody_else
}

/// Somebody with a session: the cookie's value is its proof.
pub(super) struct LoggedIn {
    pub(super) username: String,
    pub(super) secret: String,
}

/// Goes on with somebody who is logged in: refuses, asks for consent or hands out a code.
pub(super) fn proceed(
    idp: &Idp,
    headers: &HeaderMap,
    request: AuthorizationRequest,
    login: &LoggedIn,
) -> Result<Response, IdpError> {
    let refuse = |told: ErrorReturn| Ok(pages::redirect(&told.url(idp.issuer()), []));
    let staff = idp.people.get(&login.username).is_some_and(|person| person.is_staff());
    if request.scopes.contains("admin") && !staff {
        return refuse(request.error(ErrorCode::AccessDenied, "only staff may have scope admin"));
    }
    let third_party = idp.clients.get(request.client_id).is_none_or(|client| client.third_party);
    let allowed =
        idp.consents.covers(&login.username, request.client_id, request.resource, &request.scopes)?;
    if third_party && (!allowed || request.prompt.consent) {
        if request.prompt.none {
            return refuse(request.error(ErrorCode::ConsentRequired, "consent has not been given"));
        }
        return interact(idp, headers, request, Some(login.username.clone()));
    }
    hand_out_code(idp, &request, login)
}

/// Sends the client its code.
pub(super) fn hand_out_code(
    idp: &Idp,
    request: &AuthorizationRequest,
    login: &LoggedIn,
) -> Result<Response, IdpError> {
    let now_ms = idp.now_ms();
    let refresh = idp.clients.get(request.client_id).map(|client| client.refresh);
    let offline = refresh == Some(Refresh::Offline) && request.scopes.contains("offline_access");
    let used = idp.sessions.update(&login.secret, now_ms, |session| {
        let sid = if offline { random_id() } else { session.sid_for(request.client_id) };
        sid.map(|sid| (sid, session.auth_time_ms))
    });
    let Some(used) = used else {
        let told = request.error(ErrorCode::LoginRequired, "the session has ended");
        return Ok(pages::redirect(&told.url(idp.issuer()), []));
    };
    let (sid, auth_time_ms) = used?;
    let code = random_token()?;
    idp.codes.insert(&code, IssuedCode::new(request, login, sid, auth_time_ms, offline, now_ms), now_ms);
    let url = response_url(&request.redirect_uri, &[("code", &code)], request.state.as_deref(), idp.issuer());
    Ok(pages::redirect(&url, []))
}

/// Shows a page of ours, bound to this browser.
fn interact(
    idp: &Idp,
    headers: &HeaderMap,
    request: AuthorizationRequest,
    consent_of: Option<String>,
) -> Result<Response, IdpError> {
    let browser = match idp.cookies.read(headers, BROWSER) {
        Some(known) => known,
        None => random_token()?,
    };
    let interaction =
        Interaction { request, browser: digest_base64url(&browser), form_token: random_token()?, consent_of };
    let path = Stage::of(&interaction, None).path();
    let id = idp.interactions.close(&interaction, idp.now_ms())?;
    Ok(pages::redirect(&format!("{path}?txn={id}"), [idp.cookies.write(BROWSER, &browser)]))
}
