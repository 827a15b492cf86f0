//! Profiles as bytes and back: a versioned, checksummed snapshot for restarts.

use super::codec::{Reader, Writer};
use super::customer::Customer;
use super::party::{Party, Traffic};
use super::recent::Recent;
use super::{ProfileLimits, Profiles, SHARDS, shard};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;

const MAGIC: &[u8; 8] = b"GHPROFIL";
const VERSION: u32 = 4;
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
        for total in [&self.accepted, &self.frauds] {
            out.u64(total.load(Ordering::Relaxed));
        }
        write_all(&self.customers, &mut out, Customer::write);
        write_all(&self.counterparties, &mut out, Party::write);
        write_all(&self.levels, &mut out, Traffic::<()>::write);
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
        for total in [&profiles.accepted, &profiles.frauds] {
            total.store(from.u64()?, Ordering::Relaxed);
        }
        read_all(&profiles.customers, &mut from, Customer::read)?;
        read_all(&profiles.counterparties, &mut from, Party::read)?;
        read_all(&profiles.levels, &mut from, Traffic::<()>::read)?;
        Ok(profiles)
    }
}

fn write_all<V>(shards: &[Mutex<Recent<V>>], out: &mut Writer, write: impl Fn(&V, &mut Writer)) {
    for shard in shards {
        let shard = shard.lock();
        out.count(shard.len());
        for (key, value) in shard.oldest_first() {
            out.u64(key);
            write(value, out);
        }
    }
}

fn read_all<V: Default>(
    shards: &[Mutex<Recent<V>>],
    from: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<V, SnapshotError>,
) -> Result<(), SnapshotError> {
    for _ in 0..SHARDS {
        for _ in 0..from.u32()? {
            let key = from.u64()?;
            let value = read(from)?;
            shard(shards, key).lock().touch(key, |known| *known = value);
        }
    }
    Ok(())
}
