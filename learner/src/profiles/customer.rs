//! What is remembered of one customer.

use super::ProfileView;
use super::codec::{Reader, Writer};
use super::rolling::Rolling;
use super::snapshot::SnapshotError;
use crate::features::transfer::TransferEvent;

const MINUTE_S: u32 = 60;
const HOUR_S: u32 = 3_600;
const DAY_S: u32 = 86_400;
const MONTH_S: u32 = 30 * DAY_S;
/// Payees remembered for one customer; the longest unpaid goes first and then counts as new again.
const PAYEES_MAX: usize = 64;
/// Devices remembered for one customer.
const DEVICES_MAX: usize = 8;
/// The norm forgets: no transfer weighs less than one in this many.
const NORM_MEMORY: u32 = 200;
/// At this many transfers in one hour of day all hours are halved, so that habits can change.
const HOUR_MAX: u16 = 1_000;

/// Behaviour of one customer, from what the upstream accepted; attempts are counted apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Customer {
    accepted: Rolling,
    attempts: Rolling,
    /// The longest unpaid first.
    payees: Vec<PaidPayee>,
    /// The longest unused first.
    devices: Vec<u64>,
    hours: [u16; 24],
    accepted_total: u32,
    last_ms: i64,
    log_cents_mean: f64,
    log_cents_variance: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct PaidPayee {
    payee: u64,
    first_s: u32,
    times: u32,
}

/// Whole seconds for the rolling windows, from 1970 to 2106.
pub(super) fn seconds(at_ms: i64) -> u32 {
    u32::try_from((at_ms / 1_000).max(0)).unwrap_or(u32::MAX)
}

impl Customer {
    pub(super) fn accept(&mut self, event: &TransferEvent) {
        let (at_s, cents) = (seconds(event.at_ms), event.amount_cents().max(0));
        self.accepted.add(at_s, cents, MONTH_S);
        self.accepted_total = self.accepted_total.saturating_add(1);
        self.last_ms = self.last_ms.max(event.at_ms);
        self.learn_amount(cents);
        self.learn_hour(event.local_hour());
        self.learn_payee(event.payee, at_s);
        if let Some(device) = event.device {
            self.devices.retain(|&known| known != device);
            if self.devices.len() >= DEVICES_MAX {
                self.devices.remove(0);
            }
            self.devices.push(device);
        }
    }

    pub(super) fn attempt(&mut self, event: &TransferEvent) {
        self.attempts.add(seconds(event.at_ms), 0, DAY_S);
    }

    /// Running mean and variance on the log scale (Welford), forgetting beyond [`NORM_MEMORY`].
    fn learn_amount(&mut self, cents: i64) {
        let weight = 1.0 / f64::from(self.accepted_total.min(NORM_MEMORY));
        let delta = (1.0 + cents as f64).ln() - self.log_cents_mean;
        self.log_cents_mean += weight * delta;
        self.log_cents_variance = (1.0 - weight) * (self.log_cents_variance + weight * delta * delta);
    }

    fn learn_hour(&mut self, hour: usize) {
        let Some(slot) = self.hours.get_mut(hour) else { return };
        *slot += 1;
        if *slot >= HOUR_MAX {
            self.hours.iter_mut().for_each(|n| *n /= 2);
        }
    }

    fn learn_payee(&mut self, payee: u64, at_s: u32) {
        let known = self.payees.iter().position(|paid| paid.payee == payee).map(|at| self.payees.remove(at));
        if self.payees.len() >= PAYEES_MAX {
            self.payees.remove(0);
        }
        let mut paid = known.unwrap_or(PaidPayee { payee, first_s: at_s, times: 0 });
        paid.times = paid.times.saturating_add(1);
        self.payees.push(paid);
    }

    /// Fills in the customer's part of a view at the event's time.
    pub(super) fn describe(&self, event: &TransferEvent, view: &mut ProfileView) {
        let now_s = seconds(event.at_ms);
        let totals = [HOUR_S, DAY_S, 7 * DAY_S, MONTH_S].map(|window_s| self.accepted.total(now_s, window_s));
        view.accepted_total = self.accepted_total;
        view.counts = totals.map(|total| total.count);
        view.sums_cents = totals.map(|total| total.sum_cents);
        let [hour, day, _, month] = totals;
        view.max_30d_cents = month.max_cents;
        view.log_cents_mean = self.log_cents_mean;
        view.log_cents_sd = self.log_cents_variance.max(0.0).sqrt();
        view.times_paid =
            self.payees.iter().find(|paid| paid.payee == event.payee).map_or(0, |paid| paid.times);
        let new_payees = self.payees.iter().filter(|paid| now_s.saturating_sub(paid.first_s) < DAY_S).count();
        view.new_payees_1d = u32::try_from(new_payees).unwrap_or(u32::MAX);
        view.hour_share = self.hour_share(event.local_hour());
        // Without any device on record (a history out of a bank's books) none is new.
        let comparable = event.device.filter(|_| !self.devices.is_empty());
        view.device_known = comparable.map(|device| self.devices.contains(&device));
        view.since_last_ms = (self.accepted_total > 0).then(|| event.at_ms.saturating_sub(self.last_ms));
        view.attempts_10m = self.attempts.total(now_s, 10 * MINUTE_S).count;
        let unaccepted =
            |window_s, accepted| self.attempts.total(now_s, window_s).count.saturating_sub(accepted);
        view.unaccepted_1h = unaccepted(HOUR_S, hour.count);
        view.unaccepted_1d = unaccepted(DAY_S, day.count);
    }

    /// Share of past transfers within an hour of this one, around the clock.
    fn hour_share(&self, hour: usize) -> f64 {
        let near = [hour + 23, hour, hour + 1].map(|hour| self.hours.get(hour % 24).copied().unwrap_or(0));
        let all: u32 = self.hours.iter().map(|&n| u32::from(n)).sum();
        f64::from(near.map(u32::from).iter().sum::<u32>()) / f64::from(all.max(1))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.accepted.heap_bytes()
            + self.attempts.heap_bytes()
            + self.payees.capacity() * size_of::<PaidPayee>()
            + self.devices.capacity() * size_of::<u64>()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.accepted.write(out);
        self.attempts.write(out);
        out.count(self.payees.len());
        for paid in &self.payees {
            out.u64(paid.payee);
            out.u32(paid.first_s);
            out.u32(paid.times);
        }
        out.count(self.devices.len());
        self.devices.iter().for_each(|&device| out.u64(device));
        self.hours.iter().for_each(|&n| out.u16(n));
        out.u32(self.accepted_total);
        out.i64(self.last_ms);
        out.f64(self.log_cents_mean);
        out.f64(self.log_cents_variance);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut customer =
            Self { accepted: Rolling::read(from)?, attempts: Rolling::read(from)?, ..Self::default() };
        customer.payees = from.list(16, |from| {
            Ok(PaidPayee { payee: from.u64()?, first_s: from.u32()?, times: from.u32()? })
        })?;
        customer.devices = from.list(8, Reader::u64)?;
        for slot in &mut customer.hours {
            *slot = from.u16()?;
        }
        customer.accepted_total = from.u32()?;
        customer.last_ms = from.i64()?;
        customer.log_cents_mean = from.f64()?;
        customer.log_cents_variance = from.f64()?;
        Ok(customer)
    }
}
