//! JSON answers with validators.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::refusal::Refusal;

/// Answers `value`, with an ETag over its bytes; 304 when the caller has them.
pub fn json<T: Serialize>(headers: &HeaderMap, value: &T) -> Result<Response, Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|_| Refusal::Internal("answer does not serialise"))?;
    let tag = format!("\"{}\"", hex(&Sha256::digest(&bytes), 16));
    Ok(tagged(headers, bytes, &tag))
}

/// Answers `value` under an ETag that the caller of this function answers for.
pub fn json_tagged<T: Serialize>(headers: &HeaderMap, value: &T, tag: &str) -> Result<Response, Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|_| Refusal::Internal("answer does not serialise"))?;
    Ok(tagged(headers, bytes, tag))
}

fn tagged(headers: &HeaderMap, bytes: Vec<u8>, tag: &str) -> Response {
    let matches = listed(headers, &header::IF_NONE_MATCH, tag);
    let mut response = if matches {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], Body::from(bytes)).into_response()
    };
    if let Ok(value) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// Whether `tag` stands in a list of entity tags. Weak comparison for reading; our tags for editing are never weak.
fn listed(headers: &HeaderMap, name: &header::HeaderName, tag: &str) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
    })
}

/// The one entity tag of `If-Match`; an edit without it is refused, `*` and weak tags too: an editor must have looked.
pub fn if_match(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value
            .to_str()
            .ok()
            .map(str::trim)
            .filter(|tag| tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"') && !tag.contains(','))
            .ok_or(Refusal::PreconditionFailed),
        (None, _) => Err(Refusal::PreconditionMissing),
        _ => Err(Refusal::PreconditionFailed),
    }
}

/// The first `len` bytes in lower-case hex.
pub fn hex(bytes: &[u8], len: usize) -> String {
    use std::fmt::Write as _;
    bytes.iter().take(len).fold(String::with_capacity(len * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
