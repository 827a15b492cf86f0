//! The short queue of one class.

use std::collections::VecDeque;

use super::FairKey;

#[derive(Debug)]
pub(super) struct Waiting<W> {
    pub number: u64,
    pub key: FairKey,
    pub deadline_us: u64,
    pub waiter: W,
}

/// Oldest at the front. Its owner bounds the length to some dozens, so that scans cost little.
#[derive(Debug)]
pub(super) struct ClassQueue<W>(VecDeque<Waiting<W>>);

impl<W> Default for ClassQueue<W> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<W> ClassQueue<W> {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn push(&mut self, waiting: Waiting<W>) {
        self.0.push_back(waiting);
    }

    pub fn pop_oldest(&mut self) -> Option<Waiting<W>> {
        self.0.pop_front()
    }

    /// The next one whose time is up. Patience may change from tick to tick, so any of them may be.
    pub fn pop_overdue(&mut self, now_us: u64) -> Option<Waiting<W>> {
        let index = self.0.iter().position(|waiting| waiting.deadline_us <= now_us)?;
        self.0.remove(index)
    }

    pub fn waiting_for(&self, key: FairKey) -> usize {
        self.0.iter().filter(|waiting| waiting.key == key).count()
    }

    /// Whose turn it is: the newest or the oldest whose customer or address may have another permit.
    pub fn next(&self, newest_first: bool, allowed: impl Fn(FairKey) -> bool) -> Option<usize> {
        let wanted = |waiting: &Waiting<W>| allowed(waiting.key);
        if newest_first { self.0.iter().rposition(wanted) } else { self.0.iter().position(wanted) }
    }

    pub fn take(&mut self, index: usize) -> Option<Waiting<W>> {
        self.0.remove(index)
    }

    pub fn remove(&mut self, number: u64) -> bool {
        let index = self.0.iter().position(|waiting| waiting.number == number);
        index.and_then(|index| self.0.remove(index)).is_some()
    }
}
