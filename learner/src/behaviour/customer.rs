//! What is remembered of one customer.

use super::codec::{Reader, Writer};
use super::movements::{Cents, DAY_S, ENTRIES_MAX, HORIZON_S, HOUR_S, Known, MINUTE_S, Movements, Total};
use super::norm::Norm;
use super::party::half;
use super::snapshot::SnapshotError;
use super::{Event, seconds};

/// Counterparties remembered for one customer; the longest unpaid goes first and then counts as new again.
const COUNTERPARTIES_MAX: usize = 64;
/// Levels remembered of each category (devices, channels, kinds of goods) of one customer, likewise, beside how often the
/// category was present at all; and for all together at least so many.
const LEVELS_EACH: usize = 5;
const LEVELS_MIN: usize = 24;
/// At this many events in one hour of day all hours are halved, so that habits can change.
const HOUR_MAX: u8 = 250;
/// An amount this many times the median counts as large.
const LARGE: f32 = 2.5;
/// And this many times as very large.
const VERY_LARGE: f32 = 4.0;

/// Behaviour of one customer, from what was accepted; attempts are counted apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Customer {
    accepted: Movements<Cents>,
    attempts: Movements<()>,
    /// The longest unpaid first.
    counterparties: Vec<Paid>,
    /// The longest unused first.
    levels: Vec<Level>,
    hours: [u8; 24],
    /// Amounts in cents, and their logarithms.
    cents: Norm,
    logs: Norm,
    /// Where events have coordinates; apart, because most have none.
    travel: Option<Box<Travel>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Travel {
    /// Logarithms of distances in kilometres.
    distances: Norm,
    /// Where the last event happened: latitude and longitude, degrees.
    place: [f32; 2],
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Paid {
    /// Half of its key.
    counterparty: u32,
    first_s: u32,
    times: u32,
}

/// How often a level of a category was seen, or any of it; the key is cut to half.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Level {
    key: u32,
    times: u32,
}

/// Amounts of 30 days that were large for the customer and are not known as fraud.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Large {
    /// Of at least 2.5 medians within 1 d, 7 d and 30 d.
    pub(super) counts: [u32; 3],
    /// Of at least 4 medians.
    pub(super) very: u32,
    /// Ages of the first and the last of them.
    pub(super) first_s: Option<u32>,
    pub(super) last_s: Option<u32>,
}

/// What is known of a customer before an event.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CustomerView {
    /// Accepted so far.
    pub total: u32,
    /// Accepted within 1 h, 1 d, 7 d and 30 d.
    pub(super) totals: [Total; 4],
    pub(super) known: Known,
    /// Mean and spread of amounts in cents, and of their logarithms, the last 200 weighing most.
    pub(super) cents: [f64; 2],
    pub(super) logs: [f64; 2],
    /// Median of the last 30 days' amounts in cents, and the median distance from it.
    pub(super) median: Option<[f32; 2]>,
    pub(super) large: Large,
    /// Accepted events with this counterparty; 0 is a new one.
    pub times_paid: u32,
    /// Counterparties met for the first time within a day.
    pub(super) new_counterparties_1d: u32,
    /// Share of accepted events within an hour of this time of day, 0 to 1.
    pub hour_share: f64,
    /// Time since the last accepted event.
    pub(super) since_last_s: Option<u32>,
    /// Asked for within ten minutes.
    pub attempts_10m: u32,
    /// Asked for and not accepted within an hour, and within a day.
    pub unaccepted: [u32; 2],
    /// Mean and spread of the logarithm of distances.
    pub(super) distances: [f64; 2],
    pub(super) place: Option<[f32; 2]>,
}

impl CustomerView {
    /// The geometric mean of accepted amounts, cents; at least 1.
    pub fn usual_cents(&self) -> f64 {
        self.logs[0].exp()
    }

    /// Accepted within a day.
    pub fn count_1d(&self) -> u32 {
        let [_, day, ..] = self.totals;
        day.count
    }

    /// Sum of amounts accepted within a day, cents.
    pub fn sum_1d_cents(&self) -> i64 {
        let [_, day, ..] = self.totals;
        day.sum_cents
    }
}

