//! Movements of one customer or counterparty over a horizon: counts, sums and known fraud in sliding windows.

use super::codec::{Reader, Writer};
use super::snapshot::SnapshotError;

/// Up to this many movements are kept one by one; beyond it, old ones are gathered.
pub(super) const EXACT_MAX: usize = 64;
/// The most entries there can be: those kept one by one, or 60 minutes, 24 hours and [`HORIZON_S`] in days.
pub(super) const ENTRIES_MAX: usize = 60 + 24 + 2 + (HORIZON_S / DAY_S) as usize;
/// The windows, in seconds: 1 h, 1 d, 7 d, 30 d.
pub(super) const WINDOWS_S: [u32; 4] = [HOUR_S, DAY_S, 7 * DAY_S, MONTH_S];
/// How long movements are kept one by one or gathered: 30 days of windows and as many of a label's delay.
pub(super) const HORIZON_S: u32 = 2 * MONTH_S;
pub(super) const MINUTE_S: u32 = 60;
pub(super) const HOUR_S: u32 = 3_600;
pub(super) const DAY_S: u32 = 86_400;
pub(super) const MONTH_S: u32 = 30 * DAY_S;

/// Movements over a horizon of at most 60 days, the oldest first.
///
/// Exact up to 64 movements. Beyond that, movements of the last hour are gathered by minute, of the last day by
/// hour, older ones by day, each counted at its latest moment: a window's edge is then off by at most one minute
/// (1 h), one hour (1 d) or one day (7 d, 30 d), always towards counting more. At most 146 entries, and one more for every
/// 65,535 movements; of 12 bytes with amounts ([`Cents`]), of 8 without (`()`).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Movements<A> {
    entries: Vec<Entry<A>>,
    /// Movements beyond the horizon, and how many of them turned out fraud.
    aged: [u32; 2],
}

impl<A> Default for Movements<A> {
    fn default() -> Self {
        Self { entries: Vec::new(), aged: [0; 2] }
    }
}

/// One movement, or several of one minute, hour or day.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry<A> {
    at_s: u32,
    count: u16,
    frauds: u16,
    amount: A,
}

/// What is kept of amounts.
pub(super) trait Amount: Copy {
    /// Of hundredths of a major unit.
    fn of(cents: i64) -> Self;
    /// And back; 0 where nothing is kept.
    fn cents(self) -> i64;
}

/// Hundredths of a major unit in four bytes. From 0 to 2^31 - 1 (21 million major units) they are exact; others are a sign, an
/// exponent of two and 25 bits, so that sums of a busy counterparty's days are right to seven digits. Nobody's limits are
/// checked to a cent above that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cents(u32);

impl Cents {
    const ROUNDED: u32 = 1 << 31;
    const NEGATIVE: u32 = 1 << 30;
    const DIGITS: u32 = 25;
}

impl Amount for Cents {
    fn of(cents: i64) -> Self {
        if let Some(exact) = u32::try_from(cents).ok().filter(|cents| *cents < Self::ROUNDED) {
            return Self(exact);
        }
        let size = cents.unsigned_abs().min(u64::MAX >> 8);
        let exponent = (u64::BITS - size.leading_zeros()).saturating_sub(Self::DIGITS);
        let sign = if cents < 0 { Self::NEGATIVE } else { 0 };
        Self(Self::ROUNDED | sign | exponent << Self::DIGITS | (size >> exponent) as u32)
    }

    fn cents(self) -> i64 {
        if self.0 < Self::ROUNDED {
            return self.0.into();
        }
        let digits = i64::from(self.0 & ((1 << Self::DIGITS) - 1));
        let size = digits << (self.0 >> Self::DIGITS & 31);
        if self.0 & Self::NEGATIVE == 0 { size } else { -size }
    }
}

impl Amount for () {
    fn of(_: i64) -> Self {}

    fn cents(self) -> i64 {
        0
    }
}

