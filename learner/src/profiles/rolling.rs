//! Counts and sums over sliding windows, exact for ordinary customers and bounded for busy ones.

use super::codec::{Reader, Writer};
use super::snapshot::SnapshotError;

/// Up to this many movements are kept one by one; beyond it, old ones are gathered.
const EXACT_MAX: usize = 48;
const MINUTE_S: u32 = 60;
const HOUR_S: u32 = 3_600;
const DAY_S: u32 = 86_400;

/// Movements of one customer over a horizon, oldest first.
///
/// Exact up to 48 movements. Beyond that, movements of the last hour are gathered by minute, of the last day by
/// hour, older ones by day, each counted at its latest moment: a window's edge is then off by at most one minute
/// (1 h), one hour (1 d) or one day (7 d, 30 d), always towards counting more. At most 117 entries of 16 bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rolling {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    at_s: u32,
    count: u32,
    sum_cents: i64,
}

/// What a window holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) count: u32,
    pub(super) sum_cents: i64,
    /// Largest single entry (an upper bound once entries are gathered).
    pub(super) max_cents: i64,
}

impl Rolling {
    /// Adds a movement; those older than the horizon go. A late one takes its place in time.
    pub(super) fn add(&mut self, at_s: u32, cents: i64, horizon_s: u32) {
        let newest = self.entries.last().map_or(at_s, |entry| entry.at_s.max(at_s));
        self.entries.retain(|entry| newest - entry.at_s.min(newest) < horizon_s);
        let place = self.entries.partition_point(|entry| entry.at_s <= at_s);
        self.entries.insert(place, Entry { at_s, count: 1, sum_cents: cents });
        if self.entries.len() > EXACT_MAX {
            self.gather(newest);
        }
    }

    /// What lies in `(now - window, now]`, and what seems to lie ahead of a clock that is behind.
    pub(super) fn total(&self, now_s: u32, window_s: u32) -> Total {
        let mut total = Total::default();
        for entry in self.entries.iter().rev() {
            if now_s.saturating_sub(entry.at_s) >= window_s {
                break;
            }
            total.count = total.count.saturating_add(entry.count);
            total.sum_cents = total.sum_cents.saturating_add(entry.sum_cents);
            total.max_cents = total.max_cents.max(entry.sum_cents);
        }
        total
    }

    fn gather(&mut self, newest_s: u32) {
        let bucket = |at_s: u32| {
            let width = match newest_s - at_s.min(newest_s) {
                age if age < HOUR_S => MINUTE_S,
                age if age < DAY_S => HOUR_S,
                _ => DAY_S,
            };
            (width, at_s / width)
        };
        self.entries.dedup_by(|later, kept| {
            let same = bucket(later.at_s) == bucket(kept.at_s);
            if same {
                kept.at_s = later.at_s;
                kept.count = kept.count.saturating_add(later.count);
                kept.sum_cents = kept.sum_cents.saturating_add(later.sum_cents);
            }
            same
        });
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.count(self.entries.len());
        for entry in &self.entries {
            out.u32(entry.at_s);
            out.u32(entry.count);
            out.i64(entry.sum_cents);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let entries = from
            .list(16, |from| Ok(Entry { at_s: from.u32()?, count: from.u32()?, sum_cents: from.i64()? }))?;
        Ok(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HORIZON_S: u32 = 30 * DAY_S;

    fn brute(movements: &[(u32, i64)], now_s: u32, window_s: u32) -> (u32, i64) {
        movements
            .iter()
            .filter(|(at_s, _)| now_s - at_s < window_s)
            .fold((0, 0), |(count, sum), (_, cents)| (count + 1, sum + cents))
    }

    proptest! {
        #[test]
        fn few_movements_are_exact(mut movements in prop::collection::vec((0..HORIZON_S * 2, 0..1_000_000i64), 1..=EXACT_MAX)) {
            movements.sort_unstable();
            let mut rolling = Rolling::default();
            for &(at_s, cents) in &movements {
                rolling.add(at_s, cents, HORIZON_S);
            }
            let now_s = movements[movements.len() - 1].0;
            for window_s in [HOUR_S, DAY_S, 7 * DAY_S, HORIZON_S] {
                let total = rolling.total(now_s, window_s);
                prop_assert_eq!((total.count, total.sum_cents), brute(&movements, now_s, window_s));
            }
        }

        #[test]
        fn many_movements_keep_the_stated_bound(gaps in prop::collection::vec(0..20_000u32, 100..600)) {
            let mut movements = Vec::new();
            let mut rolling = Rolling::default();
            let mut now_s = 1_000_000;
            for gap in gaps {
                now_s += gap;
                movements.push((now_s, 1));
                rolling.add(now_s, 1, HORIZON_S);
                prop_assert!(rolling.entries.len() <= 117);
            }
            for (window_s, slack_s) in [(HOUR_S, MINUTE_S), (DAY_S, HOUR_S), (7 * DAY_S, DAY_S)] {
                let found = rolling.total(now_s, window_s).count;
                prop_assert!(found >= brute(&movements, now_s, window_s).0);
                prop_assert!(found <= brute(&movements, now_s, window_s + slack_s).0);
            }
        }
    }

    #[test]
    fn a_late_movement_takes_its_place() {
        let mut rolling = Rolling::default();
        for at_s in [100_000, 90_000, 95_000] {
            rolling.add(at_s, 5, HORIZON_S);
        }
        assert_eq!(rolling.total(100_000, HOUR_S).count, 1);
        assert_eq!(rolling.total(100_000, 2 * HOUR_S).count, 2);
        assert_eq!(rolling.total(100_000, DAY_S), Total { count: 3, sum_cents: 15, max_cents: 5 });
    }
}
