//! Four 16-bit counters in one atomic word, so that one compare-and-swap decides an admission exactly.

use std::sync::atomic::{AtomicU64, Ordering};

use super::class::{Class, PerClass};

/// A copy of the four counters at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes(u64);

impl Lanes {
    /// Packs one value for each class.
    #[must_use]
    pub fn pack(values: PerClass<u16>) -> Self {
        Self(values.iter().fold(0, |word, (class, value)| word | u64::from(*value) << shift(class)))
    }

    /// The counter of `class`.
    #[must_use]
    pub fn get(self, class: Class) -> u16 {
        (self.0 >> shift(class)) as u16
    }

    /// The sum over all classes.
    #[must_use]
    pub fn total(self) -> u32 {
        Class::ALL.into_iter().map(|class| u32::from(self.get(class))).sum()
    }

    /// Whether any class at least as important as `class` has a non-zero counter.
    #[must_use]
    pub fn any_up_to(self, class: Class) -> bool {
        self.0 << (48 - shift(class)) != 0
    }

    /// Whether every counter is zero.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn plus(self, class: Class) -> Option<Self> {
        (self.get(class) < u16::MAX).then(|| Self(self.0 + (1 << shift(class))))
    }

    fn minus(self, class: Class) -> Self {
        if self.get(class) == 0 { self } else { Self(self.0 - (1 << shift(class))) }
    }
}

const fn shift(class: Class) -> u32 {
    class as u32 * 16
}

/// [`Lanes`] that many threads count in.
#[derive(Debug, Default)]
pub struct AtomicLanes(AtomicU64);

impl AtomicLanes {
    /// The counters now.
    pub fn load(&self) -> Lanes {
        Lanes(self.0.load(Ordering::SeqCst))
    }

    /// Replaces all four counters.
    pub fn store(&self, lanes: Lanes) {
        self.0.store(lanes.0, Ordering::SeqCst);
    }

    /// Adds one to `class` if `allowed` says so about the counters as they are at that very instant.
    pub fn add_if(&self, class: Class, allowed: impl Fn(Lanes) -> bool) -> bool {
        self.update(|lanes| if allowed(lanes) { lanes.plus(class) } else { None })
    }

    /// Takes one from `class`; an empty counter stays empty.
    pub fn subtract(&self, class: Class) {
        self.update(|lanes| Some(lanes.minus(class)));
    }

    /// Moves one from `from` to `to`, the sum staying the same.
    pub fn shift(&self, from: Class, to: Class) -> bool {
        self.update(|lanes| if lanes.get(from) == 0 { None } else { lanes.minus(from).plus(to) })
    }

    fn update(&self, change: impl Fn(Lanes) -> Option<Lanes>) -> bool {
        self.0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| change(Lanes(word)).map(|lanes| lanes.0))
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_do_not_spill_into_their_neighbours() {
        let lanes = AtomicLanes::default();
        lanes.store(Lanes::pack(PerClass([0, u16::MAX, 0, 7])));
        assert!(!lanes.add_if(Class::AuthenticatedRead, |_| true), "a full counter refuses");
        lanes.subtract(Class::MoneyMoving);
        assert_eq!(lanes.load(), Lanes::pack(PerClass([0, u16::MAX, 0, 7])), "an empty counter stays empty");
        assert!(lanes.shift(Class::Suspicious, Class::Anonymous));
        assert_eq!(lanes.load(), Lanes::pack(PerClass([0, u16::MAX, 1, 6])));
        assert_eq!(lanes.load().total(), u32::from(u16::MAX) + 7);
    }

    #[test]
    fn precedence_looks_only_at_classes_at_least_as_important() {
        let waiting = Lanes::pack(PerClass([0, 0, 3, 0]));
        assert!(!waiting.any_up_to(Class::MoneyMoving));
        assert!(!waiting.any_up_to(Class::AuthenticatedRead));
        assert!(waiting.any_up_to(Class::Anonymous));
        assert!(waiting.any_up_to(Class::Suspicious));
    }
}
