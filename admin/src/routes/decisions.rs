//! `/api/v1/decisions`.
#![allow(unused_qualifications, reason = "utoipa's params(…) writes them")]

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use policies::ports::DecisionQuery;
use policies::{DecisionRecord, Name, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::answer;
use crate::explain::{Explanation, explain};
use crate::extract::{PathName, QueryOf, filter, page_limit};
use crate::refusal::{Problem, Refusal};
use crate::state::Shared;

/// One decision in a list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DecisionRow {
    /// Position in the decision log.
    pub position: u64,
    /// Its id, as in the `Gatehouse-Decision` header.
    pub id: String,
    /// When the request entered, Unix milliseconds.
    pub at_ms: i64,
    /// Application.
    #[schema(value_type = String)]
    pub app: Name,
    /// Route.
    #[schema(value_type = String)]
    pub route: Name,
    /// Method.
    #[schema(value_type = String)]
    pub method: Name,
    /// Capacity class, 0..=3.
    pub class: u8,
    /// Outcome.
    #[schema(value_type = String)]
    pub outcome: Outcome,
    /// Stage that settled it.
    #[schema(value_type = String)]
    pub stage: Name,
    /// Status sent; 0 when the client went away first.
    pub status: u16,
    /// From entry to the last byte, microseconds.
    pub duration_us: u64,
    /// Keyed hash of the caller; absent when nobody was signed in.
    pub subject: Option<String>,
    /// Code of the leading reason.
    #[schema(value_type = Option<String>)]
    pub reason: Option<Name>,
    /// The leading reason in a sentence.
    #[schema(value_type = Option<String>)]
    pub message: Option<Name>,
    /// Fraud probability, 0..=1.
    pub fraud: Option<f64>,
    /// Anomaly, 0..=1.
    pub anomaly: Option<f64>,
    /// Amount of the transfer asked for, minor units.
    pub amount_minor: Option<i64>,
    /// Its currency (ISO 4217).
    pub currency: Option<String>,
    /// Case opened or released.
    pub case: Option<String>,
}

impl DecisionRow {
    /// The row of a record.
    pub fn of(position: u64, record: &DecisionRecord) -> Self {
        let leading = record.reasons.first();
        Self {
            position,
            id: record.id.clone(),
            at_ms: record.at_ms,
            app: record.app.clone(),
            route: record.route.clone(),
            method: record.method.clone(),
            class: record.class,
            outcome: record.outcome,
            stage: record.stage.clone(),
            status: record.status,
            duration_us: record.duration_us,
            subject: record.identity.as_ref().map(|identity| identity.subject.0.clone()),
            reason: leading.map(|reason| reason.code.clone()),
            message: leading.map(|reason| reason.message.clone()),
            fraud: record.fraud.as_ref().and_then(|score| score.value),
            anomaly: record.anomaly.as_ref().and_then(|score| score.value),
            amount_minor: record.transfer.as_ref().map(|transfer| transfer.amount_minor),
            currency: record.transfer.as_ref().map(|transfer| transfer.currency.clone()),
            case: record.case.clone(),
        }
    }
}

/// A page of decisions.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionRows {
    /// Newest first.
    pub decisions: Vec<DecisionRow>,
    /// Ask for this `before` next; absent at the end.
    pub next: Option<u64>,
}

/// Everything about one decision.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionDetail {
    /// Position in the decision log.
    pub position: u64,
    /// The decision in sentences.
    pub explanation: Explanation,
    /// The record itself, complete: what the decision can be recomputed from.
    #[schema(value_type = Object)]
    pub record: DecisionRecord,
}

/// Filters of the list; all given ones hold together.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DecisionFilters {
    /// `allow`, `observe`, `throttle`, `step_up`, `hold` or `deny`.
    #[param(value_type = Option<String>)]
    outcome: Option<Outcome>,
    /// Route name.
    route: Option<String>,
    /// Reason code.
    reason: Option<String>,
    /// Older than this position: a page's `next`.
    before: Option<u64>,
    /// Page length, 1..=200; 50 when absent.
    limit: Option<usize>,
}

/// Decisions, newest first.
#[utoipa::path(get, path = "/api/v1/decisions", tag = "decisions", params(DecisionFilters), responses(
    (status = 200, description = "A page", body = DecisionRows),
    (status = 400, description = "A filter is not understood", body = Problem),
))]
pub(crate) async fn list(
    State(app): Shared,
    QueryOf(filters): QueryOf<DecisionFilters>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let query = DecisionQuery {
        outcome: filters.outcome,
        route: filter("route", filters.route)?,
        reason: filter("reason", filters.reason)?,
        before: filters.before,
        limit: page_limit(filters.limit)?,
    };
    let page = app.ports.decisions.page(query).await?;
    let decisions =
        page.decisions.iter().map(|(position, record)| DecisionRow::of(*position, record)).collect();
    answer::json(&headers, &DecisionRows { decisions, next: page.next })
}

/// One decision, explained.
#[utoipa::path(get, path = "/api/v1/decisions/{id}", tag = "decisions",
    params(("id" = String, Path, description = "Decision id")),
    responses(
        (status = 200, description = "The decision", body = DecisionDetail),
        (status = 404, description = "No such decision", body = Problem),
    ))]
pub(crate) async fn one(
    State(app): Shared,
    PathName(id): PathName,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (position, record) = app.ports.decisions.get(&id).await?.ok_or(Refusal::NotFound)?;
    answer::json(&headers, &DecisionDetail { position, explanation: explain(&record), record })
}
