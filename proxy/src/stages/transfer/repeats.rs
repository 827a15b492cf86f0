//! Repeats of a transfer: the same request again, under the same idempotency key.
//!
//! A client that lost the answer asks again, and the application answers as it did before. Such a repeat moves no money,
//! so it is not judged a second time. That is safe only where the application surely knows the repeat too: it must have
//! taken the first one, and the repeat must be the same in everything that the application may tell requests apart by.
//! What is not found here is judged afresh, so nothing is lost when the memory is lost.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashSet;
use http::request::Parts;
use policies::Pseudonymizer;
use policies::facts::{Identity, TransferIntent};
use policies::ports::{HotStore, Space};
use policies::record::Pseudonym;
use policies::verdict::Reason;
use serde::{Deserialize, Serialize};

/// What repeats are recognised by. Requests under way are known to this process alone, the first of each to all that
/// share its store: a repeat that meets another process at the same moment is judged there.
pub struct Repeats {
    hot: Arc<dyn HotStore>,
    pseudonyms: Pseudonymizer,
    /// At most one for each open request.
    under_way: Arc<DashSet<String>>,
}

/// A transfer as it was judged first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// The decision.
    pub decision: String,
    /// The case it waits in; none if the application took it.
    pub case: Option<String>,
}

/// A request that repeats another.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// The decision that judged the transfer.
    pub of: String,
    /// Why it is held, if it still is.
    pub held: Vec<Reason>,
}

/// The only request of its kind under way; another may begin when it is dropped.
pub struct Claim {
    request: String,
    valid_ms: i64,
    under_way: Arc<DashSet<String>>,
}

impl Claim {
    /// What the request is recognised by.
    pub fn request(&self) -> Pseudonym {
        Pseudonym(self.request.clone())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.under_way.remove(&self.request);
    }
}

impl Repeats {
    /// Over a store that may be lost.
    pub fn new(hot: Arc<dyn HotStore>, pseudonyms: Pseudonymizer) -> Self {
        Self { hot, pseudonyms, under_way: Arc::default() }
    }

    /// What a request is recognised by: customer and client, key, and all that it asks for. `None` without a key.
    pub fn request(
        &self,
        app: &str,
        identity: &Identity,
        intent: &TransferIntent,
        head: &Parts,
        body: &[u8],
    ) -> Option<Pseudonym> {
        let key = intent.idempotency_key.as_deref()?;
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        Some(self.pseudonyms.request(&[
            app.as_bytes(),
            identity.issuer.as_bytes(),
            identity.subject.as_bytes(),
            identity.client_id.as_bytes(),
            key.as_bytes(),
            head.method.as_str().as_bytes(),
            target.as_bytes(),
            // The body says all of this, but by a mapping that a reload may change.
            intent.from.as_bytes(),
            intent.to.as_bytes(),
            &intent.amount_minor.to_be_bytes(),
            &intent.currency,
            body,
        ]))
    }

    /// The right to carry `request` out, whose outcome holds for `valid`; `None` while the same request is under way.
    pub fn claim(&self, request: Pseudonym, valid: Duration) -> Option<Claim> {
        let valid_ms = i64::try_from(valid.as_millis()).unwrap_or(i64::MAX);
        self.under_way.insert(request.0.clone()).then(|| Claim {
            request: request.0,
            valid_ms,
            under_way: Arc::clone(&self.under_way),
        })
    }

    /// The first request of the same kind, if it was remembered and can be read.
    pub async fn first(&self, claim: &Claim, now_ms: i64) -> Option<First> {
        match self.hot.get(Space::Repeats, claim.request.as_bytes(), now_ms).await {
            Ok(stored) => serde_json::from_slice(&stored?).ok(),
            Err(error) => {
                tracing::warn!(%error, "repeats cannot be recognised; every transfer is judged");
                None
            }
        }
    }

    /// Remembers how the request went.
    pub async fn remember(&self, claim: &Claim, first: &First, now_ms: i64) {
        let Ok(value) = serde_json::to_vec(first) else { return };
        let expires_ms = now_ms.saturating_add(claim.valid_ms);
        let stored = self.hot.put(Space::Repeats, claim.request.as_bytes(), &value, expires_ms).await;
        if let Err(error) = stored {
            tracing::warn!(%error, "a transfer is not remembered; its repeat will be judged");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::{Bounds, MemoryHot};
    use policies::facts::Credential;

    const DAY: Duration = Duration::from_secs(86_400);

    fn repeats() -> Repeats {
        Repeats::new(Arc::new(MemoryHot::new(Bounds::default())), Pseudonymizer::new(&[7; 32]))
    }

    fn identity(subject: &str, client_id: &str) -> Identity {
        Identity {
            issuer: "https://issuer.example".into(),
            subject: subject.into(),
            client_id: client_id.into(),
            scopes: Vec::new(),
            roles: Vec::new(),
            acr: None,
            auth_time: None,
            issued_at: 0,
            expires_at: i64::MAX,
            token_id: None,
            session_id: None,
            credential: Credential::Bearer,
            authorization_details: None,
        }
    }

    fn intent(key: Option<&str>, amount_minor: i64) -> TransferIntent {
        TransferIntent {
            from: "a".into(),
            to: "b".into(),
            amount_minor,
            currency: *b"EUR",
            idempotency_key: key.map(Into::into),
        }
    }

    fn head(target: &str) -> Parts {
        http::Request::post(target).body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_the_same_request_of_the_same_customer_is_the_same() {
        let r = repeats();
        let alice = identity("alice", "app");
        let of = |who: &Identity, intent: &TransferIntent, target: &str, body: &str| {
            r.request("bank", who, intent, &head(target), body.as_bytes())
        };
        let first = of(&alice, &intent(Some("k"), 5), "/pay", "{}");
        assert!(first.is_some());
        assert_eq!(first, of(&alice, &intent(Some("k"), 5), "/pay", "{}"));
        for other in [
            of(&alice, &intent(Some("l"), 5), "/pay", "{}"),
            of(&alice, &intent(Some("k"), 6), "/pay", "{}"),
            of(&alice, &intent(Some("k"), 5), "/pay", "{ }"),
            of(&alice, &intent(Some("k"), 5), "/pay?twice", "{}"),
            of(&identity("mallory", "app"), &intent(Some("k"), 5), "/pay", "{}"),
            of(&identity("alice", "other"), &intent(Some("k"), 5), "/pay", "{}"),
        ] {
            assert_ne!(first, other);
        }
        assert_eq!(of(&alice, &intent(None, 5), "/pay", "{}"), None, "no key, no promise");
    }

    #[tokio::test]
    async fn a_request_under_way_has_no_second_and_its_end_makes_room() {
        let r = repeats();
        let request = || Pseudonym("one".into());
        let claim = r.claim(request(), DAY).unwrap();
        assert!(r.claim(request(), DAY).is_none());
        assert!(r.claim(request(), DAY).is_none(), "the refused one gave back what was not its own");
        drop(claim);
        let again = r.claim(request(), DAY).unwrap();
        assert_eq!(r.first(&again, 0).await, None, "what came to nothing is judged afresh");
    }

    #[tokio::test]
    async fn what_is_remembered_ends_with_its_time() {
        let r = repeats();
        let first = First { decision: "d-1".into(), case: None };
        let claim = r.claim(Pseudonym("one".into()), DAY).unwrap();
        r.remember(&claim, &first, 1_000).await;
        let day_ms = 86_400_000;
        assert_eq!(r.first(&claim, 1_000 + day_ms - 1).await, Some(first));
        assert_eq!(r.first(&claim, 1_000 + day_ms).await, None);
    }
}
