//! What is in force: policies, limits, configuration.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer;
use crate::extract::PathName;
use crate::refusal::{Problem, Refusal};
use crate::state::Shared;
use crate::views::{Limit, PolicyDocument, PolicySummary};

/// Versions of the policy document.
#[derive(Debug, Serialize, ToSchema)]
pub struct PolicyList {
    /// Newest first.
    pub policies: Vec<PolicySummary>,
}

/// Limits in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitList {
    /// As configured, with what they hold.
    pub limits: Vec<Limit>,
}

/// Versions of the policy document.
#[utoipa::path(get, path = "/api/v1/policies", tag = "policies", responses(
    (status = 200, description = "Known versions", body = PolicyList),
))]
pub(crate) async fn policies(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    answer::json(&headers, &PolicyList { policies: app.ports.policies.list().await? })
}

/// One version of the policy document, with the hits of its rules.
#[utoipa::path(get, path = "/api/v1/policies/{version}", tag = "policies",
    params(("version" = String, Path, description = "Version")),
    responses(
        (status = 200, description = "The document", body = PolicyDocument),
        (status = 404, description = "No such version", body = Problem),
    ))]
pub(crate) async fn policy(
    State(app): Shared,
    PathName(version): PathName,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    answer::json(&headers, &app.ports.policies.get(&version).await?.ok_or(Refusal::NotFound)?)
}

/// Limits in force.
#[utoipa::path(get, path = "/api/v1/limits", tag = "operation", responses(
    (status = 200, description = "Limits in force", body = LimitList),
))]
pub(crate) async fn limits(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    answer::json(&headers, &LimitList { limits: app.ports.limits.list().await? })
}

/// The configuration in force, without its secrets.
#[utoipa::path(get, path = "/api/v1/config", tag = "operation", responses(
    (status = 200, description = "The configuration", body = Object),
))]
pub(crate) async fn config(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    answer::json(&headers, &app.ports.config.redacted().await?)
}
