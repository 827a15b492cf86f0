//! Every refusal of the admin API, and the one table that turns it into a response (RFC 9457).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Role;
use crate::ports::{AuthenticationError, PortError};

/// Why a call was not served. Texts marked as such go to the log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Neither bearer token nor console session.
    NoCredential,
    /// Several `Authorization` headers, or one that is no bearer token.
    BadCredential,
    /// The token was judged and refused.
    Token(AuthenticationError),
    /// The console session is unknown, idle too long or over.
    SessionEnded,
    /// The caller lacks the role.
    Role(Role),
    /// A browser sent a console session from somewhere else.
    CrossSite,
    /// A write in a console session without its anti-forgery token.
    CsrfToken,
    /// Unknown, repeated or malformed query parameter; the sentence is for the caller.
    Query(String),
    /// The body is not what the route takes; the sentence is for the caller.
    Body(String),
    /// The body is over so many bytes.
    BodyTooLarge(usize),
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The body is not declared as JSON.
    NotJson,
    /// The body is declared as neither of what is named.
    MediaType(&'static str),
    /// No such path or thing.
    NotFound,
    /// The path knows other methods.
    Method,
    /// An edit without `If-Match`.
    PreconditionMissing,
    /// What was to be edited changed since.
    PreconditionFailed,
    /// It changed meanwhile or is settled.
    Conflict,
    /// Understood, and makes no sense here; the sentence is for the caller.
    Unprocessable(String),
    /// The call could not be put on record, so it was not carried out.
    AuditDown,
    /// Nobody approves what they proposed themselves.
    OwnProposal,
    /// Something behind the API is out of reach; the text goes to the log alone.
    Unavailable(String),
    /// Too many at once of what is named.
    Busy(&'static str),
    /// A defect; the text goes to the log alone.
    Internal(&'static str),
}

/// What a refusal looks like from outside.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:gatehouse:problem:` and the reason.
    pub r#type: String,
    /// The kind of refusal, in words.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub reason: &'static str,
    /// More about this very refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Put beside a refusal's response for the audit trail.
#[derive(Clone, Copy, Debug)]
pub struct ReasonCode(pub &'static str);

impl Refusal {
    /// Status, stable code and title: the table.
    fn row(&self) -> (StatusCode, &'static str, &'static str) {
        use AuthenticationError as Auth;
        match self {
            Self::NoCredential => (StatusCode::UNAUTHORIZED, "auth.missing", "Sign in first"),
            Self::BadCredential => {
                (StatusCode::BAD_REQUEST, "auth.malformed", "One bearer token, in one Authorization header")
            }
            Self::Token(Auth::Invalid(_)) => {
                (StatusCode::UNAUTHORIZED, "auth.invalid", "This token is not accepted")
            }
            Self::Token(Auth::Expired) => {
                (StatusCode::UNAUTHORIZED, "auth.expired", "This token has expired")
            }
            Self::Token(Auth::Revoked) => {
                (StatusCode::UNAUTHORIZED, "auth.revoked", "This token was revoked")
            }
            Self::Token(Auth::Scope) => {
                (StatusCode::FORBIDDEN, "auth.scope", "This token is not meant for the admin API")
            }
            Self::Token(Auth::Unavailable(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "auth.unavailable", "Tokens cannot be verified now")
            }
            Self::SessionEnded => {
                (StatusCode::UNAUTHORIZED, "auth.session_ended", "This console session is over")
            }
            Self::Role(_) => (StatusCode::FORBIDDEN, "auth.role", "Your roles do not allow this"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "csrf.origin", "The request came from another site"),
            Self::CsrfToken => {
                (StatusCode::FORBIDDEN, "csrf.token", "The anti-forgery token is missing or wrong")
            }
            Self::Query(_) => (StatusCode::BAD_REQUEST, "request.query", "The query is not understood"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "request.body", "The body is not understood"),
            Self::BodyTooLarge(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "request.too_large", "The body is too large")
            }
            Self::BodyTooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "request.too_slow", "The body came too slowly")
            }
            Self::NotJson => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "request.not_json", "The body must be application/json")
            }
            Self::MediaType(_) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "request.media_type",
                "The body is of another media type",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is no such thing here"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method", "This path knows other methods"),
            Self::PreconditionMissing => (
                StatusCode::PRECONDITION_REQUIRED,
                "precondition.missing",
                "Send If-Match with the ETag you saw",
            ),
            Self::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, "precondition.failed", "It changed since you looked")
            }
            Self::Conflict => {
                (StatusCode::CONFLICT, "conflict", "It is settled already or changed meanwhile")
            }
            Self::Unprocessable(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "This cannot be done")
            }
            Self::OwnProposal => {
                (StatusCode::FORBIDDEN, "approval.own", "Somebody else has to approve what you proposed")
            }
            Self::AuditDown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "audit.unavailable",
                "The call could not be put on record, so it was not carried out",
            ),
            Self::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store.unavailable", "Out of reach now")
            }
            Self::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many at once"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here"),
        }
    }

    /// The stable code.
    pub fn reason(&self) -> &'static str {
        self.row().1
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Role(role) => Some(format!("needs role {}", role.name())),
            Self::Query(text) | Self::Body(text) | Self::Unprocessable(text) => Some(text.clone()),
            Self::Busy(what) => Some((*what).to_owned()),
            Self::BodyTooLarge(bytes_max) => Some(format!("at most {} KiB", bytes_max / 1024)),
            Self::MediaType(wanted) => Some(format!("send {wanted}")),
            _ => None,
        }
    }

    /// `WWW-Authenticate` (RFC 6750, section 3).
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::NoCredential | Self::SessionEnded => Some(r#"Bearer realm="gatehouse-admin""#),
            Self::BadCredential => Some(r#"Bearer realm="gatehouse-admin", error="invalid_request""#),
            Self::Token(AuthenticationError::Scope) => {
                Some(r#"Bearer realm="gatehouse-admin", error="insufficient_scope", scope="admin""#)
            }
            Self::Token(AuthenticationError::Unavailable(_)) => None,
            Self::Token(_) => Some(r#"Bearer realm="gatehouse-admin", error="invalid_token""#),
            _ => None,
        }
    }

    fn log(&self) {
        match self {
            Self::Token(AuthenticationError::Invalid(text)) => {
                tracing::info!(reason = self.reason(), text, "admin token refused");
            }
            Self::Token(AuthenticationError::Unavailable(text)) | Self::Unavailable(text) => {
                tracing::warn!(reason = self.reason(), text, "admin call not served");
            }
            Self::Internal(text) => tracing::error!(text, "defect in the admin API"),
            Self::AuditDown => tracing::error!("admin write refused: the audit trail cannot be written"),
            _ => {}
        }
    }
}

impl From<PortError> for Refusal {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Unavailable(text) => Self::Unavailable(text),
            PortError::NotFound => Self::NotFound,
            PortError::Conflict => Self::Conflict,
            PortError::Refused(text) => Self::Unprocessable(text),
        }
    }
}

impl From<policies::ports::StoreError> for Refusal {
    fn from(error: policies::ports::StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.log();
        let (status, reason, title) = self.row();
        let problem = Problem {
            r#type: format!("urn:gatehouse:problem:{reason}"),
            title,
            status: status.as_u16(),
            reason,
            detail: self.detail(),
        };
        let mut response = (status, axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
        set(header::CONTENT_TYPE, "application/problem+json");
        if let Some(challenge) = self.challenge() {
            set(header::WWW_AUTHENTICATE, challenge);
        }
        if matches!(self, Self::Busy(_) | Self::Unavailable(_) | Self::AuditDown) {
            set(header::RETRY_AFTER, "2");
        }
        response.extensions_mut().insert(ReasonCode(reason));
        response
    }
}
