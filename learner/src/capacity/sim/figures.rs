//! What a run was worth to the customers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::scenario::Kind;

/// A request that is shed, times out or fails counts as this response time, in milliseconds.
pub(super) const LOST_MS: f64 = 2_000.0;

/// Seconds of good work in a row that count as mitigated or recovered.
const STEADY_S: usize = 3;

/// Figures of one run, over all tries of honest clients.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Share of tries answered within the target of their kind.
    pub goodput: f64,
    /// The same, each try weighted by its kind: transfer 3, log-in 1.5, read 1.
    pub goodput_weighted: f64,
    /// Mean response time in milliseconds, a lost try counting as 2 s.
    pub effective_ms: f64,
    /// Median response time of answered tries in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile of the response time of answered tries in milliseconds.
    pub p95_ms: f64,
    /// 99th percentile of the response time of answered tries in milliseconds.
    pub p99_ms: f64,
    /// Share of tries shed.
    pub wrongful_shed: f64,
    /// Share of tries that timed out.
    pub timeouts: f64,
    /// Seconds from the beginning of the trouble until the weighted goodput is back at 90 % of what it was.
    pub mitigated_s: f64,
    /// Seconds from the end of the trouble until the same.
    pub recovered_s: f64,
    /// Tries of honest clients.
    pub tries: u64,
    /// By kind of request.
    pub kinds: BTreeMap<&'static str, KindFigures>,
}

/// One kind of request.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct KindFigures {
    /// Tries of honest clients.
    pub tries: u64,
    /// Share of them answered within the target.
    pub goodput: f64,
    /// Share of them shed.
    pub wrongful_shed: f64,
}

/// How one try of an honest client ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Answered { latency_ms: f64 },
    Shed,
    TimedOut,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    tries: u64,
    good: u64,
    shed: u64,
    timed_out: u64,
}

/// Counts while the run goes on.
pub(super) struct Counter {
    kinds: [Tally; 3],
    latencies_ms: Vec<f32>,
    lost_ms: f64,
    /// Weighted good and offered work by second of arrival.
    seconds: Vec<(f64, f64)>,
}

impl Counter {
    pub fn new(duration_s: f64) -> Self {
        Self {
            kinds: [Tally::default(); 3],
            latencies_ms: Vec::new(),
            lost_ms: 0.0,
            seconds: vec![(0.0, 0.0); duration_s.ceil() as usize + 1],
        }
    }

    pub fn count(&mut self, kind: Kind, arrived_s: f64, end: End) {
        let Some(tally) = self.kinds.get_mut(kind as usize) else { return };
        tally.tries += 1;
        let mut good = false;
        match end {
            End::Answered { latency_ms } => {
                good = latency_ms <= kind.target_ms();
                tally.good += u64::from(good);
                self.latencies_ms.push(latency_ms as f32);
            }
            End::Shed => tally.shed += 1,
            End::TimedOut => tally.timed_out += 1,
        }
        if !matches!(end, End::Answered { .. }) {
            self.lost_ms += LOST_MS;
        }
        if let Some((done, offered)) = self.seconds.get_mut(arrived_s as usize) {
            *offered += kind.weight();
            *done += if good { kind.weight() } else { 0.0 };
        }
    }

    pub fn figures(mut self, [trouble_from_s, trouble_to_s]: [f64; 2]) -> Figures {
        self.latencies_ms.sort_by(f32::total_cmp);
        let tries: u64 = self.kinds.iter().map(|tally| tally.tries).sum();
        let sum = |part: fn(&Tally) -> u64| self.kinds.iter().map(part).sum::<u64>();
        let weighted = |part: fn(&Tally) -> u64| -> f64 {
            Kind::ALL.iter().zip(&self.kinds).map(|(kind, tally)| kind.weight() * part(tally) as f64).sum()
        };
        let answered_ms: f64 = self.latencies_ms.iter().map(|latency| f64::from(*latency)).sum();
        let kinds =
            Kind::ALL.iter().zip(&self.kinds).map(|(kind, tally)| (kind.name(), tally.figures())).collect();
        Figures {
            goodput: share(sum(|tally| tally.good) as f64, tries as f64),
            goodput_weighted: share(weighted(|tally| tally.good), weighted(|tally| tally.tries)),
            effective_ms: share(answered_ms + self.lost_ms, tries as f64),
            p50_ms: self.quantile(0.50),
            p95_ms: self.quantile(0.95),
            p99_ms: self.quantile(0.99),
            wrongful_shed: share(sum(|tally| tally.shed) as f64, tries as f64),
            timeouts: share(sum(|tally| tally.timed_out) as f64, tries as f64),
            mitigated_s: self.seconds_until_good(trouble_from_s, trouble_from_s),
            recovered_s: self.seconds_until_good(trouble_to_s, trouble_from_s),
            tries,
            kinds,
        }
    }

    fn quantile(&self, at: f64) -> f64 {
        let rank = (at * self.latencies_ms.len() as f64) as usize;
        self.latencies_ms
            .get(rank.min(self.latencies_ms.len().saturating_sub(1)))
            .copied()
            .map_or(0.0, f64::from)
    }

    /// Seconds from `since_s` until the weighted goodput stays at 90 % of what it was before `calm_until_s`.
    fn seconds_until_good(&self, since_s: f64, calm_until_s: f64) -> f64 {
        let calm = self.seconds.get(2..calm_until_s as usize).unwrap_or(&[]);
        let (done, offered) = calm.iter().fold((0.0, 0.0), |(d, o), (done, offered)| (d + done, o + offered));
        let wanted = 0.9 * share(done, offered);
        let after = self.seconds.get(since_s as usize..).unwrap_or(&[]);
        let good: Vec<bool> = after.iter().map(|(done, offered)| share(*done, *offered) >= wanted).collect();
        let first = good.windows(STEADY_S).position(|window| window.iter().all(|second| *second));
        first.unwrap_or(good.len()) as f64
    }
}

impl Tally {
    fn figures(&self) -> KindFigures {
        KindFigures {
            tries: self.tries,
            goodput: share(self.good as f64, self.tries as f64),
            wrongful_shed: share(self.shed as f64, self.tries as f64),
        }
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 1.0 }
}
