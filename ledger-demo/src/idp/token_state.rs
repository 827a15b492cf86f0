//! `/revoke` (RFC 7009) and `/introspect` (RFC 7662).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::Idp;
use super::client_auth;
use super::clients::{Authentication, Client};
use super::errors::{ErrorCode, IdpError, OAuthError};
use super::grants::LiveToken;
use super::params::Params;
use super::tokens::{ACCESS_TOKEN_TYPE, AccessClaims, scope_text};

const TOKEN_BYTES_MAX: usize = 8 * 1024;

pub(super) async fn revoke(State(idp): State<Arc<Idp>>, params: Params) -> Response {
    let provider = Arc::clone(&idp);
    let revoked = tokio::task::spawn_blocking(move || provider.revoke_token(&params)).await;
    idp.announced().await;
    match revoked.unwrap_or(Err(OAuthError::new(ErrorCode::ServerError, "the identity provider failed"))) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => error.into_response(),
    }
}

pub(super) async fn introspect(State(idp): State<Arc<Idp>>, params: Params) -> Response {
    match idp.introspect(&params) {
        Ok(state) => Json(state).into_response(),
        Err(error) => error.into_response(),
    }
}

impl Idp {
    fn revoke_token(&self, params: &Params) -> Result<(), OAuthError> {
        const ANOTHERS: OAuthError =
            OAuthError::new(ErrorCode::InvalidGrant, "the token is another client's");
        let client = client_auth::authenticate(self, params, &self.endpoint("/revoke"))?;
        let token = params.require("token")?;
        if let Some(grant) = self.grants.by_refresh_token(token, self.now_ms())? {
            return if grant.client_id == client.id { Ok(self.end_grant(&grant.id)?) } else { Err(ANOTHERS) };
        }
        let Some(claims) = self.verified_access_token(token)? else {
            // Unknown and dead tokens are no error (section 2.2).
            return Ok(());
        };
        if claims.client_id != client.id {
            return Err(ANOTHERS);
        }
        let expires_ms = claims.exp.saturating_mul(1000);
        Ok(self.revocations.revoke(vec![LiveToken { jti: claims.jti, expires_ms }])?)
    }

    fn introspect(&self, params: &Params) -> Result<Value, OAuthError> {
        let client = client_auth::authenticate(self, params, &self.endpoint("/introspect"))?;
        if matches!(client.authentication, Authentication::Public) {
            return Err(OAuthError::new(ErrorCode::InvalidClient, "client authentication is required"));
        }
        let token = params.require("token")?;
        let may_know = |client: &Client, owner: &str| client.introspects_all || client.id == owner;
        if let Some(grant) = self.grants.by_refresh_token(token, self.now_ms())? {
            return Ok(if may_know(client, &grant.client_id) {
                json!({
                    "active": true, "client_id": grant.client_id, "sub": grant.subject, "iss": self.issuer(),
                    "scope": scope_text(&grant.scopes), "exp": grant.expires_ms / 1000,
                })
            } else {
                inactive()
            });
        }
        match self.verified_access_token(token)? {
            Some(claims) if may_know(client, &claims.client_id) => {
                let mut state = serde_json::to_value(&claims).map_err(IdpError::from)?;
                if let Some(state) = state.as_object_mut() {
                    state.insert("active".to_owned(), Value::Bool(true));
                    state.insert("token_type".to_owned(), Value::from("Bearer"));
                }
                Ok(state)
            }
            _ => Ok(inactive()),
        }
    }

    /// The claims of an access token of ours that is neither expired nor revoked.
    pub(super) fn verified_access_token(&self, token: &str) -> Result<Option<AccessClaims>, IdpError> {
        let claims = self.verified::<AccessClaims>(token, ACCESS_TOKEN_TYPE);
        let alive = claims.filter(|claims| claims.exp.saturating_mul(1000) > self.now_ms());
        match alive {
            Some(claims) if !self.revocations.contains(&claims.jti)? => Ok(Some(claims)),
            _ => Ok(None),
        }
    }

    /// The claims of a JWT of this `typ` that we signed with a key still published; its times are not looked at.
    pub(super) fn verified<C: serde::de::DeserializeOwned>(&self, token: &str, typ: &str) -> Option<C> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.typ.as_deref() != Some(typ) {
            return None;
        }
        let key = self.keys.verifying(header.kid.as_deref()?, self.now_ms())?;
        Some(jsonwebtoken::decode(token, &key, &client_auth::signature_only()).ok()?.claims)
    }
}

fn inactive() -> Value {
    json!({ "active": false })
}
