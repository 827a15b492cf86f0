//! Records on sled: each write is on disk before it is answered; writes that wait at the same time share a flush.

use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use policies::ports::{Answer, Entry, RecordStore, Space, StoreError};

use super::sled_hot::unavailable;
use super::{Bounds, PerSpace, ready};

/// Memory that sled may use for pages.
const CACHE_BYTES: u64 = 8 << 20;

/// Records on sled.
pub struct SledRecords {
    bounds: Bounds,
    db: sled::Db,
    tables: PerSpace<Table>,
}

struct Table {
    tree: sled::Tree,
    count: AtomicUsize,
}

impl SledRecords {
    /// Opens the store in directory `path`, or begins one.
    ///
    /// # Errors
    /// [`StoreError`]; a damaged store is never begun anew by itself, as records may not be lost.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Self, StoreError> {
        let db = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).open().map_err(unavailable)?;
        let tables = PerSpace::try_new(|space| {
            let tree = db.open_tree(space.name()).map_err(unavailable)?;
            let count = AtomicUsize::new(tree.len());
            Ok(Table { tree, count })
        })?;
        Ok(Self { bounds, db, tables })
    }

    fn swap(
        &self,
        space: Space,
        key: &[u8],
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, StoreError> {
        self.bounds.check_value(value)?;
        let table = self.tables.of(space);
        let grows = expected.is_none();
        if grows && table.count.fetch_add(1, Ordering::Relaxed) >= self.bounds.entries_max {
            table.count.fetch_sub(1, Ordering::Relaxed);
            let exists = table.tree.contains_key(key).map_err(unavailable)?;
            return if exists { Ok(false) } else { Err(StoreError::Full) };
        }
        let swapped = table.tree.compare_and_swap(key, expected, Some(value)).map_err(unavailable);
        if grows && !matches!(swapped, Ok(Ok(()))) {
            table.count.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(swapped?.is_ok())
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.db.flush_async().await.map(drop).map_err(unavailable)
    }
}

impl RecordStore for SledRecords {
    fn get<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, Option<Vec<u8>>> {
        let found = self.tables.of(space).tree.get(key);
        ready(found.map(|value| value.map(|v| v.to_vec())).map_err(unavailable))
    }

    fn compare_and_set<'a>(
        &'a self,
        space: Space,
        key: &'a [u8],
        expected: Option<&'a [u8]>,
        value: &'a [u8],
    ) -> Answer<'a, bool> {
        Box::pin(async move {
            let swapped = self.swap(space, key, expected, value)?;
            if swapped {
                self.flush().await?;
            }
            Ok(swapped)
        })
    }

    fn list<'a>(&'a self, space: Space, after: Option<&'a [u8]>, limit: usize) -> Answer<'a, Vec<Entry>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.tables.of(space).tree.range::<&[u8], _>((start, Bound::Unbounded)).take(limit);
        let entry = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
            entry.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(unavailable)
        };
        ready(entries.map(entry).collect())
    }

    fn remove<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move {
            let table = self.tables.of(space);
            if table.tree.remove(key).map_err(unavailable)?.is_some() {
                table.count.fetch_sub(1, Ordering::Relaxed);
                self.flush().await?;
            }
            Ok(())
        })
    }
}
