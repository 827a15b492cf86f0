//! Who is logged in at the provider, and the log-ins under way. Both may be lost: people log in again.

use std::collections::BTreeMap;

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

/// A log-in under way: begun by one request, in one browser, at one stage.
#[derive(Debug, Clone)]
pub(super) struct Interaction {
    pub(super) request: AuthorizationRequest,
    /// SHA-256 (base64url) of the browser's cookie.
    pub(super) browser: String,
    pub(super) form_token: String,
    pub(super) stage: Stage,
}

/// Wrong codes that one log-in takes before it goes back to the password.
const SECOND_FACTOR_FAILURES_MAX: u8 = 5;

#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// Username and password are asked for.
    Password,
    /// The password was right; the second factor is asked for.
    SecondFactor { username: String, failures: u8 },
    /// Logged in; a third party asks for something.
    Consent { username: String, acr: &'static str },
}

impl Stage {
    /// Whether an entered code counts as `right`; a wrong one is noted, and the last that is allowed sends back to the
    /// password. `None` when no code is asked for (any more).
    pub(super) fn judge_second_factor(&mut self, right: bool) -> Option<bool> {
        let Self::SecondFactor { failures, .. } = self else { return None };
        if !right {
            *failures = failures.saturating_add(1);
            if *failures >= SECOND_FACTOR_FAILURES_MAX {
                *self = Self::Password;
            }
        }
        Some(right)
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
