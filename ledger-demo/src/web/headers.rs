//! The headers of every page: what browsers may load, send and remember.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};

use super::WebState;

/// An HTML page, or the plain answer 500 if its template failed.
pub fn html(status: StatusCode, rendered: askama::Result<String>) -> Response {
    match rendered {
        Ok(body) => (status, [(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], body)
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page could not be made.").into_response()
        }
    }
}

/// The content security policy. A form's redirects count as form actions in some browsers, so the places where logging in
/// and out leads to have to be allowed beside ourselves.
///
/// # Errors
/// When an origin has characters that no header may hold.
pub fn content_security_policy(
    login_origins: &[String],
) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let mut policy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                      frame-ancestors 'none'; form-action 'self'"
        .to_owned();
    for origin in login_origins {
        policy.push(' ');
        policy.push_str(origin);
    }
    HeaderValue::from_str(&policy)
}

/// Adds what every page has; what an answer says itself about its caching stays.
pub async fn protect(State(web): State<WebState>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let every: [(HeaderName, HeaderValue); 4] = [
        (CONTENT_SECURITY_POLICY, web.content_security_policy()),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        // Not no-referrer: with that, browsers send our own forms with `Origin: null`.
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    for (name, value) in every {
        headers.insert(name, value);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
