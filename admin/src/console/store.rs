//! Console sessions: in memory, bounded, found by the hash of the cookie, gone with the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::access::Operator;
use crate::refusal::Refusal;
use crate::state::Settings;

/// SHA-256 of the cookie's value: what the table is keyed by, so that looking up reveals nothing of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// The key of a cookie's value.
    pub fn of(cookie: &str) -> Self {
        Self(Sha256::digest(cookie.as_bytes()).into())
    }
}

/// What a live session gives to the gate.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// Where it is kept.
    pub key: SessionKey,
    /// The access token behind it, judged anew on every call.
    pub token: SecretString,
    /// The anti-forgery token of its page.
    pub csrf: Csrf,
}

/// An anti-forgery token.
#[derive(Clone, Debug)]
pub struct Csrf(SecretString);

impl Csrf {
    /// Whether `sent` is it, in constant time.
    pub fn matches(&self, sent: &str) -> bool {
        self.0.expose_secret().as_bytes().ct_eq(sent.as_bytes()).into()
    }

    /// For the page.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

struct Held {
    token: SecretString,
    csrf: Csrf,
    subject: String,
    last_ms: i64,
    ends_ms: i64,
}

/// The table.
pub struct ConsoleSessions {
    table: Mutex<HashMap<SessionKey, Held>>,
    idle_ms: i64,
    absolute_ms: i64,
    max: usize,
    per_subject_max: usize,
}

impl ConsoleSessions {
    /// An empty table with the bounds of `settings`.
    pub fn new(settings: &Settings) -> Self {
        let ms = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            table: Mutex::default(),
            idle_ms: ms(settings.session_idle),
            absolute_ms: ms(settings.session_absolute),
            max: settings.sessions_max,
            per_subject_max: settings.sessions_per_subject_max.max(1),
        }
    }

    /// Opens a session and returns the cookie's value, which is kept nowhere. The oldest session of a person with too
    /// many goes; a full table opens none.
    pub fn open(
        &self,
        operator: &Operator,
        token: SecretString,
        now_ms: i64,
    ) -> Result<SecretString, Refusal> {
        let cookie = random_text()?;
        let csrf = Csrf(random_text()?);
        let mut table = self.lock();
        table.retain(|_, held| self.alive(held, now_ms));
        let own = || table.iter().filter(|(_, held)| held.subject == operator.subject);
        if own().count() >= self.per_subject_max
            && let Some(oldest) = own().min_by_key(|(_, held)| held.last_ms).map(|(key, _)| *key)
        {
            table.remove(&oldest);
        }
        if table.len() >= self.max {
            return Err(Refusal::Busy("console sessions"));
        }
        let ends_ms = now_ms.saturating_add(self.absolute_ms).min(operator.expires_at.saturating_mul(1000));
        let held = Held { token, csrf, subject: operator.subject.clone(), last_ms: now_ms, ends_ms };
        table.insert(SessionKey::of(cookie.expose_secret()), held);
        Ok(cookie)
    }

    /// The live session of a cookie's value, marked as used now.
    pub fn touch(&self, cookie: &str, now_ms: i64) -> Option<LiveSession> {
        let key = SessionKey::of(cookie);
        let mut table = self.lock();
        let held = table.get_mut(&key)?;
        if !self.alive(held, now_ms) {
            table.remove(&key);
            return None;
        }
        held.last_ms = now_ms;
        Some(LiveSession { key, token: held.token.clone(), csrf: held.csrf.clone() })
    }

    /// Whether the session is live, without marking it as used.
    pub fn is_live(&self, key: &SessionKey, now_ms: i64) -> bool {
        self.lock().get(key).is_some_and(|held| self.alive(held, now_ms))
    }

    /// Ends a session.
    pub fn close(&self, key: &SessionKey) {
        self.lock().remove(key);
    }

    fn alive(&self, held: &Held, now_ms: i64) -> bool {
        now_ms < held.ends_ms && now_ms.saturating_sub(held.last_ms) < self.idle_ms
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Held>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 bits from the operating system, as cookie characters.
fn random_text() -> Result<SecretString, Refusal> {
    let mut bytes = [0_u8; 32];
    OsRng.try_fill_bytes(&mut bytes).map_err(|_| Refusal::Internal("no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    const MINUTE: i64 = 60_000;

    fn operator(subject: &str, expires_at: i64) -> Operator {
        Operator { subject: subject.to_owned(), roles: BTreeSet::new(), expires_at }
    }

    fn sessions() -> ConsoleSessions {
        ConsoleSessions::new(&Settings {
            session_idle: Duration::from_secs(30 * 60),
            session_absolute: Duration::from_secs(3600),
            sessions_max: 4,
            sessions_per_subject_max: 2,
            ..Settings::default()
        })
    }

    fn open(sessions: &ConsoleSessions, subject: &str, now_ms: i64) -> Option<SecretString> {
        sessions.open(&operator(subject, i64::MAX / 1000), "token".into(), now_ms).ok()
    }

    #[test]
    fn a_session_ends_by_idleness_by_age_and_with_its_token() {
        // (token's end in seconds, times it is used at in minutes, whether the last use succeeds)
        let cases: [(i64, &[i64], bool); 5] = [
            (100_000, &[29], true),
            (100_000, &[30], false),
            (100_000, &[25, 50, 59], true),
            (100_000, &[25, 50, 60], false),
            (600, &[10], false),
        ];
        for (expires_at, uses, expected) in cases {
            let sessions = sessions();
            let cookie = sessions.open(&operator("ana", expires_at), "token".into(), 0).unwrap();
            let last =
                uses.iter().map(|minute| sessions.touch(cookie.expose_secret(), minute * MINUTE)).last();
            assert_eq!(last.flatten().is_some(), expected, "{expires_at} {uses:?}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_one_person_cannot_fill_it() {
        let sessions = sessions();
        let first = open(&sessions, "ana", 0).unwrap();
        let second = open(&sessions, "ana", 1).unwrap();
        let third = open(&sessions, "ana", 2).unwrap();
        assert!(sessions.touch(first.expose_secret(), 3).is_none(), "the oldest of a person goes");
        assert!(sessions.touch(second.expose_secret(), 3).is_some());
        assert!(sessions.touch(third.expose_secret(), 3).is_some());
        assert!(open(&sessions, "olivia", 3).is_some() && open(&sessions, "petra", 3).is_some());
        assert!(open(&sessions, "victor", 3).is_none(), "full");
        assert!(open(&sessions, "victor", 40 * MINUTE).is_some(), "the idle ones made room");
    }

    #[test]
    fn a_closed_or_guessed_session_is_none() {
        let sessions = sessions();
        let cookie = open(&sessions, "ana", 0).unwrap();
        assert!(sessions.touch("guess", 1).is_none());
        let live = sessions.touch(cookie.expose_secret(), 1).unwrap();
        assert!(live.csrf.matches(live.csrf.reveal()) && !live.csrf.matches("") && !live.csrf.matches("x"));
        sessions.close(&live.key);
        assert!(!sessions.is_live(&live.key, 1) && sessions.touch(cookie.expose_secret(), 1).is_none());
    }
}
