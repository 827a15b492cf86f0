//! `/openapi.json`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::answer;
use crate::refusal::Refusal;
use crate::state::Shared;

/// This API's OpenAPI document.
#[utoipa::path(get, path = "/openapi.json", tag = "console", responses(
    (status = 200, description = "The document", body = Object),
))]
pub(crate) async fn openapi(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    answer::json(&headers, &app.document)
}
