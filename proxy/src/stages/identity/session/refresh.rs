//! Finding a request's session, and keeping what the issuer granted fresh.
//!
//! Whatever has to be done for a session is done by one task at a time: fifty requests that find the grant expired cost
//! one refresh. The task goes on when its request is gone, since a refresh token that was used must not be lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dashmap::DashMap;
use policies::ports::StoreError;
use tokio::sync::Mutex;

use super::super::App;
use super::super::IdentityStage;
use super::super::credentials::{SESSION_COOKIE, cookie};
use super::super::revocation::{Revocation, Revocations, Target};
use super::client::{ClientFault, Granted, LoginClient};
use super::id_token::{Expected, Person, verify_id_token};
use super::login::store_failed;
use super::owned::Own;
use super::secret::{Secret, session_key};
use super::store::{Cached, Session, Sessions};
use crate::refusal::{Reason, Refusal};

/// After an issuer could not be reached, the next try for the same session, milliseconds from the request that found out. As
/// long as the session holds without it, that is much longer than an issuer is waited for.
const AGAIN_MS: i64 = 30_000;
const AGAIN_OVERDUE_MS: i64 = 5_000;

/// Locks, one for each session for which something is done: an issuer that hangs over one session holds up no other.
#[derive(Clone, Default)]
pub struct Turns(Arc<DashMap<[u8; 32], Queue>>);

#[derive(Default)]
struct Queue {
    lock: Arc<Mutex<()>>,
    /// Those in it.
    length: u32,
}

impl Turns {
    /// Whoever wants to do something for a session, until it is dropped.
    fn of(&self, key: [u8; 32]) -> Turn {
        let mut entry = self.0.entry(key).or_default();
        entry.length = entry.length.saturating_add(1);
        Turn { lock: Arc::clone(&entry.lock), key, all: self.clone() }
    }
}

/// A place in the queue for one session.
struct Turn {
    lock: Arc<Mutex<()>>,
    key: [u8; 32],
    all: Turns,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.all.0.remove_if_mut(&self.key, |_, queue| {
            queue.length = queue.length.saturating_sub(1);
            queue.length == 0
        });
    }
}

impl Own<'_> {
    /// The browser's session, if it has one that is alive.
    pub(super) async fn session(&self) -> Result<Option<Arc<Session>>, Refusal> {
        match cookie(self.parts, SESSION_COOKIE) {
            Ok(Some(value)) => self.stage.find_session(self.app, self.client, value, self.now_ms).await,
            Ok(None) => Ok(None),
            Err(fault) => Err(Refusal::new(Reason::TokenAmbiguous, fault.to_string())),
        }
    }

    /// Ends the session of a cookie, here and in the store, and closes what is open under it.
    pub(super) async fn end_session(&self, value: &str) -> Result<(), Refusal> {
        let Some(key) = session_key(&self.app.name, value) else { return Ok(()) };
        let turn = self.stage.turns.of(key);
        let _turn = turn.lock.lock().await;
        if let Cached::Ready(session) | Cached::Due(session) =
            self.stage.sessions.cached(&key, &self.stage.revocations, self.now_ms)
        {
            let ended = Revocation {
                issuer: session.kept.issuer.clone(),
                target: Target::Token(session.identity.token_id.clone().unwrap_or_default()),
                issued_before_s: i64::MAX,
                expires_ms: session.kept.ends_ms,
            };
            if self.stage.revocations.enforce(&ended).is_err() {
                tracing::warn!("the set of revocations is full: streams of an ended session stay open");
            }
        }
        self.stage.sessions.end(&key).await.map_err(store_failed)
    }
}

impl IdentityStage {
    /// The session of a cookie, read from the store and refreshed where that is due; `None`: there is none, or it is
    /// over.
    pub(in super::super) async fn find_session(
        &self,
        app: &App,
        client: &Arc<LoginClient>,
        value: &str,
        now_ms: i64,
    ) -> Result<Option<Arc<Session>>, Refusal> {
        let Some(key) = session_key(&app.name, value) else { return Ok(None) };
        match self.sessions.cached(&key, &self.revocations, now_ms) {
            Cached::Ready(session) => return Ok(Some(session)),
            Cached::Over => return Ok(None),
            Cached::Due(_) | Cached::Unknown => {}
        }
        let Some(secret) = Secret::parse(value) else { return Ok(None) };
        let tending = Tending {
            sessions: Arc::clone(&self.sessions),
            revocations: Arc::clone(&self.revocations),
            client: Arc::clone(client),
            app: app.name.to_string(),
            secret,
            key,
            now_ms,
        };
        let turn = self.turns.of(key);
        let task = tokio::spawn(async move {
            let _turn = turn.lock.lock().await;
            tending.run().await
        });
        task.await.unwrap_or_else(|ended| match ended.try_into_panic() {
            // A defect belongs to the request that met it, which counts it.
            Ok(defect) => std::panic::resume_unwind(defect),
            Err(_) => Err(Refusal::new(Reason::Internal, "a session's task ended")),
        })
    }
}

