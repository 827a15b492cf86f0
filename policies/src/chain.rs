//! The hash chain of the decision log.
//!
//! Entry `n` has the link `SHA-256(link of n-1 ‖ length of the payload, u64 big endian ‖ payload)`; entry 0 follows
//! [`Link::GENESIS`]. The payload is hashed as the very bytes that were written, so there is no canonical form to argue
//! about. A chain shows that nothing inside it was altered, taken out or moved; that nothing was cut off its end is
//! shown by a [`Checkpoint`] kept elsewhere.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::pseudonym::hex;

/// The hash that stands for an entry and all before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link(pub [u8; 32]);

impl Link {
    /// What the first entry follows.
    pub const GENESIS: Self = Self([0; 32]);

    /// The link of an entry that follows `self`.
    pub fn next(&self, payload: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update((payload.len() as u64).to_be_bytes());
        hasher.update(payload);
        Self(hasher.finalize().into())
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut link = [0; 32];
        for (to, pair) in link.iter_mut().zip(text.chunks_exact(2)) {
            *to = match pair {
                [high, low] => (digit(*high)? << 4) | digit(*low)?,
                _ => return None,
            };
        }
        Some(Self(link))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(text.as_bytes()).ok_or_else(|| serde::de::Error::custom("not 64 hexadecimal digits"))
    }
}

/// How far a log had come at some moment: whoever kept one can tell whether the log was cut or rewritten since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Entries.
    pub size: u64,
    /// Link of the last one; [`Link::GENESIS`] of an empty log.
    pub head: Link,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The link does not follow from the one before and the payload.
    #[error("entry {position} was altered, or the one before it taken out: its link does not follow")]
    Altered {
        /// Which.
        position: u64,
    },
    /// Positions between were left out.
    #[error("entries {from} to {before} are missing", before = .to - 1)]
    Missing {
        /// First missing.
        from: u64,
        /// First present after it.
        to: u64,
    },
    /// An entry says a position that was passed already.
    #[error("entry {found} stands where {expected} belongs: entries were moved or repeated")]
    Reordered {
        /// Position that belongs here.
        expected: u64,
        /// Position found.
        found: u64,
    },
    /// The log is shorter than a checkpoint says it was.
    #[error("the log has {found} entries, but had {expected} at its checkpoint: its end was cut off")]
    Truncated {
        /// Entries at the checkpoint.
        expected: u64,
        /// Entries now.
        found: u64,
    },
    /// The log has another history than at the checkpoint.
    #[error("entry {position} is not the one the checkpoint saw: the log was rewritten")]
    Rewritten {
        /// The checkpoint's last entry.
        position: u64,
    },
}

/// Follows a chain entry by entry.
#[derive(Clone, Debug)]
pub struct Verifier {
    next: u64,
    head: Link,
    checkpoint: Option<Checkpoint>,
}

impl Verifier {
    /// From the beginning; with a checkpoint, also whether the log still contains what it saw.
    pub fn new(checkpoint: Option<Checkpoint>) -> Self {
        Self::after(0, Link::GENESIS, checkpoint)
    }

    /// From entry `next`, whose predecessor has the link `head`.
    pub fn after(next: u64, head: Link, checkpoint: Option<Checkpoint>) -> Self {
        Self { next, head, checkpoint }
    }

    /// Takes the next entry: the position it says, the link it says, and its payload.
    ///
    /// # Errors
    /// What is wrong with it. The verifier does not advance then.
    pub fn follow(&mut self, position: u64, link: Link, payload: &[u8]) -> Result<(), ChainError> {
        if position > self.next {
            return Err(ChainError::Missing { from: self.next, to: position });
        }
        if position < self.next {
            return Err(ChainError::Reordered { expected: self.next, found: position });
        }
        if self.head.next(payload) != link {
            return Err(ChainError::Altered { position });
        }
        let seen = self.checkpoint.is_some_and(|c| c.size == position + 1 && c.head != link);
        if seen {
            return Err(ChainError::Rewritten { position });
        }
        self.next = position + 1;
        self.head = link;
        Ok(())
    }

