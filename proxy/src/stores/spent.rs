//! Authorisations for one payment that were spent (RFC 9396). On disk before the payment is forwarded: what is forgotten
//! here is paid twice.

use std::sync::Arc;

use policies::ports::{RecordStore, Space, StoreError};
use policies::record::Pseudonym;
use serde::{Deserialize, Serialize};

use crate::stages::transfer::Authorisation;

/// How long after its token expired an authorisation is remembered at least, milliseconds: more than the longest time
/// between a request's entry, when its token is judged, and its decision.
const MARGIN_MS: i64 = 900_000;
/// Entries looked at together in a sweep.
const PAGE: usize = 256;

/// The memory.
pub struct Spent {
    records: Arc<dyn RecordStore>,
}

/// What an attempt to spend came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spending {
    /// It was free.
    Now,
    /// The very same request spent it, under the same idempotency key: the application knows whether it carried it out.
    Again,
    /// Another request spent it.
    Before,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    expires_ms: i64,
    request: Option<Pseudonym>,
}

impl Spent {
    /// Over a store that loses nothing.
    pub fn new(records: Arc<dyn RecordStore>) -> Self {
        Self { records }
    }

    /// Spends an authorisation by `request`, which is what a repeat of it is recognised by.
    ///
    /// # Errors
    /// The store's; nothing is spent then.
    pub async fn spend(
        &self,
        one: &Authorisation,
        request: Option<&Pseudonym>,
    ) -> Result<Spending, StoreError> {
        let expires_ms = one.expires_ms.saturating_add(MARGIN_MS);
        let entry = Entry { expires_ms, request: request.cloned() };
        let value = serde_json::to_vec(&entry).unwrap_or_default();
        if self.records.compare_and_set(Space::Authorisations, &one.key, None, &value).await? {
            return Ok(Spending::Now);
        }
        let known = self.records.get(Space::Authorisations, &one.key).await?;
        let by = known.and_then(|value| serde_json::from_slice::<Entry>(&value).ok()?.request);
        let again = request.is_some() && by.as_ref() == request;
        Ok(if again { Spending::Again } else { Spending::Before })
    }

    /// Makes an authorisation free again, of which the payment was surely not made.
    ///
    /// # Errors
    /// The store's; it stays spent then.
    pub async fn give_back(&self, one: &Authorisation) -> Result<(), StoreError> {
        self.records.remove(Space::Authorisations, &one.key).await
    }

    /// Forgets what no token can carry any more.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self, now_ms: i64) -> Result<(), StoreError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.records.list(Space::Authorisations, after.as_deref(), PAGE).await?;
            for (key, value) in &page {
                if serde_json::from_slice::<Entry>(value).is_ok_and(|entry| entry.expires_ms <= now_ms) {
                    self.records.remove(Space::Authorisations, key).await?;
                }
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
                _ => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::{Bounds, MemoryRecords};

    #[tokio::test]
    async fn an_authorisation_is_spent_once_and_again_only_by_the_same_request() {
        let spent = Spent::new(Arc::new(MemoryRecords::new(Bounds::default())));
        let one = Authorisation { key: [7; 32], expires_ms: 1_000 };
        let [first, other] = ["a", "b"].map(|name| Pseudonym(name.into()));
        for (request, wanted) in [
            (Some(&first), Spending::Now),
            (Some(&first), Spending::Again),
            (Some(&other), Spending::Before),
            (None, Spending::Before),
        ] {
            assert_eq!(spent.spend(&one, request).await.unwrap(), wanted, "{request:?}");
        }
        spent.give_back(&one).await.unwrap();
        assert_eq!(spent.spend(&one, None).await.unwrap(), Spending::Now);
        assert_eq!(spent.spend(&one, None).await.unwrap(), Spending::Before, "no key, no promise");
    }

    #[tokio::test]
    async fn it_is_remembered_for_longer_than_a_request_that_entered_in_time_can_take() {
        let spent = Spent::new(Arc::new(MemoryRecords::new(Bounds::default())));
        let one = Authorisation { key: [7; 32], expires_ms: 1_000 };
        spent.spend(&one, None).await.unwrap();
        for (now_ms, wanted) in [
            (1_001, Spending::Before),
            (1_000 + MARGIN_MS - 1, Spending::Before),
            (1_000 + MARGIN_MS, Spending::Now),
        ] {
            spent.sweep(now_ms).await.unwrap();
            assert_eq!(spent.spend(&one, None).await.unwrap(), wanted, "{now_ms}");
        }
    }
}
