//! Tokens that prove a form came from one of our own pages, shown to the very session that sends it back.
//!
//! A token is `base64url(expiry || HMAC-SHA256(key, subject, session, expiry))`: nothing is stored, and a token of one
//! person or session is worth nothing in another.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How long a form may stay open before it has to be loaded again.
pub const FORM_LIFETIME_MS: i64 = 2 * 60 * 60 * 1000;

const KEY_BYTES: usize = 32;
const EXPIRY_BYTES: usize = 8;
const MAC_BYTES: usize = 32;

/// The key that form tokens are made with. It prints nothing.
pub struct FormKey(hmac::Key);

impl std::fmt::Debug for FormKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FormKey")
    }
}

impl FormKey {
    /// A key of these 32 secret bytes.
    pub fn new(secret: &[u8; KEY_BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The key kept in `file`, made at the first call, so that forms survive a restart of the bank.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds something else than 32 bytes.
    pub fn open(file: &Path) -> io::Result<Self> {
        match fs::read(file) {
            Ok(bytes) => {
                let secret = <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("{} is not a form key of {KEY_BYTES} bytes", file.display()),
                    )
                })?;
                Ok(Self::new(&secret))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(file),
            Err(error) => Err(error),
        }
    }

    fn create(file: &Path) -> io::Result<Self> {
        let mut secret = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut secret).map_err(|_| io::Error::other("no randomness"))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut created = options.open(file)?;
        created.write_all(&secret)?;
        created.sync_all()?;
        Ok(Self::new(&secret))
    }

    /// A token for forms shown to `subject` in `session`, good for [`FORM_LIFETIME_MS`] from `now_ms`.
    pub fn issue(&self, subject: &str, session: &str, now_ms: i64) -> String {
        let expiry_ms = now_ms.saturating_add(FORM_LIFETIME_MS);
        let mut token = Vec::with_capacity(EXPIRY_BYTES + MAC_BYTES);
        token.extend_from_slice(&expiry_ms.to_be_bytes());
        token.extend_from_slice(hmac::sign(&self.0, &signed_text(subject, session, expiry_ms)).as_ref());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Whether `token` was issued to this subject and session and is still good. The MAC is compared in constant time.
    pub fn accepts(&self, token: &str, subject: &str, session: &str, now_ms: i64) -> bool {
        if token.len() > 64 {
            return false;
        }
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return false };
        let Some((expiry, mac)) = bytes.split_first_chunk::<EXPIRY_BYTES>() else { return false };
        let expiry_ms = i64::from_be_bytes(*expiry);
        hmac::verify(&self.0, &signed_text(subject, session, expiry_ms), mac).is_ok() && now_ms < expiry_ms
    }
}

/// Each part goes in with its length: no two (subject, session) pairs give the same text.
fn signed_text(subject: &str, session: &str, expiry_ms: i64) -> Vec<u8> {
    let mut text = b"ledger-demo form v1".to_vec();
    for part in [subject, session] {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    text.extend_from_slice(&expiry_ms.to_be_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    #[test]
    fn a_token_is_good_for_its_subject_session_time_and_key_alone() {
        let key = FormKey::new(&[7; 32]);
        let token = key.issue("alice", "s1", NOW_MS);
        assert!(key.accepts(&token, "alice", "s1", NOW_MS));
        assert!(key.accepts(&token, "alice", "s1", NOW_MS + FORM_LIFETIME_MS - 1));
        let refused = [
            ("bob", "s1", NOW_MS),
            ("alice", "s2", NOW_MS),
            ("alices", "1", NOW_MS),
            ("", "alices1", NOW_MS),
            ("alice", "s1", NOW_MS + FORM_LIFETIME_MS),
        ];
        for (subject, session, now_ms) in refused {
            assert!(!key.accepts(&token, subject, session, now_ms), "{subject} {session} {now_ms}");
        }
        assert!(!FormKey::new(&[8; 32]).accepts(&token, "alice", "s1", NOW_MS));
    }

    #[test]
    fn an_altered_token_is_refused() {
        let key = FormKey::new(&[7; 32]);
        let token = key.issue("alice", "s1", NOW_MS);
        for position in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(!key.accepts(&altered, "alice", "s1", NOW_MS), "position {position}");
        }
        for text in ["", "A", "AAAAAAAAAAA", &token[..20], &format!("{token}A"), &"A".repeat(100_000)] {
            assert!(!key.accepts(text, "alice", "s1", NOW_MS));
        }
    }

    #[test]
    fn a_kept_key_is_the_same_after_a_restart_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("form.key");
        let token = FormKey::open(&file).unwrap().issue("alice", "s1", NOW_MS);
        assert!(FormKey::open(&file).unwrap().accepts(&token, "alice", "s1", NOW_MS));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&file, b"short").unwrap();
        assert!(FormKey::open(&file).is_err());
    }
}
