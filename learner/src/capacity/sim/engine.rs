//! The event loop of one run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::clients::{Arrivals, Asked};
use super::figures::{Counter, End, Figures};
use super::random::Draws;
use super::scenario::{Episode, Kind};
use super::upstream::Upstream;
use crate::capacity::allocation::{Allocation, Rails};
use crate::capacity::class::{Class, PerClass};
use crate::capacity::control_loop::ControlLoop;
use crate::capacity::meter::{Meter, MeterReader, Outcome};
use crate::capacity::plane::{Offer, Plane, PlaneConfig, Ticket, Wake};

/// A client gives up after this long; the upstream works on.
const PATIENCE_S: f64 = 2.0;
/// Time between two decisions, as in the proxy.
const TICK_S: f64 = 0.2;
/// How long after the capacity an oracle may run.
const ORACLE_MARGIN: f64 = 1.15;

/// Who decides during a run.
#[derive(Debug)]
pub enum Control {
    /// Nobody: everything is admitted.
    None,
    /// Somebody who knows the capacity at every moment.
    Oracle,
    /// A controller.
    Loop(Box<ControlLoop>),
}

/// What the controller is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaneMode {
    /// Classes, thresholds, floors and queues.
    Own,
    /// One limit over all requests, no queue.
    Blind,
}

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    /// The figures.
    pub figures: Figures,
    /// The controller as it ended, if there was one.
    pub control: Control,
    /// The mean reward of the run, if the controller has one.
    pub reward: Option<f64>,
}

/// Runs an episode.
#[must_use]
pub fn run(episode: &Episode, control: Control, mode: PlaneMode) -> Run {
    let mut world = World::new(episode, control, mode);
    while let Some((now_s, event)) = world.next_event() {
        world.happen(now_s, event);
    }
    world.finish()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Arrival(usize),
    Retry(usize),
    Overdue(usize, u64),
    GiveUp(usize, u64),
    Ended,
    Tick,
    Change,
}

#[derive(Clone, Copy, PartialEq)]
struct At(f64, u64);

impl Eq for At {}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

struct Due(At, Event);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

#[derive(Clone, Copy)]
struct Request {
    asked: Asked,
    class: Class,
    arrived_s: f64,
    admitted_s: f64,
    number: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Free,
    Waiting(Ticket),
    InFlight,
    GivenUp,
    ToRetry,
}

struct World<'a> {
    episode: &'a Episode,
    arrivals: Vec<Arrivals<'a>>,
    behaviour: Draws,
    upstream: Upstream,
    plane: Plane<usize>,
    meter: Meter,
    reader: MeterReader,
    control: Control,
    mode: PlaneMode,
    requests: Vec<Request>,
    free: Vec<usize>,
    events: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    counter: Counter,
    now_s: f64,
    rewards: (f64, u32),
}

impl<'a> World<'a> {
    fn new(episode: &'a Episode, control: Control, mode: PlaneMode) -> Self {
        let (rails, config, first) = surroundings(episode, &control, mode);
        let targets = PerClass([
            Kind::Transfer.target_ms(),
            Kind::Read.target_ms(),
            Kind::Login.target_ms(),
            Kind::Login.target_ms(),
        ]);
        let arrivals = episode
            .demands
            .iter()
            .enumerate()
            .map(|(n, demand)| Arrivals::new(episode, demand, n as u64 + 1));
        let (knee, speed) = episode.upstream_at(0.0);
        let mut world = Self {
            episode,
            arrivals: arrivals.collect(),
            behaviour: Draws::new(episode.seed, 1_000),
            upstream: Upstream::new(knee, speed),
            plane: Plane::new(config, &rails, &first),
            meter: Meter::new(targets),
            reader: MeterReader::default(),
            control,
            mode,
            requests: Vec::new(),
            free: Vec::new(),
            events: BinaryHeap::new(),
            sequence: 0,
            counter: Counter::new(episode.duration_s),
            now_s: 0.0,
            rewards: (0.0, 0),
        };
        for stream in 0..world.arrivals.len() {
            world.schedule_arrival(stream);
        }
        for change in &episode.changes {
            for at_s in change.window_s {
                world.schedule(at_s, Event::Change);
            }
        }
        world.schedule(TICK_S, Event::Tick);
        world
    }

