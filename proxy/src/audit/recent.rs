//! The newest decisions in memory, and news of each as it comes.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use policies::chain::Checkpoint;
use policies::{DecisionRecord, ports::DecisionQuery};
use tokio::sync::broadcast;

use super::entry::{Completion, Entry, looks_like_decision};

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

/// A decision as it stands in the log; read only when somebody looks at it.
#[derive(Debug)]
pub(super) struct Kept {
    position: u64,
    json: Vec<u8>,
    /// An intent of this run: it is shown once it is completed, as a request is known by how it ended.
    under_way: bool,
    completion: OnceLock<Completion>,
}

impl Kept {
    /// One of an earlier run, in which nothing is under way any more.
    pub(super) fn of_before(position: u64, json: Vec<u8>) -> Self {
        Self { position, json, under_way: false, completion: OnceLock::new() }
    }

    fn read(&self) -> Option<Numbered> {
        if self.under_way && self.completion.get().is_none() {
            return None;
        }
        let (Entry::Decision(mut record) | Entry::Intent(mut record)) =
            serde_json::from_slice(&self.json).ok()?
        else {
            return None;
        };
        if let Some(completion) = self.completion.get() {
            completion.complete(&mut record);
        }
        Some(Arc::new((self.position, *record)))
    }
}

struct Held {
    /// Oldest first.
    decisions: VecDeque<Arc<Kept>>,
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

    /// A decision or, not `complete` yet, an intent.
    pub(super) fn add(&self, position: u64, json: Vec<u8>, complete: bool) {
        let kept = Arc::new(Kept { under_way: !complete, ..Kept::of_before(position, json) });
        if complete {
            self.tell(&kept);
        }
        self.keep(kept);
    }

    pub(super) fn keep(&self, kept: Arc<Kept>) {
        let mut held = self.held.write();
        held.decisions.push_back(kept);
        while held.decisions.len() > self.entries_max {
            if let Some(oldest) = held.decisions.pop_front() {
                held.floor = oldest.position + 1;
            }
        }
    }

    /// Completes an intent, if it is still held.
    pub(super) fn complete(&self, completion: Completion) {
        let found = {
            let held = self.held.read();
            let place = held.decisions.binary_search_by_key(&completion.of, |kept| kept.position);
            place.ok().and_then(|place| held.decisions.get(place).cloned())
        };
        if let Some(kept) = found {
            let _known_already = kept.completion.set(completion);
            self.tell(&kept);
        }
    }

    fn tell(&self, kept: &Kept) {
        if self.news.receiver_count() > 0
            && let Some(numbered) = kept.read()
        {
            // The last watcher may have gone away meanwhile.
            let _watchers = self.news.send(numbered);
        }
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
        let (held, floor) = self.held_before(query.before);
        let found =
            held.filter_map(|kept| kept.read()).filter(|n| matches(query, &n.1)).take(limit).collect();
        (found, floor)
    }

    /// The held decision with this id, and the position below which only the disk knows.
    pub(super) fn get(&self, id: &str) -> (Option<Numbered>, u64) {
        let (held, floor) = self.held_before(None);
        let mut alike = held.filter(|kept| looks_like_decision(&kept.json, Some(id)));
        (alike.find_map(|kept| kept.read().filter(|numbered| numbered.1.id == id)), floor)
    }

    /// What is held, newest first; reading it holds nobody up.
    fn held_before(&self, before: Option<u64>) -> (impl Iterator<Item = Arc<Kept>>, u64) {
        let held = self.held.read();
        let kept: Vec<_> = held
            .decisions
            .iter()
            .rev()
            .filter(|kept| before.is_none_or(|before| kept.position < before))
            .cloned()
            .collect();
        (kept.into_iter(), held.floor)
    }
}

/// Whether `record` fulfils every condition of `query` but its place.
pub(super) fn matches(query: &DecisionQuery, record: &DecisionRecord) -> bool {
    query.outcome.is_none_or(|outcome| record.outcome == outcome)
        && query.route.as_deref().is_none_or(|route| &*record.route == route)
        && query.reason.as_deref().is_none_or(|code| record.reasons.iter().any(|r| &*r.code == code))
}
