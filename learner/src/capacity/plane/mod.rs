//! The admission decision itself, as data: who gets a permit, who waits, who is shed.
//!
//! The proxy wraps [`Plane`] with asynchronous waiting and the simulator with virtual time, so that what is
//! judged in the one is what runs in the other. Time is handed in, in microseconds of any steady clock.
//!
//! The uncontended way is one compare-and-swap on a word that holds the permits of all classes. Only a request
//! that has to wait, or a permit that comes back while somebody waits, takes the lock on the queues.

mod fair;
mod queue;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;

use super::allocation::{Allocation, Rails};
use super::class::{Class, PerClass};
use super::lanes::{AtomicLanes, Lanes};
use fair::FairShares;
use queue::ClassQueue;

/// Whom a request counts against within its class: a keyed hash of the customer, or of the address if unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FairKey(pub u64);

/// Why a request got no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShedReason {
    /// The class's threshold is reached and it may not wait.
    Limit,
    /// Its customer or address holds, or waits for, its fair share already.
    FairShare,
    /// It made way for a newer request of its class while the queue was full.
    Evicted,
    /// It waited for as long as its class may.
    Deadline,
}

/// What became of a request that asked for a permit.
#[derive(Debug)]
pub enum Offer<W> {
    /// It holds a permit. Exactly one [`Plane::release`] must follow.
    Admitted,
    /// It waits. Whoever it displaced, and whoever was let in meanwhile, is in the wake.
    Queued(Ticket, Wake<W>),
    /// It is refused.
    Shed(ShedReason),
}

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(self) number: u64,
    /// The queue it is in.
    pub class: Class,
    /// When it gives up, in microseconds of the plane's clock.
    pub deadline_us: u64,
}

/// Waiters that must be told something, outside any lock.
#[derive(Debug)]
#[must_use = "a granted waiter holds a permit"]
pub struct Wake<W> {
    /// Each of these now holds a permit of its class and key.
    pub granted: Vec<(W, Class, FairKey)>,
    /// Each of these was shed.
    pub evicted: Vec<(W, Class, ShedReason)>,
}

impl<W> Default for Wake<W> {
    fn default() -> Self {
        Self { granted: Vec::new(), evicted: Vec::new() }
    }
}

/// What does not change while a pool lives.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlaneConfig {
    /// Longest queue of a class, however great the limit. 0 means that nobody ever waits.
    pub queue_len_max: u16,
    /// The share of its class's threshold that one customer or address may hold while the pool is pressed.
    pub fair_share: f64,
    /// Permits that one customer or address may always hold, pressed or not.
    pub fair_min: u16,
}

impl Default for PlaneConfig {
    fn default() -> Self {
        Self { queue_len_max: 64, fair_share: 0.2, fair_min: 4 }
    }
}

/// The admission state of one upstream pool; `W` is whatever the caller needs to wake a waiter.
#[derive(Debug)]
pub struct Plane<W> {
    held: AtomicLanes,
    waiting: AtomicLanes,
    thresholds: AtomicLanes,
    floors: AtomicLanes,
    deadlines_ms: AtomicLanes,
    fair: FairShares,
    queues: Mutex<Queues<W>>,
    tickets: AtomicU64,
    config: PlaneConfig,
    floor_shares: PerClass<f64>,
}

#[derive(Debug)]
struct Queues<W> {
    classes: PerClass<ClassQueue<W>>,
    length_max: usize,
}

impl<W> Plane<W> {
    /// A pool with nothing in flight that starts with `allocation`.
    #[must_use]
    pub fn new(config: PlaneConfig, rails: &Rails, allocation: &Allocation) -> Self {
        let plane = Self {
            held: AtomicLanes::default(),
            waiting: AtomicLanes::default(),
            thresholds: AtomicLanes::default(),
            floors: AtomicLanes::default(),
            deadlines_ms: AtomicLanes::default(),
            fair: FairShares::default(),
            queues: Mutex::new(Queues {
                classes: PerClass::from_fn(|_| ClassQueue::default()),
                length_max: 0,
            }),
            tickets: AtomicU64::new(0),
            config,
            floor_shares: rails.floor,
        };
        let _nobody_waits_yet = plane.apply(allocation, 0);
        plane
    }

    /// Asks for a permit. `waiter` is called only if the request has to wait.
    pub fn offer(&self, class: Class, key: FairKey, now_us: u64, waiter: impl FnOnce() -> W) -> Offer<W> {
        let fair = self.within_fair_share(class, key);
        if fair && !self.others_go_first(class) && self.take(class) {
            self.fair.add(key);
            return Offer::Admitted;
        }
        let patience_ms = self.deadlines_ms.load().get(class);
        if patience_ms == 0 {
            return Offer::Shed(if fair { ShedReason::Limit } else { ShedReason::FairShare });
        }
        self.enqueue(class, key, now_us, now_us.saturating_add(u64::from(patience_ms) * 1_000), waiter)
    }

    /// Gives back a permit that was held by `class` and `key`.
    pub fn release(&self, class: Class, key: FairKey, now_us: u64) -> Wake<W> {
        self.fair.subtract(key);
        self.held.subtract(class);
        self.drain_if_anyone_waits(now_us)
    }

    /// Moves a held permit to another class, the sum in flight staying the same.
    ///
    /// Returns whether the new class has room for it: the caller may shed a request that came in as something
    /// better than it turned out to be.
    pub fn reclassify(&self, from: Class, to: Class, now_us: u64) -> (bool, Wake<W>) {
        self.held.shift(from, to);
        let held = self.held.load();
        let within = held.total() <= u32::from(self.thresholds.load().get(to))
            || held.get(to) <= self.floors.load().get(to);
        (within, self.drain_if_anyone_waits(now_us))
    }

