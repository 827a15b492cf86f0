//! Logging in: to the issuer, and back with a code.

use http::{HeaderValue, Response, header};
use policies::ports::{Space, StoreError};
use serde::{Deserialize, Serialize};
use url::Url;

use super::super::App;
use super::super::credentials::{LOGIN_COOKIE, SESSION_COOKIE, cookie};
use super::client::{Asked, ClientFault, Granted};
use super::form::Form;
use super::id_token::{Expected, Person, verify_id_token};
use super::owned::{Answer, Own, Parameters, see_other};
use super::return_to::LocalPath;
use super::secret::{Secret, same};
use super::store::Kept;
use crate::refusal::{Reason, Refusal};

/// A log-in must be completed within this time.
pub(super) const LOGIN_MS: i64 = 600_000;
const PURPOSE: &str = "login";

/// A log-in under way, kept under its `state` and sealed with it.
#[derive(Serialize, Deserialize)]
struct Login {
    app: String,
    issuer: String,
    /// Which browser began it: a key derived from its log-in cookie.
    browser: [u8; 32],
    nonce: String,
    verifier: String,
    return_to: String,
    began_ms: i64,
    step_up: Option<StepUp>,
    /// What the step-up is for.
    form: Option<Form>,
    /// Begun anew because the browser had lost its cookie; not a second time.
    again: bool,
}

/// What a step-up must bring.
#[derive(Serialize, Deserialize)]
struct StepUp {
    subject: String,
    acr_values: Vec<String>,
}

/// What the query of `/login` and `/step-up` asks for.
pub(super) struct Wish {
    pub return_to: LocalPath,
    pub again: bool,
    pub step_up: bool,
    /// A form to be sent again after it.
    pub form: Option<Form>,
}

pub(super) fn failed(inside: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Reason::LoginFailed, inside)
}

pub(super) fn store_failed(error: StoreError) -> Refusal {
    Refusal::new(Reason::StoreUnavailable, error.to_string()).retry_after(5)
}

fn client_failed(fault: ClientFault) -> Refusal {
    match fault {
        ClientFault::Unavailable(inside) => Refusal::new(Reason::IssuerUnavailable, inside).retry_after(30),
        ClientFault::Refused(inside) => failed(inside),
    }
}

/// `Set-Cookie` for one of the gateway's cookies.
pub(super) fn set_cookie(name: &str, value: &str, max_age_s: Option<i64>) -> Option<HeaderValue> {
    let age = max_age_s.map(|s| format!("; Max-Age={s}")).unwrap_or_default();
    HeaderValue::try_from(format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}")).ok()
}

