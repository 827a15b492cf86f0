//! `/userinfo` (OpenID Connect Core 5.3).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Idp;
use super::errors::{ErrorCode, OAuthError};

pub(super) async fn get(State(idp): State<Arc<Idp>>, headers: HeaderMap) -> Response {
    let Some(token) = bearer_token(&headers) else {
        let challenge = [(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    };
    match idp.userinfo(token) {
        Ok(claims) => Json(claims).into_response(),
        Err(error) => error.into_response(),
    }
}

impl Idp {
    fn userinfo(&self, token: &str) -> Result<Value, OAuthError> {
        const REFUSED: OAuthError = OAuthError::new(ErrorCode::InvalidToken, "the access token is not valid");
        let claims = self.verified_access_token(token)?.ok_or(REFUSED)?;
        let mut scopes = claims.scope.split(' ');
        if !scopes.clone().any(|scope| scope == "openid") {
            return Err(OAuthError::new(ErrorCode::InsufficientScope, "scope openid is required"));
        }
        let person = self.people.get(&claims.sub).ok_or(REFUSED)?;
        Ok(if scopes.any(|scope| scope == "profile") {
            json!({ "sub": person.username, "name": person.full_name, "preferred_username": person.username })
        } else {
            json!({ "sub": person.username })
        })
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then_some(token.trim())
}
