//! Profiles as bytes and back: a versioned, checksummed snapshot for restarts.

use super::codec::{Reader, Writer};
use super::{ProfileLimits, Profiles};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"GHPROFIL";
const VERSION: u32 = 1;
const SUM_BYTES: usize = 32;

/// Why a snapshot was refused; profiles then start empty.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotError {
    /// Not a snapshot of profiles.
    #[error("not a profile snapshot")]
    UnknownFormat,
    /// Written by another version.
    #[error("profile snapshot of version {0}, this program reads version {VERSION}")]
    UnknownVersion(u32),
    /// Shorter than it says.
    #[error("profile snapshot is cut short")]
    Truncated,
    /// Altered since it was written.
    #[error("profile snapshot fails its checksum")]
    ChecksumMismatch,
}

impl Profiles {
    /// Everything known, as bytes: magic, version, entries from the oldest to the newest, SHA-256.
    ///
    /// One shard is locked at a time, so traffic goes on; each customer is consistent in itself.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes.extend(MAGIC);
        out.u32(VERSION);
        for shard in &self.customers {
            let shard = shard.lock();
            out.count(shard.len());
            for (key, customer) in shard.oldest_first() {
                out.u64(key);
                customer.write(&mut out);
            }
        }
        for shard in &self.payees {
            let shard = shard.lock();
            out.count(shard.len());
            for (key, payee) in shard.oldest_first() {
                out.u64(key);
                payee.write(&mut out);
            }
        }
        let sum = Sha256::digest(&out.bytes);
        out.bytes.extend(sum);
        out.bytes
    }

    /// Profiles as they were when [`Profiles::snapshot`] wrote them; where `limits` are smaller, the oldest are left out.
    ///
    /// # Errors
    /// A [`SnapshotError`] by name for foreign, older, short or altered bytes.
    pub fn restore(bytes: &[u8], limits: ProfileLimits) -> Result<Self, SnapshotError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(SnapshotError::UnknownFormat)?;
        let version = Reader { rest: body }.u32()?;
        if version != VERSION {
            return Err(SnapshotError::UnknownVersion(version));
        }
        let cut = bytes.len().checked_sub(SUM_BYTES).ok_or(SnapshotError::Truncated)?;
        let (signed, sum) = bytes.split_at_checked(cut).ok_or(SnapshotError::Truncated)?;
        if Sha256::digest(signed).as_slice() != sum {
            return Err(SnapshotError::ChecksumMismatch);
        }
        let mut from = Reader { rest: signed.get(MAGIC.len() + 4..).ok_or(SnapshotError::Truncated)? };
        let profiles = Self::new(limits);
        for _ in &profiles.customers {
            for _ in 0..from.u32()? {
                let key = from.u64()?;
                let customer = super::customer::Customer::read(&mut from)?;
                *super::shard(&profiles.customers, key).lock().touch(key, Default::default) = customer;
            }
        }
        for _ in &profiles.payees {
            for _ in 0..from.u32()? {
                let key = from.u64()?;
                let payee = super::payee::Payee::read(&mut from)?;
                *super::shard(&profiles.payees, key).lock().touch(key, Default::default) = payee;
            }
        }
        Ok(profiles)
    }
}
