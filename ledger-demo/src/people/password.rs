//! Password hashing: argon2id with the parameters of the OWASP password storage cheat sheet.

use std::sync::Arc;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand::fill;
use secrecy::{ExposeSecret, SecretString};

use super::{DirectoryError, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN};

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

pub(super) fn length_is_valid(password: &SecretString) -> bool {
    (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.expose_secret().len())
}

#[derive(Clone)]
pub(super) struct Hasher {
    argon2: Argon2<'static>,
    /// Hash of a password nobody knows, checked where there is no entry, so that timing does not tell who exists.
    decoy: Arc<str>,
}

impl Hasher {
    pub(super) fn new() -> Result<Self, DirectoryError> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| DirectoryError::Hash)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut unknown = [0_u8; 32];
        fill(&mut unknown).map_err(|_| DirectoryError::Hash)?;
        let decoy = hash_bytes(&argon2, &unknown)?.into();
        Ok(Self { argon2, decoy })
    }

    pub(super) fn hash(&self, password: &SecretString) -> Result<String, DirectoryError> {
        hash_bytes(&self.argon2, password.expose_secret().as_bytes())
    }

    /// Whether the password fits; `None` and over-long passwords cost one verification like any other.
    pub(super) fn verify(&self, hash: Option<&str>, password: &SecretString) -> bool {
        let entered = password.expose_secret().as_bytes();
        let bounded = entered.get(..PASSWORD_BYTES_MAX).unwrap_or(entered);
        let Ok(parsed) = PasswordHash::new(hash.unwrap_or(&self.decoy)) else {
            return false;
        };
        let fits = self.argon2.verify_password(bounded, &parsed).is_ok();
        fits && hash.is_some() && bounded.len() == entered.len()
    }
}

fn hash_bytes(argon2: &Argon2<'_>, password: &[u8]) -> Result<String, DirectoryError> {
    let mut salt = [0_u8; SALT_BYTES];
    fill(&mut salt).map_err(|_| DirectoryError::Hash)?;
    let salt = SaltString::encode_b64(&salt).map_err(|_| DirectoryError::Hash)?;
    let hash = argon2.hash_password(password, &salt).map_err(|_| DirectoryError::Hash)?;
    Ok(hash.to_string())
}
