//! Seeded random draws.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A stream of draws of its own, so that two controllers meet the same customers.
pub(super) struct Draws(Xoshiro256PlusPlus);

impl Draws {
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(mix(seed ^ mix(stream))))
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f64 {
        self.0.r#gen::<f64>()
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub fn between(&mut self, range: [f64; 2]) -> f64 {
        let [low, high] = range;
        low + (high - low) * self.unit()
    }

    pub fn log_between(&mut self, range: [f64; 2]) -> f64 {
        let [low, high] = range;
        self.between([low.ln(), high.ln()]).exp()
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Lognormal with the given mean (not median).
    pub fn lognormal(&mut self, mean: f64, sigma: f64) -> f64 {
        mean * (sigma * self.normal() - sigma * sigma / 2.0).exp()
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// One of `count` identities, as a key that looks random.
    pub fn identity(&mut self, count: u64, salt: u64) -> u64 {
        mix(self.0.gen_range(0..count.max(1)) ^ salt << 40)
    }
}

/// The finaliser of splitmix64.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
