//! How many permits each customer or address holds, in a table whose size does not grow with their number.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::FairKey;

const BUCKETS: usize = 2048;

/// A count-min sketch of two rows: never tells less than a key holds, seldom more. Keys are keyed hashes, so
/// nobody outside can choose to share a bucket with somebody else.
#[derive(Debug)]
pub(super) struct FairShares {
    rows: [Box<[AtomicU32]>; 2],
}

impl Default for FairShares {
    fn default() -> Self {
        let row = || (0..BUCKETS).map(|_| AtomicU32::new(0)).collect();
        Self { rows: [row(), row()] }
    }
}

impl FairShares {
    pub fn held(&self, key: FairKey) -> u16 {
        let least = self.buckets(key).map(|bucket| bucket.load(Relaxed)).min().unwrap_or(0);
        u16::try_from(least).unwrap_or(u16::MAX)
    }

    pub fn add(&self, key: FairKey) {
        for bucket in self.buckets(key) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    pub fn subtract(&self, key: FairKey) {
        for bucket in self.buckets(key) {
            bucket.fetch_sub(1, Relaxed);
        }
    }

    fn buckets(&self, key: FairKey) -> impl Iterator<Item = &AtomicU32> {
        let indices = [key.0 as usize % BUCKETS, (key.0 >> 32) as usize % BUCKETS];
        self.rows.iter().zip(indices).filter_map(|(row, index)| row.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_told_less_than_it_holds_and_ends_at_nothing() {
        let shares = FairShares::default();
        let keys: Vec<FairKey> =
            (1..500_u64).map(|n| FairKey(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        for key in &keys {
            shares.add(*key);
            shares.add(*key);
        }
        assert!(keys.iter().all(|key| shares.held(*key) >= 2));
        assert!(keys.iter().filter(|key| shares.held(**key) > 2).count() < 50, "few share both buckets");
        for key in &keys {
            shares.subtract(*key);
            shares.subtract(*key);
        }
        assert!(keys.iter().all(|key| shares.held(*key) == 0));
    }
}
