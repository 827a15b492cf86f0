//! What handlers take from a request, bounded and strict.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// No body of the admin API needs more.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// A table of labels: some 50,000 rows.
pub const TABLE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A query holds a few filters and a cursor.
pub const QUERY_BYTES_MAX: usize = 2 * 1024;
/// Ids, versions and handles in paths.
const NAME_BYTES_MAX: usize = 128;
/// How long a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest page.
pub const PAGE_MAX: usize = 200;
const PAGE_DEFAULT: usize = 50;

/// A JSON body of exactly the declared shape.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        if !is_json(request.headers()) {
            return Err(Refusal::NotJson);
        }
        let bytes = body(request, BODY_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Refusal::Body(error.to_string()))
    }
}

/// A body of at most `bytes_max`, which arrives in time.
async fn body(request: Request, bytes_max: usize) -> Result<axum::body::Bytes, Refusal> {
    let read = to_bytes(request.into_body(), bytes_max);
    let read = tokio::time::timeout(BODY_TIME_MAX, read).await.map_err(|_| Refusal::BodyTooSlow)?;
    read.map_err(|_| Refusal::BodyTooLarge(bytes_max))
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).eq_ignore_ascii_case("application/json")
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// A table of rows as JSON or CSV, unread.
#[derive(Debug)]
pub enum TableBody {
    /// `application/json`.
    Json(axum::body::Bytes),
    /// `text/csv`.
    Csv(axum::body::Bytes),
}

impl TableBody {
    /// As it was sent.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Json(bytes) | Self::Csv(bytes) => bytes,
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for TableBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let csv = media_type(request.headers()).eq_ignore_ascii_case("text/csv");
        if !csv && !is_json(request.headers()) {
            return Err(Refusal::MediaType("application/json or text/csv"));
        }
        let bytes = body(request, TABLE_BYTES_MAX).await?;
        Ok(if csv { Self::Csv(bytes) } else { Self::Json(bytes) })
    }
}

/// Query parameters of exactly the declared shape; a repeated one is refused.
#[derive(Debug)]
pub struct QueryOf<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(value)| Self(value)).map_err(|error| Refusal::Query(error.body_text()))
    }
}

/// The one name in a path. Anything that no id of ours looks like is simply not found.
#[derive(Debug)]
pub struct PathName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(name) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| Refusal::NotFound)?;
        if is_name(&name) { Ok(Self(name)) } else { Err(Refusal::NotFound) }
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(fits)
}

/// A page's length: `limit`, or 50.
pub fn page_limit(limit: Option<usize>) -> Result<usize, Refusal> {
    match limit.unwrap_or(PAGE_DEFAULT) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        _ => Err(Refusal::Query(format!("limit must be 1 to {PAGE_MAX}"))),
    }
}

/// A filter or cursor, bounded.
pub fn filter(name: &str, value: Option<String>) -> Result<Option<String>, Refusal> {
    match value {
        Some(text) if !is_name(&text) => Err(Refusal::Query(format!("{name} has an unexpected form"))),
        other => Ok(other),
    }
}

/// Text that a person typed: bounded in characters, without control characters other than line breaks.
pub fn note(text: Option<String>, chars_max: usize) -> Result<Option<String>, Refusal> {
    let Some(text) = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.chars().count() > chars_max {
        return Err(Refusal::Body(format!("note is over {chars_max} characters")));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Refusal::Body("note holds control characters".to_owned()));
    }
    Ok(Some(text))
}
