//! Random secrets that a browser holds, and what is derived from them.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

/// 192 bits: beyond guessing, and still only 32 characters.
const BYTES: usize = 24;
/// Characters of the text form.
const CHARS: usize = 32;

/// A secret of 192 random bits in base64url.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A fresh one; `None` only when the system has no randomness.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; BYTES];
        rand::fill(&mut bytes).ok()?;
        Some(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// A secret as a browser presents it; `None` if it cannot be one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        Self::fits(text).then(|| Self(text.to_owned()))
    }

    /// Whether a text has the form of a secret.
    pub fn fits(text: &str) -> bool {
        text.len() == CHARS && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    }

    /// The text form, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The store key under which `purpose` keeps what belongs to this secret. The secret cannot be had from it.
    pub fn key(&self, purpose: &str) -> [u8; 32] {
        derive("key", purpose, &self.0)
    }

    /// Encrypts what is kept under [`Self::key`], so that the store alone tells nothing and entries cannot be swapped.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        self.sealing_key(purpose)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.key(purpose)),
                &mut sealed,
            )
            .ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// The reverse of [`Self::seal`]; `None` for anything that this secret did not seal.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let plain =
            self.sealing_key(purpose)?.open_in_place(nonce, Aad::from(self.key(purpose)), &mut body).ok()?;
        Some(plain.to_vec())
    }

    fn sealing_key(&self, purpose: &str) -> Option<LessSafeKey> {
        let bytes = derive("seal", purpose, &self.0);
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).ok()?))
    }
}

/// The store key of a session cookie, on the path of every request: no allocation.
pub fn session_key(app: &str, cookie: &str) -> Option<[u8; 32]> {
    Secret::fits(cookie).then(|| derive("key", app, cookie))
}

/// Whether two digests are the same, in constant time.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Domain-separated SHA-256; sound as a key derivation because the secret is uniformly random and longer than needed.
fn derive(use_for: &str, purpose: &str, secret: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in ["gatehouse 1", use_for, purpose, secret] {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_opens_what_it_sealed() {
        let (a, b) = (Secret::random().unwrap(), Secret::random().unwrap());
        let sealed = a.seal("bank", b"refresh token").unwrap();
        assert_eq!(a.open("bank", &sealed).as_deref(), Some(&b"refresh token"[..]));
        assert_eq!(a.open("other", &sealed), None);
        assert_eq!(b.open("bank", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(a.open("bank", &changed), None, "byte {at}");
        }
        assert_eq!(a.open("bank", &sealed[..5]), None);
        assert_ne!(a.key("bank"), b.key("bank"));
        assert_eq!(session_key("bank", a.expose()), Some(a.key("bank")));
    }

    #[test]
    fn secrets_have_one_form() {
        let secret = Secret::random().unwrap();
        assert_eq!(Secret::parse(secret.expose()).as_ref(), Some(&secret));
        for text in
            ["", "a", &"a".repeat(31), &"a".repeat(33), &format!("{}=", "a".repeat(31)), &"ä".repeat(16)]
        {
            assert_eq!(Secret::parse(text), None, "{text}");
        }
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
