//! A table with a fixed number of entries, for what may be forgotten at any time: verified tokens, cached sessions.
//!
//! When a shard is full, the entry that was not used since the hand last passed makes room (CLOCK), so a flood of entries
//! used once does not push out those in use.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

/// Shards, to keep readers on many threads apart.
const SHARDS: usize = 16;

/// The table. Values are handed out as clones; make them `Arc`s.
#[derive(Debug)]
pub struct BoundedMap<K, V> {
    shards: Vec<RwLock<Shard<K, V>>>,
    hasher: RandomState,
    shard_capacity: usize,
}

#[derive(Debug)]
struct Shard<K, V> {
    places: HashMap<K, usize>,
    slots: Vec<Slot<K, V>>,
    hand: usize,
}

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    used: AtomicBool,
}

impl<K: Hash + Eq + Clone, V: Clone> BoundedMap<K, V> {
    /// A table of at least one and about `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        let shard = || RwLock::new(Shard { places: HashMap::new(), slots: Vec::new(), hand: 0 });
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            shard_capacity: capacity.div_ceil(SHARDS).max(1),
        }
    }

    fn shard(&self, key: &K) -> Option<&RwLock<Shard<K, V>>> {
        // The top bits choose the shard.
        let at = (self.hasher.hash_one(key) >> 32) as usize % SHARDS;
        self.shards.get(at)
    }

    /// The value, which counts as used.
    pub fn get(&self, key: &K) -> Option<V> {
        let shard = self.shard(key)?.read();
        let slot = shard.slots.get(*shard.places.get(key)?)?;
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        Some(slot.value.clone())
    }

    /// Every value, without counting as use.
    pub fn values(&self) -> Vec<V> {
        self.shards
            .iter()
            .flat_map(|s| s.read().slots.iter().map(|s| s.value.clone()).collect::<Vec<_>>())
            .collect()
    }

    /// Puts a value in, over an older one, or in the place of an entry that is not in use.
    pub fn insert(&self, key: K, value: V) {
        let Some(shard) = self.shard(&key) else { return };
        let mut guard = shard.write();
        let shard = &mut *guard;
        let slot = Slot { key: key.clone(), value, used: AtomicBool::new(false) };
        if let Some(old) = shard.places.get(&key).and_then(|at| shard.slots.get_mut(*at)) {
            *old = slot;
        } else if shard.slots.len() < self.shard_capacity {
            shard.places.insert(key, shard.slots.len());
            shard.slots.push(slot);
        } else {
            let at = shard.victim();
            if let Some(old) = shard.slots.get_mut(at) {
                shard.places.remove(&old.key);
                *old = slot;
                shard.places.insert(key, at);
            }
        }
    }

    /// Takes an entry out.
    pub fn remove(&self, key: &K) -> Option<V> {
        let mut guard = self.shard(key)?.write();
        let shard = &mut *guard;
        let at = shard.places.remove(key)?;
        if at >= shard.slots.len() {
            return None;
        }
        let taken = shard.slots.swap_remove(at);
        if let Some(moved) = shard.slots.get(at) {
            shard.places.insert(moved.key.clone(), at);
        }
        Some(taken.value)
    }

    /// Keeps only what `keep` says.
    pub fn retain(&self, keep: impl Fn(&K, &V) -> bool) {
        for shard in &self.shards {
            let mut guard = shard.write();
            let shard = &mut *guard;
            shard.slots.retain(|slot| keep(&slot.key, &slot.value));
            shard.places = shard.slots.iter().enumerate().map(|(at, slot)| (slot.key.clone(), at)).collect();
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.read().slots.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, V> Shard<K, V> {
    /// The first entry from the hand on that was not used since the hand last passed; two rounds suffice.
    fn victim(&mut self) -> usize {
        for _ in 0..self.slots.len().saturating_mul(2) {
            let at = self.hand % self.slots.len().max(1);
            self.hand = at.wrapping_add(1);
            if self.slots.get_mut(at).is_some_and(|slot| !std::mem::take(slot.used.get_mut())) {
                return at;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_in_use_survives_a_flood() {
        let map = BoundedMap::new(1_600);
        map.insert(0u32, 0u32);
        for n in 1..100_000u32 {
            map.insert(n, n);
            assert_eq!(map.get(&0), Some(0), "lost at {n}");
        }
        assert!(map.len() <= 1_600 + SHARDS);
    }

    proptest! {
        #[test]
        fn never_gives_another_keys_value(steps in proptest::collection::vec((0u8..3, 0u16..60), 1..400)) {
            let map = BoundedMap::new(32);
            for (kind, key) in steps {
                match kind {
                    0 => map.insert(key, u32::from(key) * 3),
                    1 => drop(map.remove(&key)),
                    _ => {}
                }
                if let Some(value) = map.get(&key) {
                    prop_assert_eq!(value, u32::from(key) * 3);
                    prop_assert_ne!(kind, 1);
                } else {
                    prop_assert_ne!(kind, 0);
                }
                prop_assert!(map.len() <= 48);
            }
        }
    }
}
