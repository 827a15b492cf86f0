//! What is remembered over all customers of a counterparty, or of a level of a category.

use super::codec::{Reader, Writer};
use super::movements::{Amount, Cents, DAY_S, HORIZON_S, Known, MONTH_S, Movements, Total};
use super::norm::Norm;
use super::snapshot::SnapshotError;
use super::{Event, seconds};

/// Payers remembered; fan-in is exact up to this many and then stays there.
pub(super) const PAYERS_MAX: usize = 32;

/// What was accepted at a counterparty, or with a level of a category, of whose single movements no amounts are kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Traffic<A> {
    movements: Movements<A>,
    /// Logarithms of amounts.
    amounts: Norm,
    total: u32,
}

impl<A> Default for Traffic<A> {
    fn default() -> Self {
        Self { movements: Movements::default(), amounts: Norm::default(), total: 0 }
    }
}

/// Behaviour seen at a counterparty, from what was accepted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Party {
    traffic: Traffic<Cents>,
    first_s: Option<u32>,
    /// How unusual known fraud here was for its customers, the last weighing half: ln of amount to usual amount.
    surprise: Option<f32>,
    /// The longest not paying first.
    payers: Vec<Payer>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Payer {
    /// Half of its key.
    customer: u32,
    last_s: u32,
}

/// What is known of a counterparty or level before an event.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PartyView {
    pub(super) totals: [Total; 4],
    pub(super) known: Known,
    pub(super) surprise: Option<f32>,
    /// Accepted so far.
    pub(super) total: u32,
    /// Mean and spread of ln(1 + cents).
    pub(super) amounts: [f64; 2],
    /// Time since it was first seen.
    pub(super) age_s: Option<u32>,
    /// Distinct customers within a day and within 30 days, at most [`PAYERS_MAX`].
    pub(super) fan_in: [u32; 2],
}

impl<A: Amount> Traffic<A> {
    pub(super) fn accept(&mut self, event: &Event<'_>) {
        self.movements.add(seconds(event.at_ms), event.amount_cents.unwrap_or(0), HORIZON_S);
        self.total = self.total.saturating_add(1);
        event.log_cents().into_iter().for_each(|log| self.amounts.learn(log));
    }

    pub(super) fn label(&mut self, at_s: u32) {
        self.movements.label(at_s);
    }

    pub(super) fn unlabel(&mut self, at_s: u32) {
        self.movements.unlabel(at_s);
    }

    pub(super) fn view(&self, event: &Event<'_>, delay_s: u32) -> PartyView {
        let now_s = seconds(event.at_ms);
        PartyView {
            totals: self.movements.totals(now_s),
            known: self.movements.known(now_s, delay_s),
            total: self.total,
            amounts: [self.amounts.mean(), self.amounts.spread()],
            ..PartyView::default()
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.movements.heap_bytes()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.movements.write(out);
        self.amounts.write(out);
        out.u32(self.total);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self { movements: Movements::read(from)?, amounts: Norm::read(from)?, total: from.u32()? })
    }
}

impl Party {
    pub(super) fn accept(&mut self, event: &Event<'_>) {
        let at_s = seconds(event.at_ms);
        self.traffic.accept(event);
        self.first_s.get_or_insert(at_s);
        if let Some(customer) = event.customer.map(half) {
            self.payers.retain(|payer| payer.customer != customer);
            if self.payers.len() >= PAYERS_MAX {
                self.payers.remove(0);
            }
            if self.payers.len() == self.payers.capacity() {
                self.payers.reserve_exact(if self.payers.is_empty() { 1 } else { 4 });
            }
            self.payers.push(Payer { customer, last_s: at_s });
        }
    }

    pub(super) fn label(&mut self, at_s: u32, surprise: Option<f32>) {
        self.traffic.label(at_s);
        self.surprise = match (self.surprise, surprise) {
            (Some(before), Some(now)) => Some(0.5 * (before + now)),
            (before, now) => now.or(before),
        };
    }

    /// A running mean cannot give back one of several surprises, whose weight shrinks with each label; without fraud there
    /// is none.
    pub(super) fn unlabel(&mut self, at_s: u32) {
        self.traffic.unlabel(at_s);
        if self.traffic.movements.are_honest() {
            self.surprise = None;
        }
    }

    pub(super) fn view(&self, event: &Event<'_>, delay_s: u32) -> PartyView {
        let now_s = seconds(event.at_ms);
        let within = |window_s| {
            let payers = self.payers.iter().filter(|payer| now_s.saturating_sub(payer.last_s) < window_s);
            u32::try_from(payers.count()).unwrap_or(u32::MAX)
        };
        PartyView {
            surprise: self.surprise,
            age_s: self.first_s.map(|first_s| now_s.saturating_sub(first_s)),
            fan_in: [within(DAY_S), within(MONTH_S)],
            ..self.traffic.view(event, delay_s)
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.traffic.heap_bytes() + self.payers.capacity() * size_of::<Payer>()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.traffic.write(out);
        out.u32(self.first_s.unwrap_or(u32::MAX));
        out.f32(self.surprise.unwrap_or(f32::NAN));
        out.count(self.payers.len());
        for payer in &self.payers {
            out.u32(payer.customer);
            out.u32(payer.last_s);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self {
            traffic: Traffic::read(from)?,
            first_s: Some(from.u32()?).filter(|&first_s| first_s != u32::MAX),
            surprise: Some(from.f32()?).filter(|surprise| surprise.is_finite()),
            payers: from.list(8, |from| Ok(Payer { customer: from.u32()?, last_s: from.u32()? }))?,
        })
    }
}

/// Half of a key, of all its bits. Within one profile it tells the few keys there apart as well as the whole: of 64 of
/// them, two are alike in one profile of two million.
pub(super) fn half(key: u64) -> u32 {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
