//! A bounded map that forgets what was not touched for the longest time.

use std::collections::HashMap;

const NONE: u32 = u32::MAX;

/// Map of at most `capacity` entries in the order they were last touched; every operation is O(1).
#[derive(Debug)]
pub(super) struct Recent<V> {
    index: HashMap<u64, u32>,
    slots: Vec<Slot<V>>,
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

impl<V> Recent<V> {
    /// Room for `capacity` entries (at least one, below 2^32 - 1).
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, NONE as usize - 1);
        Self { index: HashMap::new(), slots: Vec::new(), newest: NONE, oldest: NONE, capacity }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Looks without touching.
    pub(super) fn peek(&self, key: u64) -> Option<&V> {
        let &at = self.index.get(&key)?;
        self.slots.get(at as usize).map(|slot| &slot.value)
    }

    /// Changes what is known under a key, without touching it.
    pub(super) fn change(&mut self, key: u64, change: impl FnOnce(&mut V)) {
        if let Some(slot) = self.index.get(&key).and_then(|&at| self.slots.get_mut(at as usize)) {
            change(&mut slot.value);
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.slots.iter().map(|slot| &slot.value)
    }

    /// The entry of `key`, now the newest; made first, in the place of the oldest where there is no room left.
    pub(super) fn touch(&mut self, key: u64, make: impl FnOnce() -> V) -> &mut V {
        let at = match self.index.get(&key) {
            Some(&at) => {
                self.unlink(at);
                at
            }
            None => self.place(key, make()),
        };
        self.link_newest(at);
        // `at` was found or made just above and slots are never removed.
        #[allow(clippy::indexing_slicing)]
        &mut self.slots[at as usize].value
    }

    /// Entries with their keys, the longest untouched first.
    pub(super) fn oldest_first(&self) -> impl Iterator<Item = (u64, &V)> {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at as usize)?;
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
            if let Some(place) = self.slots.get_mut(at as usize) {
                self.index.remove(&place.key);
                *place = slot;
            }
            at
        };
        self.index.insert(key, at);
        at
    }

    fn unlink(&mut self, at: u32) {
        let Some((newer, older)) = self.slots.get(at as usize).map(|slot| (slot.newer, slot.older)) else {
            return;
        };
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let before = self.newest;
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.newer = NONE;
            slot.older = before;
        }
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_list_in_order_of_use(keys in prop::collection::vec(0..12u64, 0..200), capacity in 1..8usize) {
            let mut recent = Recent::new(capacity);
            let mut model: Vec<u64> = Vec::new();
            for key in keys {
                *recent.touch(key, || 0) = key * 10;
                model.retain(|&known| known != key);
                model.push(key);
                if model.len() > capacity {
                    model.remove(0);
                }
                prop_assert_eq!(recent.oldest_first().map(|(key, _)| key).collect::<Vec<_>>(), model.clone());
                for known in 0..12 {
                    prop_assert_eq!(recent.peek(known).copied(), model.contains(&known).then_some(known * 10));
                }
            }
        }
    }
}
