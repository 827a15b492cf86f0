//! Lexical inspection: signs of injection in a request's decoded parts.

#![deny(clippy::indexing_slicing)]

use crate::features::request::RequestSample;
use serde::Serialize;

/// Family of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attack {
    /// SQL injection.
    Sql,
    /// Cross-site scripting.
    Script,
    /// Path traversal and reading of the system's files.
    Path,
    /// Command injection.
    Command,
    /// Scanners and other probes (template, LDAP, JNDI, header splitting, …).
    Other,
}

impl Attack {
    /// All families, in the order of [`Findings`]' scores.
    pub const ALL: [Self; 5] = [Self::Sql, Self::Script, Self::Path, Self::Command, Self::Other];

    /// Short stable name, as in reason codes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sql => "sqli",
            Self::Script => "xss",
            Self::Path => "path_traversal",
            Self::Command => "command_injection",
            Self::Other => "probe",
        }
    }
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "part", content = "name", rename_all = "snake_case")]
pub enum Location {
    /// The path.
    Path,
    /// The query as a whole.
    Query,
    /// A query parameter of this name.
    QueryParameter(String),
    /// A header of this name.
    Header(String),
    /// A field of a form or JSON body, `a.b.c` for nested ones.
    BodyField(String),
    /// The body as a whole.
    Body,
}

/// One sign of an attack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Family.
    pub attack: Attack,
    /// Certainty, 0 to 1; from 0.8 on harmless texts are very rare.
    pub score: f32,
    /// Where.
    pub location: Location,
    /// What, in words; never the content itself.
    pub matched: &'static str,
}

/// Everything found in a request, at most [`FINDINGS_MAX`].
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Findings {
    items: Vec<Finding>,
    scores: [f32; 5],
}

/// Findings kept of one request, the first ones.
pub const FINDINGS_MAX: usize = 16;

impl Findings {
    /// The findings in the order of the request's parts.
    pub fn items(&self) -> &[Finding] {
        &self.items
    }

    /// Highest score of a family, 0 for none.
    pub fn score(&self, attack: Attack) -> f32 {
        self.scores.get(attack as usize).copied().unwrap_or(0.0)
    }

    /// Highest score of all.
    pub fn worst(&self) -> f32 {
        self.scores.iter().copied().fold(0.0, f32::max)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
/// Looks for signs of injection.
pub fn inspect(_sample: &RequestSample<'_>) -> Findings {
    Findings::default()
}
