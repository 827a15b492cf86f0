//! The REST API: JSON in and out, amounts in whole minor units, every refusal as RFC 9457 problem+json with a stable
//! `reason`.
//!
//! | route | scope |
//! |---|---|
//! | `GET /api/accounts`, `/api/accounts/{id}`, `/api/accounts/{id}/entries`, `/api/transfers/{id}`, `/api/loans`, `/api/credit-score`, `/api/advice`, `/api/stream`, `/api/ws` | `accounts:read` |
//! | `POST /api/accounts`, `/api/accounts/{id}/deposits`, `/api/accounts/{id}/withdrawals`, `/api/loans`, `/api/loans/{id}/repayments` | `accounts:write` |
//! | `POST /api/transfers` | `payments:write` |
//! | `POST /api/register`, `GET /healthz` | none |

mod accounts;
mod amount;
mod body;
mod loans;
mod permitted;
mod problem;
mod register;
mod stream;
mod streams;
mod transfers;
mod websocket;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use tokio::sync::watch;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::Clock;
use crate::banking::Bank;
use crate::caller::CallerVerifier;
use crate::people::Directory;
pub use problem::Problem;
use streams::Streams;

/// Longest request body, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What the API works with. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    bank: Arc<Bank>,
    people: Directory,
    callers: CallerVerifier,
    clock: Clock,
    streams: Streams,
}

impl ApiState {
    /// Puts the API together; its streams end when `closing` turns true.
    #[must_use]
    pub fn new(
        bank: Arc<Bank>,
        people: Directory,
        callers: CallerVerifier,
        clock: Clock,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self { bank, people, callers, clock, streams: Streams::new(closing) }
    }

    fn now_ms(&self) -> i64 {
        (self.clock)()
    }
}

/// All routes of the API.
pub fn router(state: ApiState) -> Router {
    let api = Router::new()
        .route("/accounts", get(accounts::list).post(accounts::open))
        .route("/accounts/{id}", get(accounts::show))
        .route("/accounts/{id}/entries", get(accounts::entries))
        .route("/accounts/{id}/deposits", post(transfers::deposit))
        .route("/accounts/{id}/withdrawals", post(transfers::withdraw))
        .route("/transfers", post(transfers::create))
        .route("/transfers/{id}", get(transfers::show))
        .route("/loans", get(loans::list).post(loans::apply))
        .route("/loans/{id}/repayments", post(loans::repay))
        .route("/credit-score", get(loans::credit_score))
        .route("/advice", get(loans::advice))
        .route("/register", post(register::register))
        .route("/stream", get(stream::events))
        .route("/ws", get(websocket::upgrade))
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        // Balances are nobody else's business, whatever caches stand between.
        .layer(SetResponseHeaderLayer::overriding(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .with_state(state.clone());
    Router::new().nest("/api", api).route("/healthz", get(health)).with_state(state)
}

async fn health(State(state): State<ApiState>) -> Response {
    if state.bank.is_available() {
        Json(json!({"status": "ok"})).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "ledger stopped"}))).into_response()
    }
}

#[cfg(test)]
mod tests;
