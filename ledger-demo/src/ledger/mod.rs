//! A double-entry ledger over sled.
//!
//! Every transfer takes an amount from one account and gives it to another, so the sum over all accounts of a currency is
//! always zero. One thread writes; an operation is checked completely before anything of it is written, and nothing is
//! acknowledged before it is flushed.

mod ids;
mod model;
mod refusal;

pub use ids::{AccountId, Currency, CustomerId, IdError, TransferId};
pub use model::{
    AMOUNT_MINOR_MAX, Account, AccountKind, Category, Entry, MEMO_BYTES_MAX, NAME_BYTES_MAX, Transfer,
    TransferStatus,
};
pub use refusal::Refusal;
