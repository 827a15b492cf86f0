//! `/token`: codes, refresh tokens and client credentials become tokens (RFC 6749, 7636, 9068).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, HeaderValue};

use super::Idp;
use super::authorize::LoggedIn;
use super::client_auth;
use super::clients::{Client, Refresh};
use super::errors::{ErrorCode, IdpError, OAuthError};
use super::grants::{Grant, LiveToken, Renewal};
use super::issue::TokenResponse;
use super::params::Params;
use super::provider::SESSION_LIFETIME_MS;
use super::request::{AuthorizationRequest, resource};
use super::secret::{digest_base64url, random_id, same};
use super::tokens::TOKEN_LIFETIME_MS;

const CODE_LIFETIME_MS: i64 = 60 * 1000;
const OFFLINE_LIFETIME_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// A code that was handed out, remembered beyond its use.
#[derive(Debug, Clone)]
pub(super) struct IssuedCode {
    request: AuthorizationRequest,
    username: String,
    acr: &'static str,
    sid: String,
    auth_time_ms: i64,
    offline: bool,
    expires_ms: i64,
    /// Id of the grant that the first use makes.
    grant_id: Option<String>,
    replayed: bool,
}

impl IssuedCode {
    pub(super) fn new(
        request: &AuthorizationRequest,
        login: &LoggedIn,
        sid: String,
        auth_time_ms: i64,
        offline: bool,
        now_ms: i64,
    ) -> Self {
        Self {
            request: request.clone(),
            username: login.username.clone(),
            acr: request.acr(),
            sid,
            auth_time_ms,
            offline,
            expires_ms: now_ms.saturating_add(CODE_LIFETIME_MS),
            grant_id: None,
            replayed: false,
        }
    }
}

