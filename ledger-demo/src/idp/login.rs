//! The pages a person meets: password, second factor, consent.
//!
//! A form is accepted only from the browser that began the log-in (cookie) and only from our own page (form token). The
//! session cookie is made anew after the second factor, so a planted one is worth nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode};
use secrecy::SecretString;

use super::Idp;
use super::authorize::{LoggedIn, begin, hand_out_code, proceed};
use super::consents::Consent;
use super::cookies::{BROWSER, DEVICE, SESSION};
use super::errors::{ErrorCode, IdpError};
use super::pages::{self, FormPage};
use super::params::Params;
use super::secret::{digest_base64url, random_token, same};
use super::session::{Interaction, SecondFactor, Session, Stage};
use super::throttle::{Attempt, Factor};
use crate::people::{Busy, DEMO_SECOND_FACTOR};

const USERNAME_BYTES_MAX: usize = 64;
const GONE: &str = "This log-in took too long or was begun in another browser. Go back to where you came from and try again.";

/// The page of whatever stage the log-in is at.
pub(super) async fn show(
    State(idp): State<Arc<Idp>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    match Form::open(&idp, &headers, &params) {
        Some(form) => form.page(&idp, StatusCode::OK, None),
        None => not_this_browsers(&idp, &headers, &params),
    }
}

/// A form that was begun in another browser is worth nothing here. This one may begin the same request itself, as a link to
/// it would make it: of tabs that began at once, all but one have lost their cookie to that one.
fn not_this_browsers(idp: &Idp, headers: &HeaderMap, params: &Params) -> Response {
    let anothers = || {
        let browser = idp.cookies.read(headers, BROWSER)?;
        let interaction: Interaction = idp.interactions.open(params.get("txn")?, idp.now_ms())?;
        let own = same(&interaction.browser, &digest_base64url(&browser));
        (!own).then_some(interaction.request)
    };
    match anothers() {
        Some(request) => begin(idp, headers, request).unwrap_or_else(pages::failure),
        None => pages::refusal(StatusCode::BAD_REQUEST, GONE),
    }
}

/// Takes username and password.
pub(super) async fn password(
    State(idp): State<Arc<Idp>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    params: Params,
) -> Response {
    let Some(mut form) = Form::submitted(&idp, &headers, &params) else {
        return not_this_browsers(&idp, &headers, &params);
    };
    if !matches!(form.stage, Stage::Password) {
        return form.redirect();
    }
    let username = username(&params);
    let known_browser = idp
        .cookies
        .read(&headers, DEVICE)
        .and_then(|device| idp.devices.get(&device, idp.now_ms()))
        .is_some_and(|known| known == username);
    let factor = Factor::Password { known_browser };
    let attempt = Attempt { username: &username, address: peer.ip(), factor };
    if let Err(wait_ms) = idp.throttle.begin(&attempt, idp.now_ms()) {
        return form.slow_down(&idp, wait_ms);
    }
    let password = SecretString::from(params.get("password").unwrap_or_default());
    form.entered = Some(username.clone());
    let person = match idp.people.authenticate_in_turn(username.clone(), password).await {
        Ok(Some(person)) => person,
        Ok(None) => {
            tracing::warn!(address = %peer.ip(), "a log-in failed");
            return form.page(
                &idp,
                StatusCode::FORBIDDEN,
                Some("The username or the password is wrong. Check both and try again."),
            );
        }
        Err(Busy) => return form.busy(&idp),
    };
    idp.throttle.succeeded(&attempt, idp.now_ms());
    idp.second_factors.insert(&form.id, SecondFactor::of(person.username), idp.now_ms());
    form.look_again(&idp);
    form.redirect()
}