/// What a window holds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Total {
    pub(super) count: u32,
    pub(super) sum_cents: i64,
    /// Largest single entry (an upper bound once entries are gathered).
    pub(super) max_cents: i64,
    /// Sum of squares (gathered entries count as so many of their mean).
    pub(super) squares: f64,
}

/// What labels say by now of movements in windows that end where labels begin to be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Known {
    /// Movements old enough to be known: of 1 d, 7 d and 30 d before the delay, and of all times.
    pub(super) counts: [u32; 4],
    /// Fraud among them.
    pub(super) frauds: [u32; 4],
    /// How many of the newest known movements are fraud without a break.
    pub(super) streak: u32,
    /// Age of the first of these, seconds.
    pub(super) streak_age_s: Option<u32>,
    /// Age of the newest known fraud within the horizon, seconds.
    pub(super) fraud_age_s: Option<u32>,
    /// Age of the oldest known fraud within the last 30 days that can be known, seconds.
    pub(super) first_fraud_age_s: Option<u32>,
    /// Age of the newest known movement that is none.
    pub(super) honest_age_s: Option<u32>,
}

impl<A: Amount> Movements<A> {
    /// Adds a movement; those beyond the horizon go into the sum. A late one takes its place in time.
    pub(super) fn add(&mut self, at_s: u32, cents: i64, horizon_s: u32) {
        let newest = self.entries.last().map_or(at_s, |entry| entry.at_s.max(at_s));
        let old =
            self.entries.iter().take_while(|entry| newest - entry.at_s.min(newest) >= horizon_s).count();
        for entry in self.entries.drain(..old) {
            self.aged[0] = self.aged[0].saturating_add(u32::from(entry.count));
            self.aged[1] = self.aged[1].saturating_add(u32::from(entry.frauds));
        }
        let entry = Entry { at_s, count: 1, frauds: 0, amount: A::of(cents) };
        if self.entries.len() == self.entries.capacity() {
            // Small steps: most customers have few movements, and doubling would waste as much again.
            self.entries.reserve_exact(if self.entries.is_empty() { 2 } else { 8 });
        }
        let place = self.entries.partition_point(|entry| entry.at_s <= at_s);
        self.entries.insert(place, entry);
        if self.entries.len() > EXACT_MAX {
            self.gather(newest);
        }
    }

    /// A movement of this time turned out fraud.
    pub(super) fn label(&mut self, at_s: u32) {
        let at = self.entries.partition_point(|entry| entry.at_s < at_s);
        let [aged, aged_frauds] = &mut self.aged;
        let first = self.entries.get(at);
        if at == 0 && *aged_frauds < *aged && first.is_none_or(|entry| entry.at_s != at_s) {
            *aged_frauds += 1;
            return;
        }
        // The first that is not all fraud yet: of several at the same second, and where a latecomer stands between a
        // movement and the entry that it was gathered into.
        let (before, after) = self.entries.split_at_mut_checked(at).unwrap_or_default();
        let room = |entry: &&mut Entry<A>| entry.frauds < entry.count;
        if let Some(entry) = after.iter_mut().find(room).or_else(|| before.iter_mut().rev().find(room)) {
            entry.frauds += 1;
        }
    }

    /// All that were ever added.
    pub(super) fn total(&self) -> u32 {
        let [aged, _] = self.aged;
        self.entries.iter().fold(aged, |sum, entry| sum.saturating_add(u32::from(entry.count)))
    }

    /// When the newest was.
    pub(super) fn newest_s(&self) -> Option<u32> {
        self.entries.last().map(|entry| entry.at_s)
    }

    /// Takes [`Movements::label`] of this time back.
    pub(super) fn unlabel(&mut self, at_s: u32) {
        let at = self.entries.partition_point(|entry| entry.at_s < at_s);
        let aged_frauds = &mut self.aged[1];
        if at == 0 && *aged_frauds > 0 && self.entries.first().is_none_or(|entry| entry.at_s != at_s) {
            *aged_frauds -= 1;
            return;
        }
        let (before, after) = self.entries.split_at_mut_checked(at).unwrap_or_default();
        let labelled = |entry: &&mut Entry<A>| entry.frauds > 0;
        if let Some(entry) =
            after.iter_mut().find(labelled).or_else(|| before.iter_mut().rev().find(labelled))
        {
            entry.frauds -= 1;
        }
    }

