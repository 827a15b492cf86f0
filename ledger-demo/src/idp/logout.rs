//! Logging out: asked for by a client (RP-Initiated Logout) and told to clients (Back-Channel Logout).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use url::form_urlencoded;

use super::Idp;
use super::cookies::SESSION;
use super::errors::IdpError;
use super::pages;
use super::params::Params;
use super::revocations::Revoked;
use super::secret::{random_id, same};
use super::session::Session;
use super::tokens::{ID_TOKEN_TYPE, IdClaims, LOGOUT_TOKEN_TYPE, logout_claims};

/// Pauses before a logout token is sent again.
const RETRY_PAUSES: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4)];
const NOT_REGISTERED: &str = "The address to return to after logging out is not registered.";

/// What a log-out request asks for, once it is known to be allowed.
pub(super) struct Wish<'a> {
    pub(super) client_id: Option<&'a str>,
    /// Registered for the client.
    pub(super) post_logout_redirect_uri: Option<&'a str>,
    pub(super) state: Option<&'a str>,
}

pub(super) async fn get(
    State(idp): State<Arc<Idp>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    match Params::parse(query.unwrap_or_default().as_bytes()) {
        Ok(params) => respond(idp, headers, params).await,
        Err(_) => pages::refusal(StatusCode::BAD_REQUEST, "A parameter is repeated."),
    }
}

pub(super) async fn post(State(idp): State<Arc<Idp>>, headers: HeaderMap, params: Params) -> Response {
    respond(idp, headers, params).await
}

async fn respond(idp: Arc<Idp>, headers: HeaderMap, params: Params) -> Response {
    let done = tokio::task::spawn_blocking(move || log_out(&idp, &headers, &params)).await;
    done.unwrap_or(Err(IdpError::Randomness)).unwrap_or_else(pages::failure)
}

fn log_out(idp: &Idp, headers: &HeaderMap, params: &Params) -> Result<Response, IdpError> {
    let hint = params.get("id_token_hint").map(|token| idp.verified::<IdClaims>(token, ID_TOKEN_TYPE));
    let hint = match hint {
        Some(None) => return Ok(pages::refusal(StatusCode::BAD_REQUEST, "The ID token is not one of ours.")),
        Some(Some(claims)) => Some(claims),
        None => None,
    };
    let Some(wish) = wish(idp, params, hint.as_ref()) else {
        return Ok(pages::refusal(StatusCode::BAD_REQUEST, NOT_REGISTERED));
    };
    let now_ms = idp.now_ms();
    let secret = idp.cookies.read(headers, SESSION);
    let session = secret.as_deref().and_then(|secret| idp.sessions.get(secret, now_ms));
    let (Some(session), Some(secret)) = (session, secret) else {
        return Ok(leave(idp, &wish));
    };
    // A page elsewhere can send anybody here: either the client shows the ID token of this very session, or the person says yes.
    let hinted = hint.as_ref().is_some_and(|claims| session.sids.values().any(|sid| *sid == claims.sid));
    let confirmed = params.get("csrf").is_some_and(|token| same(token, &session.form_token));
    if !hinted && !confirmed {
        return Ok(pages::confirm_logout(&session.username, &session.form_token, &wish));
    }
    if let Some(ended) = idp.sessions.take(&secret, now_ms) {
        idp.end_session(&ended)?;
    }
    Ok(leave(idp, &wish))
}

/// Where to go afterwards: only to an address registered for a client that is named. `None` when it is not.
fn wish<'a>(idp: &Idp, params: &'a Params, hint: Option<&'a IdClaims>) -> Option<Wish<'a>> {
    let named = params.get("client_id");
    let hinted = hint.map(|claims| claims.aud.as_str());
    if named.is_some() && hinted.is_some() && named != hinted {
        return None;
    }
    let client_id = named.or(hinted);
    let post_logout_redirect_uri = params.get("post_logout_redirect_uri");
    if let Some(uri) = post_logout_redirect_uri {
        let client = client_id.and_then(|id| idp.clients.get(id))?;
        client.post_logout_redirect_uri.as_deref().filter(|registered| *registered == uri)?;
    }
    Some(Wish { client_id, post_logout_redirect_uri, state: params.get("state") })
}

fn leave(idp: &Idp, wish: &Wish<'_>) -> Response {
    let gone = idp.cookies.clear(SESSION);
    let Some(uri) = wish.post_logout_redirect_uri else {
        let mut response = pages::logged_out();
        pages::add_cookies(&mut response, [gone]);
        return response;
    };
    match wish.state {
        Some(state) => {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("state", state).finish();
            pages::redirect(&format!("{uri}?{query}"), [gone])
        }
        None => pages::redirect(uri, [gone]),
    }
}

impl Idp {
    /// Ends what depends on a session that is over: its grants, unless they are offline ones, and the clients' own sessions.
    pub(super) fn end_session(&self, session: &Session) -> Result<(), IdpError> {
        let now_ms = self.now_ms();
        for sid in session.sids.values() {
            self.ended_sids.insert(sid, (), now_ms);
        }
        let of_session = |sid: &str| session.sids.values().any(|known| known == sid);
        for grant in self.grants.end_where(|grant| !grant.offline && of_session(&grant.sid))? {
            self.revoke_tokens_of(grant)?;
        }
        for (client_id, sid) in &session.sids {
            self.revocations.tell(Revoked::Session { sid: sid.clone(), subject: session.username.clone() });
            let client = self.clients.get(client_id);
            if let Some(uri) = client.and_then(|client| client.backchannel_logout_uri.as_deref()) {
                self.send_logout_token(uri, client_id, &session.username, sid)?;
            }
        }
        Ok(())
    }

    /// Sends a logout token in the background, again if it does not arrive.
    fn send_logout_token(
        &self,
        uri: &str,
        client_id: &str,
        subject: &str,
        sid: &str,
    ) -> Result<(), IdpError> {
        let now_ms = self.now_ms();
        let claims = logout_claims(self.issuer(), client_id, subject, sid, &random_id()?, now_ms);
        let token = self.keys.sign(LOGOUT_TOKEN_TYPE, &claims, now_ms)?;
        let request = self.http.post(uri).form(&[("logout_token", token)]);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Ok(());
        };
        runtime.spawn(async move {
            for pause in RETRY_PAUSES {
                let Some(attempt) = request.try_clone() else {
                    return;
                };
                match attempt.send().await.and_then(reqwest::Response::error_for_status) {
                    Ok(_) => return,
                    Err(error) => {
                        tracing::warn!(error = %error.without_url(), "a logout token did not arrive")
                    }
                }
                tokio::time::sleep(pause).await;
            }
        });
        Ok(())
    }
}