/// Takes the second factor; then the person is logged in.
pub(super) async fn second_factor(
    State(idp): State<Arc<Idp>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    params: Params,
) -> Response {
    let Some(mut form) = Form::submitted(&idp, &headers, &params) else {
        return not_this_browsers(&idp, &headers, &params);
    };
    let Stage::SecondFactor { username } = form.stage.clone() else {
        return form.redirect();
    };
    let attempt = Attempt { username: &username, address: peer.ip(), factor: Factor::Second };
    if let Err(wait_ms) = idp.throttle.begin(&attempt, idp.now_ms()) {
        return form.slow_down(&idp, wait_ms);
    }
    let right = same(params.get("otp").unwrap_or_default().trim(), DEMO_SECOND_FACTOR);
    // Judged where the failures are kept, one code after the other: of many at once no more are looked at than in a row.
    let judged = idp.second_factors.update(&form.id, idp.now_ms(), |kept| kept.judge(right));
    let Some(judged) = judged else {
        return pages::refusal(StatusCode::BAD_REQUEST, GONE);
    };
    form.look_again(&idp);
    match judged {
        Some(true) => idp.throttle.succeeded(&attempt, idp.now_ms()),
        Some(false) => {
            tracing::warn!(address = %peer.ip(), "a second factor was wrong");
            return form.page(
                &idp,
                StatusCode::FORBIDDEN,
                Some("That code is wrong. Enter the six digits that we sent you."),
            );
        }
        None => return form.redirect(),
    }
    // Taken out once: of two identical submissions one goes on.
    if idp.second_factors.take(&form.id, idp.now_ms()).is_none() {
        return pages::refusal(StatusCode::BAD_REQUEST, GONE);
    }
    let done = tokio::task::spawn_blocking(move || log_in(&idp, &headers, form, username)).await;
    done.unwrap_or(Err(IdpError::Randomness)).unwrap_or_else(pages::failure)
}

/// Takes the decision about a third party. Sent twice, it is decided twice: that is worth no more than asking again.
pub(super) async fn consent(State(idp): State<Arc<Idp>>, headers: HeaderMap, params: Params) -> Response {
    let Some(form) = Form::submitted(&idp, &headers, &params) else {
        return not_this_browsers(&idp, &headers, &params);
    };
    let Stage::Consent { username } = form.stage.clone() else {
        return form.redirect();
    };
    // The session must still be the one that was asked.
    let secret = idp.cookies.read(&headers, SESSION);
    let session = secret.as_deref().and_then(|secret| idp.sessions.get(secret, idp.now_ms()));
    let still_there = session.is_some_and(|session| session.username == username);
    let (Some(secret), true) = (secret, still_there) else {
        return pages::refusal(StatusCode::BAD_REQUEST, GONE);
    };
    let request = form.interaction.request;
    if params.get("decision") != Some("allow") {
        let told = request.error(ErrorCode::AccessDenied, "the customer said no");
        return pages::redirect(&told.url(idp.issuer()), []);
    }
    let login = LoggedIn { username, secret };
    let decided = tokio::task::spawn_blocking(move || {
        idp.consents.record(&Consent {
            subject: login.username.clone(),
            client_id: request.client_id.to_owned(),
            resource: request.resource.to_owned(),
            scopes: request.scopes.clone(),
            granted_ms: idp.now_ms(),
        })?;
        hand_out_code(&idp, &request, &login)
    });
    decided.await.unwrap_or(Err(IdpError::Randomness)).unwrap_or_else(pages::failure)
}

/// Makes the session under a new cookie and goes on with the request.
fn log_in(idp: &Idp, headers: &HeaderMap, form: Form, username: String) -> Result<Response, IdpError> {
    let now_ms = idp.now_ms();
    let earlier = idp.cookies.read(headers, SESSION).and_then(|secret| idp.sessions.take(&secret, now_ms));
    let mut session = Session {
        username: username.clone(),
        auth_time_ms: now_ms,
        sids: Default::default(),
        form_token: random_token()?,
    };
    match earlier {
        // The same person again, as for a step-up: clients keep the session they know.
        Some(earlier) if earlier.username == username => session.sids = earlier.sids,
        Some(earlier) => idp.end_session(&earlier)?,
        None => {}
    }
    let secret = random_token()?;
    let device = random_token()?;
    idp.sessions.insert(&secret, session, now_ms);
    idp.devices.insert(&device, username.clone(), now_ms);
    let cookies = [idp.cookies.write(SESSION, &secret), idp.cookies.write(DEVICE, &device)];
    let login = LoggedIn { username, secret };
    let mut response = proceed(idp, headers, form.interaction.request, &login)?;
    pages::add_cookies(&mut response, cookies);
    Ok(response)
}

