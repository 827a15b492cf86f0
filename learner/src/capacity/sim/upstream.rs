//! The upstream: processor sharing with a knee, worker threads, and a first-in-first-out accept queue.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Worker threads for each unit of the knee.
const WORKERS_PER_KNEE: f64 = 8.0;

/// With m jobs running and the knee at C, each runs at speed s / (1 + (m/C)^4)^(1/4), and beyond the knee also
/// divided by 1 + 0.25 (m/C - 1). All run equally fast, so that a job ends when the work done by each has grown
/// by its own.
pub(super) struct Upstream {
    knee: f64,
    speed: f64,
    running: BinaryHeap<Reverse<(Work, usize)>>,
    accepted: VecDeque<(usize, f64)>,
    /// Work done by each job that has been running all the time, in seconds at speed 1.
    done: f64,
    now_s: f64,
}

#[derive(Clone, Copy, PartialEq)]
struct Work(f64);

impl Eq for Work {}

impl PartialOrd for Work {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Work {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Upstream {
    pub fn new(knee: f64, speed: f64) -> Self {
        Self { knee, speed, running: BinaryHeap::new(), accepted: VecDeque::new(), done: 0.0, now_s: 0.0 }
    }

    /// The most work a second that it can do, in seconds at speed 1: about where the contention sets in.
    pub fn capacity(knee: f64, speed: f64) -> f64 {
        knee * speed * job_speed(1.0)
    }

    pub fn change(&mut self, now_s: f64, knee: f64, speed: f64) {
        self.advance(now_s);
        self.knee = knee;
        self.speed = speed;
        self.start_accepted();
    }

    pub const fn knee(&self) -> f64 {
        self.knee
    }

    /// A request arrives that needs `work_s` seconds at speed 1.
    pub fn accept(&mut self, now_s: f64, job: usize, work_s: f64) {
        self.advance(now_s);
        self.accepted.push_back((job, work_s));
        self.start_accepted();
    }

    /// When the next job ends if nothing else happens before.
    pub fn next_end_s(&self) -> Option<f64> {
        let Reverse((end, _)) = self.running.peek()?;
        Some(self.now_s + (end.0 - self.done).max(0.0) / self.rate())
    }

    /// Ends the job whose time has come.
    pub fn end_next(&mut self, now_s: f64) -> Option<usize> {
        self.advance(now_s);
        let Reverse((_, job)) = self.running.pop()?;
        self.start_accepted();
        Some(job)
    }

    fn start_accepted(&mut self) {
        let workers = (self.knee * WORKERS_PER_KNEE).max(1.0) as usize;
        while self.running.len() < workers {
            let Some((job, work_s)) = self.accepted.pop_front() else { break };
            self.running.push(Reverse((Work(self.done + work_s), job)));
        }
    }

    fn advance(&mut self, now_s: f64) {
        if !self.running.is_empty() {
            self.done += (now_s - self.now_s).max(0.0) * self.rate();
        }
        self.now_s = now_s;
    }

    fn rate(&self) -> f64 {
        self.speed * job_speed(self.running.len() as f64 / self.knee)
    }
}

/// The speed of each job when the knee is filled `fill` times.
fn job_speed(fill: f64) -> f64 {
    let square = fill * fill;
    let shared = (1.0 + square * square).sqrt().sqrt();
    1.0 / (shared * (1.0 + 0.25 * (fill - 1.0).max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_job_takes_its_work_and_a_crowd_takes_longer() {
        let mut upstream = Upstream::new(10.0, 1.0);
        upstream.accept(0.0, 1, 0.1);
        assert!((upstream.next_end_s().unwrap() - 0.1).abs() < 1e-4);
        for job in 2..=40 {
            upstream.accept(0.0, job, 0.1);
        }
        // Four times the knee: about a quarter of the speed, less the contention.
        let end = upstream.next_end_s().unwrap();
        assert!(end > 0.4 && end < 0.8, "{end}");
    }

    #[test]
    fn throughput_peaks_near_the_knee() {
        let throughput = |fill: f64| fill * job_speed(fill);
        assert!(throughput(1.0) > throughput(0.5) * 1.6);
        assert!(throughput(1.15) > throughput(1.0));
        assert!(throughput(4.0) < throughput(1.15) * 0.75, "{}", throughput(4.0));
    }

    #[test]
    fn beyond_the_worker_threads_jobs_wait_in_order() {
        let mut upstream = Upstream::new(1.0, 1.0);
        for job in 0..20 {
            upstream.accept(0.0, job, 0.01);
        }
        let mut ended = Vec::new();
        while let Some(at) = upstream.next_end_s() {
            ended.extend(upstream.end_next(at));
        }
        assert_eq!(ended.len(), 20);
        assert!(ended.iter().position(|job| *job == 3) < ended.iter().position(|job| *job == 19));
    }
}
