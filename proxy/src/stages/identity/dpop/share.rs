//! What one subject may have of the memory of proofs, which all share.

use std::sync::Arc;

use policies::facts::Identity;

use super::super::bounded::BoundedMap;
use super::super::pace::Pace;
use super::remembered_ms;
use crate::stages::limits::KeyHash;

/// Subjects whose proofs are counted. One that is forgotten for another begins anew.
const SUBJECTS_MAX: usize = 100_000;

/// How many proofs of each subject may be remembered at the same time: without such a bound one customer's flood of valid
/// proofs, which are remembered before the customer's own limit is looked at, would leave no room for anybody else's.
pub struct Shares {
    paces: BoundedMap<u64, Arc<Pace>>,
    keys: KeyHash,
    max: u32,
}

impl Shares {
    /// At most `max` proofs for each subject.
    pub fn new(max: u32) -> Self {
        Self { paces: BoundedMap::new(SUBJECTS_MAX), keys: KeyHash::default(), max }
    }

    /// Whether one more proof of the subject may be remembered, where proofs of up to `age_max_ms` are accepted; then it
    /// counts.
    pub fn take(&self, identity: &Identity, age_max_ms: i64, now_ms: i64) -> bool {
        let key = self.keys.of((&*identity.issuer, &identity.subject, age_max_ms));
        let pace = self.paces.get(&key).unwrap_or_else(|| {
            let fresh = Arc::new(Pace::new(self.max, remembered_ms(age_max_ms)));
            self.paces.insert(key, Arc::clone(&fresh));
            fresh
        });
        pace.take(now_ms)
    }
}