/// People type names with capitals and blanks, telephones even by themselves.
fn username(params: &Params) -> String {
    let entered = params.get("username").unwrap_or_default().trim();
    if entered.len() > USERNAME_BYTES_MAX { String::new() } else { entered.to_ascii_lowercase() }
}

/// A log-in under way, seen from the browser that began it.
struct Form {
    /// The log-in, sealed.
    id: String,
    /// The name that was entered, so that a wrong password need not cost it too.
    entered: Option<String>,
    interaction: Interaction,
    stage: Stage,
}

impl Form {
    /// The log-in named by `txn`, if this is its browser.
    fn open(idp: &Idp, headers: &HeaderMap, params: &Params) -> Option<Self> {
        let id = params.get("txn")?;
        let browser = idp.cookies.read(headers, BROWSER)?;
        let interaction: Interaction = idp.interactions.open(id, idp.now_ms())?;
        if !same(&interaction.browser, &digest_base64url(&browser)) {
            return None;
        }
        let stage = Stage::of(&interaction, idp.second_factors.get(id, idp.now_ms()));
        Some(Self { id: id.to_owned(), entered: None, interaction, stage })
    }

    /// The same, sent back by our own page.
    fn submitted(idp: &Idp, headers: &HeaderMap, params: &Params) -> Option<Self> {
        let form = Self::open(idp, headers, params)?;
        same(&form.interaction.form_token, params.get("csrf").unwrap_or_default()).then_some(form)
    }

    /// Where the log-in is after something changed.
    fn look_again(&mut self, idp: &Idp) {
        self.stage = Stage::of(&self.interaction, idp.second_factors.get(&self.id, idp.now_ms()));
    }

    fn redirect(&self) -> Response {
        pages::redirect(&format!("{}?txn={}", self.stage.path(), self.id), [])
    }

    fn slow_down(&self, idp: &Idp, wait_ms: i64) -> Response {
        let seconds = wait_ms.saturating_add(999) / 1000;
        let text = match seconds {
            1 => "Too many attempts. Wait a second and try again.".to_owned(),
            _ => format!("Too many attempts. Wait {seconds} seconds and try again."),
        };
        let mut response = self.page(idp, StatusCode::TOO_MANY_REQUESTS, Some(&text));
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
        response
    }

    fn busy(&self, idp: &Idp) -> Response {
        const TEXT: &str = "Many people are logging in. Try again in a moment.";
        let mut response = self.page(idp, StatusCode::SERVICE_UNAVAILABLE, Some(TEXT));
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("2"));
        response
    }

    fn page(&self, idp: &Idp, status: StatusCode, error: Option<&str>) -> Response {
        let Interaction { request, form_token, .. } = &self.interaction;
        let client = idp.clients.get(request.client_id);
        let form = FormPage {
            txn: &self.id,
            csrf: form_token,
            error,
            client_name: client.map_or("", |client| client.name),
            redirect_uri: &request.redirect_uri,
        };
        match &self.stage {
            Stage::Password => {
                let hint = request.login_hint.as_deref().unwrap_or_default();
                pages::password(status, &form, self.entered.as_deref().unwrap_or(hint), request.step_up)
            }
            Stage::SecondFactor { username } => pages::second_factor(status, &form, username),
            Stage::Consent { username } => pages::consent(status, &form, username, &request.scopes),
        }
    }
}
