//! `/api/v1/figures`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::answer;
use crate::refusal::Refusal;
use crate::state::Shared;
use crate::views::LiveFigures;

/// Figures of the last five minutes.
#[utoipa::path(get, path = "/api/v1/figures", tag = "live", responses(
    (status = 200, description = "Live figures", body = LiveFigures),
))]
pub(crate) async fn live(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    answer::json(&headers, &app.ports.figures.live().await?)
}