    /// Whether none of them is labelled fraud.
    pub(super) fn are_honest(&self) -> bool {
        self.aged[1] == 0 && self.entries.iter().all(|entry| entry.frauds == 0)
    }

    /// What lies in `(now - window, now]` for each of [`WINDOWS_S`], and what seems to lie ahead of a clock that is
    /// behind.
    pub(super) fn totals(&self, now_s: u32) -> [Total; 4] {
        let mut totals = [Total::default(); 4];
        for entry in self.entries.iter().rev() {
            let age_s = now_s.saturating_sub(entry.at_s);
            if age_s >= MONTH_S {
                break;
            }
            let cents = entry.amount.cents();
            let square = cents as f64 * cents as f64 / f64::from(entry.count.max(1));
            for (total, window_s) in totals.iter_mut().zip(WINDOWS_S) {
                if age_s < window_s {
                    total.count = total.count.saturating_add(u32::from(entry.count));
                    total.sum_cents = total.sum_cents.saturating_add(cents);
                    total.max_cents = total.max_cents.max(cents / i64::from(entry.count.max(1)));
                    total.squares += square;
                }
            }
        }
        totals
    }

    /// Movements in `(now - window, now]`.
    pub(super) fn count(&self, now_s: u32, window_s: u32) -> u32 {
        let within =
            self.entries.iter().rev().take_while(|entry| now_s.saturating_sub(entry.at_s) < window_s);
        within.fold(0, |sum, entry| sum.saturating_add(u32::from(entry.count)))
    }

    /// What is known at `now`, when the label of a movement arrives `delay` after it at the latest: what is older
    /// and has no label is no fraud.
    pub(super) fn known(&self, now_s: u32, delay_s: u32) -> Known {
        let mut known = Known::default();
        let mut unbroken = true;
        for entry in self.entries.iter().rev() {
            let age_s = now_s.saturating_sub(entry.at_s);
            let Some(known_s) = age_s.checked_sub(delay_s).filter(|_| entry.at_s <= now_s) else { continue };
            let windows = [DAY_S, 7 * DAY_S, MONTH_S, u32::MAX];
            for ((count, frauds), window_s) in known.counts.iter_mut().zip(&mut known.frauds).zip(windows) {
                if known_s < window_s {
                    *count = count.saturating_add(u32::from(entry.count));
                    *frauds = frauds.saturating_add(u32::from(entry.frauds));
                }
            }
            if entry.frauds > 0 {
                known.fraud_age_s.get_or_insert(age_s);
                known.first_fraud_age_s =
                    Some(age_s).filter(|_| known_s < MONTH_S).or(known.first_fraud_age_s);
            }
            if entry.frauds < entry.count {
                known.honest_age_s.get_or_insert(age_s);
                unbroken = false;
            }
            if unbroken {
                known.streak = known.streak.saturating_add(u32::from(entry.count));
                known.streak_age_s = Some(age_s);
            }
        }
        let ([.., counts], [.., frauds]) = (&mut known.counts, &mut known.frauds);
        *counts = counts.saturating_add(self.aged[0]);
        *frauds = frauds.saturating_add(self.aged[1]);
        known
    }

