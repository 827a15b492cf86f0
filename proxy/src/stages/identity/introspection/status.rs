//! How introspection does, for metrics, `/readyz` and the console.

use std::sync::atomic::{AtomicU64, Ordering};

use policies::Name;

/// How introspection at one issuer does.
#[derive(Clone, Debug)]
pub struct Status {
    /// Which issuer.
    pub issuer: Name,
    /// Tokens held as active, and as refused.
    pub held: (usize, usize),
    /// Look-ups answered from what is held.
    pub hits: u64,
    /// Look-ups that had to wait for a call, or found none allowed.
    pub misses: u64,
    /// Calls made.
    pub calls: u64,
    /// Calls without a usable answer.
    pub failures: u64,
    /// Calls that were not made, because too many were asked for.
    pub shed: u64,
    /// What was wrong with the last call, if it failed.
    pub last_error: Option<String>,
}

/// The counters of one issuer; see [`Status`].
#[derive(Debug, Default)]
pub struct Counts {
    pub hits: AtomicU64,
    pub misses: AtomicU64,
    pub calls: AtomicU64,
    pub failures: AtomicU64,
    pub shed: AtomicU64,
}

/// Counts one more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    /// The counters as they stand, with what else there is to say.
    pub fn status(&self, issuer: Name, held: (usize, usize), last_error: Option<String>) -> Status {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            issuer,
            held,
            hits: read(&self.hits),
            misses: read(&self.misses),
            calls: read(&self.calls),
            failures: read(&self.failures),
            shed: read(&self.shed),
            last_error,
        }
    }
}
