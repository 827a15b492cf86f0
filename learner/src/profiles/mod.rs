//! Behaviour profiles of customers and payees: bounded, concurrent, restorable.
//!
//! [`Profiles::view`] says what is known *before* an event; [`Profiles::attempt`] counts that it was asked for;
//! [`Profiles::accept`] learns from it once the upstream really accepted it. Refused transfers thus never shape
//! what counts as a customer's norm.

#![deny(clippy::indexing_slicing)]

mod codec;
mod customer;
mod payee;
mod recent;
mod rolling;
mod snapshot;

pub use snapshot::SnapshotError;

use crate::features::transfer::TransferEvent;
use customer::Customer;
use parking_lot::Mutex;
use payee::Payee;
use recent::Recent;

/// Shards, so that concurrent customers rarely wait for one another; a power of two.
const SHARDS: usize = 64;

/// How much may be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileLimits {
    /// Customers; beyond it, those idle for the longest time are forgotten. Rounded up to a multiple of 64.
    pub customers_max: usize,
    /// Payees, likewise.
    pub payees_max: usize,
}

impl Default for ProfileLimits {
    fn default() -> Self {
        Self { customers_max: 100_000, payees_max: 100_000 }
    }
}

/// What is known of a customer and a payee before an event. Windows are 1 h, 1 d, 7 d and 30 d, ending at the event.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProfileView {
    /// Accepted transfers of this customer so far.
    pub accepted_total: u32,
    /// Accepted transfers in each window.
    pub counts: [u32; 4],
    /// Accepted amounts in each window, hundredths of a major unit.
    pub sums_cents: [i64; 4],
    /// Largest accepted amount in 30 days; for customers with over 48 transfers possibly a day's sum.
    pub max_30d_cents: i64,
    /// Mean of ln(1 + cents) over accepted transfers, the last 200 weighing most.
    pub log_cents_mean: f64,
    /// Standard deviation of ln(1 + cents).
    pub log_cents_sd: f64,
    /// Accepted transfers of this customer to this payee; 0 is a new payee.
    pub times_paid: u32,
    /// Payees this customer paid for the first time within a day.
    pub new_payees_1d: u32,
    /// Share of this customer's accepted transfers within an hour of this time of day, 0 to 1.
    pub hour_share: f64,
    /// Whether the customer used this device before; `None` where the event names no device, or where there are
    /// transfers on record but no devices.
    pub device_known: Option<bool>,
    /// Time since the customer's last accepted transfer.
    pub since_last_ms: Option<i64>,
    /// Transfers asked for within ten minutes.
    pub attempts_10m: u32,
    /// Transfers asked for and not accepted within an hour.
    pub unaccepted_1h: u32,
    /// The same within a day.
    pub unaccepted_1d: u32,
    /// Distinct customers who paid this payee within a day, at most 32.
    pub payee_fan_in_1d: u32,
    /// Distinct customers who paid this payee within 30 days, at most 32.
    pub payee_fan_in_30d: u32,
    /// Time since this payee was first paid by anybody.
    pub payee_age_ms: Option<i64>,
}

impl ProfileView {
    /// Whether every number is one; views made by [`Profiles::view`] always are.
    pub fn is_finite(&self) -> bool {
        self.log_cents_mean.is_finite() && self.log_cents_sd.is_finite() && self.hour_share.is_finite()
    }
}

/// The profile store. All methods take `&self` and are exact under concurrency: each customer's and each payee's
/// update happens under its shard's lock, and no two locks are ever held together.
#[derive(Debug)]
pub struct Profiles {
    customers: Vec<Mutex<Recent<Customer>>>,
    payees: Vec<Mutex<Recent<Payee>>>,
}

impl Profiles {
    /// Empty profiles within limits.
    pub fn new(limits: ProfileLimits) -> Self {
        Self { customers: shards(limits.customers_max), payees: shards(limits.payees_max) }
    }

    /// What is known before `event`; changes nothing. About a microsecond.
    pub fn view(&self, event: &TransferEvent) -> ProfileView {
        let mut view = ProfileView::default();
        if let Some(customer) = shard(&self.customers, event.customer).lock().peek(event.customer) {
            customer.describe(event, &mut view);
        }
        if let Some(payee) = shard(&self.payees, event.payee).lock().peek(event.payee) {
            payee.describe(event, &mut view);
        }
        if view.accepted_total == 0 && event.device.is_some() {
            view.device_known = Some(false);
        }
        view
    }

    /// Counts that a transfer was asked for, whatever becomes of it; call it once, after [`Profiles::view`].
    pub fn attempt(&self, event: &TransferEvent) {
        shard(&self.customers, event.customer).lock().touch(event.customer, Customer::default).attempt(event);
    }

    /// Learns from a transfer that the upstream accepted.
    pub fn accept(&self, event: &TransferEvent) {
        shard(&self.customers, event.customer).lock().touch(event.customer, Customer::default).accept(event);
        shard(&self.payees, event.payee).lock().touch(event.payee, Payee::default).accept(event);
    }

    /// Customers remembered.
    pub fn customers(&self) -> usize {
        self.customers.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Payees remembered.
    pub fn payees(&self) -> usize {
        self.payees.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Estimated memory in bytes, walking everything: for figures, not for requests.
    pub fn state_bytes(&self) -> usize {
        // A slot of the list, and an entry of its index at the hash map's usual load.
        const SLOT_BYTES: usize = 16 + 22;
        let customers: usize = self
            .customers
            .iter()
            .map(|shard| {
                let entry = |customer: &Customer| size_of::<Customer>() + SLOT_BYTES + customer.heap_bytes();
                shard.lock().values().map(entry).sum::<usize>()
            })
            .sum();
        let payees: usize = self
            .payees
            .iter()
            .map(|shard| {
                let entry = |payee: &Payee| size_of::<Payee>() + SLOT_BYTES + payee.heap_bytes();
                shard.lock().values().map(entry).sum::<usize>()
            })
            .sum();
        customers + payees
    }
}

fn shards<V>(capacity: usize) -> Vec<Mutex<Recent<V>>> {
    (0..SHARDS).map(|_| Mutex::new(Recent::new(capacity.div_ceil(SHARDS)))).collect()
}

/// The shard of a key; keys are hashes, but small numbers from files spread as well (Fibonacci hashing).
fn shard<V>(shards: &[Mutex<V>], key: u64) -> &Mutex<V> {
    let at = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize;
    // Six bits are below the 64 shards that both constructors make.
    #[allow(clippy::indexing_slicing)]
    &shards[at % SHARDS]
}

#[cfg(test)]
mod tests;
