//! One table from everything that can go wrong to the answer that says so.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::banking::BankError;
use crate::caller::Unidentified;
use crate::people::RegisterError;

const BUSY: &str = "bank.busy";

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Nobody, or nobody provable, asks.
    #[error(transparent)]
    Unidentified(#[from] Unidentified),
    /// The caller's token does not reach so far; names the scope that would.
    #[error("this needs the scope {0}")]
    Scope(&'static str),
    /// No such resource, or not the caller's.
    #[error("there is no such resource")]
    NotFound,
    /// The resource exists, the method does not.
    #[error("this resource does not take this method")]
    MethodNotAllowed,
    /// The body is not `application/json`.
    #[error("the body must be application/json")]
    MediaType,
    /// The body is larger than the bound.
    #[error("the body is larger than 64 KiB")]
    TooLarge,
    /// The request cannot be read; what is wrong with it.
    #[error("{0}")]
    Malformed(String),
    /// A field that the request does not have.
    #[error("{0}")]
    UnknownField(String),
    /// An Idempotency-Key that is none, or more than one.
    #[error("an Idempotency-Key is sent once and has 1 to 128 visible ASCII characters")]
    IdempotencyKey,
    /// The bank's answer.
    #[error(transparent)]
    Bank(#[from] BankError),
    /// The directory's answer.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// As much as can be done at once is being done.
    #[error("too much at once; try again in a moment")]
    Busy,
    /// Something broke that the client can do nothing about; the text is for the log.
    #[error("{0}")]
    Internal(String),
}

impl Problem {
    fn status_and_reason(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unidentified(Unidentified::Missing) => (StatusCode::UNAUTHORIZED, "identity.missing"),
            Self::Unidentified(Unidentified::Rejected(_)) => (StatusCode::UNAUTHORIZED, "identity.rejected"),
            Self::Unidentified(Unidentified::KeysUnavailable) => {
                (StatusCode::SERVICE_UNAVAILABLE, "identity.keys_unavailable")
            }
            Self::Scope(_) => (StatusCode::FORBIDDEN, "scope.insufficient"),
            Self::NotFound | Self::Bank(BankError::NotFound) => (StatusCode::NOT_FOUND, "request.not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "request.method"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "request.media_type"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request.too_large"),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "request.malformed"),
            Self::UnknownField(_) => (StatusCode::BAD_REQUEST, "request.unknown_field"),
            Self::IdempotencyKey => (StatusCode::BAD_REQUEST, "idempotency.key_malformed"),
            Self::Bank(BankError::Refused(refusal)) if refusal.is_conflict() => {
                (StatusCode::CONFLICT, refusal.code())
            }
            Self::Bank(BankError::Refused(refusal)) => (StatusCode::UNPROCESSABLE_ENTITY, refusal.code()),
            Self::Bank(BankError::Id(_)) => (StatusCode::BAD_REQUEST, "request.id_malformed"),
            Self::Bank(BankError::NotOffered(_)) => (StatusCode::UNPROCESSABLE_ENTITY, "bank.not_offered"),
            Self::Bank(BankError::Unavailable) => (StatusCode::SERVICE_UNAVAILABLE, "bank.unavailable"),
            Self::Register(RegisterError::Taken) => (StatusCode::CONFLICT, "register.username_taken"),
            Self::Register(RegisterError::Username(_)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "register.username")
            }
            Self::Register(RegisterError::Password) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "register.password")
            }
            Self::Register(RegisterError::FullName) => (StatusCode::UNPROCESSABLE_ENTITY, "register.name"),
            Self::Busy | Self::Register(RegisterError::Busy(_)) => (StatusCode::SERVICE_UNAVAILABLE, BUSY),
            Self::Bank(BankError::Store(_))
            | Self::Register(RegisterError::Directory(_))
            | Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "bank.internal"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, reason) = self.status_and_reason();
        // What failed inside, and why an identity was not believed, stays in the log.
        let detail = match &self {
            Self::Unidentified(Unidentified::Rejected(_)) => "the identity does not hold".to_owned(),
            _ if status == StatusCode::INTERNAL_SERVER_ERROR => "something went wrong at the bank".to_owned(),
            told => told.to_string(),
        };
        // A crowd that is told to come again is no fault of the bank's, and must not be able to fill its log.
        if status.is_server_error() && reason != BUSY {
            tracing::error!(reason, error = %self, "request failed");
        } else {
            tracing::debug!(reason, error = %self, "request refused");
        }
        let mut body = json!({
            "type": format!("urn:gatehouse:problem:{reason}"),
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "reason": reason,
            "detail": detail,
        });
        if let (Self::Scope(scope), Some(members)) = (&self, body.as_object_mut()) {
            members.insert("scope".to_owned(), json!(scope));
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            // The identity is the gateway's affair; a client that came past it has no credentials to present here.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Gatehouse-Identity"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
