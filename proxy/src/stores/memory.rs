//! Stores in memory: for tests, for single-process trials, and as the local fall-back of shared ones.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use parking_lot::RwLock;
use policies::ports::{Answer, Entry, HotStore, RecordStore, Space, StoreError};

use super::{Bounds, PerSpace, ready};

/// Hot state in memory.
pub struct MemoryHot {
    bounds: Bounds,
    tables: PerSpace<HotTable>,
}

#[derive(Default)]
struct HotTable {
    entries: DashMap<Box<[u8]>, Hot>,
    count: AtomicUsize,
}

struct Hot {
    value: Box<[u8]>,
    expires_ms: i64,
}

impl MemoryHot {
    /// Empty.
    pub fn new(bounds: Bounds) -> Self {
        let Ok(tables) = PerSpace::try_new(|_| Ok::<_, Infallible>(HotTable::default()));
        Self { bounds, tables }
    }

    fn put_now(&self, space: Space, key: &[u8], hot: Hot) -> Result<(), StoreError> {
        self.bounds.check_value(&hot.value)?;
        let table = self.tables.of(space);
        match table.entries.entry(key.into()) {
            Slot::Occupied(mut slot) => drop(slot.insert(hot)),
            Slot::Vacant(slot) => {
                table.reserve(self.bounds.entries_max)?;
                drop(slot.insert(hot));
            }
        }
        Ok(())
    }

    fn insert_now(&self, space: Space, key: &[u8], hot: Hot, now_ms: i64) -> Result<bool, StoreError> {
        self.bounds.check_value(&hot.value)?;
        let table = self.tables.of(space);
        match table.entries.entry(key.into()) {
            Slot::Occupied(slot) if slot.get().expires_ms > now_ms => return Ok(false),
            Slot::Occupied(mut slot) => drop(slot.insert(hot)),
            Slot::Vacant(slot) => {
                table.reserve(self.bounds.entries_max)?;
                drop(slot.insert(hot));
            }
        }
        Ok(true)
    }
}

impl HotTable {
    fn reserve(&self, entries_max: usize) -> Result<(), StoreError> {
        if self.count.fetch_add(1, Ordering::Relaxed) < entries_max {
            return Ok(());
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        Err(StoreError::Full)
    }

    fn remove(&self, key: &[u8]) -> Option<Hot> {
        let (_, hot) = self.entries.remove(key)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(hot)
    }

    fn sweep(&self, now_ms: i64) -> u64 {
        let mut swept = 0;
        self.entries.retain(|_, hot| {
            let live = hot.expires_ms > now_ms;
            swept += usize::from(!live);
            live
        });
        self.count.fetch_sub(swept, Ordering::Relaxed);
        swept as u64
    }
}

impl HotStore for MemoryHot {
    fn get<'a>(&'a self, space: Space, key: &'a [u8], now_ms: i64) -> Answer<'a, Option<Vec<u8>>> {
        let hot = self.tables.of(space).entries.get(key);
        ready(Ok(hot.filter(|hot| hot.expires_ms > now_ms).map(|hot| hot.value.to_vec())))
    }

    fn put<'a>(&'a self, space: Space, key: &'a [u8], value: &'a [u8], expires_ms: i64) -> Answer<'a, ()> {
        ready(self.put_now(space, key, Hot { value: value.into(), expires_ms }))
    }

    fn insert<'a>(
        &'a self,
        space: Space,
        key: &'a [u8],
        value: &'a [u8],
        now_ms: i64,
        expires_ms: i64,
    ) -> Answer<'a, bool> {
        ready(self.insert_now(space, key, Hot { value: value.into(), expires_ms }, now_ms))
    }

    fn take<'a>(&'a self, space: Space, key: &'a [u8], now_ms: i64) -> Answer<'a, Option<Vec<u8>>> {
        let hot = self.tables.of(space).remove(key);
        ready(Ok(hot.filter(|hot| hot.expires_ms > now_ms).map(|hot| hot.value.into_vec())))
    }

    fn remove<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, ()> {
        self.tables.of(space).remove(key);
        ready(Ok(()))
    }

    fn sweep(&self, now_ms: i64) -> Answer<'_, u64> {
        ready(Ok(self.tables.iter().map(|table| table.sweep(now_ms)).sum()))
    }
}

/// Records in memory: they last as long as the process.
pub struct MemoryRecords {
    bounds: Bounds,
    tables: PerSpace<RwLock<BTreeMap<Vec<u8>, Vec<u8>>>>,
}

impl MemoryRecords {
    /// Empty.
    pub fn new(bounds: Bounds) -> Self {
        let Ok(tables) = PerSpace::try_new(|_| Ok::<_, Infallible>(RwLock::default()));
        Self { bounds, tables }
    }
}

impl RecordStore for MemoryRecords {
    fn get<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, Option<Vec<u8>>> {
        ready(Ok(self.tables.of(space).read().get(key).cloned()))
    }

    fn compare_and_set<'a>(
        &'a self,
        space: Space,
        key: &'a [u8],
        expected: Option<&'a [u8]>,
        value: &'a [u8],
    ) -> Answer<'a, bool> {
        if let Err(full) = self.bounds.check_value(value) {
            return ready(Err(full));
        }
        let mut table = self.tables.of(space).write();
        if table.get(key).map(Vec::as_slice) != expected {
            return ready(Ok(false));
        }
        if expected.is_none() && table.len() >= self.bounds.entries_max {
            return ready(Err(StoreError::Full));
        }
        table.insert(key.to_vec(), value.to_vec());
        ready(Ok(true))
    }

    fn list<'a>(&'a self, space: Space, after: Option<&'a [u8]>, limit: usize) -> Answer<'a, Vec<Entry>> {
        let table = self.tables.of(space).read();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = table.range::<[u8], _>((start, Bound::Unbounded)).take(limit);
        ready(Ok(entries.map(|(key, value)| (key.clone(), value.clone())).collect()))
    }

    fn remove<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, ()> {
        self.tables.of(space).write().remove(key);
        ready(Ok(()))
    }
}