    /// After the last entry: how many there were and the last link.
    ///
    /// # Errors
    /// [`ChainError::Truncated`] if the checkpoint had more.
    pub fn finish(self) -> Result<(u64, Link), ChainError> {
        match self.checkpoint {
            Some(c) if c.size > self.next => {
                Err(ChainError::Truncated { expected: c.size, found: self.next })
            }
            _ => Ok((self.next, self.head)),
        }
    }

    /// Entries so far.
    pub fn size(&self) -> u64 {
        self.next
    }

    /// The last link so far.
    pub fn head(&self) -> Link {
        self.head
    }
}

/// Verifies a whole chain of (position, link, payload).
///
/// # Errors
/// The first thing that is wrong.
pub fn verify<P: AsRef<[u8]>>(
    entries: impl IntoIterator<Item = (u64, Link, P)>,
    checkpoint: Option<Checkpoint>,
) -> Result<(u64, Link), ChainError> {
    let mut verifier = Verifier::new(checkpoint);
    for (position, link, payload) in entries {
        verifier.follow(position, link, payload.as_ref())?;
    }
    verifier.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Chain = Vec<(u64, Link, Vec<u8>)>;

    fn chain(n: u64) -> Chain {
        let mut head = Link::GENESIS;
        (0..n)
            .map(|i| {
                let payload = format!("payload {i}").into_bytes();
                head = head.next(&payload);
                (i, head, payload)
            })
            .collect()
    }

    fn checkpoint(chain: &Chain) -> Checkpoint {
        let last = chain.last().unwrap();
        Checkpoint { size: last.0 + 1, head: last.1, at_ms: 0 }
    }

    #[test]
    fn every_kind_of_damage_has_its_name() {
        let whole = chain(10);
        let seen = Some(checkpoint(&whole));
        let check = |what: &str, damage: fn(&mut Chain), expected: Result<(), ChainError>| {
            let mut damaged = whole.clone();
            damage(&mut damaged);
            assert_eq!(verify(damaged, seen).map(|_| ()), expected, "{what}");
        };
        check("untouched", |_| {}, Ok(()));
        check("altered", |c| c[3].2[0] ^= 1, Err(ChainError::Altered { position: 3 }));
        check("taken out", |c| drop(c.remove(4)), Err(ChainError::Missing { from: 4, to: 5 }));
        check("swapped", |c| c.swap(2, 3), Err(ChainError::Missing { from: 2, to: 3 }));
        check(
            "repeated",
            |c| c.insert(5, c[4].clone()),
            Err(ChainError::Reordered { expected: 5, found: 4 }),
        );
        check("cut", |c| c.truncate(7), Err(ChainError::Truncated { expected: 10, found: 7 }));
        check("renumbered after removal", renumber_without_4, Err(ChainError::Altered { position: 4 }));
        check("rewritten whole", rewrite, Err(ChainError::Rewritten { position: 9 }));
    }

    fn renumber_without_4(chain: &mut Chain) {
        chain.remove(4);
        for (position, entry) in chain.iter_mut().enumerate() {
            entry.0 = position as u64;
        }
    }

    fn rewrite(chain: &mut Chain) {
        let mut head = Link::GENESIS;
        for (_, link, payload) in chain {
            payload.push(b'!');
            head = head.next(payload);
            *link = head;
        }
    }

    #[test]
    fn a_link_survives_its_text() {
        let link = Link::GENESIS.next(b"x");
        assert_eq!(Link::from_hex(link.to_string().as_bytes()), Some(link));
        for bad in ["", "00", &"g".repeat(64), &"A".repeat(64)] {
            assert_eq!(Link::from_hex(bad.as_bytes()), None, "{bad}");
        }
    }
}
