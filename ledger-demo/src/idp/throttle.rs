//! Slows guessing down: waits that double with each failure, by name and address together, by address, and by name.
//!
//! A stranger can make a name slow for everybody, but only by half a minute, and not in a browser that has logged in with
//! that name before. Second factors are counted apart, so that a right password does not wipe out wrong codes; only who has
//! the password gets there, so their wait by name is long. Attempts are counted before they are checked, one after the
//! other, so that many at once do not slip through.

use std::net::IpAddr;

use parking_lot::Mutex;

use super::expiring::Expiring;
use crate::people::PersonId;

/// Failures are forgotten when none was added for this long.
const FORGOTTEN_MS: i64 = 60 * 60 * 1000;
const COUNTED_MAX: usize = 100_000;
const FIRST_WAIT_MS: i64 = 1_000;

/// Failures that cost nothing, and the longest wait beyond them.
struct Allowance {
    free: u32,
    wait_ms_max: i64,
}

const NAME_AND_ADDRESS: Allowance = Allowance { free: 5, wait_ms_max: 15 * 60 * 1000 };
const ADDRESS: Allowance = Allowance { free: 30, wait_ms_max: 15 * 60 * 1000 };
const NAME: Allowance = Allowance { free: 50, wait_ms_max: 30 * 1000 };
/// A stranger does not get as far as the second factor, so this locks nobody out whose password is their own.
const NAME_AT_SECOND_FACTOR: Allowance = Allowance { free: 10, wait_ms_max: 15 * 60 * 1000 };

/// Who tries to log in as whom.
pub(super) struct Attempt<'a> {
    pub(super) username: &'a str,
    pub(super) address: IpAddr,
    pub(super) factor: Factor,
}

/// With what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Factor {
    Password {
        /// The browser has logged in with this name before.
        known_browser: bool,
    },
    Second,
}

#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    blocked_until_ms: i64,
}

pub(super) struct Throttle {
    failures: Expiring<Failures>,
    /// Makes looking at counters and raising them one step.
    counting: Mutex<()>,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self { failures: Expiring::new(FORGOTTEN_MS, COUNTED_MAX), counting: Mutex::new(()) }
    }

    /// Counts an attempt as failed, or says how many milliseconds to wait before one is let through.
    pub(super) fn begin(&self, attempt: &Attempt<'_>, now_ms: i64) -> Result<(), i64> {
        let counters = attempt.counters();
        let _counting = self.counting.lock();
        let blocked_until_ms = counters
            .iter()
            .filter_map(|(key, _)| self.failures.get(key, now_ms))
            .map(|failures| failures.blocked_until_ms)
            .max()
            .unwrap_or(0);
        if blocked_until_ms > now_ms {
            return Err(blocked_until_ms - now_ms);
        }
        for (key, allowance) in &counters {
            let count = self.failures.take(key, now_ms).unwrap_or_default().count.saturating_add(1);
            let blocked_until_ms = now_ms.saturating_add(allowance.wait_ms(count));
            self.failures.insert(key, Failures { count, blocked_until_ms }, now_ms);
        }
        Ok(())
    }

    /// The attempt was no failure after all.
    pub(super) fn succeeded(&self, attempt: &Attempt<'_>, now_ms: i64) {
        let _counting = self.counting.lock();
        for (index, (key, _)) in attempt.counters().iter().enumerate() {
            if index == 0 {
                self.failures.take(key, now_ms);
                continue;
            }
            self.failures.update(key, now_ms, |failures| {
                failures.count = failures.count.saturating_sub(1);
                failures.blocked_until_ms = now_ms;
            });
        }
    }
}

impl Attempt<'_> {
    fn counters(&self) -> Vec<(String, &'static Allowance)> {
        let address = self.address;
        // Only what could be a name is counted as one.
        let Ok(username) = PersonId::parse(self.username) else {
            return vec![(format!("{address}"), &ADDRESS)];
        };
        let mut counters = vec![(format!("{address}"), &ADDRESS)];
        match self.factor {
            Factor::Password { known_browser } => {
                counters.insert(0, (format!("{username} {address}"), &NAME_AND_ADDRESS));
                if !known_browser {
                    counters.push((format!("name {username}"), &NAME));
                }
            }
            Factor::Second => {
                counters.insert(0, (format!("code {username} {address}"), &NAME_AND_ADDRESS));
                counters.push((format!("code {username}"), &NAME_AT_SECOND_FACTOR));
            }
        }
        counters
    }
}

