//! Unguessable values and how they are kept: the caller holds the value, we hold its SHA-256.

use aws_lc_rs::rand::fill;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::IdpError;

/// 256 random bits, base64url.
pub(super) fn random_token() -> Result<String, IdpError> {
    let mut bytes = [0_u8; 32];
    fill(&mut bytes).map_err(|_| IdpError::Randomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// 128 random bits, base64url: for identifiers that need not be secret.
pub(super) fn random_id() -> Result<String, IdpError> {
    let mut bytes = [0_u8; 16];
    fill(&mut bytes).map_err(|_| IdpError::Randomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// SHA-256 of a text.
pub(super) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// SHA-256 of a text, base64url: PKCE S256 (RFC 7636, section 4.2) and stored refresh tokens.
pub(super) fn digest_base64url(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(text))
}

/// Compares two secrets in constant time.
pub(super) fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}
