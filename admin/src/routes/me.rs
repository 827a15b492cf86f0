//! `/api/v1/me`: who the caller is.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Role;
use crate::answer;
use crate::gate::Permit;
use crate::refusal::Refusal;

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    /// Subject of the token.
    pub subject: String,
    /// Roles held.
    pub roles: Vec<Role>,
    /// When the token ends, Unix seconds.
    pub expires_at: i64,
    /// What a console page sends as `Gatehouse-CSRF` with every write; absent for bearer tokens, which need none.
    pub csrf: Option<String>,
}

/// Who the caller is and what they may do.
#[utoipa::path(get, path = "/api/v1/me", tag = "console", responses((status = 200, description = "The caller", body = Me)))]
pub(crate) async fn me(permit: Permit, headers: HeaderMap) -> Result<Response, Refusal> {
    let operator = permit.operator();
    let me = Me {
        subject: operator.subject.clone(),
        roles: operator.roles.iter().copied().collect(),
        expires_at: operator.expires_at,
        csrf: permit.proof().session().map(|(_, csrf)| csrf.reveal().to_owned()),
    };
    answer::json(&headers, &me)
}
