//! Who is looking at a page.

use std::pin::Pin;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, Method};

use super::{Failure, WebState};
use crate::ledger::CustomerId;

/// Somebody who is logged in, on the gateway's proven word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The customer, which is the immutable username.
    pub id: CustomerId,
    /// The session of the log-in; forms are tied to it.
    pub session: String,
    /// Staff roles; empty for customers.
    pub roles: Vec<String>,
}

/// Who sends a request, once that is known.
pub type Identified<'a> = Pin<Box<dyn Future<Output = Option<Visitor>> + Send + 'a>>;

/// Finds out who sends a request from what the gateway put into its headers.
pub trait Visitors: Send + Sync {
    /// The visitor whose identity the headers prove; nobody when they prove none.
    fn identify<'a>(&'a self, headers: &'a HeaderMap) -> Identified<'a>;
}

impl Visitor {
    /// Whether they work for the bank.
    pub fn is_staff(&self) -> bool {
        !self.roles.is_empty()
    }
}

impl FromRequestParts<WebState> for Visitor {
    type Rejection = Failure;

    /// Whoever is not logged in is sent to log in and comes back to the page; a form is not kept, so after one they come
    /// back to their accounts.
    async fn from_request_parts(parts: &mut Parts, web: &WebState) -> Result<Self, Failure> {
        web.visitors().identify(&parts.headers).await.ok_or_else(|| {
            let page = parts.uri.path_and_query().filter(|_| parts.method == Method::GET);
            let return_to = page.map_or("/accounts", |page| page.as_str()).to_owned();
            Failure::LogIn { return_to }
        })
    }
}
