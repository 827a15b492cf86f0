//! Limits: how often an address, a customer, a client and a route may ask.
//!
//! The address limit stands before everything else and is `governor`'s. The limits behind the identity stage are taken
//! together or not at all: a request that the route's limit refuses must not have used up its customer's allowance, and
//! `governor` cannot give an allowance back, so those are [`Gcra`] (generic cell rate algorithm, ITU-T I.371 annex A),
//! one atomic word each.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use policies::Name;
use policies::evidence::Exceeded;

/// How often something may happen: a steady rate and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Sustained, per second.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// The address limit, per IPv4 address or IPv6 /64.
pub struct AddressLimit {
    limiter: DefaultKeyedRateLimiter<u64>,
    clock: DefaultClock,
    addresses_max: usize,
    since_sweep: AtomicU64,
}

impl AddressLimit {
    /// At most `rate` for each of at most `addresses_max` remembered addresses.
    pub fn new(rate: Rate, addresses_max: usize) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            limiter: DefaultKeyedRateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            addresses_max,
            since_sweep: AtomicU64::new(0),
        }
    }

    /// Takes one request of `address`.
    ///
    /// # Errors
    /// Seconds until a further one would pass.
    pub fn take(&self, address: IpAddr) -> Result<(), u64> {
        // Whoever comes from many addresses pays for the sweeping; a full table forgets the idle ones first.
        if self.since_sweep.fetch_add(1, Ordering::Relaxed) >= self.addresses_max as u64 / 2 {
            self.since_sweep.store(0, Ordering::Relaxed);
            self.limiter.retain_recent();
        }
        self.limiter
            .check_key(&prefix(address))
            .map_err(|not_until| not_until.wait_time_from(self.clock.now()).as_secs().saturating_add(1))
    }

    /// Addresses remembered.
    pub fn len(&self) -> usize {
        self.limiter.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.limiter.is_empty()
    }
}

/// What counts as one address: all of IPv4, the first 64 bits of IPv6 (a customer's usual allotment).
pub fn prefix(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        // The top bit keeps the two families apart.
        IpAddr::V6(v6) => u64::try_from(u128::from(v6) >> 64).unwrap_or_default() | 1 << 63,
    }
}

/// Generic cell rate: the theoretical arrival time of the next request, in microseconds.
#[derive(Debug, Default)]
pub struct Gcra(AtomicI64);

impl Gcra {
    /// Takes one at `now_us`.
    ///
    /// # Errors
    /// Microseconds until one would pass.
    pub fn take(&self, rate: Rate, now_us: i64) -> Result<(), i64> {
        let interval = interval_us(rate);
        let tolerance = interval.saturating_mul(i64::from(rate.burst.get()).saturating_sub(1));
        let mut wait = 0;
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |arrival| {
            let arrival = arrival.max(now_us);
            wait = arrival.saturating_sub(tolerance).saturating_sub(now_us);
            (wait <= 0).then(|| arrival.saturating_add(interval))
        });
        taken.map(|_| ()).map_err(|_| wait)
    }

    /// Gives one back.
    pub fn give_back(&self, rate: Rate) {
        self.0.fetch_sub(interval_us(rate), Ordering::AcqRel);
    }
}

fn interval_us(rate: Rate) -> i64 {
    1_000_000 / i64::from(rate.per_second.get())
}

/// A table of limits by key, bounded.
pub struct Keyed {
    name: Name,
    rate: Rate,
    keys_max: usize,
    table: DashMap<u64, Gcra>,
    swept_us: AtomicI64,
    exceeded: AtomicU64,
}

impl Keyed {
    /// A limit called `name` of `rate` for each of at most `keys_max` keys.
    pub fn new(name: &str, rate: Rate, keys_max: usize) -> Self {
        Self {
            name: name.into(),
            rate,
            keys_max,
            table: DashMap::new(),
            swept_us: AtomicI64::new(i64::MIN),
            exceeded: AtomicU64::new(0),
        }
    }

    fn take(&self, key: u64, now_us: i64) -> Result<(), Exceeded> {
        self.make_room(now_us);
        let took = match self.table.get(&key) {
            Some(gcra) => gcra.take(self.rate, now_us),
            None => self.table.entry(key).or_default().take(self.rate, now_us),
        };
        took.map_err(|wait_us| {
            self.exceeded.fetch_add(1, Ordering::Relaxed);
            Exceeded {
                limit: self.name.clone(),
                retry_after_s: Duration::from_micros(wait_us.unsigned_abs()).as_secs().saturating_add(1),
            }
        })
    }

