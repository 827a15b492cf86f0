//! Who may do what.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a member of staff may do. Every role may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Releases and rejects held transfers.
    Analyst,
    /// Sets capacity modes, revokes sessions and tokens.
    Operator,
    /// Approves what somebody else proposed.
    Approver,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Analyst, Self::Operator, Self::Approver];

    /// The name in a token's `roles`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Operator => "operator",
            Self::Approver => "approver",
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
    /// Any role.
    Read,
    /// Exactly this role.
    Act(Role),
}

impl Need {
    /// Whether `operator` may.
    pub fn met_by(self, operator: &Operator) -> bool {
        match self {
            Self::Read => !operator.roles.is_empty(),
            Self::Act(role) => operator.roles.contains(&role),
        }
    }

    /// The role to name in a refusal: the least one that would do.
    pub fn role(self) -> Role {
        match self {
            Self::Read => Role::Viewer,
            Self::Act(role) => role,
        }
    }
}
