//! Admission: a capacity permit of the request's class, held until the last byte has gone.
//!
//! [`Admission`] wraps the decision of [`learner::capacity::plane`] with asynchronous waiting, one of them for
//! each upstream pool. Nothing here knows HTTP: the caller says the class and turns a [`Shed`] into a refusal.
//!
//! An uncontended [`Admission::admit`] is a few atomic operations. A request that has to wait takes a short lock
//! that is never held across an await. A [`Permit`] gives itself back when it is dropped, however the request
//! ends: answered, refused, aborted by its client, or unwound by a panic.

mod permit;
mod ticker;

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use learner::capacity::record::ClassFigures;
use learner::capacity::{
    Allocation, CapacityConfig, Class, ControlLoop, Controller, ControllerKind, FairKey, Meter, MeterReader,
    Mode, Offer, PerClass, Plane, PoolSnapshot, ShedReason, Ticket, Wake,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use permit::Permit;
pub use ticker::Ticker;

/// Microseconds since some fixed moment, never going back.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The steady clock of the machine.
#[must_use]
pub fn steady_clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// Why a request got no permit, and when it is worth coming back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no capacity for class {} ({reason:?}); retry after {retry_after_s} s", class.name())]
pub struct Shed {
    /// The class it asked as.
    pub class: Class,
    /// What was in the way.
    pub reason: ShedReason,
    /// Seconds for the `Retry-After` header: the less important the class, the later.
    pub retry_after_s: u32,
}

impl Shed {
    const fn new(class: Class, reason: ShedReason) -> Self {
        let retry_after_s = match class {
            Class::MoneyMoving | Class::AuthenticatedRead => 1,
            Class::Anonymous => 3,
            Class::Suspicious => 10,
        };
        Self { class, reason, retry_after_s }
    }
}

/// Admission to one upstream pool.
pub struct Admission {
    pool: String,
    plane: Plane<oneshot::Sender<Permit>>,
    meter: Meter,
    clock: Clock,
    keys: std::hash::RandomState,
    tick: Duration,
    control: Mutex<Control>,
    ticking: AtomicBool,
}

struct Control {
    control_loop: ControlLoop,
    reader: MeterReader,
    last_tick_us: u64,
}

impl Admission {
    /// Admission to the pool called `pool`, with nothing in flight. Spawn [`Ticker::run`] beside it: without
    /// ticks the first allocation stays in force.
    #[must_use]
    pub fn new(
        pool: &str,
        config: &CapacityConfig,
        controller: Box<dyn Controller>,
        clock: Clock,
    ) -> Arc<Self> {
        let control_loop = ControlLoop::new(controller, config.rails, config.initial());
        let plane = Plane::new(config.plane, control_loop.rails(), control_loop.allocation());
        let control = Control { control_loop, reader: MeterReader::default(), last_tick_us: clock() };
        Arc::new(Self {
            pool: pool.to_owned(),
            plane,
            meter: Meter::new(config.target_ms),
            clock,
            keys: std::hash::RandomState::new(),
            tick: Duration::from_millis(config.tick_ms.clamp(50, 1_000)),
            control: Mutex::new(control),
            ticking: AtomicBool::new(false),
        })
    }

    /// The fair-share key of a customer, or of an address (IPv6: of its /64). The hash is keyed afresh at every
    /// start, so nobody can choose to collide with somebody else.
    pub fn fair_key(&self, whom: impl std::hash::Hash) -> FairKey {
        FairKey(self.keys.hash_one(whom))
    }

    /// Waits for a permit for as long as the class may, tens of milliseconds at most.
    ///
    /// Dropping the future leaves the queue; nothing is held by a request that went away.
    ///
    /// # Errors
    /// [`Shed`] when there is no room for the class, at once or after its wait.
    pub async fn admit(self: &Arc<Self>, class: Class, key: FairKey) -> Result<Permit, Shed> {
        let now_us = (self.clock)();
        let mut granted = None;
        let offer = self.plane.offer(class, key, now_us, || {
            let (tell, told) = oneshot::channel();
            granted = Some(told);
            tell
        });
        match (offer, granted) {
            (Offer::Admitted, _) => Ok(Permit::grant(Arc::clone(self), class, key, now_us)),
            (Offer::Queued(ticket, wake), Some(told)) => {
                self.dispatch(wake);
                let waiter = Waiter { admission: self, ticket };
                waiter.wait(told, Duration::from_micros(ticket.deadline_us.saturating_sub(now_us))).await
            }
            (Offer::Queued(ticket, wake), None) => {
                self.plane.cancel(ticket);
                self.dispatch(wake);
                Err(self.shed(class, ShedReason::Limit))
            }
            (Offer::Shed(reason), _) => Err(self.shed(class, reason)),
        }
    }

    /// Permits held by `class`.
    #[must_use]
    pub fn in_flight(&self, class: Class) -> u16 {
        self.plane.held().get(class)
    }

    /// Every class's figures, for metrics; cheap enough for every scrape.
    #[must_use]
    pub fn figures(&self) -> PerClass<ClassFigures> {
        let (held, waiting) = (self.plane.held(), self.plane.waiting());
        let (thresholds, floors) = (self.plane.thresholds(), self.plane.floors());
        PerClass::from_fn(|class| ClassFigures {
            in_flight: held.get(class),
            queued: waiting.get(class),
            threshold: thresholds.get(class),
            floor: floors.get(class),
            admitted_total: self.meter.admitted_total(class),
            shed_total: self.meter.shed_total(class),
        })
    }

    /// The controller in force, and whether it is the fall-back in the place of the configured one: by an operator's mode
    /// another decides too, but that is no fall-back.
    #[must_use]
    pub fn controller(&self) -> (&'static str, bool) {
        let control = self.control.lock();
        let control_loop = &control.control_loop;
        let fallback = control_loop.last().is_some_and(|tick| tick.explanation.fallback);
        let name = match control_loop.mode() {
            Some(Mode::Static) => ControllerKind::Static.name(),
            Some(Mode::Gradient) => ControllerKind::Gradient2.name(),
            _ if fallback => ControllerKind::Gradient2.name(),
            _ => control_loop.controller_name(),
        };
        (name, fallback)
    }

    /// The pool as the admin API and the console show it.
    #[must_use]
    pub fn snapshot(&self) -> PoolSnapshot {
        let classes = self.figures();
        let control = self.control.lock();
        let control_loop = &control.control_loop;
        let Allocation { limit, split, queue_deadline_ms } = *control_loop.allocation();
        let explanation = control_loop.last().map(|tick| tick.explanation.clone()).unwrap_or_default();
        PoolSnapshot {
            pool: self.pool.clone(),
            controller: control_loop.controller_name().to_owned(),
            mode: control_loop.mode(),
            limit,
            in_flight: classes.iter().map(|(_, class)| u32::from(class.in_flight)).sum(),
            queued: classes.iter().map(|(_, class)| u32::from(class.queued)).sum(),
            split,
            queue_deadline_ms,
            classes,
            state: explanation.state,
            action: explanation.action,
            reason: explanation.reason,
            q_values: explanation.q_values,
            reward: explanation.reward,
            fallback: explanation.fallback,
            history: control_loop.history().points(),
            latest: control_loop.history().latest(),
        }
    }

    /// The operator's hold: takes effect at the next tick. `false` when the controller has only one mode.
    pub fn set_mode(&self, mode: Mode) -> bool {
        self.control.lock().control_loop.set_mode(mode)
    }

    /// What the controller has learnt, as an artifact to keep; `None` when it does not learn.
    #[must_use]
    pub fn learnt(&self) -> Option<String> {
        self.control.lock().control_loop.save()
    }

    /// One turn of the control loop; the [`Ticker`] calls it. `at_ms` is the unix time for the record.
    fn control(self: &Arc<Self>, at_ms: i64) {
        let now_us = (self.clock)();
        let wake = {
            let mut control = self.control.lock();
            let Control { control_loop, reader, last_tick_us } = &mut *control;
            let dt_s = now_us.saturating_sub(*last_tick_us) as f64 / 1e6;
            *last_tick_us = now_us;
            let limit = control_loop.allocation().limit;
            let seen = reader.take(&self.meter, dt_s, limit, self.plane.held(), self.plane.waiting());
            let allocation = control_loop.decide_on_record(&seen, at_ms);
            self.plane.apply(&allocation, now_us)
        };
        self.dispatch(wake);
    }

    /// Tells waiters what became of them. A permit that finds nobody any more goes to the next in line.
    fn dispatch(self: &Arc<Self>, mut wake: Wake<oneshot::Sender<Permit>>) {
        while let Some((waiter, class, key)) = wake.granted.pop() {
            let now_us = (self.clock)();
            if let Err(unwanted) = waiter.send(Permit::grant(Arc::clone(self), class, key, now_us)) {
                let next = unwanted.undo(now_us);
                wake.granted.extend(next.granted);
                wake.evicted.extend(next.evicted);
            }
        }
        // Dropping the sender of an evicted waiter wakes it; it counts and reports itself.
    }

    fn shed(&self, class: Class, reason: ShedReason) -> Shed {
        self.meter.shed(class);
        Shed::new(class, reason)
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("pool", &self.pool)
            .field("held", &self.plane.held())
            .finish_non_exhaustive()
    }
}

/// A request in the queue. Dropping it, with its future, leaves the queue.
struct Waiter<'a> {
    admission: &'a Arc<Admission>,
    ticket: Ticket,
}

impl Waiter<'_> {
    async fn wait(self, mut told: oneshot::Receiver<Permit>, patience: Duration) -> Result<Permit, Shed> {
        let class = self.ticket.class;
        let answer = match tokio::time::timeout(patience, &mut told).await {
            Ok(answer) => answer,
            Err(_) if self.admission.plane.cancel(self.ticket) => {
                return Err(self.admission.shed(class, ShedReason::Deadline));
            }
            // It left the queue in this very moment: the answer is on its way.
            Err(_) => told.await,
        };
        answer.map_err(|_| self.admission.shed(class, ShedReason::Evicted))
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.admission.plane.cancel(self.ticket);
    }
}

#[cfg(test)]
mod tests;