    /// Keys held.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Keys held at most.
    pub fn keys_max(&self) -> usize {
        self.keys_max
    }

    /// Requests stopped so far.
    pub fn exceeded(&self) -> u64 {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// Forgets the idle when the table is full; at most once a second, since it looks at every key. A table full of
    /// busy keys forgets them all: for a moment everybody has a fresh burst, nobody is refused for another's sake.
    fn make_room(&self, now_us: i64) {
        if self.table.len() < self.keys_max {
            return;
        }
        let swept = self.swept_us.load(Ordering::Acquire);
        if swept != i64::MIN
            && now_us.saturating_sub(swept) < 1_000_000
            && self.table.len() < self.keys_max * 2
        {
            return;
        }
        self.swept_us.store(now_us, Ordering::Release);
        // An arrival time in the past says no more than no entry does.
        self.table.retain(|_, gcra| gcra.0.load(Ordering::Acquire) > now_us);
        if self.table.len() >= self.keys_max {
            self.table.clear();
        }
    }

    fn give_back(&self, key: u64) {
        if let Some(gcra) = self.table.get(&key) {
            gcra.give_back(self.rate);
        }
    }
}

/// Takes one of every `(limit, key)`, or of none.
///
/// # Errors
/// The first limit that was exceeded; what was taken before it has been given back.
pub fn take_together(limits: &[(&Keyed, u64)], now_us: i64) -> Result<(), Exceeded> {
    for (position, (limit, key)) in limits.iter().enumerate() {
        if let Err(exceeded) = limit.take(*key, now_us) {
            for (taken, key) in limits.iter().take(position) {
                taken.give_back(*key);
            }
            return Err(exceeded);
        }
    }
    Ok(())
}

/// A process-keyed hash, so that nobody can choose colliding keys.
#[derive(Clone, Default)]
pub struct KeyHash(std::hash::RandomState);

impl KeyHash {
    /// The key of `whom`.
    pub fn of(&self, whom: impl Hash) -> u64 {
        std::hash::BuildHasher::hash_one(&self.0, whom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() }
    }

    #[test]
    fn burst_then_steady_rate() {
        let limit = Gcra::default();
        let rate = rate(10, 3);
        for _ in 0..3 {
            assert_eq!(limit.take(rate, 1_000_000), Ok(()));
        }
        assert_eq!(limit.take(rate, 1_000_000), Err(100_000));
        assert_eq!(limit.take(rate, 1_100_000), Ok(()));
        assert!(limit.take(rate, 1_100_000).is_err());
    }

    #[test]
    fn a_refused_request_burns_nothing() {
        let customer = Keyed::new("customer", rate(1, 5), 100);
        let route = Keyed::new("route", rate(1, 1), 100);
        assert!(take_together(&[(&customer, 1), (&route, 9)], 0).is_ok());
        for _ in 0..50 {
            let exceeded = take_together(&[(&customer, 1), (&route, 9)], 0).unwrap_err();
            assert_eq!(&*exceeded.limit, "route");
        }
        for _ in 0..4 {
            assert!(take_together(&[(&customer, 1)], 0).is_ok());
        }
        assert!(take_together(&[(&customer, 1)], 0).is_err());
    }

    #[test]
    fn tables_stay_bounded() {
        let limit = Keyed::new("customer", rate(100, 1), 1_000);
        for key in 0..100_000 {
            let _ = limit.take(key, i64::try_from(key).unwrap() * 100);
        }
        assert!(limit.table.len() <= 2_000, "{}", limit.table.len());
    }

    #[test]
    fn one_ipv6_customer_is_one_address() {
        let limit = AddressLimit::new(rate(1, 2), 1_000);
        let address = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        assert!(limit.take(address(1)).is_ok() && limit.take(address(2)).is_ok());
        assert!(limit.take(address(3)).is_err());
        assert!(limit.take(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1])).is_ok());
        assert_eq!(prefix("::ffff:10.0.0.1".parse().unwrap()), prefix("10.0.0.1".parse().unwrap()));
    }
}
