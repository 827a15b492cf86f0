//! `/api/v1/sessions` and revocation.
#![allow(unused_qualifications, reason = "utoipa's params(…) writes them")]

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::answer;
use crate::extract::{JsonBody, QueryOf, filter, note, page_limit};
use crate::gate::Permit;
use crate::refusal::{Problem, Refusal};
use crate::state::Shared;
use crate::views::{RevocationInForce, RevocationKind, RevocationOrder, SessionPage, SessionQuery};

const VALUE_BYTES_MAX: usize = 256;
const NOTE_CHARS_MAX: usize = 500;

/// Paging of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SessionPaging {
    /// A page's `next`.
    after: Option<String>,
    /// Page length, 1..=200; 50 when absent.
    limit: Option<usize>,
}

/// Revocations in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevocationList {
    /// Newest first, at most 200.
    pub revocations: Vec<RevocationInForce>,
}

/// Customers' sessions, pseudonymised, most recently used first.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", params(SessionPaging), responses(
    (status = 200, description = "A page", body = SessionPage),
    (status = 400, description = "Paging is not understood", body = Problem),
))]
pub(crate) async fn list(
    State(app): Shared,
    QueryOf(paging): QueryOf<SessionPaging>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let query = SessionQuery { after: filter("after", paging.after)?, limit: page_limit(paging.limit)? };
    answer::json(&headers, &app.ports.sessions.page(query).await?)
}

/// Revocations in force.
#[utoipa::path(get, path = "/api/v1/sessions/revoke", tag = "sessions", responses(
    (status = 200, description = "Revocations in force", body = RevocationList),
))]
pub(crate) async fn revocations(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    answer::json(&headers, &RevocationList { revocations: app.ports.revocations.list().await? })
}

/// Revokes a token, an issuer's session, a subject or one browser session, at once.
#[utoipa::path(post, path = "/api/v1/sessions/revoke", tag = "sessions", request_body = RevocationOrder, responses(
    (status = 200, description = "The revocation, in force", body = RevocationInForce),
    (status = 404, description = "No session with that handle", body = Problem),
))]
pub(crate) async fn revoke(
    State(app): Shared,
    permit: Permit,
    JsonBody(order): JsonBody<RevocationOrder>,
) -> Result<Response, Refusal> {
    let order = checked(order)?;
    // A subject names a person and a jti or sid is a key to one, so the trail gets the kind alone; a handle is a hash.
    let handle = (order.kind == RevocationKind::Session).then_some(&order.value);
    permit.intend(serde_json::json!({ "kind": order.kind, "session": handle })).await?;
    let in_force = app.ports.revocations.revoke(order, &permit.operator().subject).await?;
    answer::json(&HeaderMap::new(), &in_force)
}

fn checked(order: RevocationOrder) -> Result<RevocationOrder, Refusal> {
    let fits = |text: &str| {
        (1..=VALUE_BYTES_MAX).contains(&text.len())
            && !text.chars().any(char::is_control)
            && text.trim() == text
    };
    if !fits(&order.value) || !order.issuer.as_deref().is_none_or(fits) {
        return Err(Refusal::Body(format!(
            "value and issuer must be 1 to {VALUE_BYTES_MAX} printable bytes"
        )));
    }
    if order.issuer.is_some() && order.kind != RevocationKind::Subject {
        return Err(Refusal::Body("issuer goes with a subject alone".to_owned()));
    }
    Ok(RevocationOrder { note: note(order.note, NOTE_CHARS_MAX)?, ..order })
}
