//! Backends of the stores in [`policies::ports`], and what is kept in them.
//!
//! Hot state ([`policies::ports::HotStore`]) may be lost and expires; records ([`policies::ports::RecordStore`]) are on
//! disk when a write is answered. Each trait has a backend in memory and one on sled, and all pass one conformance suite.

mod cases;
mod memory;
mod sled_hot;
mod sled_records;
mod spent;

#[cfg(test)]
mod conformance;

pub use cases::{Case, CaseError, CasePage, CaseState, Cases, NewCase, Release, Ruling, RulingKind};
pub use memory::{MemoryHot, MemoryRecords};
pub use sled_hot::SledHot;
pub use sled_records::SledRecords;
pub use spent::{Spending, Spent};

use policies::ports::{Answer, Space, StoreError};

/// Bounds of a store.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Entries of one name space; expired ones count until they are swept.
    pub entries_max: usize,
    /// Bytes of a value.
    pub value_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { entries_max: 1_000_000, value_bytes_max: 256 * 1024 }
    }
}

impl Bounds {
    fn check_value(&self, value: &[u8]) -> Result<(), StoreError> {
        if value.len() > self.value_bytes_max { Err(StoreError::Full) } else { Ok(()) }
    }
}

/// A value for each name space, found without a look-up that could fail.
struct PerSpace<T>([T; 10]);

impl<T> PerSpace<T> {
    fn try_new<E>(mut make: impl FnMut(Space) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self([
            make(Space::Sessions)?,
            make(Space::Logins)?,
            make(Space::Proofs)?,
            make(Space::LogoutTokens)?,
            make(Space::Repeats)?,
            make(Space::Revocations)?,
            make(Space::Authorisations)?,
            make(Space::Cases)?,
            make(Space::Policies)?,
            make(Space::Labels)?,
        ]))
    }

    fn of(&self, space: Space) -> &T {
        let [
            sessions,
            logins,
            proofs,
            logout_tokens,
            repeats,
            revocations,
            authorisations,
            cases,
            policies,
            labels,
        ] = &self.0;
        match space {
            Space::Sessions => sessions,
            Space::Logins => logins,
            Space::Proofs => proofs,
            Space::LogoutTokens => logout_tokens,
            Space::Repeats => repeats,
            Space::Revocations => revocations,
            Space::Authorisations => authorisations,
            Space::Cases => cases,
            Space::Policies => policies,
            Space::Labels => labels,
        }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

/// An answer that is there already.
fn ready<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(answer))
}
