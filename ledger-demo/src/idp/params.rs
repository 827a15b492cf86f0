//! Request parameters, `application/x-www-form-urlencoded`, bounded and never ambiguous.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use url::form_urlencoded;

use super::errors::{ErrorCode, OAuthError};

/// Longest query or form, in bytes.
pub(super) const PARAMS_BYTES_MAX: usize = 16 * 1024;
const PARAMS_MAX: usize = 40;

/// The parameters of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Params(Vec<(String, String)>);

/// A parameter came twice (RFC 6749, section 3.1: not allowed) or there were too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous;

impl From<Ambiguous> for OAuthError {
    fn from(_: Ambiguous) -> Self {
        Self::new(ErrorCode::InvalidRequest, "a parameter is repeated, or there are too many")
    }
}

impl Params {
    /// Reads a query or form. A parameter without a value counts as left out (RFC 6749, section 3.1).
    pub(super) fn parse(raw: &[u8]) -> Result<Self, Ambiguous> {
        if raw.len() > PARAMS_BYTES_MAX {
            return Err(Ambiguous);
        }
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(raw) {
            if params.len() >= PARAMS_MAX || params.iter().any(|(known, _)| *known == name) {
                return Err(Ambiguous);
            }
            params.push((name.into_owned(), value.into_owned()));
        }
        params.retain(|(_, value)| !value.is_empty());
        Ok(Self(params))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The parameter, or `invalid_request` naming nothing but that one is missing.
    pub(super) fn require(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or(OAuthError::new(ErrorCode::InvalidRequest, "a required parameter is missing"))
    }
}

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        use axum::response::IntoResponse;
        let form = request.headers().get(CONTENT_TYPE).is_some_and(|value| {
            let value = value.as_bytes();
            let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
            let media_type = value.get(..end).unwrap_or_default();
            media_type.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        if !form {
            let error = OAuthError::new(ErrorCode::InvalidRequest, "the body has to be a form");
            return Err(error.into_response());
        }
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        Self::parse(&body).map_err(|ambiguous| OAuthError::from(ambiguous).into_response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_once_or_not_at_all() {
        let params = Params::parse(b"a=1&b=%20x&c=").unwrap();
        assert_eq!((params.get("a"), params.get("b"), params.get("c")), (Some("1"), Some(" x"), None));
        for raw in ["a=1&a=2", "a=&a=2", "%61=1&a=1"] {
            assert_eq!(Params::parse(raw.as_bytes()).unwrap_err(), Ambiguous, "{raw}");
        }
        let many: Vec<String> = (0..=PARAMS_MAX).map(|number| format!("p{number}=1")).collect();
        assert!(Params::parse(many.join("&").as_bytes()).is_err());
        assert!(Params::parse(&vec![b'a'; PARAMS_BYTES_MAX + 1]).is_err());
    }
}
