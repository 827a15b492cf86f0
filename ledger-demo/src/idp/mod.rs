//! The demo bank's identity provider: OpenID Connect and OAuth 2 on a port of its own.
//!
//! Written here because no maintained crate fits: oxide-auth covers the OAuth 2 code grant but not OpenID Connect, pushed
//! requests, `private_key_jwt`, refresh rotation or logout; the other provider crates are unfinished or whole servers with
//! their own database. It is small and strict: one response type, one PKCE method, one signature algorithm, exact redirect
//! addresses, every parameter at most once, every table bounded.
//!
//! | module | what it is |
//! |---|---|
//! | `request`, `authorize`, `login`, `pages` | an authorization request, and the pages a person meets until it is answered |
//! | `token`, `issue`, `client_auth`, `token_state`, `userinfo` | the endpoints that clients and resource servers call |
//! | `logout` | logging out, from a client and towards clients |
//! | `announce` | tells the gateway of revoked tokens |
//! | `keys`, `grants`, `revocations`, `consents` | what is kept in the store and flushed before it is acknowledged |
//! | `session`, `expiring`, `seal`, `throttle` | what may be lost: bounded and expiring, or carried by the browser itself |
//! | [`script`] | a person's way through the pages, for tests and the traffic player |
//!
//! What it does not do: it trusts the address of its peer, so put no proxy before it; private keys lie unencrypted in the
//! store's folder; the second factor is a fixed code that the page shows.

mod announce;
mod authorize;
mod client_auth;
mod clients;
mod consents;
mod cookies;
mod discovery;
mod errors;
mod expiring;
mod grants;
mod issue;
mod keys;
mod login;
mod logout;
mod pages;
mod params;
mod provider;
mod request;
mod revocations;
pub mod script;
mod seal;
mod secret;
mod server;
mod session;
mod throttle;
mod token;
mod token_state;
mod tokens;
mod userinfo;

pub use announce::{Announcer, Registration, WAITING_MAX};
pub use clients::{
    DEMO_AGGREGATOR, DEMO_CLI, DEMO_REVOKER, DEMO_WEB, LOOPBACK_PATH, RESOURCE_ADMIN, RESOURCE_BANK,
};
pub use errors::IdpError;
pub use keys::PUBLISHED_AHEAD_MS;
pub use provider::{Idp, IdpConfig};
pub use request::{ACR_STEP_UP, ACR_TWO_FACTORS};
pub use revocations::Revoked;
pub use server::{CONNECTIONS, serve};
pub use tokens::TOKEN_LIFETIME_MS;

#[cfg(test)]
mod tests;
