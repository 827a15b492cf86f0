//! Seeded simulators of customers, fraud and web traffic with known labels; the same seed gives the same events.
//!
//! Everything is invented: the shapes are plausible, the share of fraud is far above a real bank's so that models
//! have something to learn from, and figures measured here say nothing about anybody's real data.

mod attackers;
mod fields;
mod fraudsters;
mod people;
mod traffic;
mod transfers;

pub use fields::Field;
pub use traffic::{Body, Route, TrafficSettings, generic_routes, traffic};
pub use transfers::{TransferSettings, transfers};

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Random numbers with the distributions that simulators need.
pub(crate) struct Random(Xoshiro256PlusPlus);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0.r#gen()
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Uniform integer in `[low, high)`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.gen_range(low..high.max(low + 1))
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.gen_range(0..n.max(1))
    }

    /// Normal with mean 0 and standard deviation 1 (Box-Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Log-normal with this median and spread on the log scale.
    pub(crate) fn lognormal(&mut self, median: f64, spread: f64) -> f64 {
        median * (spread * self.normal()).exp()
    }

    /// Poisson by Knuth's product; for means up to a few dozen.
    pub(crate) fn poisson(&mut self, mean: f64) -> u32 {
        let limit = (-mean).exp();
        let mut product = self.uniform();
        let mut count = 0;
        while product > limit {
            product *= self.uniform();
            count += 1;
        }
        count
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    /// Uniform 64 bits, for identifiers.
    pub(crate) fn identifier(&mut self) -> u64 {
        self.0.r#gen()
    }
}
