//! The installation's own secrets, made at the first start and kept in its data folder, readable by nobody else.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;
use rand::rngs::OsRng;

use crate::stages::identity::signing::SigningKey;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system said no.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// There is a file, and it is no such key.
    #[error("{0}: not a key of this kind; restore it from a backup, or remove it to start afresh")]
    Damaged(PathBuf),
}

/// The key of the records' pseudonyms: 32 bytes, for ever the same.
///
/// # Errors
/// It can be neither read nor made.
pub fn pseudonym_key(folder: &Path) -> Result<[u8; 32], KeyError> {
    let file = folder.join("pseudonym.key");
    let bytes = read_or_make(&file, || {
        let mut fresh = vec![0; 32];
        OsRng.fill_bytes(&mut fresh);
        fresh
    })?;
    bytes.try_into().map_err(|_| KeyError::Damaged(file))
}

/// A signing key (ES256) in PKCS#8 PEM.
///
/// # Errors
/// It can be neither read nor made.
pub fn signing_key(file: &Path) -> Result<SigningKey, KeyError> {
    let damaged = || KeyError::Damaged(file.to_owned());
    let fresh = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let fresh = fresh.map_err(|_| damaged())?;
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(fresh.as_ref())
    );
    let bytes = read_or_make(file, || pem.into_bytes())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
    SigningKey::from_text(text).map_err(|_| damaged())
}

/// The bytes of `file`; `fresh` makes them at the first start. The file is made whole or not at all.
///
/// # Errors
/// It can be neither read nor made.
pub fn read_or_make(file: &Path, fresh: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, KeyError> {
    let failed = |e| KeyError::Io(file.to_owned(), e);
    match fs::read(file) {
        Ok(bytes) => return Ok(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
    }
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let bytes = fresh();
    let draft = file.with_extension("new");
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed)?;
    out.write_all(&bytes).and_then(|()| out.sync_all()).map_err(failed)?;
    fs::rename(&draft, file).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let first = pseudonym_key(&folder.path().join("keys")).unwrap();
        assert_eq!(pseudonym_key(&folder.path().join("keys")).unwrap(), first);
        let mode = fs::metadata(folder.path().join("keys/pseudonym.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pseudonym.key"), b"short").unwrap();
        assert!(matches!(pseudonym_key(folder.path()), Err(KeyError::Damaged(_))));
    }
}