    /// The earliest of what is scheduled and what the upstream ends next.
    fn next_event(&mut self) -> Option<(f64, Event)> {
        let scheduled_s = self.events.peek().map(|Reverse(due)| due.0.0);
        let ends_s = self.upstream.next_end_s();
        if let Some(ends_s) = ends_s
            && scheduled_s.is_none_or(|at_s| ends_s <= at_s)
        {
            return (ends_s < self.episode.duration_s).then_some((ends_s, Event::Ended));
        }
        let Reverse(due) = self.events.pop()?;
        (due.0.0 < self.episode.duration_s).then_some((due.0.0, due.1))
    }

    fn happen(&mut self, now_s: f64, event: Event) {
        self.now_s = now_s;
        match event {
            Event::Arrival(stream) => {
                if let Some(asked) = self.arrivals.get_mut(stream).map(Arrivals::ask) {
                    self.ask(asked);
                }
                self.schedule_arrival(stream);
            }
            Event::Retry(slot) => {
                let asked = self.requests[slot].asked;
                self.forget(slot);
                self.ask(asked);
            }
            Event::Overdue(slot, number) => self.overdue(slot, number),
            Event::GiveUp(slot, number) => self.give_up(slot, number),
            Event::Ended => self.ended(),
            Event::Tick => self.tick(),
            Event::Change => {
                let (knee, speed) = self.episode.upstream_at(now_s);
                self.upstream.change(now_s, knee, speed);
            }
        }
    }

    fn ask(&mut self, asked: Asked) {
        let class = match self.mode {
            PlaneMode::Own => asked.class,
            PlaneMode::Blind => Class::MoneyMoving,
        };
        let slot = self.remember(asked, class);
        let now_us = micros(self.now_s);
        match self.plane.offer(class, asked.key, now_us, || slot) {
            Offer::Admitted => self.start(slot),
            Offer::Queued(ticket, wake) => {
                self.requests[slot].state = State::Waiting(ticket);
                let number = self.requests[slot].number;
                self.schedule(ticket.deadline_us as f64 / 1e6, Event::Overdue(slot, number));
                self.tell(wake);
            }
            Offer::Shed(_) => self.shed(slot),
        }
    }

    fn start(&mut self, slot: usize) {
        let Request { class, number, asked, arrived_s, .. } = self.requests[slot];
        self.meter.admitted(class, self.plane.held().total());
        self.requests[slot].state = State::InFlight;
        self.requests[slot].admitted_s = self.now_s;
        self.upstream.accept(self.now_s, slot, asked.work_s);
        self.schedule(arrived_s + PATIENCE_S, Event::GiveUp(slot, number));
    }

    fn tell(&mut self, wake: Wake<usize>) {
        for (slot, _, _) in wake.granted {
            self.start(slot);
        }
        for (slot, _, _) in wake.evicted {
            self.shed(slot);
        }
    }

    fn ended(&mut self) {
        let Some(slot) = self.upstream.end_next(self.now_s) else { return };
        let request = self.requests[slot];
        if request.state == State::InFlight {
            let latency_us = micros(self.now_s - request.admitted_s);
            self.meter.finished(request.class, Outcome::Answered, latency_us);
            let latency_ms = (self.now_s - request.arrived_s) * 1_000.0;
            self.release(slot);
            self.count(slot, End::Answered { latency_ms });
        }
        self.forget(slot);
    }

    fn give_up(&mut self, slot: usize, number: u64) {
        let request = self.requests[slot];
        if request.number != number || request.state != State::InFlight {
            return;
        }
        let waited_us = micros(self.now_s - request.admitted_s);
        self.meter.finished(request.class, Outcome::Abandoned, waited_us);
        self.requests[slot].state = State::GivenUp;
        self.release(slot);
        self.count(slot, End::TimedOut);
        self.perhaps_retry(request.asked);
    }

    fn overdue(&mut self, slot: usize, number: u64) {
        let request = self.requests[slot];
        if let State::Waiting(ticket) = request.state
            && request.number == number
            && self.plane.cancel(ticket)
        {
            self.shed(slot);
        }
    }

    fn shed(&mut self, slot: usize) {
        let request = self.requests[slot];
        self.meter.shed(request.class);
        self.count(slot, End::Shed);
        self.forget(slot);
        self.perhaps_retry(request.asked);
    }