impl Customer {
    pub(super) fn accept(&mut self, event: &Event<'_>) {
        let at_s = seconds(event.at_ms);
        self.accepted.add(at_s, event.amount_cents.unwrap_or(0), HORIZON_S);
        event.cents().into_iter().for_each(|cents| self.cents.learn(cents));
        event.log_cents().into_iter().for_each(|log| self.logs.learn(log));
        self.learn_hour(event.local_hour());
        if let Some(counterparty) = event.counterparty {
            self.learn_counterparty(counterparty, at_s);
        }
        let room = (LEVELS_EACH * event.categories.len()).max(LEVELS_MIN);
        event.levels().chain(event.columns()).for_each(|key| self.learn_level(key, room));
        if let (Some(km), Some([_, there])) = (event.distance_km(), event.coordinates) {
            let travel = self.travel.get_or_insert_default();
            travel.distances.learn(km.ln_1p());
            travel.place = there.map(|degrees| degrees as f32);
        }
    }

    pub(super) fn attempt(&mut self, event: &Event<'_>) {
        self.attempts.add(seconds(event.at_ms), 0, DAY_S);
    }

    pub(super) fn label(&mut self, at_s: u32) {
        self.accepted.label(at_s);
    }

    pub(super) fn unlabel(&mut self, at_s: u32) {
        self.accepted.unlabel(at_s);
    }

    fn learn_hour(&mut self, hour: usize) {
        let Some(slot) = self.hours.get_mut(hour) else { return };
        *slot += 1;
        if *slot >= HOUR_MAX {
            self.hours.iter_mut().for_each(|n| *n /= 2);
        }
    }

    fn learn_counterparty(&mut self, counterparty: u64, at_s: u32) {
        let key = half(counterparty);
        let known = self.counterparties.iter().position(|paid| paid.counterparty == key);
        let mut paid = match known {
            Some(at) => self.counterparties.remove(at),
            None => Paid { counterparty: key, first_s: at_s, times: 0 },
        };
        if self.counterparties.len() >= COUNTERPARTIES_MAX {
            self.counterparties.remove(0);
        }
        paid.times = paid.times.saturating_add(1);
        grow(&mut self.counterparties);
        self.counterparties.push(paid);
    }

    fn learn_level(&mut self, key: u64, room: usize) {
        let key = half(key);
        let known = self.levels.iter().position(|level| level.key == key);
        let mut level = known.map_or(Level { key, times: 0 }, |at| self.levels.remove(at));
        if self.levels.len() >= room {
            self.levels.remove(0);
        }
        level.times = level.times.saturating_add(1);
        grow(&mut self.levels);
        self.levels.push(level);
    }

    /// How often this customer was seen with a level, or with any of a column.
    pub(super) fn times(&self, key: u64) -> u32 {
        let key = half(key);
        self.levels.iter().find(|known| known.key == key).map_or(0, |known| known.times)
    }

    pub(super) fn view(&self, event: &Event<'_>, delay_s: u32) -> CustomerView {
        let now_s = seconds(event.at_ms);
        let totals = self.accepted.totals(now_s);
        let median = self.median(now_s);
        let travelled = self.travel.as_ref().map_or_else(Norm::default, |travel| travel.distances);
        let [hour, day, ..] = totals.map(|total| total.count);
        let unaccepted = |window_s, accepted| self.attempts.count(now_s, window_s).saturating_sub(accepted);
        let paid = event.counterparty.map(half);
        let new =
            self.counterparties.iter().filter(|paid| now_s.saturating_sub(paid.first_s) < DAY_S).count();
        CustomerView {
            total: self.accepted.total(),
            totals,
            known: self.accepted.known(now_s, delay_s),
            cents: [self.cents.mean(), self.cents.spread()],
            logs: [self.logs.mean(), self.logs.spread()],
            median,
            large: median.map_or_else(Large::default, |[median, _]| self.large(now_s, median)),
            times_paid: self
                .counterparties
                .iter()
                .find(|known| Some(known.counterparty) == paid)
                .map_or(0, |known| known.times),
            new_counterparties_1d: u32::try_from(new).unwrap_or(u32::MAX),
            hour_share: self.hour_share(event.local_hour()),
            since_last_s: self.accepted.newest_s().map(|last_s| now_s.saturating_sub(last_s)),
            attempts_10m: self.attempts.count(now_s, 10 * MINUTE_S),
            unaccepted: [unaccepted(HOUR_S, hour), unaccepted(DAY_S, day)],
            distances: [travelled.mean(), travelled.spread()],
            place: self.travel.as_ref().map(|travel| travel.place),
        }
    }

