//! The demo bank's pages, rendered on the server and usable without a script.
//!
//! [`router`] is the seam: whoever composes the demo hands in a [`WebConfig`] and serves the router behind the gateway.
//! Every form carries a token (see [`form_token`]) and must come from our own origin ([`submission`]); every success is a
//! redirect to a page that says so ([`notice`]); every failure goes through one table ([`failure`]).

pub mod amount;
pub mod assets;
mod consents;
mod day;
mod failure;
pub mod form_token;
mod fraud_result;
mod headers;
mod notice;
mod page;
mod pages;
mod parts;
mod state;
pub mod submission;
#[cfg(test)]
mod tests;
mod visitor;

use axum::routing::{get, post};
use axum::{Router, middleware};

pub use pages::aggregator::CALLBACK as AGGREGATOR_CALLBACK;

pub use consents::{Consent, Consents, ConsentsUnavailable};
pub use failure::Failure;
pub use form_token::FormKey;
pub use state::{WebConfig, WebConfigError, WebState};

use pages::{
    accounts, admin, advice, aggregator, cash, connections, credit, fraud_check, history, loans, public,
    transfer,
};

/// All pages, and the assets that they need.
pub fn router(web: WebState) -> Router {
    Router::new()
        .route("/", get(public::landing))
        .route("/register", get(public::registration).post(public::register))
        .route("/accounts", get(accounts::overview))
        .route("/profile", get(accounts::profile))
        .route("/deposit", get(cash::deposit_form).post(cash::deposit))
        .route("/withdraw", get(cash::withdrawal_form).post(cash::withdraw))
        .route("/transfer", get(transfer::form).post(transfer::send))
        .route("/history", get(history::show))
        .route("/loans", get(loans::show).post(loans::apply))
        .route("/loans/repay", post(loans::repay))
        .route("/credit-score", get(credit::show))
        .route("/advice", get(advice::show))
        .route("/fraud-check", get(fraud_check::form).post(fraud_check::check))
        .route("/consents", get(connections::list))
        .route("/consents/withdraw", post(connections::withdraw))
        .route("/admin", get(admin::show))
        .route(aggregator::CALLBACK, get(aggregator::callback))
        .merge(assets::router())
        .fallback(async || Failure::NotFound)
        .layer(middleware::from_fn_with_state(web.clone(), headers::protect))
        .with_state(web)
}
