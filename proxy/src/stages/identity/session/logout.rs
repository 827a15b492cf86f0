//! Logging out: by the person (RP-Initiated Logout) and by the issuer (Back-Channel Logout).

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderValue, Response, StatusCode};
use policies::ports::Space;
use serde_json::json;

use super::super::credentials::{LOGIN_COOKIE, SESSION_COOKIE, cookie};
use super::super::revocation::{Revocation, Target};
use super::id_token::{LoggedOut, verify_logout_token};
use super::login::{set_cookie, store_failed};
use super::origin::same_origin;
use super::owned::{Answer, Own, Parameters, json_response, see_other};
use super::return_to::LocalPath;
use crate::refusal::{Reason, Refusal};

/// Tokens of an ended log-in are taken to be dead after this time at the latest, milliseconds.
const TOKENS_LIVE_MS: i64 = 86_400_000;

impl Own<'_> {
    /// `/logout`: ends the session here, then at the issuer.
    pub(super) async fn log_out(&self) -> Answer {
        if !same_origin(self.parts, &self.app.origin) {
            return Err(Refusal::new(Reason::CrossSite, "log-out asked for by another site"));
        }
        // The issuer may be out of reach; the session ends all the same.
        let id_token = self.session().await.ok().flatten().and_then(|s| s.kept.id_token.clone());
        if let Ok(Some(value)) = cookie(self.parts, SESSION_COOKIE) {
            self.end_session(value).await?;
        }
        let path = LocalPath::parse(&self.client.config.post_logout_path).unwrap_or_else(LocalPath::root);
        let home = path.on(&self.app.config.external_url);
        let metadata = self.client.issuer.metadata(self.now_ms).await.ok();
        let next = match metadata.and_then(|m| m.end_session_endpoint.clone()) {
            Some(mut url) => {
                let mut query = url.query_pairs_mut();
                query.append_pair("client_id", &self.client.config.client_id);
                query.append_pair("post_logout_redirect_uri", home.as_str());
                if let Some(hint) = &id_token {
                    query.append_pair("id_token_hint", hint);
                }
                drop(query);
                url
            }
            None => home,
        };
        let mut response = see_other(&next);
        for name in [SESSION_COOKIE, LOGIN_COOKIE] {
            if let Some(value) = set_cookie(name, "", Some(0)) {
                response.headers_mut().append(SET_COOKIE, value);
            }
        }
        Ok(response)
    }

    /// `/backchannel-logout`: the issuer ends a log-in, from server to server.
    pub(super) async fn logged_out_by_issuer(&self, body: &Bytes) -> Answer {
        let media = self.parts.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let form = media.split(';').next().unwrap_or_default().trim();
        if !form.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Ok(refused("not a form"));
        }
        let parameters = std::str::from_utf8(body).ok().and_then(Parameters::parse);
        let Some(token) = parameters.as_ref().and_then(|p| p.get("logout_token")) else {
            return Ok(refused("no logout_token, or more than one"));
        };
        let (issuer, client_id) = (&self.client.issuer, &self.client.config.client_id);
        let logged_out = match verify_logout_token(token, issuer, client_id, self.now_ms).await {
            Ok(logged_out) => logged_out,
            Err(fault) if fault.reason == Reason::IssuerUnavailable => {
                return Err(Refusal::new(fault.reason, fault.inside).retry_after(30));
            }
            Err(fault) => {
                tracing::warn!(issuer = %issuer.name, inside = fault.inside, "a logout token was refused");
                return Ok(refused("the logout token is not valid"));
            }
        };
        let key = self.replay_key(&logged_out);
        let (store, expires_ms) = (self.stage.sessions.store(), logged_out.expires_at.saturating_mul(1000));
        let used = store.get(Space::LogoutTokens, &key, self.now_ms).await.map_err(store_failed)?;
        if used.is_some() {
            return Ok(refused("the logout token was used before"));
        }
        // First what it asks for: an issuer that hears of a failure, or nothing, may send it again. Twice revokes no more.
        self.stage.revocations.revoke(&self.revocation(&logged_out)).await.map_err(store_failed)?;
        store.put(Space::LogoutTokens, &key, b"", expires_ms).await.map_err(store_failed)?;
        let mut response = Response::new(Bytes::new());
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    fn replay_key(&self, logged_out: &LoggedOut) -> Vec<u8> {
        let named = format!("logout {} {}", self.client.issuer.config.issuer, logged_out.jti);
        digest(&SHA256, named.as_bytes()).as_ref().to_vec()
    }

    fn revocation(&self, logged_out: &LoggedOut) -> Revocation {
        let (target, issued_before_s) = match (&logged_out.sid, &logged_out.subject) {
            (Some(sid), _) => (Target::Session(sid.clone()), i64::MAX),
            (None, subject) => (Target::Subject(subject.clone().unwrap_or_default()), logged_out.issued_at),
        };
        let lives_ms = self.client.config.absolute_s.saturating_mul(1000).max(TOKENS_LIVE_MS);
        Revocation {
            issuer: self.client.issuer.config.issuer.clone(),
            target,
            issued_before_s,
            expires_ms: self.now_ms.saturating_add(lives_ms),
        }
    }
}

/// Back-Channel Logout 2.8.
fn refused(description: &str) -> Response<Bytes> {
    let mut response =
        json_response(&json!({ "error": "invalid_request", "error_description": description }));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
