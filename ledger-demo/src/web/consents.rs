//! What the page of connected third parties needs from the identity provider, which keeps the consents.

use std::pin::Pin;

/// One third party that a customer lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The client's id at the identity provider.
    pub client_id: String,
    /// Its name for people.
    pub client_name: String,
    /// What it may do: OAuth scopes such as `accounts:read`.
    pub scopes: Vec<String>,
    /// When the customer allowed it, unix milliseconds.
    pub granted_ms: i64,
}

/// The consents could not be read or changed; the cause is in the log of whoever keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the consents are out of reach")]
pub struct ConsentsUnavailable;

/// The store of consents, as a customer's page sees it.
pub trait Consents: Send + Sync {
    /// The third parties that `subject` lets in, in the order of their consents.
    ///
    /// # Errors
    /// [`ConsentsUnavailable`] when the store cannot be read.
    fn list(&self, subject: &str) -> Result<Vec<Consent>, ConsentsUnavailable>;

    /// Takes back all that `subject` allowed `client_id`, its tokens too, before it returns. False when there was nothing.
    ///
    /// # Errors
    /// [`ConsentsUnavailable`] when that is not certain.
    fn revoke(&self, subject: &str, client_id: &str) -> Result<bool, ConsentsUnavailable>;

    /// Resolves when whoever accepts the tokens knows that they were taken back, or does not answer soon.
    fn announced(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}
