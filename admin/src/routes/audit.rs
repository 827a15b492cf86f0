//! `/api/v1/audit`: proofs over the decision log.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::answer;
use crate::refusal::{Problem, Refusal};
use crate::state::Shared;
use crate::views::{Checkpoint, Verification};

/// The log's size and head: what an outside witness writes down.
#[utoipa::path(get, path = "/api/v1/audit/checkpoint", tag = "audit", responses(
    (status = 200, description = "The checkpoint", body = Checkpoint),
))]
pub(crate) async fn checkpoint(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    answer::json(&headers, &app.ports.proof.checkpoint().await?)
}

/// Walks the whole log. One at a time.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "audit", responses(
    (status = 200, description = "What was found", body = Verification),
    (status = 503, description = "Another verification is under way", body = Problem),
))]
pub(crate) async fn verify(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    let _only = app.verifications.try_acquire().map_err(|_| Refusal::Busy("a verification is under way"))?;
    answer::json(&headers, &app.ports.proof.verify().await?)
}