    fn release(&mut self, slot: usize) {
        let Request { class, asked, .. } = self.requests[slot];
        let wake = self.plane.release(class, asked.key, micros(self.now_s));
        self.tell(wake);
    }

    fn perhaps_retry(&mut self, asked: Asked) {
        let again = asked.honest
            && asked.tries < self.episode.retries_max
            && self.behaviour.chance(self.episode.retry);
        if again {
            let slot = self.remember(Asked { tries: asked.tries + 1, ..asked }, asked.class);
            self.requests[slot].state = State::ToRetry;
            let pause_s = 0.5 + self.behaviour.exponential(1.0);
            self.schedule(self.now_s + pause_s, Event::Retry(slot));
        }
    }

    fn tick(&mut self) {
        self.schedule(self.now_s + TICK_S, Event::Tick);
        let (held, waiting) = (self.plane.held(), self.plane.waiting());
        let allocation = match &mut self.control {
            Control::None => return,
            Control::Oracle => Allocation::of_limit((ORACLE_MARGIN * self.upstream.knee()).max(1.0)),
            Control::Loop(control_loop) => {
                let limit = control_loop.allocation().limit;
                let seen = self.reader.take(&self.meter, TICK_S, limit, held, waiting);
                let allocation = control_loop.decide(&seen);
                if let Some(reward) = control_loop.reward() {
                    self.rewards = (self.rewards.0 + reward, self.rewards.1 + 1);
                }
                allocation
            }
        };
        let wake = self.plane.apply(&self.mode.shape(allocation), micros(self.now_s));
        self.tell(wake);
    }

    fn count(&mut self, slot: usize, end: End) {
        let request = self.requests[slot];
        if request.asked.honest {
            self.counter.count(request.asked.kind, request.arrived_s, end);
        }
    }

    fn remember(&mut self, asked: Asked, class: Class) -> usize {
        self.sequence += 1;
        let request = Request {
            asked,
            class,
            arrived_s: self.now_s,
            admitted_s: self.now_s,
            number: self.sequence,
            state: State::Free,
        };
        match self.free.pop() {
            Some(slot) => {
                self.requests[slot] = request;
                slot
            }
            None => {
                self.requests.push(request);
                self.requests.len() - 1
            }
        }
    }

    fn forget(&mut self, slot: usize) {
        self.requests[slot].state = State::Free;
        self.requests[slot].number = 0;
        self.free.push(slot);
    }

    fn schedule(&mut self, at_s: f64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse(Due(At(at_s, self.sequence), event)));
    }

    fn schedule_arrival(&mut self, stream: usize) {
        let now_s = self.now_s;
        if let Some(at_s) = self.arrivals.get_mut(stream).and_then(|arrivals| arrivals.next_after(now_s)) {
            self.schedule(at_s, Event::Arrival(stream));
        }
    }

    fn finish(self) -> Run {
        let (sum, count) = self.rewards;
        Run {
            figures: self.counter.figures(self.episode.trouble_s),
            control: self.control,
            reward: (count > 0).then(|| sum / f64::from(count)),
        }
    }
}

impl PlaneMode {
    fn shape(self, allocation: Allocation) -> Allocation {
        match self {
            Self::Own => allocation,
            Self::Blind => {
                Allocation { split: PerClass([1.0; 4]), queue_deadline_ms: PerClass([0; 4]), ..allocation }
            }
        }
    }
}

/// Rails, settings and the first allocation of a run.
fn surroundings(episode: &Episode, control: &Control, mode: PlaneMode) -> (Rails, PlaneConfig, Allocation) {
    let fair_off = PlaneConfig { fair_min: u16::MAX, ..PlaneConfig::default() };
    match control {
        Control::None => {
            let open = Allocation::of_limit(f64::from(u16::MAX));
            (Rails::default(), fair_off, PlaneMode::Blind.shape(open))
        }
        Control::Oracle => {
            let known = Allocation::of_limit(ORACLE_MARGIN * episode.knee);
            (Rails::default(), PlaneConfig::default(), mode.shape(known))
        }
        Control::Loop(control_loop) => {
            let config = if mode == PlaneMode::Blind { fair_off } else { PlaneConfig::default() };
            (*control_loop.rails(), config, mode.shape(*control_loop.allocation()))
        }
    }
}

fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}
