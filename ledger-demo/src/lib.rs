//! The demo bank: a double-entry ledger, its pages and REST API, and its identity provider.
//!
//! The gateway knows this crate only through HTTP and its configuration; nothing here knows the gateway's crates.
//!
//! | module | what it is |
//! |---|---|
//! | [`ledger`] | accounts, transfers and entries over sled: one writer, all or nothing, flushed before acknowledged |
//! | [`banking`] | what a customer can do: accounts, cash, payments, history, loans, credit score, advice |
//! | [`api`] | the REST API |
//! | [`caller`] | who is calling, on the gateway's signed word |
//! | [`seed`] | the demo's customers and their past |
//! | [`server`] | all of it on a port |
//! | [`connections`] | what every listener bounds: open connections, and the time a request may take to arrive |
//! | [`mark`] | books that lost something are found out before the bank opens |
//! | [`people`] | who may log in: usernames, passwords, staff roles |
//! | [`idp`] | the OpenID provider: log-in, second factor, consent, tokens, logout |
//! | [`demo`] | bank and identity provider together |
//! | [`traffic`] | customers and attackers, played through the gateway |
//! | [`web`] | the bank's pages, rendered on the server |

pub mod api;
pub mod banking;
pub mod caller;
pub mod connections;
pub mod demo;
pub mod idp;
pub mod ledger;
pub mod mark;
pub mod people;
pub mod seed;
pub mod server;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;
pub mod traffic;
pub mod web;

use std::path::Path;
use std::sync::Arc;

/// Where the time comes from: unix milliseconds. Handed in, so that tests decide what time it is.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Opens the store that bank and identity provider share.
///
/// # Errors
/// When the folder cannot be written, is open in another process, or does not hold a readable store.
pub fn open_store(dir: &Path) -> Result<sled::Db, sled::Error> {
    // Whatever is acknowledged is flushed by its writer; the timer is for what may be lost.
    sled::Config::new().path(dir).flush_every_ms(Some(500)).cache_capacity(64 * 1024 * 1024).open()
}
