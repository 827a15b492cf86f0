//! The right to be in flight.

use std::sync::Arc;

use learner::capacity::{Class, FairKey, Outcome, Wake};
use tokio::sync::oneshot;

use super::Admission;

/// Room for one request in its pool. Keep it until the last byte of the answer has gone, then drop it.
#[derive(Debug)]
#[must_use = "dropping the permit gives it back"]
pub struct Permit {
    admission: Option<Arc<Admission>>,
    class: Class,
    key: FairKey,
    forwarded_us: u64,
    answered_us: Option<u64>,
    outcome: Outcome,
}

impl Permit {
    /// Counts the admission that the plane has just decided.
    pub(super) fn grant(admission: Arc<Admission>, class: Class, key: FairKey, now_us: u64) -> Self {
        admission.meter.admitted(class, admission.plane.held().total());
        Self {
            admission: Some(admission),
            class,
            key,
            forwarded_us: now_us,
            answered_us: None,
            outcome: Outcome::Abandoned,
        }
    }

    /// The class it counts in.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The request is about to go to the upstream: the upstream's latency counts from here, not from the
    /// admission, so that slow stages of the gateway are not blamed on it.
    pub fn forwarded(&mut self) {
        self.forwarded_us = self.now_us();
    }

    /// The upstream's answer has begun: its latency ends here, so that a client that reads slowly does not
    /// make the upstream look slow.
    pub fn answered(&mut self) {
        let now_us = self.now_us();
        self.answered_us.get_or_insert(now_us);
        self.outcome = Outcome::Answered;
    }

    /// How it ended. Without a word it counts as abandoned by its client.
    pub const fn outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// Moves it to another class: up when the identity has been verified, down when the request turned out
    /// suspicious. `false` means that the new class has no room beside what is in flight: the caller may shed.
    pub fn reclassify(&mut self, class: Class) -> bool {
        let Some(admission) = &self.admission else { return true };
        if class == self.class {
            return true;
        }
        let (within, wake) = admission.plane.reclassify(self.class, class, (admission.clock)());
        self.class = class;
        admission.dispatch(wake);
        within
    }

    /// Takes back a grant that its waiter did not live to see, without counting an outcome.
    pub(super) fn undo(mut self, now_us: u64) -> Wake<oneshot::Sender<Self>> {
        match self.admission.take() {
            Some(admission) => admission.plane.release(self.class, self.key, now_us),
            None => Wake::default(),
        }
    }

    fn now_us(&self) -> u64 {
        self.admission.as_ref().map_or(0, |admission| (admission.clock)())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(admission) = self.admission.take() else { return };
        let now_us = (admission.clock)();
        let latency_us = self.answered_us.unwrap_or(now_us).saturating_sub(self.forwarded_us);
        admission.meter.finished(self.class, self.outcome, latency_us);
        let wake = admission.plane.release(self.class, self.key, now_us);
        admission.dispatch(wake);
    }
}
