//! Who is logged in at the provider, and the log-ins under way. Both may be lost: people log in again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::errors::IdpError;
use super::request::AuthorizationRequest;
use super::secret::random_id;

/// Somebody who entered both factors in one browser.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) username: String,
    pub(super) auth_time_ms: i64,
    /// The `sid` that each client knows this session by; what one client's `sid` ends, others do not notice.
    pub(super) sids: BTreeMap<&'static str, String>,
    /// Carried by the provider's own form for logging out.
    pub(super) form_token: String,
}

impl Session {
    /// The `sid` for a client, made at its first use.
    pub(super) fn sid_for(&mut self, client_id: &'static str) -> Result<String, IdpError> {
        if let Some(sid) = self.sids.get(client_id) {
            return Ok(sid.clone());
        }
        let sid = random_id()?;
        self.sids.insert(client_id, sid.clone());
        Ok(sid)
    }
}

/// A log-in under way: begun by one request, in one browser. Its own forms carry it, sealed, and nothing is kept here until
/// somebody has entered a right password: beginning many log-ins pushes out nobody's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Interaction {
    pub(super) request: AuthorizationRequest,
    /// SHA-256 (base64url) of the browser's cookie.
    pub(super) browser: String,
    pub(super) form_token: String,
    /// The person whom a third party asks for something, where that is what is left to do.
    pub(super) consent_of: Option<String>,
}

/// Wrong codes that one log-in takes before it goes back to the password.
const SECOND_FACTOR_FAILURES_MAX: u8 = 5;

/// Somebody whose password was right, and who is asked for the second factor.
#[derive(Debug, Clone)]
pub(super) struct SecondFactor {
    username: String,
    failures: u8,
}

impl SecondFactor {
    pub(super) fn of(username: String) -> Self {
        Self { username, failures: 0 }
    }

    /// Whether an entered code counts as `right`; a wrong one is noted. `None` after the last that was allowed.
    pub(super) fn judge(&mut self, right: bool) -> Option<bool> {
        if !self.is_asked_for() {
            return None;
        }
        self.failures += u8::from(!right);
        Some(right)
    }

    fn is_asked_for(&self) -> bool {
        self.failures < SECOND_FACTOR_FAILURES_MAX
    }
}

/// What a log-in under way waits for.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// Username and password.
    Password,
    /// The password was right; the second factor.
    SecondFactor { username: String },
    /// Logged in; an answer to a third party.
    Consent { username: String },
}

impl Stage {
    /// Where a log-in is, with what is kept of it.
    pub(super) fn of(interaction: &Interaction, second_factor: Option<SecondFactor>) -> Self {
        match (&interaction.consent_of, second_factor) {
            (Some(username), _) => Self::Consent { username: username.clone() },
            (None, Some(kept)) if kept.is_asked_for() => Self::SecondFactor { username: kept.username },
            (None, _) => Self::Password,
        }
    }

    /// The page on which this stage is shown.
    pub(super) fn path(&self) -> &'static str {
        match self {
            Self::Password => "/login",
            Self::SecondFactor { .. } => "/otp",
            Self::Consent { .. } => "/consent",
        }
    }
}
