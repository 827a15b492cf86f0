//! Who is looking at a page.

use axum::extract::FromRequestParts;
use http::Method;
use http::request::Parts;

use super::{Failure, WebState};
use crate::caller::{Caller, Unidentified};
use crate::ledger::CustomerId;

/// A customer in a browser, logged in through the bank's own client, on the gateway's proven word.
///
/// Third parties and command-line clients act for a customer with tokens; those are for the API. Were they visitors too, one
/// that may only read could fetch a form's token and send the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The customer, which is the immutable username.
    pub id: CustomerId,
    /// The session at the gateway, empty when it names none; forms are tied to it.
    pub session: String,
    /// Staff roles; empty for customers.
    pub roles: Vec<String>,
}

impl Visitor {
    /// Whether they work for the bank.
    pub fn is_staff(&self) -> bool {
        !self.roles.is_empty()
    }

    /// Takes `caller` as a visitor, if they logged in with `web_client`.
    fn from_caller(caller: Caller, web_client: &str) -> Option<Self> {
        let Caller { subject, client_id, session_id, roles, .. } = caller;
        (client_id.as_deref() == Some(web_client)).then(|| Self {
            id: subject,
            session: session_id.unwrap_or_default(),
            roles,
        })
    }
}

impl FromRequestParts<WebState> for Visitor {
    type Rejection = Failure;

    /// Whoever is not logged in is sent to log in and comes back to the page; a form is not kept, so after one they come
    /// back to their accounts. Only a missing identity leads to the log-in: after a bad one it would lead there for ever.
    async fn from_request_parts(parts: &mut Parts, web: &WebState) -> Result<Self, Failure> {
        match web.callers().caller(&parts.headers).await {
            Ok(caller) => Self::from_caller(caller, web.web_client()).ok_or(Failure::NoBrowserSession),
            Err(Unidentified::Missing) => {
                let page = parts.uri.path_and_query().filter(|_| parts.method == Method::GET);
                let return_to = page.map_or("/accounts", |page| page.as_str()).to_owned();
                Err(Failure::LogIn { return_to })
            }
            Err(cause @ Unidentified::Rejected(_)) => {
                tracing::warn!(%cause, "an identity was refused");
                Err(Failure::NoBrowserSession)
            }
            Err(cause @ Unidentified::KeysUnavailable) => {
                tracing::error!(%cause, "a visitor cannot be identified");
                Err(Failure::Unavailable)
            }
        }
    }
}