    /// Leaves the queue. `false` means that it is no longer there: it was granted a permit or evicted, and the
    /// waiter has been, or is just being, told so.
    pub fn cancel(&self, ticket: Ticket) -> bool {
        let mut queues = self.queues.lock();
        let found = queues.classes[ticket.class].remove(ticket.number);
        if found {
            self.waiting.subtract(ticket.class);
        }
        found
    }

    /// Puts a new allocation into force, and lets in whoever it makes room for.
    pub fn apply(&self, allocation: &Allocation, now_us: u64) -> Wake<W> {
        let permits = |share: f64| (allocation.limit * share).round().clamp(1.0, f64::from(u16::MAX)) as u16;
        self.thresholds.store(Lanes::pack(PerClass::from_fn(|class| permits(allocation.split[class]))));
        self.floors.store(Lanes::pack(PerClass::from_fn(|class| permits(self.floor_shares[class]))));
        self.deadlines_ms.store(Lanes::pack(allocation.queue_deadline_ms));
        let half_the_limit = usize::from(permits(0.5)).max(2);
        self.queues.lock().length_max = half_the_limit.min(usize::from(self.config.queue_len_max));
        self.drain_if_anyone_waits(now_us)
    }

    /// Permits held, by class.
    #[must_use]
    pub fn held(&self) -> Lanes {
        self.held.load()
    }

    /// Requests waiting, by class.
    #[must_use]
    pub fn waiting(&self) -> Lanes {
        self.waiting.load()
    }

    /// The in-flight counts under which each class is admitted.
    #[must_use]
    pub fn thresholds(&self) -> Lanes {
        self.thresholds.load()
    }

    /// The permits each class has for itself even when the pool is full.
    #[must_use]
    pub fn floors(&self) -> Lanes {
        self.floors.load()
    }

    /// Nobody overtakes a waiter of its own class; nor one of a better class, except onto its own floor.
    fn others_go_first(&self, class: Class) -> bool {
        let waiting = self.waiting.load();
        if waiting.is_empty() {
            return false;
        }
        let below_floor = self.held.load().get(class) < self.floors.load().get(class);
        if below_floor { waiting.get(class) > 0 } else { waiting.any_up_to(class) }
    }

    fn take(&self, class: Class) -> bool {
        let threshold = u32::from(self.thresholds.load().get(class));
        let floor = self.floors.load().get(class);
        self.held.add_if(class, |held| held.total() < threshold || held.get(class) < floor)
    }

    /// One customer or address may hold whatever it likes while there is plenty, its share when there is not.
    fn within_fair_share(&self, class: Class, key: FairKey) -> bool {
        let held_by_key = self.fair.held(key);
        if held_by_key < self.config.fair_min {
            return true;
        }
        let threshold = f64::from(self.thresholds.load().get(class));
        let pressed =
            f64::from(self.held.load().total()) * 2.0 >= threshold || !self.waiting.load().is_empty();
        !pressed || f64::from(held_by_key) < threshold * self.config.fair_share
    }

    fn enqueue(
        &self,
        class: Class,
        key: FairKey,
        now_us: u64,
        deadline_us: u64,
        waiter: impl FnOnce() -> W,
    ) -> Offer<W> {
        let mut wake = Wake::default();
        let number = self.tickets.fetch_add(1, SeqCst);
        let mut queues = self.queues.lock();
        let length_max = queues.length_max;
        if length_max == 0 {
            return Offer::Shed(ShedReason::Limit);
        }
        let queue = &mut queues.classes[class];
        if queue.waiting_for(key) >= (length_max / 4).max(1) {
            return Offer::Shed(ShedReason::FairShare);
        }
        if queue.len() >= length_max
            && let Some(oldest) = queue.pop_oldest()
        {
            self.waiting.subtract(class);
            wake.evicted.push((oldest.waiter, class, ShedReason::Evicted));
        }
        queue.push(queue::Waiting { number, key, deadline_us, waiter: waiter() });
        self.waiting.add_if(class, |_| true);
        // A permit may have come back between the refusal and the lock, when nobody seemed to wait for it.
        self.drain(&mut queues, now_us, &mut wake);
        Offer::Queued(Ticket { number, class, deadline_us }, wake)
    }

    fn drain_if_anyone_waits(&self, now_us: u64) -> Wake<W> {
        let mut wake = Wake::default();
        if !self.waiting.load().is_empty() {
            self.drain(&mut self.queues.lock(), now_us, &mut wake);
        }
        wake
    }

    /// Strictly by class, the most important first; a class below its floor is let in whatever the rest does.
    fn drain(&self, queues: &mut Queues<W>, now_us: u64, wake: &mut Wake<W>) {
        let length_max = queues.length_max;
        for class in Class::ALL {
            let queue = &mut queues.classes[class];
            while let Some(overdue) = queue.pop_overdue(now_us) {
                self.waiting.subtract(class);
                wake.evicted.push((overdue.waiter, class, ShedReason::Deadline));
            }
            // Under overload the newest is served: its client still waits, and serving in order would make
            // everybody late.
            let newest_first = queue.len() * 2 >= length_max;
            while let Some(index) = queue.next(newest_first, |key| self.within_fair_share(class, key)) {
                if !self.take(class) {
                    break;
                }
                if let Some(next) = queue.take(index) {
                    self.fair.add(next.key);
                    self.waiting.subtract(class);
                    wake.granted.push((next.waiter, class, next.key));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
