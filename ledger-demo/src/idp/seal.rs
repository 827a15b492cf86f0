//! Sealed texts: what a browser carries for us, and can neither read nor change.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand::fill;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::errors::IdpError;

/// Seals values for a time (AES-256-GCM).
pub(super) struct Seal {
    key: RandomizedNonceKey,
    lifetime_ms: i64,
}

impl Seal {
    /// With a key that nobody else has and that ends with the process.
    pub(super) fn new(lifetime_ms: i64) -> Result<Self, IdpError> {
        let mut secret = [0_u8; 32];
        fill(&mut secret).map_err(|_| IdpError::Randomness)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &secret).map_err(|_| IdpError::Key)?;
        Ok(Self { key, lifetime_ms })
    }

    /// The value as base64url, no two times the same.
    pub(super) fn close(&self, value: &impl Serialize, now_ms: i64) -> Result<String, IdpError> {
        let mut sealed = serde_json::to_vec(&(now_ms.saturating_add(self.lifetime_ms), value))?;
        let nonce = self.key.seal_in_place_append_tag(Aad::empty(), &mut sealed);
        let nonce = nonce.map_err(|_| IdpError::Randomness)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &sealed].concat()))
    }

    /// The value, if it was sealed here and its time is not over.
    pub(super) fn open<T: DeserializeOwned>(&self, text: &str, now_ms: i64) -> Option<T> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.key.open_in_place(nonce, Aad::empty(), sealed).ok()?;
        let (expires_ms, value): (i64, T) = serde_json::from_slice(opened).ok()?;
        (expires_ms > now_ms).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_is_read_where_it_was_sealed_as_it_was_and_in_time() {
        let seal = Seal::new(100).unwrap();
        let text = seal.close(&"alice", 1_000).unwrap();
        assert_eq!(seal.open(&text, 1_099), Some("alice".to_owned()));
        assert_eq!(seal.open::<String>(&text, 1_100), None, "over");
        assert_eq!(Seal::new(100).unwrap().open::<String>(&text, 1_000), None, "another's");
        assert_ne!(seal.close(&"alice", 1_000).unwrap(), text);
        for position in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert_eq!(seal.open::<String>(&altered, 1_000), None, "position {position}");
        }
        for text in ["", "A", "AAAAAAAAAAAAAAAA", &text[..20], &format!("{text}A")] {
            assert_eq!(seal.open::<String>(text, 1_000), None, "{text}");
        }
    }
}