pub(super) async fn post(State(idp): State<Arc<Idp>>, params: Params) -> Response {
    // Grants are flushed before they are acknowledged, and flushing blocks.
    let provider = Arc::clone(&idp);
    let answered = tokio::task::spawn_blocking(move || provider.token(&params)).await;
    match answered.unwrap_or(Err(OAuthError::new(ErrorCode::ServerError, "the identity provider failed"))) {
        Ok(tokens) => {
            let mut response = Json(tokens).into_response();
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => {
            // A token used twice has ended its whole grant.
            idp.announced().await;
            error.into_response()
        }
    }
}

impl Idp {
    fn token(&self, params: &Params) -> Result<TokenResponse, OAuthError> {
        let client = client_auth::authenticate(self, params, &self.endpoint("/token"))?;
        match params.require("grant_type")? {
            "authorization_code" => self.redeem_code(client, params),
            "refresh_token" => self.refresh(client, params),
            "client_credentials" => self.client_credentials(client, params),
            _ => Err(OAuthError::new(ErrorCode::UnsupportedGrantType, "no such grant type")),
        }
    }

    fn redeem_code(&self, client: &Client, params: &Params) -> Result<TokenResponse, OAuthError> {
        let text = params.require("code")?;
        let code = self.claim_code(text)?;
        let grant_id = code.grant_id.clone().unwrap_or_default();
        check_code(&code, client, params, self.now_ms())?;
        let now_ms = self.now_ms();
        let lifetime_ms = if code.offline { OFFLINE_LIFETIME_MS } else { SESSION_LIFETIME_MS };
        let session_bound = client.refresh == Refresh::WithSession;
        let mut scopes = code.request.scopes.clone();
        if !code.offline {
            scopes.remove("offline_access");
        }
        let token = new_token(now_ms)?;
        let grant = Grant {
            id: grant_id.clone(),
            client_id: client.id.to_owned(),
            subject: code.username.clone(),
            sid: code.sid.clone(),
            scopes,
            resource: code.request.resource.to_owned(),
            acr: code.acr.to_owned(),
            auth_time_ms: code.auth_time_ms,
            offline: code.offline,
            expires_ms: now_ms.saturating_add(lifetime_ms),
            refresh: None,
            live: vec![token.clone()],
        };
        let refresh_token = self.grants.add(grant.clone(), code.offline || session_bound)?;
        // Looked at after the grant is kept: whoever ended any of this meanwhile either found the grant or is found here.
        let replayed = self.codes.get(text, now_ms).is_none_or(|code| code.replayed);
        let session_ended = !code.offline && self.ended_sids.get(&code.sid, now_ms).is_some();
        if replayed || session_ended || !self.still_consents(client, &grant)? {
            self.end_grant(&grant_id)?;
            return Err(INVALID_CODE);
        }
        Ok(self.issue(&grant, &grant.scopes, token, refresh_token, code.request.nonce)?)
    }

    /// Marks the code as used. Used before: whatever it gave ends, for somebody else has it (RFC 6749, 4.1.2).
    fn claim_code(&self, text: &str) -> Result<IssuedCode, OAuthError> {
        let new_grant_id = random_id()?;
        let claimed = self.codes.update(text, self.now_ms(), |code| match &code.grant_id {
            Some(grant_id) => {
                code.replayed = true;
                Err(grant_id.clone())
            }
            None => {
                code.grant_id = Some(new_grant_id);
                Ok(code.clone())
            }
        });
        match claimed.ok_or(INVALID_CODE)? {
            Ok(code) => Ok(code),
            Err(grant_id) => {
                tracing::warn!("an authorization code was used twice");
                self.end_grant(&grant_id)?;
                Err(INVALID_CODE)
            }
        }
    }

    fn refresh(&self, client: &Client, params: &Params) -> Result<TokenResponse, OAuthError> {
        let refresh_token = params.require("refresh_token")?;
        let token = new_token(self.now_ms())?;
        let mut scopes = BTreeSet::new();
        let renewal = self.grants.renew(refresh_token, client.id, token.clone(), self.now_ms(), |grant| {
            if !self.still_consents(client, grant)? {
                return Err(OAuthError::new(ErrorCode::InvalidGrant, "consent was taken back"));
            }
            check_resource(params, &grant.resource)?;
            scopes = narrowed(&grant.scopes, params.get("scope"))?;
            Ok(())
        })?;
        match renewal {
            Renewal::Renewed { grant, refresh_token, displaced } => {
                self.revocations.revoke(displaced)?;
                Ok(self.issue(&grant, &scopes, token, Some(refresh_token), None)?)
            }
            Renewal::Reused(grant) => {
                tracing::warn!("a refresh token was used twice");
                self.revoke_tokens_of(grant)?;
                Err(OAuthError::new(ErrorCode::InvalidGrant, "the refresh token is not valid"))
            }
        }
    }

    fn client_credentials(&self, client: &Client, params: &Params) -> Result<TokenResponse, OAuthError> {
        if !client.client_credentials {
            return Err(OAuthError::new(ErrorCode::UnauthorizedClient, "not for this client"));
        }
        let resource = resource(params.get("resource"))?;
        let for_people = |scope: &str| matches!(scope, "openid" | "profile" | "offline_access");
        let scopes = client
            .scopes_for(resource, params.get("scope").unwrap_or("accounts:read"))
            .filter(|scopes| !scopes.iter().any(|scope| for_people(scope)))
            .ok_or(OAuthError::new(ErrorCode::InvalidScope, "a scope is not for this client"))?;
        let now_ms = self.now_ms();
        let token = new_token(now_ms)?;
        Ok(self.issue_to_client(client, resource, &scopes, token)?)
    }

    /// Ends a grant and its access tokens.
    pub(super) fn end_grant(&self, grant_id: &str) -> Result<(), IdpError> {
        match self.grants.end(grant_id)? {
            Some(grant) => self.revoke_tokens_of(grant),
            None => Ok(()),
        }
    }

    fn still_consents(&self, client: &Client, grant: &Grant) -> Result<bool, IdpError> {
        let mut scopes = grant.scopes.clone();
        scopes.remove("offline_access");
        Ok(!client.third_party
            || self.consents.covers(&grant.subject, client.id, &grant.resource, &scopes)?)
    }
}

const INVALID_CODE: OAuthError = OAuthError::new(ErrorCode::InvalidGrant, "the code is not valid");

fn check_code(code: &IssuedCode, client: &Client, params: &Params, now_ms: i64) -> Result<(), OAuthError> {
    let request = &code.request;
    let verifier = params.require("code_verifier")?;
    let verifier_fits =
        (43..=128).contains(&verifier.len()) && same(&digest_base64url(verifier), &request.code_challenge);
    let fits = request.client_id == client.id
        && params.get("redirect_uri") == Some(request.redirect_uri.as_str())
        && code.expires_ms > now_ms
        && verifier_fits;
    if !fits {
        return Err(INVALID_CODE);
    }
    check_resource(params, request.resource)
}

fn check_resource(params: &Params, granted: &str) -> Result<(), OAuthError> {
    match params.get("resource") {
        Some(asked) if asked != granted => {
            Err(OAuthError::new(ErrorCode::InvalidTarget, "the grant is for another resource"))
        }
        _ => Ok(()),
    }
}

/// The scopes asked for at a refresh, all of which must have been granted.
fn narrowed(granted: &BTreeSet<String>, asked: Option<&str>) -> Result<BTreeSet<String>, OAuthError> {
    let Some(text) = asked else {
        return Ok(granted.clone());
    };
    let scopes: BTreeSet<String> =
        text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    if !scopes.is_empty() && scopes.is_subset(granted) {
        Ok(scopes)
    } else {
        Err(OAuthError::new(ErrorCode::InvalidScope, "a scope was not granted"))
    }
}

fn new_token(now_ms: i64) -> Result<LiveToken, IdpError> {
    Ok(LiveToken { jti: random_id()?, expires_ms: now_ms.saturating_add(TOKEN_LIFETIME_MS) })
}