impl Own<'_> {
    /// Sends a browser to the issuer.
    pub(super) async fn begin_login(&self, wish: Wish) -> Answer {
        let (app, client, now_ms) = (self.app, self.client, self.now_ms);
        if !self.stage.logins.take(now_ms) {
            return Err(Refusal::new(Reason::StoreUnavailable, "too many log-ins under way").retry_after(60));
        }
        let no_randomness = || Refusal::new(Reason::Internal, "no randomness");
        let current = self.session().await?;
        let step_up = match (&current, wish.step_up) {
            (Some(session), true) => Some(StepUp {
                subject: session.kept.subject.clone(),
                acr_values: app.config.step_up_acr_values.clone(),
            }),
            // Nobody is logged in: a plain log-in comes first.
            _ => None,
        };
        // One cookie for all tabs: each log-in has its own state, and all are tied to this browser.
        let browser = match cookie(self.parts, LOGIN_COOKIE).ok().flatten().and_then(Secret::parse) {
            Some(known) => known,
            None => Secret::random().ok_or_else(no_randomness)?,
        };
        let (Some(state), Some(nonce), Some(verifier)) =
            (Secret::random(), Secret::random(), pkce_verifier())
        else {
            return Err(no_randomness());
        };
        let login = Login {
            app: app.name.to_string(),
            issuer: client.issuer.config.issuer.clone(),
            browser: browser.key(LOGIN_COOKIE),
            nonce: nonce.expose().to_owned(),
            verifier,
            return_to: wish.return_to.as_str().to_owned(),
            began_ms: now_ms,
            step_up,
            form: wish.form,
            again: wish.again,
        };
        let plain = serde_json::to_vec(&login).map_err(|_| no_randomness())?;
        let sealed = state.seal(PURPOSE, &plain).ok_or_else(no_randomness)?;
        let store = self.stage.sessions.store();
        let expires_ms = now_ms.saturating_add(LOGIN_MS);
        store.put(Space::Logins, &state.key(PURPOSE), &sealed, expires_ms).await.map_err(store_failed)?;
        let asked = Asked {
            state: &state,
            nonce: &login.nonce,
            verifier: &login.verifier,
            acr_values: login.step_up.as_ref().map(|s| s.acr_values.as_slice()),
        };
        let url = client.authorize(&asked, now_ms).await.map_err(client_failed)?;
        let mut response = see_other(&url);
        if let Some(value) = set_cookie(LOGIN_COOKIE, browser.expose(), Some(LOGIN_MS / 1000)) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
        Ok(response)
    }

    /// Takes a browser back from the issuer.
    pub(super) async fn complete_login(&self) -> Answer {
        let (app, client, now_ms) = (self.app, self.client, self.now_ms);
        let query = Parameters::parse(self.parts.uri.query().unwrap_or_default())
            .ok_or_else(|| failed("a parameter stands twice"))?;
        let state = query.get("state").and_then(Secret::parse).ok_or_else(|| failed("no state of ours"))?;
        let Some(login) = self.login_of(&state).await? else {
            return Err(failed("no log-in under way has this state"));
        };
        let browser = cookie(self.parts, LOGIN_COOKIE).ok().flatten().and_then(Secret::parse);
        if !browser.is_some_and(|browser| same(&browser.key(LOGIN_COOKIE), &login.browser)) {
            // Somebody else's state, or a lost cookie. The state stays with whoever began it, and this browser begins
            // a log-in of its own, once.
            if login.again {
                return Err(failed("the log-in was begun by another browser, or cookies are refused"));
            }
            return Ok(restart(app, &login));
        }
        let taken = self.stage.sessions.store().take(Space::Logins, &state.key(PURPOSE), now_ms).await;
        if taken.map_err(store_failed)?.is_none() {
            return Err(failed("the log-in was completed already"));
        }
        self.check_issuer(query.get("iss")).await?;
        if let Some(error) = query.get("error") {
            let error: String = error.chars().filter(char::is_ascii_graphic).take(64).collect();
            return Err(failed(format!("the issuer answered {error}")));
        }
        let code = query.get("code").ok_or_else(|| failed("neither code nor error"))?;
        let granted = client.exchange(code, &login.verifier, now_ms).await.map_err(client_failed)?;
        let person = self.identified(&granted, &login).await?;
        self.begin_session(&login, granted, person).await
    }

    /// The log-in of this state; `None` when there is none of this application.
    async fn login_of(&self, state: &Secret) -> Result<Option<Login>, Refusal> {
        let now_ms = self.now_ms;
        let store = self.stage.sessions.store();
        let sealed = store.get(Space::Logins, &state.key(PURPOSE), now_ms).await.map_err(store_failed)?;
        let login: Option<Login> = sealed
            .and_then(|sealed| state.open(PURPOSE, &sealed))
            .and_then(|plain| serde_json::from_slice(&plain).ok());
        Ok(login.filter(|login| {
            login.app == *self.app.name
                && login.issuer == self.client.issuer.config.issuer
                && now_ms.saturating_sub(login.began_ms) < LOGIN_MS
        }))
    }

    /// RFC 9207: which issuer answered is compared before the code goes anywhere.
    async fn check_issuer(&self, iss: Option<&str>) -> Result<(), Refusal> {
        let client = self.client;
        let metadata = client.issuer.metadata(self.now_ms).await.map_err(|e| client_failed(e.into()))?;
        match iss {
            Some(iss) if iss != client.issuer.config.issuer => Err(failed("another issuer answered")),
            None if metadata.sends_iss => Err(failed("the issuer did not name itself")),
            _ => Ok(()),
        }
    }

    /// Who logged in, and whether that is what was asked for.
    async fn identified(&self, granted: &Granted, login: &Login) -> Result<Person, Refusal> {
        let client = self.client;
        let token = granted.id_token.as_deref().ok_or_else(|| failed("the issuer gave no ID token"))?;
        let expected = Expected {
            client_id: &client.config.client_id,
            nonce: Some(&login.nonce),
            access_token: &granted.access_token,
        };
        let person = verify_id_token(token, &client.issuer, expected, self.now_ms).await.map_err(
            |fault| match fault.reason {
                Reason::IssuerUnavailable => Refusal::new(fault.reason, fault.inside).retry_after(30),
                _ => failed(format!("ID token: {}", fault.inside)),
            },
        )?;
        let Some(step_up) = &login.step_up else { return Ok(person) };
        if person.subject != step_up.subject {
            return Err(failed("somebody else logged in for the step-up"));
        }
        let acr = person.acr.as_deref().unwrap_or_default();
        if !step_up.acr_values.is_empty() && !step_up.acr_values.iter().any(|wanted| wanted == acr) {
            return Err(failed("the issuer did not do the stronger log-in"));
        }
        // The person must have authenticated after this log-in began, give or take the clocks.
        let earliest_s = login.began_ms.div_euclid(1000).saturating_sub(client.issuer.config.clock_skew_s);
        if person.auth_time.is_none_or(|at| at < earliest_s) {
            return Err(failed("the issuer did not ask the person again"));
        }
        Ok(person)
    }

    /// A new session under a new cookie; the browser's old session ends, so that nothing planted before the log-in is
    /// worth anything after it.
    async fn begin_session(&self, login: &Login, granted: Granted, person: Person) -> Answer {
        let (app, client, now_ms) = (self.app, self.client, self.now_ms);
        let secret = Secret::random().ok_or_else(|| Refusal::new(Reason::Internal, "no randomness"))?;
        let config = &client.config;
        let kept = Kept {
            app: app.name.to_string(),
            issuer: client.issuer.config.issuer.clone(),
            subject: person.subject,
            client_id: config.client_id.clone(),
            scopes: granted.scopes.unwrap_or_else(|| config.scopes.clone()),
            roles: person.roles,
            acr: person.acr,
            auth_time: person.auth_time,
            sid: person.sid,
            begun_ms: now_ms,
            used_ms: now_ms,
            idle_ms: config.idle_s.saturating_mul(1000),
            ends_ms: now_ms.saturating_add(config.absolute_s.saturating_mul(1000)),
            granted_until_ms: granted.expires_in_s.map(|s| now_ms.saturating_add(s.saturating_mul(1000))),
            grace_ms: config.refresh_grace_s.saturating_mul(1000),
            refresh_token: granted.refresh_token,
            id_token: granted.id_token,
        };
        self.stage.sessions.save(&secret, kept, &client.issuer.name, now_ms).await.map_err(store_failed)?;
        if let Ok(Some(old)) = cookie(self.parts, SESSION_COOKIE) {
            self.end_session(old).await?;
        }
        let next = match &login.form {
            Some(form) => self.keep(form, &secret).await?,
            None => {
                let return_to = LocalPath::parse(&login.return_to).unwrap_or_else(LocalPath::root);
                return_to.on(&app.config.external_url)
            }
        };
        let mut response = see_other(&next);
        if let Some(value) = set_cookie(SESSION_COOKIE, secret.expose(), None) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
        Ok(response)
    }
}

/// 43 to 128 characters (RFC 7636 4.1): two secrets of 32.
fn pkce_verifier() -> Option<String> {
    Some([Secret::random()?.expose(), Secret::random()?.expose()].concat())
}

fn restart(app: &App, login: &Login) -> Response<bytes::Bytes> {
    see_other(&login_url(&app.config.external_url, "login", &login.return_to, true))
}

/// The gateway's own address for a log-in that returns to a path.
pub(in super::super) fn login_url(external_url: &Url, action: &str, return_to: &str, again: bool) -> Url {
    let mut url = external_url.clone();
    url.set_path(&format!("/.gatehouse/{action}"));
    url.query_pairs_mut().append_pair("return_to", return_to);
    if again {
        url.query_pairs_mut().append_pair("again", "1");
    }
    url
}
