//! The keys with which issuers sign, fetched ahead of need.

mod issuer;
mod jwk;
mod set;

pub use issuer::{IssuerKeys, IssuerStatus, KeyStatus, KeyUnavailable, Metadata};
pub use jwk::{Jwk, VerifyingKey};
pub use set::{KeySet, SetFault};
