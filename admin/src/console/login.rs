//! `/login`, `/callback`, `/logout`.

use axum::extract::{Query, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::access::{Need, Operator};
use crate::console::store::SessionKey;
use crate::console::{assets, cookies};
use crate::gate::Permit;
use crate::ports::LoginCallback;
use crate::refusal::Refusal;
use crate::state::{App, Shared};
use crate::trail;
use crate::views::{AdminCall, Phase, Via};

const RETURN_BYTES_MAX: usize = 256;
const PARAMETER_BYTES_MAX: usize = 2048;

/// `GET /login?return_to=/#/cases`: off to the identity provider.
pub(crate) async fn begin(State(app): Shared, RawQuery(query): RawQuery) -> Response {
    let return_to = return_path(query.as_deref().unwrap_or_default());
    let start = async {
        let start = app.ports.login.begin(&return_to).await?;
        let cookie = cookies::set_login(&start.login_state)?;
        let mut response = see_other(&start.authorize_url)?;
        response.headers_mut().append(header::SET_COOKIE, cookie);
        Ok::<_, Refusal>(response)
    };
    start.await.unwrap_or_else(|refusal| failed(refusal, "The sign-in could not be started"))
}

/// Where a login may end: the console and a place in it. Anything else is the console's front.
fn return_path(query: &str) -> String {
    let raw = query.split('&').find_map(|pair| pair.strip_prefix("return_to=")).unwrap_or_default();
    let path = percent_decode_str(raw).decode_utf8_lossy();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.=&?".contains(&byte);
    let local = path.strip_prefix("/#/").is_some_and(|place| place.bytes().all(fits));
    if local && path.len() <= RETURN_BYTES_MAX { path.into_owned() } else { "/".to_owned() }
}

/// What the identity provider sends back; it may add parameters of its own (RFC 6749, section 4.1.2).
#[derive(Deserialize)]
pub(crate) struct CallbackQuery {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// `GET /callback`: redeems the code and opens a session.
pub(crate) async fn finish(
    State(app): Shared,
    headers: HeaderMap,
    query: Result<Query<CallbackQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let callback = query.map_err(|_| Refusal::Query("parameters of the callback".to_owned()));
    let done = match callback {
        Ok(Query(query)) => sign_in(&app, &headers, query).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = match done {
        Ok(response) => response,
        Err(refusal) => {
            record_failure(&app, &refusal).await;
            failed(refusal, "You are not signed in")
        }
    };
    response.headers_mut().append(header::SET_COOKIE, cookies::clear_login());
    response
}

async fn sign_in(app: &App, headers: &HeaderMap, query: CallbackQuery) -> Result<Response, Refusal> {
    if query.error.is_some() {
        return Err(Refusal::Unprocessable("the identity provider did not sign you in".to_owned()));
    }
    let login_state = cookies::login(headers)
        .ok_or_else(|| Refusal::Unprocessable("this sign-in did not begin in this browser".to_owned()))?;
    let bounded = |text: Option<String>| text.filter(|text| (1..=PARAMETER_BYTES_MAX).contains(&text.len()));
    let missing = || Refusal::Query("the callback lacks code or state".to_owned());
    let callback = LoginCallback {
        code: bounded(query.code).ok_or_else(missing)?,
        state: bounded(query.state).ok_or_else(missing)?,
        iss: bounded(query.iss),
    };
    let end = app.ports.login.finish(callback, login_state).await?;
    let token = end.access_token;
    let operator =
        app.ports.authenticator.authenticate(token.expose_secret()).await.map_err(Refusal::Token)?;
    if !Need::Read.met_by(&operator) {
        return Err(Refusal::Unprocessable("your account has no role at this gateway".to_owned()));
    }
    record_login(app, &operator).await?;
    if let Some(old) = cookies::session(headers) {
        app.console.close(&SessionKey::of(old));
    }
    let cookie = app.console.open(&operator, token, app.now_ms())?;
    let mut response = see_other(&return_path(&format!("return_to={}", end.return_to)))?;
    response.headers_mut().append(header::SET_COOKIE, cookies::set_session(cookie.expose_secret())?);
    Ok(response)
}

/// A session that is not on record is not opened.
async fn record_login(app: &App, operator: &Operator) -> Result<(), Refusal> {
    let mut call = AdminCall {
        phase: Phase::Done,
        status: StatusCode::SEE_OTHER.as_u16(),
        ..trail::entry_of("GET", "/callback", app.now_ms())
    };
    trail::name_caller(&mut call, operator, Via::Console);
    app.ports.trail.record(call).await.map_err(|error| {
        tracing::error!(%error, "admin trail");
        Refusal::AuditDown
    })
}

async fn record_failure(app: &App, refusal: &Refusal) {
    let now_ms = app.now_ms();
    let Some(unrecorded) = app.refusals.spend(now_ms) else { return };
    let call = AdminCall {
        phase: Phase::Done,
        status: StatusCode::BAD_REQUEST.as_u16(),
        reason: Some(refusal.reason().to_owned()),
        unrecorded,
        ..trail::entry_of("GET", "/callback", now_ms)
    };
    if let Err(error) = app.ports.trail.record(call).await {
        tracing::error!(%error, "admin trail");
    }
}

/// Ends the console session.
#[utoipa::path(post, path = "/logout", tag = "console", responses(
    (status = 204, description = "The console session is over"),
    (status = 422, description = "Called with a bearer token, which has no session here"),
))]
pub(crate) async fn end(State(app): Shared, permit: Permit) -> Result<Response, Refusal> {
    let (key, _) = permit
        .proof()
        .session()
        .ok_or_else(|| Refusal::Unprocessable("a bearer token has no console session".to_owned()))?;
    permit.intend(serde_json::json!({})).await?;
    app.console.close(key);
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, cookies::clear_session());
    headers.insert("clear-site-data", HeaderValue::from_static("\"cache\", \"storage\""));
    Ok(response)
}

fn see_other(target: &str) -> Result<Response, Refusal> {
    let location =
        HeaderValue::from_str(target).map_err(|_| Refusal::Internal("redirect target out of form"))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

/// A person is looking: the refusal as a page.
fn failed(refusal: Refusal, heading: &str) -> Response {
    let detail = match &refusal {
        Refusal::Unprocessable(text) | Refusal::Query(text) => text.clone(),
        other => format!("reason: {}", other.reason()),
    };
    let status = refusal.into_response().status();
    assets::notice(status, heading, &detail)
}

#[cfg(test)]
mod tests {
    use super::return_path;

    #[test]
    fn a_login_ends_in_the_console_alone() {
        let cases = [
            ("return_to=%2F%23%2Fcases", "/#/cases"),
            ("return_to=/%23/decisions/d-1", "/#/decisions/d-1"),
            ("", "/"),
            ("return_to=//evil.example", "/"),
            ("return_to=https://evil.example/", "/"),
            ("return_to=/%5Cevil.example", "/"),
            ("return_to=/%23/%0d%0aSet-Cookie:x", "/"),
            ("return_to=/%23//..%5C", "/"),
            ("return_to=javascript:alert(1)", "/"),
            ("other=/%23/cases", "/"),
        ];
        for (query, expected) in cases {
            assert_eq!(return_path(query), expected, "{query}");
        }
    }
}
