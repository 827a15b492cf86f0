//! Who may do what.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a member of staff or a service may do. Every role of staff may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Releases and rejects held transfers, says what decisions turned out to be.
    Analyst,
    /// Sets capacity modes, revokes sessions and tokens, has models trained, proposes their promotion, rolls them back.
    Operator,
    /// Approves what somebody else proposed.
    Approver,
    /// Revokes sessions and tokens, and reads nothing: for an identity provider's service account.
    Revoker,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Analyst, Self::Operator, Self::Approver, Self::Revoker];

    /// The name in a token's `roles`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Revoker => "revoker",
        }
    }

    /// The role of that name; a token's other roles mean nothing here.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A member of staff, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// `sub` of the token.
    pub subject: String,
    /// Roles known here; empty means: may do nothing.
    pub roles: BTreeSet<Role>,
    /// When the token ends, Unix seconds.
    pub expires_at: i64,
}

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Any role of staff.
    Read,
    /// An operator, or a service that may do nothing else.
    Revoke,
    /// Exactly this role.
    Act(Role),
}

impl Need {
    /// Whether `operator` may.
    pub fn met_by(self, operator: &Operator) -> bool {
        match self {
            Self::Read => operator.roles.iter().any(|role| *role != Role::Revoker),
            Self::Revoke => {
                operator.roles.contains(&Role::Operator) || operator.roles.contains(&Role::Revoker)
            }
            Self::Act(role) => operator.roles.contains(&role),
        }
    }

    /// The role to name in a refusal: the least one that would do.
    pub fn role(self) -> Role {
        match self {
            Self::Read => Role::Viewer,
            Self::Revoke => Role::Revoker,
            Self::Act(role) => role,
        }
    }
}

/// One guarded route.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Method, upper case; `GET` covers `HEAD`.
    pub method: &'static str,
    /// Path template.
    pub path: &'static str,
    /// What it asks of its caller.
    pub need: Need,
    /// Query parameters it knows; any other is refused.
    pub query: &'static [&'static str],
}

const fn read(path: &'static str, query: &'static [&'static str]) -> Access {
    Access { method: "GET", path, need: Need::Read, query }
}

const fn write(path: &'static str, need: Need) -> Access {
    Access { method: "POST", path, need, query: &[] }
}

/// Every guarded route. What does not stand here is not served.
pub const ROUTES: &[Access] = &[
    read("/openapi.json", &[]),
    write("/logout", Need::Read),
    read("/api/v1/me", &[]),
    read("/api/v1/figures", &[]),
    read("/api/v1/stream", &[]),
    read("/api/v1/decisions", &["outcome", "route", "reason", "before", "limit"]),
    read("/api/v1/decisions/{id}", &[]),
    read("/api/v1/capacity", &[]),
    write("/api/v1/capacity", Need::Act(Role::Operator)),
    read("/api/v1/models", &[]),
    read("/api/v1/models/{name}", &[]),
    write("/api/v1/models/{name}/retrain", Need::Act(Role::Operator)),
    write("/api/v1/models/{name}/promote", Need::Act(Role::Operator)),
    write("/api/v1/models/{name}/approve", Need::Act(Role::Approver)),
    write("/api/v1/models/{name}/rollback", Need::Act(Role::Operator)),
    write("/api/v1/labels", Need::Act(Role::Analyst)),
    read("/api/v1/policies", &[]),
    read("/api/v1/policies/{version}", &[]),
    read("/api/v1/cases", &["status", "after", "limit"]),
    read("/api/v1/cases/{id}", &[]),
    write("/api/v1/cases/{id}/verdict", Need::Act(Role::Analyst)),
    read("/api/v1/sessions", &["after", "limit"]),
    read("/api/v1/sessions/revoke", &[]),
    write("/api/v1/sessions/revoke", Need::Revoke),
    read("/api/v1/limits", &[]),
    read("/api/v1/config", &[]),
    read("/api/v1/audit/checkpoint", &[]),
    read("/api/v1/audit/verify", &[]),
];

/// The paths that answer without a credential, with the reason. This list may only shrink.
pub const EXEMPT: &[(&str, &str)] = &[
    ("/", "the console's shell, which holds no data"),
    ("/assets/{file}", "the console's style and scripts, which hold no data"),
    ("/login", "starts a console login"),
    ("/callback", "ends a console login"),
];

/// The entry of a route.
pub fn route(method: &str, path: &str) -> Option<&'static Access> {
    let method = if method == "HEAD" { "GET" } else { method };
    ROUTES.iter().find(|access| access.method == method && access.path == path)
}
