//! What the provider says of itself (OpenID Connect Discovery, RFC 8414) and its public keys (RFC 7517).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, HeaderValue};
use serde_json::json;

use super::Idp;
use super::clients::SCOPES;
use super::request::{ACR_STEP_UP, ACR_TWO_FACTORS};

/// Shorter than a new key is published before it signs.
const CACHING: HeaderValue = HeaderValue::from_static("public, max-age=300");

pub(super) async fn metadata(State(idp): State<Arc<Idp>>) -> Response {
    let document = json!({
        "issuer": idp.issuer(),
        "authorization_endpoint": idp.endpoint("/authorize"),
        "token_endpoint": idp.endpoint("/token"),
        "userinfo_endpoint": idp.endpoint("/userinfo"),
        "jwks_uri": idp.endpoint("/jwks.json"),
        "revocation_endpoint": idp.endpoint("/revoke"),
        "introspection_endpoint": idp.endpoint("/introspect"),
        "pushed_authorization_request_endpoint": idp.endpoint("/par"),
        "end_session_endpoint": idp.endpoint("/logout"),
        "scopes_supported": SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "acr_values_supported": [ACR_TWO_FACTORS, ACR_STEP_UP],
        "code_challenge_methods_supported": ["S256"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "revocation_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
        "revocation_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
        "introspection_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_supported": ["sub", "name", "preferred_username", "acr", "auth_time", "sid", "nonce"],
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "claims_parameter_supported": false,
    });
    ([(CACHE_CONTROL, CACHING)], Json(document)).into_response()
}

pub(super) async fn jwks(State(idp): State<Arc<Idp>>) -> Response {
    let keys = idp.keys.published(idp.now_ms());
    ([(CACHE_CONTROL, CACHING)], Json(json!({ "keys": keys }))).into_response()
}
