//! Idempotency keys, and what a request is recognised by.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::BankError;
use crate::ledger::{CustomerId, IdError, Receipt};

/// Longest Idempotency-Key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// An `Idempotency-Key` header; it is one customer's, two customers may use the same text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Checks `text` and takes it as a key: 1 to 128 visible ASCII characters.
    ///
    /// # Errors
    /// [`IdError`] otherwise.
    pub fn new(text: &str) -> Result<Self, IdError> {
        match text.len() {
            0 => Err(IdError::Empty),
            n if n > IDEMPOTENCY_KEY_BYTES_MAX => Err(IdError::TooLong),
            _ if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(Self(text.to_owned())),
            _ => Err(IdError::Character),
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The receipt of a request of the customer's: `what` names the service, so that one key cannot answer for two.
    pub(super) fn receipt(
        self,
        customer: &CustomerId,
        what: &'static str,
        request: &impl Serialize,
    ) -> Result<Receipt, BankError> {
        let content = serde_json::to_vec(&(what, request)).map_err(|e| BankError::Store(e.to_string()))?;
        Ok(Receipt { customer: customer.clone(), key: self.0, fingerprint: Sha256::digest(content).into() })
    }
}
