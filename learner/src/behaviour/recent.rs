//! A bounded map that forgets what was not touched for the longest time.

use hashbrown::HashTable;

const NONE: u32 = u32::MAX;

/// Map of at most `capacity` entries in the order they were last touched; every operation is O(1).
#[derive(Debug)]
pub(super) struct Recent<V> {
    /// Places in `slots`, where the keys are.
    index: HashTable<u32>,
    slots: Slots<V>,
    newest: u32,
    oldest: u32,
    capacity: usize,
}

#[derive(Debug)]
struct Slot<V> {
    key: u64,
    value: V,
    newer: u32,
    older: u32,
}

/// Slots in pieces that never move: a table that grew would leave the places where it had been in the heap.
#[derive(Debug)]
struct Slots<V> {
    /// All are full but the last.
    chunks: Vec<Vec<Slot<V>>>,
}

const CHUNK: usize = 32;

impl<V> Slots<V> {
    fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    fn get(&self, at: u32) -> Option<&Slot<V>> {
        self.chunks.get(at as usize / CHUNK)?.get(at as usize % CHUNK)
    }

    fn get_mut(&mut self, at: u32) -> Option<&mut Slot<V>> {
        self.chunks.get_mut(at as usize / CHUNK)?.get_mut(at as usize % CHUNK)
    }

    fn iter(&self) -> impl Iterator<Item = &Slot<V>> {
        self.chunks.iter().flatten()
    }

    fn push(&mut self, slot: Slot<V>) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => {
                if last.len() == last.capacity() {
                    // A small table's only piece grows by doubling.
                    last.reserve_exact(last.len().min(CHUNK - last.len()));
                }
                last.push(slot);
            }
            _ => {
                let mut next = Vec::with_capacity(if self.chunks.is_empty() { 4 } else { CHUNK });
                next.push(slot);
                self.chunks.push(next);
            }
        }
    }
}

impl<V> Recent<V> {
    /// Room for `capacity` entries (at least one, below 2^32 - 1).
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, NONE as usize - 1);
        Self {
            index: HashTable::new(),
            slots: Slots { chunks: Vec::new() },
            newest: NONE,
            oldest: NONE,
            capacity,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Looks without touching.
    pub(super) fn peek(&self, key: u64) -> Option<&V> {
        self.slots.get(self.find(key)?).map(|slot| &slot.value)
    }

    /// Changes what is known under a key, without touching it.
    pub(super) fn change(&mut self, key: u64, change: impl FnOnce(&mut V)) {
        if let Some(slot) = self.find(key).and_then(|at| self.slots.get_mut(at)) {
            change(&mut slot.value);
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.slots.iter().map(|slot| &slot.value)
    }

    /// Changes the entry of `key`, now the newest; made first, in the place of the oldest where there is no room left.
    pub(super) fn touch(&mut self, key: u64, change: impl FnOnce(&mut V))
    where
        V: Default,
    {
        let at = match self.find(key) {
            Some(at) => {
                self.unlink(at);
                at
            }
            None => self.place(key, V::default()),
        };
        self.link_newest(at);
        if let Some(slot) = self.slots.get_mut(at) {
            change(&mut slot.value);
        }
    }

    /// Entries with their keys, the longest untouched first.
    pub(super) fn oldest_first(&self) -> impl Iterator<Item = (u64, &V)> {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at)?;
            at = slot.newer;
            Some((slot.key, &slot.value))
        })
    }

    fn place(&mut self, key: u64, value: V) -> u32 {
        let slot = Slot { key, value, newer: NONE, older: NONE };
        let at = if self.slots.len() < self.capacity {
            self.slots.push(slot);
            (self.slots.len() - 1) as u32
        } else {
            let at = self.oldest;
            self.unlink(at);
            if let Some(place) = self.slots.get_mut(at) {
                if let Ok(entry) = self.index.find_entry(hash(place.key), |&known| known == at) {
                    entry.remove();
                }
                *place = slot;
            }
            at
        };
        let slots = &self.slots;
        let rehash = |&at: &u32| slots.get(at).map_or(0, |slot| hash(slot.key));
        self.index.insert_unique(hash(key), at, rehash);
        at
    }

    fn find(&self, key: u64) -> Option<u32> {
        let same = |&at: &u32| self.slots.get(at).is_some_and(|slot| slot.key == key);
        self.index.find(hash(key), same).copied()
    }

    fn unlink(&mut self, at: u32) {
        let Some((newer, older)) = self.slots.get(at).map(|slot| (slot.newer, slot.older)) else {
            return;
        };
        match self.slots.get_mut(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let before = self.newest;
        if let Some(slot) = self.slots.get_mut(at) {
            slot.newer = NONE;
            slot.older = before;
        }
        match self.slots.get_mut(before) {
            Some(slot) => slot.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }
}

/// Keys are hashes already; small numbers from files are spread by a product and its upper half.
fn hash(key: u64) -> u64 {
    let product = u128::from(key ^ 0xf39c_c060_5ced_c835) * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_list_in_order_of_use(keys in prop::collection::vec(0..90u64, 0..300), capacity in 1..80usize) {
            let mut recent = Recent::new(capacity);
            let mut model: Vec<u64> = Vec::new();
            for key in keys {
                recent.touch(key, |value| *value = key * 10);
                model.retain(|&known| known != key);
                model.push(key);
                if model.len() > capacity {
                    model.remove(0);
                }
                prop_assert_eq!(recent.oldest_first().map(|(key, _)| key).collect::<Vec<_>>(), model.clone());
                for known in 0..90 {
                    prop_assert_eq!(recent.peek(known).copied(), model.contains(&known).then_some(known * 10));
                }
            }
        }
    }
}
