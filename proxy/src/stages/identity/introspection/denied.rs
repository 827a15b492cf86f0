//! Why a token is not taken: what waits for one call is told the same, and so is whoever comes a moment later.

use std::sync::Arc;

use super::super::bearer::TokenFault;
use super::super::challenge::{self, Scheme};
use crate::refusal::{Reason, Refusal};

/// Why a token is not taken.
#[derive(Clone, Debug)]
pub struct Denied {
    reason: Reason,
    /// For the log; never the token itself.
    pub inside: Arc<str>,
    /// Set where the issuer could not say: the token may be good.
    pub retry_after_s: Option<u64>,
}

impl Denied {
    /// The issuer could not say, or was not asked.
    pub fn unavailable(problem: &str, retry_after_s: u64) -> Self {
        Self { reason: Reason::IssuerUnavailable, inside: problem.into(), retry_after_s: Some(retry_after_s) }
    }

    /// The same for the client, with its challenge.
    pub fn into_refusal(self, scheme: Scheme) -> Refusal {
        let refusal = challenge::refused(scheme, self.reason, self.inside.to_string());
        match self.retry_after_s {
            Some(seconds) => refusal.retry_after(seconds),
            None => refusal,
        }
    }
}

impl From<TokenFault> for Denied {
    fn from(fault: TokenFault) -> Self {
        Self { reason: fault.reason, inside: fault.inside.into(), retry_after_s: None }
    }
}