    /// Median amount and median distance from it, of the entries of 30 days that are not known as fraud.
    fn median(&self, now_s: u32) -> Option<[f32; 2]> {
        let mut room = [0.0f32; ENTRIES_MAX];
        let mut used = 0;
        for (slot, (.., cents)) in room.iter_mut().zip(self.accepted.amounts(now_s)) {
            *slot = cents;
            used += 1;
        }
        let amounts = room.get_mut(..used).filter(|amounts| amounts.len() >= 3)?;
        let middle = amounts.len() / 2;
        let (_, &mut median, _) = amounts.select_nth_unstable_by(middle, f32::total_cmp);
        amounts.iter_mut().for_each(|cents| *cents = (*cents - median).abs());
        let (_, &mut distance, _) = amounts.select_nth_unstable_by(middle, f32::total_cmp);
        Some([median, distance])
    }

    fn large(&self, now_s: u32, median: f32) -> Large {
        let mut large = Large::default();
        for (age_s, count, cents) in self.accepted.amounts(now_s) {
            if cents < LARGE * median {
                continue;
            }
            for (slot, window_s) in large.counts.iter_mut().zip([DAY_S, 7 * DAY_S, u32::MAX]) {
                *slot += if age_s < window_s { count } else { 0 };
            }
            large.very += if cents >= VERY_LARGE * median { count } else { 0 };
            large.last_s.get_or_insert(age_s);
            large.first_s = Some(age_s);
        }
        large
    }

    /// Share of past events within an hour of this one, around the clock.
    fn hour_share(&self, hour: usize) -> f64 {
        let near = [hour + 23, hour, hour + 1].map(|hour| self.hours.get(hour % 24).copied().unwrap_or(0));
        let all: u32 = self.hours.iter().map(|&n| u32::from(n)).sum();
        f64::from(near.map(u32::from).iter().sum::<u32>()) / f64::from(all.max(1))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.accepted.heap_bytes()
            + self.attempts.heap_bytes()
            + self.counterparties.capacity() * size_of::<Paid>()
            + self.levels.capacity() * size_of::<Level>()
            + self.travel.as_ref().map_or(0, |_| size_of::<Travel>())
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.accepted.write(out);
        self.attempts.write(out);
        out.count(self.counterparties.len());
        for paid in &self.counterparties {
            out.u32(paid.counterparty);
            out.u32(paid.first_s);
            out.u32(paid.times);
        }
        out.count(self.levels.len());
        for level in &self.levels {
            out.u32(level.key);
            out.u32(level.times);
        }
        out.bytes.extend(self.hours);
        let nowhere = Travel { distances: Norm::default(), place: [f32::NAN; 2] };
        let Travel { distances, place } = self.travel.as_deref().unwrap_or(&nowhere);
        [&self.cents, &self.logs, distances].iter().for_each(|norm| norm.write(out));
        place.iter().for_each(|&degrees| out.f32(degrees));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let (accepted, attempts) = (Movements::read(from)?, Movements::read(from)?);
        let counterparties = from.list(12, |from| {
            Ok(Paid { counterparty: from.u32()?, first_s: from.u32()?, times: from.u32()? })
        })?;
        let levels = from.list(8, |from| Ok(Level { key: from.u32()?, times: from.u32()? }))?;
        let mut hours = [0; 24];
        for slot in &mut hours {
            *slot = from.u8()?;
        }
        Ok(Self {
            accepted,
            attempts,
            counterparties,
            levels,
            hours,
            cents: Norm::read(from)?,
            logs: Norm::read(from)?,
            travel: Some(Travel { distances: Norm::read(from)?, place: [from.f32()?, from.f32()?] })
                .filter(|travel| travel.place.iter().all(|n| n.is_finite()))
                .map(Box::new),
        })
    }
}

/// Room for a few more: most customers have few counterparties, and doubling would waste as much again.
fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(2);
    }
}
