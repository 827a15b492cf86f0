//! Hot state on sled, so that sessions survive a restart.
//!
//! There is no cache of our own in front: sled keeps the pages it uses in memory, a look-up there costs about a
//! microsecond, and a second copy would have to be kept in step with it. Nothing is flushed before it is acknowledged:
//! what the last half second wrote may be lost by a crash.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use policies::ports::{Answer, HotStore, Space, StoreError};

use super::{Bounds, PerSpace, ready};

/// Memory that sled may use for pages.
const CACHE_BYTES: u64 = 16 << 20;

/// Hot state on sled. A value is stored behind its expiry (8 bytes, big endian).
pub struct SledHot {
    bounds: Bounds,
    tables: PerSpace<Table>,
}

struct Table {
    tree: sled::Tree,
    count: AtomicUsize,
}

pub(super) fn unavailable(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Corruption { .. } => StoreError::Damaged(format!("sled: {error}")),
        error => StoreError::Unavailable(format!("sled: {error}")),
    }
}

impl SledHot {
    /// Opens the store in directory `path`, or begins one. One that is damaged is put aside and begun anew, as hot state
    /// may be lost: customers log in again.
    ///
    /// # Errors
    /// [`StoreError`] if no store can be opened there.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Self, StoreError> {
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES);
        let db = match config.open() {
            Err(sled::Error::Corruption { .. }) => {
                let aside = path.with_extension("damaged");
                tracing::error!(path = %path.display(), aside = %aside.display(), "hot state is damaged; begun anew");
                put_aside(path, &aside)?;
                config.open().map_err(unavailable)?
            }
            opened => opened.map_err(unavailable)?,
        };
        let tables = PerSpace::try_new(|space| {
            let tree = db.open_tree(space.name()).map_err(unavailable)?;
            let count = AtomicUsize::new(tree.len());
            Ok(Table { tree, count })
        })?;
        Ok(Self { bounds, tables })
    }
}

fn put_aside(path: &Path, aside: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", aside.display()));
    if aside.exists() {
        std::fs::remove_dir_all(aside).map_err(failed)?;
    }
    std::fs::rename(path, aside).map_err(failed)
}

fn encode(value: &[u8], expires_ms: i64) -> Vec<u8> {
    [&expires_ms.to_be_bytes(), value].concat()
}

/// The value, if it is live.
fn live(stored: &[u8], now_ms: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let (expires, value) = stored
        .split_first_chunk::<8>()
        .ok_or_else(|| StoreError::Damaged("a hot value is shorter than its expiry".into()))?;
    Ok((i64::from_be_bytes(*expires) > now_ms).then(|| value.to_vec()))
}

impl Table {
    /// Counts one more entry if the bound allows it.
    fn reserve(&self, entries_max: usize) -> bool {
        let within = self.count.fetch_add(1, Ordering::Relaxed) < entries_max;
        if !within {
            self.release();
        }
        within
    }

    fn release(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    fn get(&self, key: &[u8], now_ms: i64) -> Result<Option<Vec<u8>>, StoreError> {
        match self.tree.get(key).map_err(unavailable)? {
            Some(stored) => live(&stored, now_ms),
            None => Ok(None),
        }
    }

    fn put(&self, key: &[u8], stored: Vec<u8>, entries_max: usize) -> Result<(), StoreError> {
        let reserved = self.reserve(entries_max);
        if !reserved && !self.tree.contains_key(key).map_err(unavailable)? {
            return Err(StoreError::Full);
        }
        let old = self.tree.insert(key, stored).map_err(unavailable)?;
        match (reserved, old) {
            (true, Some(_)) => self.release(),
            // The entry that was to be replaced went away meanwhile.
            (false, None) => drop(self.count.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        Ok(())
    }

    fn insert(&self, key: &[u8], stored: &[u8], now_ms: i64, entries_max: usize) -> Result<bool, StoreError> {
        loop {
            let old = self.tree.get(key).map_err(unavailable)?;
            if let Some(old) = &old
                && live(old, now_ms)?.is_some()
            {
                return Ok(false);
            }
            let grows = old.is_none();
            if grows && !self.reserve(entries_max) {
                return Err(StoreError::Full);
            }
            if self.tree.compare_and_swap(key, old, Some(stored)).map_err(unavailable)?.is_ok() {
                return Ok(true);
            }
            if grows {
                self.release();
            }
        }
    }

    fn take(&self, key: &[u8], now_ms: i64) -> Result<Option<Vec<u8>>, StoreError> {
        match self.tree.remove(key).map_err(unavailable)? {
            Some(stored) => {
                self.release();
                live(&stored, now_ms)
            }
            None => Ok(None),
        }
    }

    /// Removes by comparing, so that an entry renewed meanwhile stays.
    fn sweep(&self, now_ms: i64) -> Result<u64, StoreError> {
        let mut swept = 0;
        for entry in &self.tree {
            let (key, stored) = entry.map_err(unavailable)?;
            if live(&stored, now_ms)?.is_some() {
                continue;
            }
            let gone = self.tree.compare_and_swap(key, Some(stored), None::<&[u8]>).map_err(unavailable)?;
            if gone.is_ok() {
                self.release();
                swept += 1;
            }
        }
        Ok(swept)
    }
}

impl HotStore for SledHot {
    fn get<'a>(&'a self, space: Space, key: &'a [u8], now_ms: i64) -> Answer<'a, Option<Vec<u8>>> {
        ready(self.tables.of(space).get(key, now_ms))
    }

    fn put<'a>(&'a self, space: Space, key: &'a [u8], value: &'a [u8], expires_ms: i64) -> Answer<'a, ()> {
        let stored = encode(value, expires_ms);
        let checked = self.bounds.check_value(value);
        ready(checked.and_then(|()| self.tables.of(space).put(key, stored, self.bounds.entries_max)))
    }

    fn insert<'a>(
        &'a self,
        space: Space,
        key: &'a [u8],
        value: &'a [u8],
        now_ms: i64,
        expires_ms: i64,
    ) -> Answer<'a, bool> {
        let stored = encode(value, expires_ms);
        let table = self.tables.of(space);
        let checked = self.bounds.check_value(value);
        ready(checked.and_then(|()| table.insert(key, &stored, now_ms, self.bounds.entries_max)))
    }

    fn take<'a>(&'a self, space: Space, key: &'a [u8], now_ms: i64) -> Answer<'a, Option<Vec<u8>>> {
        ready(self.tables.of(space).take(key, now_ms))
    }

    fn remove<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, ()> {
        ready(self.tables.of(space).take(key, i64::MIN).map(drop))
    }

    fn sweep(&self, now_ms: i64) -> Answer<'_, u64> {
        ready(self.tables.iter().map(|table| table.sweep(now_ms)).sum())
    }
}
