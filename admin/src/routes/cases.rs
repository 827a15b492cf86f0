//! `/api/v1/cases`: the review queue.
#![allow(unused_qualifications, reason = "utoipa's params(…) writes them")]

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::answer;
use crate::extract::{JsonBody, PathName, QueryOf, filter, note, page_limit};
use crate::gate::Permit;
use crate::ports::PortError;
use crate::refusal::{Problem, Refusal};
use crate::state::Shared;
use crate::views::{Case, CasePage, CaseQuery, CaseStatus, Judgement, Ruling};

const NOTE_CHARS_MAX: usize = 1000;

/// Filters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CaseFilters {
    /// Only with this status.
    status: Option<CaseStatus>,
    /// A page's `next`.
    after: Option<String>,
    /// Page length, 1..=200; 50 when absent.
    limit: Option<usize>,
}

/// An analyst's verdict.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictOrder {
    /// `release` or `reject`.
    pub verdict: Ruling,
    /// What the transfer was, for the models to learn from. What is rejected is fraud unless this says otherwise; what is
    /// released is only known to be none where this says so.
    #[serde(default)]
    pub fraud: Option<bool>,
    /// For the record, at most 1000 characters.
    #[serde(default)]
    pub note: Option<String>,
}

/// Held transfers, newest first.
#[utoipa::path(get, path = "/api/v1/cases", tag = "cases", params(CaseFilters), responses(
    (status = 200, description = "A page", body = CasePage),
    (status = 400, description = "A filter is not understood", body = Problem),
))]
pub(crate) async fn list(
    State(app): Shared,
    QueryOf(filters): QueryOf<CaseFilters>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let query = CaseQuery {
        status: filters.status,
        after: filter("after", filters.after)?,
        limit: page_limit(filters.limit)?,
    };
    answer::json(&headers, &app.ports.cases.page(query).await?)
}

/// One case; its ETag is what a verdict must match.
#[utoipa::path(get, path = "/api/v1/cases/{id}", tag = "cases",
    params(("id" = String, Path, description = "Case id")),
    responses(
        (status = 200, description = "The case", body = Case),
        (status = 404, description = "No such case", body = Problem),
    ))]
pub(crate) async fn one(
    State(app): Shared,
    PathName(id): PathName,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let case = app.ports.cases.get(&id).await?.ok_or(Refusal::NotFound)?;
    answer::json_tagged(&headers, &case, &tag(case.revision))
}

/// Releases or rejects an open case.
#[utoipa::path(post, path = "/api/v1/cases/{id}/verdict", tag = "cases", request_body = VerdictOrder,
    params(
        ("id" = String, Path, description = "Case id"),
        ("If-Match" = String, Header, description = "ETag of the case as the analyst saw it"),
    ),
    responses(
        (status = 200, description = "The case as it is now", body = Case),
        (status = 404, description = "No such case", body = Problem),
        (status = 409, description = "The case is no longer open", body = Problem),
        (status = 412, description = "The case changed since", body = Problem),
        (status = 422, description = "Released, and said to be fraud", body = Problem),
        (status = 428, description = "If-Match is missing", body = Problem),
    ))]
pub(crate) async fn judge(
    State(app): Shared,
    permit: Permit,
    PathName(id): PathName,
    headers: HeaderMap,
    JsonBody(order): JsonBody<VerdictOrder>,
) -> Result<Response, Refusal> {
    let seen = answer::if_match(&headers)?;
    let note = note(order.note, NOTE_CHARS_MAX)?;
    let case = app.ports.cases.get(&id).await?.ok_or(Refusal::NotFound)?;
    if seen != tag(case.revision) {
        return Err(Refusal::PreconditionFailed);
    }
    if case.status != CaseStatus::Open {
        return Err(Refusal::Conflict);
    }
    let fraud = match (order.verdict, order.fraud) {
        (Ruling::Release, Some(true)) => {
            return Err(Refusal::Unprocessable("what is fraud is not released".to_owned()));
        }
        (Ruling::Release, said) => said,
        (Ruling::Reject, said) => Some(said.unwrap_or(true)),
    };
    permit.intend(serde_json::json!({ "case": id, "verdict": order.verdict, "fraud": fraud })).await?;
    let judgement = Judgement {
        ruling: order.verdict,
        fraud,
        note,
        by: permit.operator().subject.clone(),
        at_ms: app.now_ms(),
        revision: case.revision,
    };
    let judged = app.ports.cases.judge(&id, judgement).await.map_err(|error| match error {
        PortError::Conflict => Refusal::PreconditionFailed,
        other => other.into(),
    })?;
    answer::json_tagged(&HeaderMap::new(), &judged, &tag(judged.revision))
}

fn tag(revision: u64) -> String {
    format!("\"r{revision}\"")
}
