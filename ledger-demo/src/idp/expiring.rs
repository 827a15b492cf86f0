//! A bounded table of values that expire: codes, pushed requests, log-ins under way, sessions, seen assertions.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use super::secret::digest;

type Key = [u8; 32];

/// Values by the SHA-256 of their secret, so that finding one takes no time that depends on the secret itself.
/// All live equally long, so the oldest is also the first to expire; when the table is full the oldest makes room.
pub(super) struct Expiring<V> {
    lifetime_ms: i64,
    entries_max: usize,
    table: Mutex<Table<V>>,
}

struct Table<V> {
    entries: HashMap<Key, Held<V>>,
    /// Keys with the serial of their entry, oldest first; a key whose serial does not fit was removed or replaced.
    order: VecDeque<(Key, u64)>,
    next_serial: u64,
}

struct Held<V> {
    value: V,
    expires_ms: i64,
    serial: u64,
}

impl<V> Expiring<V> {
    pub(super) fn new(lifetime_ms: i64, entries_max: usize) -> Self {
        let table = Table { entries: HashMap::new(), order: VecDeque::new(), next_serial: 0 };
        Self { lifetime_ms, entries_max, table: Mutex::new(table) }
    }

    pub(super) fn insert(&self, secret: &str, value: V, now_ms: i64) {
        let mut table = self.table.lock();
        table.make_room(self.entries_max, now_ms);
        table.insert(digest(secret), value, now_ms.saturating_add(self.lifetime_ms));
    }

    /// Inserts unless the key is there or the table is full of live entries; says whether it did.
    pub(super) fn insert_new(&self, secret: &str, value: V, now_ms: i64) -> bool {
        let key = digest(secret);
        let mut table = self.table.lock();
        table.drop_expired(now_ms);
        if table.entries.contains_key(&key) || table.entries.len() >= self.entries_max {
            return false;
        }
        table.insert(key, value, now_ms.saturating_add(self.lifetime_ms));
        true
    }

    /// Removes and returns a live value.
    pub(super) fn take(&self, secret: &str, now_ms: i64) -> Option<V> {
        let held = self.table.lock().entries.remove(&digest(secret))?;
        (held.expires_ms > now_ms).then_some(held.value)
    }

    /// Lets `change` see and change a live value.
    pub(super) fn update<R>(&self, secret: &str, now_ms: i64, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let mut table = self.table.lock();
        let held = table.entries.get_mut(&digest(secret)).filter(|held| held.expires_ms > now_ms)?;
        Some(change(&mut held.value))
    }
}

impl<V: Clone> Expiring<V> {
    /// A copy of a live value.
    pub(super) fn get(&self, secret: &str, now_ms: i64) -> Option<V> {
        self.update(secret, now_ms, |value| value.clone())
    }
}

impl<V> Table<V> {
    fn insert(&mut self, key: Key, value: V, expires_ms: i64) {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.entries.insert(key, Held { value, expires_ms, serial });
        self.order.push_back((key, serial));
    }

    fn make_room(&mut self, entries_max: usize, now_ms: i64) {
        self.drop_expired(now_ms);
        while self.entries.len() >= entries_max {
            let Some((key, serial)) = self.order.pop_front() else {
                return;
            };
            if self.is_current(&key, serial) {
                self.entries.remove(&key);
            }
        }
    }

    /// Drops what expired and the places in `order` of what was removed before its time.
    fn drop_expired(&mut self, now_ms: i64) {
        while let Some(&(key, serial)) = self.order.front() {
            let current = self.entries.get(&key).filter(|held| held.serial == serial);
            match current {
                Some(held) if held.expires_ms > now_ms => break,
                Some(_) => drop(self.entries.remove(&key)),
                None => {}
            }
            self.order.pop_front();
        }
        // Removed entries behind a long-lived first one would pile up otherwise.
        if self.order.len() > 2 * self.entries.len() + 64 {
            let entries = &self.entries;
            self.order.retain(|(key, serial)| entries.get(key).is_some_and(|held| held.serial == *serial));
        }
    }

    fn is_current(&self, key: &Key, serial: u64) -> bool {
        self.entries.get(key).is_some_and(|held| held.serial == serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_live_their_time_and_the_oldest_makes_room() {
        let table = Expiring::new(100, 2);
        table.insert("a", 1, 0);
        table.insert("b", 2, 10);
        assert_eq!((table.get("a", 99), table.get("a", 100)), (Some(1), None));
        table.insert("c", 3, 20);
        assert_eq!((table.get("a", 20), table.get("b", 20), table.get("c", 20)), (None, Some(2), Some(3)));
        assert_eq!((table.take("b", 20), table.take("b", 20)), (Some(2), None));
        table.insert("b", 4, 30);
        assert_eq!(table.get("c", 30), Some(3), "a removed entry's old place evicts nobody");
        assert_eq!(table.get("b", 129), Some(4), "a replaced entry lives by its own time");
    }

    #[test]
    fn a_replay_memory_refuses_what_it_knows_and_what_it_cannot_remember() {
        let table = Expiring::new(100, 2);
        assert!(table.insert_new("a", (), 0));
        assert!(!table.insert_new("a", (), 99));
        assert!(table.insert_new("b", (), 99));
        assert!(!table.insert_new("c", (), 99), "full: refused, not forgotten");
        assert!(table.insert_new("a", (), 100));
    }

    #[test]
    fn removing_leaves_nothing_behind() {
        let table = Expiring::new(1_000_000, 10);
        table.insert("first", 0, 0);
        for round in 0..10_000 {
            let secret = round.to_string();
            table.insert(&secret, round, 0);
            assert_eq!(table.take(&secret, 0), Some(round));
        }
        assert!(table.table.lock().order.len() < 100);
        assert_eq!(table.get("first", 0), Some(0));
    }
}