impl Allowance {
    fn wait_ms(&self, failures: u32) -> i64 {
        match failures.checked_sub(self.free) {
            None | Some(0) => 0,
            Some(beyond) => FIRST_WAIT_MS.saturating_mul(1 << (beyond - 1).min(20)).min(self.wait_ms_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(username: &str, last_octet: u8) -> Attempt<'_> {
        Attempt {
            username,
            address: IpAddr::from([127, 0, 0, last_octet]),
            factor: Factor::Password { known_browser: false },
        }
    }

    #[test]
    fn waits_double_and_end() {
        let throttle = Throttle::new();
        let mut now_ms = 0;
        for _ in 0..5 {
            assert_eq!(throttle.begin(&attempt("alice", 1), now_ms), Ok(()));
        }
        for wait_ms in [1_000, 2_000, 4_000, 8_000] {
            assert_eq!(throttle.begin(&attempt("alice", 1), now_ms), Ok(()));
            assert_eq!(throttle.begin(&attempt("alice", 1), now_ms), Err(wait_ms));
            assert_eq!(throttle.begin(&attempt("alice", 1), now_ms + wait_ms - 1), Err(1));
            assert_eq!(throttle.begin(&attempt("bob", 1), now_ms), Ok(()), "another name from there");
            assert_eq!(throttle.begin(&attempt("alice", 2), now_ms), Ok(()), "the same name from elsewhere");
            now_ms += wait_ms;
        }
        assert_eq!(throttle.begin(&attempt("alice", 1), now_ms + FORGOTTEN_MS), Ok(()));
        assert_eq!(throttle.begin(&attempt("alice", 1), now_ms + FORGOTTEN_MS), Ok(()), "forgotten");
    }

    #[test]
    fn a_password_spray_from_one_address_is_slowed_whatever_the_names() {
        let throttle = Throttle::new();
        let let_through = (0..1_000)
            .filter(|number| throttle.begin(&attempt(&format!("user{number}"), 9), 0).is_ok())
            .count();
        assert_eq!(let_through, 31);
        assert!(throttle.begin(&attempt("not a name!", 9), 0).is_err());
    }

    #[test]
    fn a_distributed_attack_slows_a_name_by_half_a_minute_at_most_and_not_in_its_own_browser() {
        let throttle = Throttle::new();
        for octet in 0..=255 {
            let _ = throttle.begin(&attempt("alice", octet), 0);
        }
        let wait_ms = throttle.begin(&attempt("alice", 7), 0).unwrap_err();
        assert!((1..=30_000).contains(&wait_ms), "{wait_ms}");
        let own = Attempt { factor: Factor::Password { known_browser: true }, ..attempt("alice", 7) };
        assert_eq!(throttle.begin(&own, 0), Ok(()));
    }

    #[test]
    fn success_clears_the_name_at_its_address_only() {
        let throttle = Throttle::new();
        for _ in 0..40 {
            let mine = attempt("mallory", 1);
            assert_eq!(throttle.begin(&mine, 0), Ok(()));
            throttle.succeeded(&mine, 0);
        }
        for number in 0..31 {
            assert_eq!(throttle.begin(&attempt(&format!("user{number}"), 1), 0), Ok(()));
        }
        assert!(throttle.begin(&attempt("user99", 1), 0).is_err());
        throttle.succeeded(&attempt("mallory", 2), 0);
        assert!(
            throttle.begin(&attempt("user99", 1), 0).is_err(),
            "success elsewhere does not clear an address"
        );
    }

    #[test]
    fn wrong_codes_are_bounded_for_a_name_wherever_they_come_from_and_whatever_passwords_are_right() {
        let throttle = Throttle::new();
        let let_through = (0..200_u8)
            .filter(|octet| {
                let password = attempt("alice", *octet);
                assert_eq!(throttle.begin(&password, 0), Ok(()), "the password is right from anywhere");
                throttle.succeeded(&password, 0);
                throttle.begin(&Attempt { factor: Factor::Second, ..password }, 0).is_ok()
            })
            .count();
        assert_eq!(let_through, 11);
        let wait_ms = throttle.begin(&Attempt { factor: Factor::Second, ..attempt("alice", 9) }, 0);
        assert_eq!(wait_ms, Err(1_000));
        assert_eq!(throttle.begin(&Attempt { factor: Factor::Second, ..attempt("bob", 9) }, 0), Ok(()));
    }

    #[test]
    fn many_at_once_are_counted_each() {
        let throttle = Throttle::new();
        let let_through: usize = std::thread::scope(|scope| {
            let guessers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (0..500).filter(|_| throttle.begin(&attempt("alice", 1), 0).is_ok()).count()
                    })
                })
                .collect();
            guessers.into_iter().map(|guesser| guesser.join().unwrap()).sum()
        });
        assert_eq!(let_through, 6);
    }
}
