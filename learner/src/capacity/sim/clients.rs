//! Who asks for what, and when.

use super::random::Draws;
use super::scenario::{Demand, Episode, Kind, within};
use crate::capacity::class::Class;
use crate::capacity::plane::FairKey;

/// One population's arrivals: a Poisson process whose rate changes over time, by thinning.
pub(super) struct Arrivals<'a> {
    demand: &'a Demand,
    episode: &'a Episode,
    rate_max: f64,
    draws: Draws,
    salt: u64,
}

/// A request as its client sends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub kind: Kind,
    pub class: Class,
    pub key: FairKey,
    pub work_s: f64,
    pub honest: bool,
    pub tries: u8,
}

impl<'a> Arrivals<'a> {
    pub fn new(episode: &'a Episode, demand: &'a Demand, stream: u64) -> Self {
        let surge_max: f64 = episode.surges.iter().map(|(_, factor)| factor.max(1.0)).product();
        let rate_max = demand.rate * if demand.honest { surge_max * (1.0 + episode.wave) } else { 1.0 };
        Self { demand, episode, rate_max, draws: Draws::new(episode.seed, stream), salt: stream }
    }

    /// The first arrival after `now_s`, if there is one before the end.
    pub fn next_after(&mut self, now_s: f64) -> Option<f64> {
        let [from_s, to_s] = self.demand.window_s;
        if self.rate_max <= 0.0 {
            return None;
        }
        let mut at_s = now_s.max(from_s);
        loop {
            at_s += self.draws.exponential(1.0 / self.rate_max);
            if at_s >= to_s.min(self.episode.duration_s) {
                return None;
            }
            if self.draws.chance(self.rate_at(at_s) / self.rate_max) {
                return Some(at_s);
            }
        }
    }

    pub fn ask(&mut self) -> Asked {
        let demand = self.demand;
        let [transfers, reads, _] = demand.mix;
        let which = self.draws.unit();
        let kind = if which < transfers {
            Kind::Transfer
        } else if which < transfers + reads {
            Kind::Read
        } else {
            Kind::Login
        };
        let class = if self.draws.chance(demand.suspicious) {
            Class::Suspicious
        } else if self.draws.chance(demand.authenticated) {
            kind.class()
        } else {
            Class::Anonymous
        };
        let (mean_s, sigma) = kind.work();
        Asked {
            kind,
            class,
            key: FairKey(self.draws.identity(demand.sources, self.salt)),
            work_s: self.draws.lognormal(mean_s, sigma),
            honest: demand.honest,
            tries: 0,
        }
    }

    fn rate_at(&self, now_s: f64) -> f64 {
        let demand = self.demand;
        let [from_s, to_s] = demand.window_s;
        if demand.honest {
            let surge: f64 = self
                .episode
                .surges
                .iter()
                .filter(|(window, _)| within(*window, now_s))
                .map(|(_, factor)| factor)
                .product();
            let wave = (std::f64::consts::TAU * now_s / self.episode.duration_s).sin();
            return demand.rate * surge * (1.0 + self.episode.wave * wave);
        }
        let progress = (now_s - from_s) / (to_s - from_s);
        let on = demand.period_s.is_none_or(|period| (now_s - from_s).rem_euclid(period) < period / 2.0);
        match (on, demand.ramp) {
            (false, _) => 0.0,
            (true, true) => demand.rate * progress,
            (true, false) => demand.rate,
        }
    }
}