/// Everything that one session needs done, in its turn.
struct Tending {
    sessions: Arc<Sessions>,
    revocations: Arc<Revocations>,
    client: Arc<LoginClient>,
    app: String,
    secret: Secret,
    key: [u8; 32],
    now_ms: i64,
}

impl Tending {
    async fn run(&self) -> Result<Option<Arc<Session>>, Refusal> {
        // Whoever had the turn before may have done it all.
        match self.sessions.cached(&self.key, &self.revocations, self.now_ms) {
            Cached::Ready(session) => return Ok(Some(session)),
            Cached::Over => return Ok(None),
            Cached::Due(_) | Cached::Unknown => {}
        }
        let issuer = &self.client.issuer.name;
        let loaded =
            self.sessions.load(&self.secret, &self.app, issuer, &self.revocations, self.now_ms).await;
        let mut session = match loaded {
            Ok(Some(session)) => session,
            Ok(None) => return Ok(None),
            // Not sealed by this cookie, or of another version: as good as none.
            Err(StoreError::Damaged(problem)) => {
                tracing::warn!(problem, "a stored session is not usable");
                return Ok(None);
            }
            Err(error) => return Err(store_failed(error)),
        };
        if session.refresh_due(self.now_ms) {
            match self.refresh(&session).await? {
                Some(renewed) => session = renewed,
                None => return Ok(None),
            }
        }
        if session.overdue(self.now_ms) {
            let inside = "the session could not be refreshed for too long";
            return Err(Refusal::new(Reason::IssuerUnavailable, inside).retry_after(5));
        }
        self.sessions.save_use(&self.secret, &session, self.now_ms).await.map(Some).map_err(store_failed)
    }

    /// `None`: the issuer has ended it.
    async fn refresh(&self, session: &Arc<Session>) -> Result<Option<Arc<Session>>, Refusal> {
        let token = session.kept.refresh_token.as_deref().unwrap_or_default();
        let granted = match self.client.refresh(token, self.now_ms).await {
            Ok(granted) => granted,
            Err(ClientFault::Unavailable(problem)) => {
                tracing::warn!(issuer = %self.client.issuer.name, problem, "a session could not be refreshed");
                let pause_ms = if session.overdue(self.now_ms) { AGAIN_OVERDUE_MS } else { AGAIN_MS };
                let again_ms = self.now_ms.saturating_add(pause_ms);
                session.refresh_after_ms.store(again_ms, Ordering::Relaxed);
                return Ok(Some(Arc::clone(session)));
            }
            Err(ClientFault::Refused(problem)) => return self.end(&problem).await,
        };
        let person = match self.person(&granted, session).await {
            Ok(person) => person,
            Err(problem) => return self.end(&problem).await,
        };
        let mut kept = session.kept.clone();
        kept.granted_until_ms =
            granted.expires_in_s.map(|s| self.now_ms.saturating_add(s.saturating_mul(1000)));
        if let Some(scopes) = granted.scopes {
            kept.scopes = scopes;
        }
        if let Some(next) = granted.refresh_token {
            kept.refresh_token = Some(next);
        }
        if let Some(person) = person {
            kept.roles = person.roles;
            kept.id_token = granted.id_token;
        }
        let issuer = &self.client.issuer.name;
        self.sessions.save(&self.secret, kept, issuer, self.now_ms).await.map(Some).map_err(store_failed)
    }

    /// OpenID Connect Core 12.2: an ID token of a refresh must be the same person's.
    async fn person(&self, granted: &Granted, session: &Session) -> Result<Option<Person>, String> {
        let Some(token) = granted.id_token.as_deref() else { return Ok(None) };
        let expected =
            Expected { client_id: &session.kept.client_id, nonce: None, access_token: &granted.access_token };
        match verify_id_token(token, &self.client.issuer, expected, self.now_ms).await {
            Ok(person) if person.subject == session.kept.subject => Ok(Some(person)),
            Ok(_) => Err("the refreshed ID token is another person's".into()),
            Err(fault) if fault.reason == Reason::IssuerUnavailable => Ok(None),
            Err(fault) => Err(fault.inside),
        }
    }

    async fn end(&self, problem: &str) -> Result<Option<Arc<Session>>, Refusal> {
        tracing::info!(issuer = %self.client.issuer.name, problem, "a session ended at its refresh");
        self.sessions.end(&self.key).await.map_err(store_failed)?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sessions_wait_for_themselves_alone() {
        let turns = Turns::default();
        let (one, mut other) = ([7; 32], [7; 32]);
        other[31] = 8;
        let (first, second, third) = (turns.of(one), turns.of(one), turns.of(other));
        let held = first.lock.lock().await;
        assert!(second.lock.try_lock().is_err(), "the same session");
        assert!(third.lock.try_lock().is_ok(), "another session");
        drop(held);
        drop((first, third));
        assert!(second.lock.try_lock().is_ok());
        assert_eq!(turns.0.len(), 1);
        drop(second);
        assert!(turns.0.is_empty(), "nothing is left of them");
    }
}
