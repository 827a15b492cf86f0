//! Proof that the caller may do what a route does: a handler without it cannot act for anybody.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;

use super::{ApiState, Problem};
use crate::banking::IdempotencyKey;
use crate::caller::Caller;
use crate::ledger::CustomerId;

/// An OAuth scope that routes ask for.
pub(super) trait Scope {
    const NAME: &'static str;
}

/// May read.
pub(super) struct AccountsRead;
/// May open accounts, move cash and borrow.
pub(super) struct AccountsWrite;
/// May pay.
pub(super) struct PaymentsWrite;

impl Scope for AccountsRead {
    const NAME: &'static str = "accounts:read";
}
impl Scope for AccountsWrite {
    const NAME: &'static str = "accounts:write";
}
impl Scope for PaymentsWrite {
    const NAME: &'static str = "payments:write";
}

/// A caller whose token holds the scope `S`.
pub(super) struct Permitted<S> {
    caller: Caller,
    scope: PhantomData<S>,
}

impl<S> Permitted<S> {
    /// The customer that the caller acts for.
    pub(super) fn customer(&self) -> &CustomerId {
        &self.caller.subject
    }
}

impl<S: Scope> FromRequestParts<ApiState> for Permitted<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let caller = state.callers.caller(&parts.headers).await?;
        if !caller.has_scope(S::NAME) {
            return Err(Problem::Scope(S::NAME));
        }
        Ok(Self { caller, scope: PhantomData })
    }
}

/// The request's `Idempotency-Key`, if it has one.
pub(super) struct Idempotency(pub(super) Option<IdempotencyKey>);

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        idempotency_key(&parts.headers).map(Self)
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut sent = headers.get_all("idempotency-key").into_iter();
    match (sent.next(), sent.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Problem::IdempotencyKey),
        (Some(key), None) => {
            let key = key.to_str().map_err(|_| Problem::IdempotencyKey)?;
            IdempotencyKey::new(key).map(Some).map_err(|_| Problem::IdempotencyKey)
        }
    }
}
