//! Counts what happens in a pool without locks, and turns the counts since the last look into an observation.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::class::{Class, PerClass};
use super::lanes::Lanes;
use super::observation::{ClassObservation, Observation};

/// Latency buckets: four to an octave, from 64 µs to 134 s.
const BUCKETS: usize = 84;
const FIRST_OCTAVE: u32 = 6;

/// How a request that held a permit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered.
    Answered,
    /// The upstream failed, reset the connection or took too long.
    Failed,
    /// The client went away before the upstream answered. Soon after asking, that says nothing about the
    /// upstream; after twice the class's latency target it counts as a failure of the upstream.
    Abandoned,
    /// The gateway refused the request; the upstream never saw it.
    Refused,
}

/// The counters of one pool since it was made. All counters only ever grow.
#[derive(Debug, Default)]
pub struct Meter {
    classes: PerClass<ClassMeter>,
    peak: AtomicU32,
    target_us: PerClass<u64>,
}

// A cache line pair of its own, so that classes do not slow each other down.
#[derive(Debug)]
#[repr(align(128))]
struct ClassMeter {
    admitted: AtomicU64,
    shed: AtomicU64,
    completions: AtomicU64,
    within_target: AtomicU64,
    failures: AtomicU64,
    latency_sum_us: AtomicU64,
    latency: [AtomicU32; BUCKETS],
}

impl Default for ClassMeter {
    fn default() -> Self {
        Self {
            admitted: AtomicU64::default(),
            shed: AtomicU64::default(),
            completions: AtomicU64::default(),
            within_target: AtomicU64::default(),
            failures: AtomicU64::default(),
            latency_sum_us: AtomicU64::default(),
            latency: std::array::from_fn(|_| AtomicU32::default()),
        }
    }
}

impl Meter {
    /// Counters at zero. `target_ms` is the latency within which an answer of each class is worth its work.
    #[must_use]
    pub fn new(target_ms: PerClass<f64>) -> Self {
        let target_us = PerClass::from_fn(|class| (target_ms[class].max(0.0) * 1_000.0) as u64);
        Self { target_us, ..Self::default() }
    }

    /// A request of `class` got its permit and makes `in_flight` over all classes.
    pub fn admitted(&self, class: Class, in_flight: u32) {
        self.classes[class].admitted.fetch_add(1, Relaxed);
        if in_flight > self.peak.load(Relaxed) {
            self.peak.store(in_flight, Relaxed);
        }
    }

    /// A request of `class` was shed.
    pub fn shed(&self, class: Class) {
        self.classes[class].shed.fetch_add(1, Relaxed);
    }

    /// A permit of `class` came back, `latency_us` after the request went to the upstream.
    pub fn finished(&self, class: Class, outcome: Outcome, latency_us: u64) {
        let meter = &self.classes[class];
        match outcome {
            Outcome::Answered => {
                meter.completions.fetch_add(1, Relaxed);
                meter.latency_sum_us.fetch_add(latency_us, Relaxed);
                if latency_us <= self.target_us[class] {
                    meter.within_target.fetch_add(1, Relaxed);
                }
                if let Some(bucket) = meter.latency.get(bucket_of(latency_us)) {
                    bucket.fetch_add(1, Relaxed);
                }
            }
            Outcome::Failed => {
                meter.failures.fetch_add(1, Relaxed);
            }
            Outcome::Abandoned if latency_us > self.target_us[class].saturating_mul(2) => {
                meter.failures.fetch_add(1, Relaxed);
            }
            Outcome::Abandoned | Outcome::Refused => {}
        }
    }

    /// Requests of `class` that got a permit since the start.
    #[must_use]
    pub fn admitted_total(&self, class: Class) -> u64 {
        self.classes[class].admitted.load(Relaxed)
    }

    /// Requests of `class` that were shed since the start.
    #[must_use]
    pub fn shed_total(&self, class: Class) -> u64 {
        self.classes[class].shed.load(Relaxed)
    }
}

/// Remembers what the counters said last time. One reader to a meter.
#[derive(Debug, Default)]
pub struct MeterReader {
    last: PerClass<Counts>,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    admitted: u64,
    shed: u64,
    completions: u64,
    within_target: u64,
    failures: u64,
    latency_sum_us: u64,
    latency: [u32; BUCKETS],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            admitted: 0,
            shed: 0,
            completions: 0,
            within_target: 0,
            failures: 0,
            latency_sum_us: 0,
            latency: [0; BUCKETS],
        }
    }
}

impl MeterReader {
    /// What happened since the last call, which was `dt_s` seconds ago.
    pub fn take(&mut self, meter: &Meter, dt_s: f64, limit: f64, held: Lanes, waiting: Lanes) -> Observation {
        let classes = PerClass::from_fn(|class| {
            let now = Counts::of(&meter.classes[class]);
            let seen = now.since(&self.last[class]);
            self.last[class] = now;
            seen.observation(u32::from(held.get(class)), u32::from(waiting.get(class)))
        });
        let in_flight_peak = meter.peak.swap(held.total(), Relaxed);
        Observation { dt_s, limit, in_flight_peak, classes }
    }
}

