//! The gateway: listeners, the request's journey, stores, and the command line. The only crate that knows Pingora, and
//! the composition root.
#![deny(clippy::indexing_slicing)]

pub mod admin_ports;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod compose;
pub mod config;
pub mod federate;
pub mod figures;
pub mod front;
pub mod gateway;
pub mod habits;
pub mod keys;
pub mod metrics;
pub mod models;
pub mod observe;
pub mod outbound;
pub mod refusal;
pub mod rule_hits;
pub mod serve;
pub mod stages;
pub mod stores;
pub mod strict_json;
