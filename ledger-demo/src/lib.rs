//! The demo bank: a double-entry ledger, its pages and REST API, and its identity provider.
//!
//! The gateway knows this crate only through HTTP and its configuration; nothing here knows the gateway's crates.

pub mod people;