impl Counts {
    fn of(meter: &ClassMeter) -> Self {
        let mut latency = [0; BUCKETS];
        for (count, bucket) in latency.iter_mut().zip(&meter.latency) {
            *count = bucket.load(Relaxed);
        }
        Self {
            admitted: meter.admitted.load(Relaxed),
            shed: meter.shed.load(Relaxed),
            completions: meter.completions.load(Relaxed),
            within_target: meter.within_target.load(Relaxed),
            failures: meter.failures.load(Relaxed),
            latency_sum_us: meter.latency_sum_us.load(Relaxed),
            latency,
        }
    }

    fn since(&self, before: &Self) -> Self {
        let mut latency = self.latency;
        for (count, old) in latency.iter_mut().zip(&before.latency) {
            *count = count.wrapping_sub(*old);
        }
        Self {
            admitted: self.admitted.wrapping_sub(before.admitted),
            shed: self.shed.wrapping_sub(before.shed),
            completions: self.completions.wrapping_sub(before.completions),
            within_target: self.within_target.wrapping_sub(before.within_target),
            failures: self.failures.wrapping_sub(before.failures),
            latency_sum_us: self.latency_sum_us.wrapping_sub(before.latency_sum_us),
            latency,
        }
    }

    fn observation(&self, in_flight: u32, queued: u32) -> ClassObservation {
        ClassObservation {
            arrivals: count(self.admitted.saturating_add(self.shed)),
            admitted: count(self.admitted),
            shed: count(self.shed),
            completions: count(self.completions),
            within_target: count(self.within_target),
            failures: count(self.failures),
            in_flight,
            queued,
            latency_mean_ms: self.latency_sum_us as f64 / self.completions as f64 / 1_000.0,
            latency_p50_ms: quantile_ms(&self.latency, 0.50),
            latency_p95_ms: quantile_ms(&self.latency, 0.95),
        }
    }
}

fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn bucket_of(latency_us: u64) -> usize {
    let octave = latency_us.max(1).ilog2();
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let quarter = (latency_us >> (octave - 2)) & 3;
    (((octave - FIRST_OCTAVE) * 4) as usize + quarter as usize).min(BUCKETS - 1)
}

fn bucket_middle_ms(bucket: usize) -> f64 {
    let octave = bucket / 4 + FIRST_OCTAVE as usize;
    let quarter = (bucket % 4) as f64;
    (1_u64 << octave) as f64 * (1.0 + (quarter + 0.5) / 4.0) / 1_000.0
}

fn quantile_ms(buckets: &[u32; BUCKETS], share: f64) -> f64 {
    let total: u64 = buckets.iter().map(|count| u64::from(*count)).sum();
    let wanted = (total as f64 * share).ceil().max(1.0);
    let mut seen = 0_u64;
    for (bucket, count) in buckets.iter().enumerate() {
        seen += u64::from(*count);
        if seen as f64 >= wanted {
            return bucket_middle_ms(bucket);
        }
    }
    f64::NAN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: &mut MeterReader, meter: &Meter) -> Observation {
        let none = Lanes::pack(PerClass::default());
        reader.take(meter, 0.2, 10.0, none, none)
    }

    #[test]
    fn an_observation_holds_only_what_happened_since_the_last_one() {
        let meter = Meter::new(PerClass([300.0, 80.0, 200.0, 200.0]));
        let mut reader = MeterReader::default();
        for latency_us in [10_000, 20_000, 90_000] {
            meter.admitted(Class::AuthenticatedRead, 1);
            meter.finished(Class::AuthenticatedRead, Outcome::Answered, latency_us);
        }
        meter.finished(Class::AuthenticatedRead, Outcome::Abandoned, 1);
        meter.finished(Class::AuthenticatedRead, Outcome::Refused, 1);
        meter.shed(Class::Suspicious);
        let first = read(&mut reader, &meter);
        let reads = first.classes[Class::AuthenticatedRead];
        assert_eq!((reads.arrivals, reads.completions, reads.within_target, reads.failures), (3, 3, 2, 0));
        assert!((reads.latency_mean_ms - 40.0).abs() < 1e-9);
        assert!((reads.latency_p50_ms / 20.0 - 1.0).abs() < 0.15, "{}", reads.latency_p50_ms);
        assert_eq!(first.classes[Class::Suspicious].shed, 1);
        let second = read(&mut reader, &meter);
        assert_eq!(second.total(|class| class.arrivals + class.completions), 0);
        assert!(second.classes[Class::AuthenticatedRead].plausible_latency_ms().is_none());
    }

    #[test]
    fn buckets_cover_every_latency_there_can_be() {
        let mut last = 0;
        for latency_us in [0, 1, 63, 64, 79, 80, 1_000, 10_000, 1 << 26, 1 << 40, u64::MAX] {
            let bucket = bucket_of(latency_us);
            assert!(bucket >= last && bucket < BUCKETS, "{latency_us}");
            last = bucket;
        }
        for latency_us in [100_u64, 5_000, 77_777, 2_000_000] {
            let middle = bucket_middle_ms(bucket_of(latency_us)) * 1_000.0;
            assert!((middle / latency_us as f64 - 1.0).abs() < 0.15, "{latency_us} is told as {middle}");
        }
    }
}
