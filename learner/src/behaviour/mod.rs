//! Behaviour of customers, counterparties and levels of categories, and the features made of it: one piece of code in
//! training and in serving. Bounded, concurrent, restorable.
//!
//! [`Profiles::describe`] says what an event looks like against what was known *before* it; [`Profiles::attempt`]
//! counts that it was asked for; [`Profiles::accept`] learns from it once it was really carried out, and
//! [`Profiles::label`] once it is known as fraud. Refused attempts thus never shape what counts as a customer's norm.

#![deny(clippy::indexing_slicing)]

mod codec;
mod columns;
mod customer;
mod event;
mod movements;
mod norm;
mod party;
mod recent;
mod schema;
mod snapshot;
mod vector;

pub use customer::CustomerView;
pub use event::Event;
pub use schema::{CATEGORIES_MAX, Column, Inputs, Schema};
pub use snapshot::SnapshotError;

use customer::Customer;
use event::seconds;
use parking_lot::Mutex;
use party::{Party, Traffic};
use recent::Recent;
use std::sync::atomic::{AtomicU64, Ordering};

/// The column that says how unusual an amount is for its customer: what [`Profiles::label`] takes as surprise.
pub const SURPRISE: &str = "amount_to_norm_log";

/// Shards, so that concurrent customers rarely wait for one another; a power of two.
const SHARDS: usize = 64;

/// How much may be remembered. Each is rounded up to a multiple of 64; beyond it, what was idle for the longest time is
/// forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileLimits {
    /// Customers.
    pub customers_max: usize,
    /// Counterparties.
    pub counterparties_max: usize,
    /// Levels of categories, over all columns.
    pub levels_max: usize,
}

impl Default for ProfileLimits {
    fn default() -> Self {
        Self { customers_max: 100_000, counterparties_max: 100_000, levels_max: 10_000 }
    }
}

/// The profile store. All methods take `&self` and are exact under concurrency: each customer's and each
/// counterparty's update happens under its shard's lock, and no two locks are ever held together.
#[derive(Debug)]
pub struct Profiles {
    customers: Vec<Mutex<Recent<Customer>>>,
    counterparties: Vec<Mutex<Recent<Party>>>,
    levels: Vec<Mutex<Recent<Traffic<()>>>>,
    /// Events accepted, and those known as fraud: the rate that smoothed rates lean on.
    accepted: AtomicU64,
    frauds: AtomicU64,
}

impl Profiles {
    /// Empty profiles within limits.
    pub fn new(limits: ProfileLimits) -> Self {
        Self {
            customers: shards(limits.customers_max),
            counterparties: shards(limits.counterparties_max),
            levels: shards(limits.levels_max),
            accepted: AtomicU64::new(0),
            frauds: AtomicU64::new(0),
        }
    }

    /// The event's features against what is known before it, in the order of [`Schema::columns`], put into `out`; what
    /// is known of its customer comes back. Changes nothing, and allocates nothing once `out` has grown.
    pub fn describe(&self, schema: &Schema, event: &Event<'_>, out: &mut Vec<f32>) -> Option<CustomerView> {
        vector::describe(self, schema, event, out)
    }

    /// Counts that an event was asked for, whatever becomes of it; call it once, after [`Profiles::describe`].
    pub fn attempt(&self, event: &Event<'_>) {
        if let Some(customer) = event.customer {
            shard(&self.customers, customer).lock().touch(customer, |known| known.attempt(event));
        }
    }

    /// Learns from an event that was carried out.
    pub fn accept(&self, event: &Event<'_>) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        if let Some(customer) = event.customer {
            shard(&self.customers, customer).lock().touch(customer, |known| known.accept(event));
        }
        if let Some(counterparty) = event.counterparty {
            let mut shard = shard(&self.counterparties, counterparty).lock();
            shard.touch(counterparty, |known| known.accept(event));
        }
        for level in event.levels() {
            shard(&self.levels, level).lock().touch(level, |known| known.accept(event));
        }
    }

    /// Learns that an accepted event was fraud. What gets no such label within its delay counts as none. `surprise` is
    /// how unusual its amount was for the customer at its time: the logarithm of amount to usual amount.
    pub fn label(&self, event: &Event<'_>, surprise: Option<f32>) {
        self.frauds.fetch_add(1, Ordering::Relaxed);
        let at_s = seconds(event.at_ms);
        if let Some(customer) = event.customer {
            shard(&self.customers, customer).lock().change(customer, |customer| customer.label(at_s));
        }
        let surprise = surprise.filter(|surprise| surprise.is_finite());
        if let Some(counterparty) = event.counterparty {
            let mut shard = shard(&self.counterparties, counterparty).lock();
            shard.change(counterparty, |party| party.label(at_s, surprise));
        }
        for level in event.levels() {
            shard(&self.levels, level).lock().change(level, |level| level.label(at_s));
        }
    }

    /// Takes [`Profiles::label`] of an event back: it was no fraud after all.
    pub fn unlabel(&self, event: &Event<'_>) {
        let less = |frauds: u64| Some(frauds.saturating_sub(1));
        let _before = self.frauds.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        let at_s = seconds(event.at_ms);
        if let Some(customer) = event.customer {
            shard(&self.customers, customer).lock().change(customer, |customer| customer.unlabel(at_s));
        }
        if let Some(counterparty) = event.counterparty {
            shard(&self.counterparties, counterparty)
                .lock()
                .change(counterparty, |party| party.unlabel(at_s));
        }
        for level in event.levels() {
            shard(&self.levels, level).lock().change(level, |level| level.unlabel(at_s));
        }
    }

    /// Share of fraud among accepted events, never quite 0 or 1.
    fn base_rate(&self) -> f64 {
        let [accepted, frauds] = [&self.accepted, &self.frauds].map(|n| n.load(Ordering::Relaxed) as f64);
        ((frauds + 1.0) / (accepted + 100.0)).min(0.5)
    }

    /// Customers remembered.
    pub fn customers(&self) -> usize {
        self.customers.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Counterparties remembered.
    pub fn counterparties(&self) -> usize {
        self.counterparties.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Estimated memory in bytes, walking everything: for figures, not for requests.
    pub fn state_bytes(&self) -> usize {
        let parties = held(&self.counterparties, Party::heap_bytes) + held(&self.levels, Traffic::heap_bytes);
        held(&self.customers, Customer::heap_bytes) + parties
    }
}

/// Bytes of all entries of a table.
fn held<V>(shards: &[Mutex<Recent<V>>], heap_bytes: impl Fn(&V) -> usize) -> usize {
    // A slot of the list, and an entry of its index at the hash table's usual load.
    const SLOT_BYTES: usize = 16 + 8;
    let bytes = |value: &V| size_of::<V>() + SLOT_BYTES + heap_bytes(value);
    shards.iter().map(|shard| shard.lock().values().map(bytes).sum::<usize>()).sum()
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
