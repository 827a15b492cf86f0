//! The newest decisions in memory, and news of each as it comes.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::RwLock;
use policies::chain::Checkpoint;
use policies::{DecisionRecord, ports::DecisionQuery};
use tokio::sync::broadcast;

/// A decision and its position in the log.
pub type Numbered = Arc<(u64, DecisionRecord)>;

/// Watchers that fall further behind than this miss decisions and are told so.
const NEWS_MAX: usize = 512;

pub(super) struct Recent {
    entries_max: usize,
    held: RwLock<Held>,
    checkpoint: RwLock<Option<Checkpoint>>,
    news: broadcast::Sender<Numbered>,
}

struct Held {
    /// Oldest first.
    decisions: VecDeque<Numbered>,
    /// Every decision from this position on is held.
    floor: u64,
}

impl Recent {
    /// Nothing held; what is older than position `floor` is on disk only.
    pub(super) fn new(entries_max: usize, floor: u64, checkpoint: Option<Checkpoint>) -> Self {
        let held = Held { decisions: VecDeque::new(), floor };
        let news = broadcast::Sender::new(NEWS_MAX);
        Self { entries_max, held: RwLock::new(held), checkpoint: RwLock::new(checkpoint), news }
    }

    pub(super) fn add(&self, position: u64, record: DecisionRecord) {
        let numbered = Arc::new((position, record));
        {
            let mut held = self.held.write();
            held.decisions.push_back(Arc::clone(&numbered));
            while held.decisions.len() > self.entries_max {
                if let Some(oldest) = held.decisions.pop_front() {
                    held.floor = oldest.0 + 1;
                }
            }
        }
        // Nobody may be watching.
        let _watchers = self.news.send(numbered);
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Numbered> {
        self.news.subscribe()
    }

    pub(super) fn note_checkpoint(&self, checkpoint: Checkpoint) {
        *self.checkpoint.write() = Some(checkpoint);
    }

    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        *self.checkpoint.read()
    }

    /// Held decisions that match, newest first, and the position below which only the disk knows.
    pub(super) fn page(&self, query: &DecisionQuery, limit: usize) -> (Vec<Numbered>, u64) {
        let held = self.held.read();
        let found = held
            .decisions
            .iter()
            .rev()
            .filter(|numbered| query.before.is_none_or(|before| numbered.0 < before))
            .filter(|numbered| matches(query, &numbered.1))
            .take(limit)
            .cloned()
            .collect();
        (found, held.floor)
    }

    /// The held decision with this id, and the position below which only the disk knows.
    pub(super) fn get(&self, id: &str) -> (Option<Numbered>, u64) {
        let held = self.held.read();
        (held.decisions.iter().rev().find(|numbered| numbered.1.id == id).cloned(), held.floor)
    }
}

/// Whether `record` fulfils every condition of `query` but its place.
pub(super) fn matches(query: &DecisionQuery, record: &DecisionRecord) -> bool {
    query.outcome.is_none_or(|outcome| record.outcome == outcome)
        && query.route.as_deref().is_none_or(|route| &*record.route == route)
        && query.reason.as_deref().is_none_or(|code| record.reasons.iter().any(|r| &*r.code == code))
}
