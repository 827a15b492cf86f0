//! The operators' console: its login, its sessions, its files.

pub mod assets;
pub mod cookies;
pub mod login;
pub mod store;
