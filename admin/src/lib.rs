//! The admin API and the operators' console: one axum router over ports that the gateway implements.
#![deny(clippy::indexing_slicing)]

pub mod access;
pub mod ports;
pub mod views;