    /// Mean amounts of the last 30 days' entries that are not known as fraud, with their ages and counts, newest first.
    pub(super) fn amounts(&self, now_s: u32) -> impl Iterator<Item = (u32, u32, f32)> + '_ {
        let recent = self.entries.iter().rev().map(move |entry| (now_s.saturating_sub(entry.at_s), entry));
        recent.take_while(|(age_s, _)| *age_s < MONTH_S).filter(|(_, entry)| entry.frauds == 0).map(
            |(age_s, entry)| {
                (age_s, entry.count.into(), entry.amount.cents() as f32 / f32::from(entry.count.max(1)))
            },
        )
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
            let count = kept.count.checked_add(later.count);
            let Some(count) = count.filter(|_| bucket(later.at_s) == bucket(kept.at_s)) else { return false };
            *kept = Entry {
                at_s: later.at_s,
                count,
                // No more than are counted.
                frauds: kept.frauds.saturating_add(later.frauds),
                amount: A::of(kept.amount.cents().saturating_add(later.amount.cents())),
            };
            true
        });
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<A>>()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.aged.iter().for_each(|&n| out.u32(n));
        out.count(self.entries.len());
        for entry in &self.entries {
            out.u32(entry.at_s);
            out.u16(entry.count);
            out.u16(entry.frauds);
            out.i64(entry.amount.cents());
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let aged = [from.u32()?, from.u32()?];
        let entries = from.list(16, |from| {
            let (at_s, count, frauds) = (from.u32()?, from.u16()?, from.u16()?);
            Ok(Entry { at_s, count, frauds, amount: A::of(from.i64()?) })
        })?;
        Ok(Self { entries, aged })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn brute(movements: &[(u32, i64)], now_s: u32, window_s: u32) -> (u32, i64) {
        let within = movements.iter().filter(|(at_s, _)| now_s - at_s < window_s);
        within.fold((0, 0), |(count, sum), (_, cents)| (count + 1, sum + cents))
    }

    proptest! {
        #[test]
        fn amounts_are_exact_or_right_to_seven_digits(cents in any::<i64>(), shift in 0..64u32) {
            let cents = cents >> shift;
            let kept = Cents::of(cents).cents();
            if (0..1 << 31).contains(&cents) {
                prop_assert_eq!(kept, cents);
            } else if cents.unsigned_abs() < 1 << 56 {
                prop_assert!((kept as f64 / cents as f64 - 1.0).abs() < 1e-7, "{} {}", kept, cents);
            }
            prop_assert!(kept.unsigned_abs() <= cents.unsigned_abs() && kept.signum() * cents.signum() >= 0);
            prop_assert_eq!(Cents::of(kept), Cents::of(cents));
        }

        #[test]
        fn few_movements_are_exact(mut movements in prop::collection::vec((0..HORIZON_S, 0..1_000_000i64), 1..=EXACT_MAX)) {
            movements.sort_unstable();
            let mut kept = Movements::<Cents>::default();
            movements.iter().for_each(|&(at_s, cents)| kept.add(at_s, cents, HORIZON_S));
            let now_s = movements[movements.len() - 1].0;
            for (total, window_s) in kept.totals(now_s).iter().zip(WINDOWS_S) {
                prop_assert_eq!((total.count, total.sum_cents), brute(&movements, now_s, window_s));
            }
        }

        #[test]
        fn many_movements_keep_the_stated_bound(gaps in prop::collection::vec(0..20_000u32, 100..800)) {
            let mut movements = Vec::new();
            let mut kept = Movements::<Cents>::default();
            let mut now_s = 1_000_000;
            for gap in gaps {
                now_s += gap;
                movements.push((now_s, 1));
                kept.add(now_s, 1, HORIZON_S);
                prop_assert!(kept.entries.len() <= ENTRIES_MAX);
            }
            let totals = kept.totals(now_s);
            for (total, (window_s, slack_s)) in
                totals.iter().zip([(HOUR_S, MINUTE_S), (DAY_S, HOUR_S), (7 * DAY_S, DAY_S), (MONTH_S, DAY_S)])
            {
                prop_assert!(total.count >= brute(&movements, now_s, window_s).0);
                prop_assert!(total.count <= brute(&movements, now_s, window_s + slack_s).0);
            }
            prop_assert_eq!(kept.known(now_s, 0).counts[3] as usize, movements.len());
        }

        #[test]
        fn every_label_is_counted_in_whatever_order_movements_come(
            mut movements in prop::collection::vec((0..3 * HOUR_S, any::<bool>()), 1..300),
            ahead in 0..40usize,
        ) {
            movements.chunks_mut(ahead + 1).for_each(|chunk| chunk.sort_unstable());
            let mut kept = Movements::<Cents>::default();
            for &(at_s, fraud) in &movements {
                kept.add(at_s, 1, HORIZON_S);
                fraud.then(|| kept.label(at_s));
            }
            let frauds = movements.iter().filter(|(_, fraud)| *fraud).count();
            prop_assert_eq!(kept.known(3 * HOUR_S, 0).frauds[3] as usize, frauds);
        }

        #[test]
        fn a_label_that_is_taken_back_was_never_there(
            mut times in prop::collection::vec((0..90 * DAY_S, any::<bool>()), 1..200),
        ) {
            times.sort_unstable();
            times.dedup_by_key(|time| time.0);
            let (mut kept, mut plain) = (Movements::<Cents>::default(), Movements::<Cents>::default());
            for &(at_s, _) in &times {
                kept.add(at_s, 1, HORIZON_S);
                plain.add(at_s, 1, HORIZON_S);
            }
            let labelled = || times.iter().filter(|(_, fraud)| *fraud);
            labelled().for_each(|&(at_s, _)| kept.label(at_s));
            prop_assert_eq!(kept.are_honest(), labelled().next().is_none());
            labelled().for_each(|&(at_s, _)| kept.unlabel(at_s));
            prop_assert!(kept == plain && kept.are_honest());
            kept.unlabel(5);
            prop_assert!(kept == plain, "one that was never given");
        }

        #[test]
        fn known_fraud_is_what_labels_said_before_the_delay(
            mut movements in prop::collection::vec((0..HORIZON_S, any::<bool>()), 1..=EXACT_MAX),
            delay_days in 0..20u32,
        ) {
            movements.sort_unstable();
            movements.dedup_by_key(|movement| movement.0);
            let mut kept = Movements::<Cents>::default();
            movements.iter().for_each(|&(at_s, _)| kept.add(at_s, 100, HORIZON_S));
            let now_s = movements[movements.len() - 1].0;
            let known_until = i64::from(now_s) - i64::from(delay_days * DAY_S);
            let due: Vec<_> = movements.iter().filter(|(at_s, _)| i64::from(*at_s) <= known_until).collect();
            due.iter().filter(|movement| movement.1).for_each(|movement| kept.label(movement.0));
            let known = kept.known(now_s, delay_days * DAY_S);
            for (place, days) in [1, 7, 30, 1_000].into_iter().enumerate() {
                let within: Vec<_> =
                    due.iter().filter(|(at_s, _)| i64::from(*at_s) > known_until - days * 86_400).collect();
                prop_assert_eq!(known.counts[place] as usize, within.len());
                prop_assert_eq!(known.frauds[place] as usize, within.iter().filter(|(_, fraud)| *fraud).count());
            }
            let streak = due.iter().rev().take_while(|(_, fraud)| *fraud).count();
            prop_assert_eq!(known.streak as usize, streak);
            let first = (streak > 0).then(|| now_s - due[due.len() - streak].0);
            prop_assert_eq!(known.streak_age_s, first);
        }
    }

    #[test]
    fn a_late_movement_takes_its_place() {
        let mut kept = Movements::<Cents>::default();
        for at_s in [100_000, 90_000, 95_000] {
            kept.add(at_s, 5, HORIZON_S);
        }
        let [hour, day, ..] = kept.totals(100_000);
        assert_eq!((hour.count, day.count, day.sum_cents, day.max_cents), (1, 3, 15, 5));
        assert_eq!(kept.count(100_000, 2 * HOUR_S), 2);
    }

    #[test]
    fn what_ages_out_stays_in_the_sum() {
        let mut kept = Movements::<Cents>::default();
        for day in 0..200 {
            kept.add(day * DAY_S, 100, HORIZON_S);
            if day % 10 == 0 {
                kept.label(day * DAY_S);
            }
        }
        let known = kept.known(199 * DAY_S, 0);
        assert_eq!((known.counts[3], known.frauds[3]), (200, 20));
        assert!(kept.entries.len() <= 62);
    }
}
