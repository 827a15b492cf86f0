//! Levels of a category: hashes for the models, texts for whoever reads an explanation.

use super::cell::hash_text;
use serde::Serialize;
use std::collections::HashMap;

/// Most levels of a column whose text is kept.
pub const LEVELS_MAX: usize = 4_096;
/// Longest text that is kept, bytes.
pub const LEVEL_BYTES_MAX: usize = 256;

/// A level of a category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Level {
    /// What records have for it.
    pub hash: u64,
    /// What stood in the file.
    pub text: String,
    /// Rows that have it.
    pub count: u64,
}

/// The levels of one column that came first, at most [`LEVELS_MAX`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Levels {
    kept: Vec<Level>,
    others: u64,
    #[serde(skip)]
    by_text: HashMap<Box<[u8]>, usize>,
    #[serde(skip)]
    by_hash: HashMap<u64, usize>,
}

impl Levels {
    /// Levels whose text is kept, in the order of first appearance.
    pub fn kept(&self) -> &[Level] {
        &self.kept
    }

    /// Rows with a level whose text is not kept.
    pub fn others(&self) -> u64 {
        self.others
    }

    /// The text of a hash, where it is kept.
    pub fn text(&self, hash: u64) -> Option<&str> {
        self.by_hash.get(&hash).and_then(|at| self.kept.get(*at)).map(|level| level.text.as_str())
    }

    /// Counts a row with this text and gives its hash. A text that is kept is not hashed again.
    pub(super) fn note(&mut self, text: &[u8]) -> u64 {
        if let Some(level) = self.by_text.get(text).and_then(|at| self.kept.get_mut(*at)) {
            level.count += 1;
            return level.hash;
        }
        let hash = hash_text(text);
        if self.kept.len() < LEVELS_MAX && text.len() <= LEVEL_BYTES_MAX {
            self.by_text.insert(text.into(), self.kept.len());
            self.by_hash.insert(hash, self.kept.len());
            self.kept.push(Level { hash, text: String::from_utf8_lossy(text).into_owned(), count: 1 });
        } else {
            self.others += 1;
        }
        hash
    }
}
