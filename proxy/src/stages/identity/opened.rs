//! Responses that stay open end with the credential that opened them.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use policies::facts::Identity;
use policies::ports::Clock;

use super::IdentityStage;
use super::credentials::{Presented, presented};
use super::session::session_key;
use crate::refusal::Reason;

/// The wall clock is asked again this often: it may be set, and a machine may sleep.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// The credential that opened a response.
#[derive(Debug)]
pub struct Opened {
    identity: Arc<Identity>,
    /// The key of the browser's session, where it was one.
    session: Option<[u8; 32]>,
}

impl IdentityStage {
    /// What `identity`, found in the request with this head, opens.
    pub fn opened(&self, app: usize, parts: &Parts, identity: &Arc<Identity>) -> Opened {
        let app = self.apps.get(app).and_then(Option::as_ref);
        let session = match (app, presented(parts)) {
            (Some(app), Ok(Presented::Session(value))) => session_key(&app.name, value),
            _ => None,
        };
        Opened { identity: Arc::clone(identity), session }
    }

    /// Waits until the credential has expired, been revoked or, as a session, ended; answers which.
    pub async fn ended(&self, opened: &Opened, clock: &dyn Clock) -> Reason {
        let mut changes = self.revocations.watch();
        let over = if opened.session.is_some() { Reason::SessionEnded } else { Reason::TokenExpired };
        loop {
            // Noted before the set is asked: a change in between ends the wait below at once.
            changes.borrow_and_update();
            if self.revocations.is_revoked(&opened.identity) {
                return Reason::TokenRevoked;
            }
            let left_ms = self.until_ms(opened).saturating_sub(clock.now_ms());
            let Some(left) = u64::try_from(left_ms).ok().filter(|&ms| ms > 0) else { return over };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left).min(ASK_AGAIN)) => {}
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// Until when the credential holds as things stand, Unix milliseconds. A session goes on while it is used.
    fn until_ms(&self, opened: &Opened) -> i64 {
        let expires_ms = opened.identity.expires_at.saturating_mul(1000);
        match &opened.session {
            None => expires_ms,
            Some(key) => self.sessions.idle_until_ms(key).unwrap_or(i64::MIN).min(expires_ms),
        }
    }
}
