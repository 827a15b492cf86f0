//! The one table from what went wrong to what is answered (RFC 6749 sections 4.1.2.1 and 5.2, RFC 7009, 8707, 9126, 9470).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use serde_json::json;
use thiserror::Error;

/// The provider itself failed; nothing of it goes outside.
#[derive(Debug, Error)]
pub enum IdpError {
    /// The store could not be read or written.
    #[error("the identity provider's store failed")]
    Store(#[from] sled::Error),
    /// A stored record cannot be read.
    #[error("a record of the identity provider is damaged")]
    Damaged(#[from] serde_json::Error),
    /// No random numbers.
    #[error("the system gives no random numbers")]
    Randomness,
    /// A key could not be made, read or used.
    #[error("a signing key cannot be used")]
    Key,
    /// A client's public key in the configuration is not an EC P-256 JWK.
    #[error("the public key of client {0} is not an EC P-256 JWK")]
    ClientKey(&'static str),
    /// The issuer or the gateway's address is no http(s) address with a host.
    #[error("{0} is not an http or https address with a host")]
    Address(&'static str),
    /// The outgoing HTTP client could not be made.
    #[error("the HTTP client cannot be made")]
    Http(#[from] reqwest::Error),
    /// The listener failed.
    #[error("the identity provider's listener failed")]
    Listener(#[from] std::io::Error),
}

/// Registered error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorCode {
    AccessDenied,
    ConsentRequired,
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    InvalidRequestUri,
    InvalidScope,
    InvalidTarget,
    InvalidToken,
    InsufficientScope,
    LoginRequired,
    RequestNotSupported,
    ServerError,
    UnauthorizedClient,
    UnmetAuthenticationRequirements,
    UnsupportedGrantType,
    UnsupportedResponseType,
}

impl ErrorCode {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::ConsentRequired => "consent_required",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::LoginRequired => "login_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::ServerError => "server_error",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// An error for a client: a code and a fixed text, never anything that was sent or kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OAuthError {
    pub(super) code: ErrorCode,
    pub(super) description: &'static str,
}

impl OAuthError {
    pub(super) const fn new(code: ErrorCode, description: &'static str) -> Self {
        Self { code, description }
    }
}

impl From<IdpError> for OAuthError {
    fn from(error: IdpError) -> Self {
        tracing::error!(%error, "the identity provider failed");
        Self::new(ErrorCode::ServerError, "the identity provider failed")
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code.as_str(), "error_description": self.description });
        let mut response = (self.code.status(), Json(body)).into_response();
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let challenge = match self.code {
            ErrorCode::InvalidToken => Some("Bearer error=\"invalid_token\""),
            ErrorCode::InsufficientScope => Some("Bearer error=\"insufficient_scope\", scope=\"openid\""),
            _ => None,
        };
        if let Some(challenge) = challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
