//! What is remembered of one payee, over all customers.

use super::ProfileView;
use super::codec::{Reader, Writer};
use super::customer::seconds;
use super::snapshot::SnapshotError;
use crate::features::transfer::TransferEvent;

const DAY_S: u32 = 86_400;
/// Payers remembered for one payee; fan-in is exact up to this many and then stays there.
pub(super) const PAYERS_MAX: usize = 32;

/// Who paid a payee lately, and since when it is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Payee {
    first_ms: Option<i64>,
    /// The longest not paying first.
    payers: Vec<Payer>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Payer {
    customer: u64,
    last_s: u32,
}

impl Payee {
    pub(super) fn accept(&mut self, event: &TransferEvent) {
        self.first_ms.get_or_insert(event.at_ms);
        self.payers.retain(|payer| payer.customer != event.customer);
        if self.payers.len() >= PAYERS_MAX {
            self.payers.remove(0);
        }
        self.payers.push(Payer { customer: event.customer, last_s: seconds(event.at_ms) });
    }

    /// Fills in the payee's part of a view at the event's time.
    pub(super) fn describe(&self, event: &TransferEvent, view: &mut ProfileView) {
        let now_s = seconds(event.at_ms);
        let within = |window_s| {
            let payers = self.payers.iter().filter(|payer| now_s.saturating_sub(payer.last_s) < window_s);
            u32::try_from(payers.count()).unwrap_or(u32::MAX)
        };
        view.payee_fan_in_1d = within(DAY_S);
        view.payee_fan_in_30d = within(30 * DAY_S);
        view.payee_age_ms = self.first_ms.map(|first_ms| event.at_ms.saturating_sub(first_ms));
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.payers.capacity() * size_of::<Payer>()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.i64(self.first_ms.unwrap_or(i64::MIN));
        out.count(self.payers.len());
        for payer in &self.payers {
            out.u64(payer.customer);
            out.u32(payer.last_s);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let first_ms = Some(from.i64()?).filter(|&first_ms| first_ms != i64::MIN);
        let payers = from.list(12, |from| Ok(Payer { customer: from.u64()?, last_s: from.u32()? }))?;
        Ok(Self { first_ms, payers })
    }
}
