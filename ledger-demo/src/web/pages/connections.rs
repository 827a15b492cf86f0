//! Third parties that the customer lets in, and taking that back.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::after;
use crate::web::notice::Notice;
use crate::web::page::Page;
use crate::web::parts::Form;
use crate::web::submission::Submission;
use crate::web::visitor::Visitor;
use crate::web::{Consent, Failure, WebState, day, headers};

#[derive(Template)]
#[template(path = "consents.html")]
struct ConsentsPage {
    page: Page,
    consents: Vec<Row>,
}

struct Row {
    name: String,
    client_id: String,
    scopes: Vec<String>,
    granted: String,
    form: Form,
}

/// The query after a redirect.
#[derive(Debug, Deserialize)]
pub struct Done {
    done: Option<String>,
}

/// `GET /consents`
pub async fn list(
    State(web): State<WebState>,
    visitor: Visitor,
    Query(query): Query<Done>,
) -> Result<Response, Failure> {
    let consents = web.consents().list(visitor.id.as_str()).map_err(|_| Failure::Unavailable)?;
    let page = ConsentsPage {
        page: web.page(&visitor, "Connected apps", "/consents").done(query.done.as_deref()),
        consents: consents.into_iter().map(|consent| row(consent, web.form_token(&visitor))).collect(),
    };
    Ok(headers::html(StatusCode::OK, page.render()))
}

/// `POST /consents/withdraw`
pub async fn withdraw(State(web): State<WebState>, sent: Submission) -> Result<Response, Failure> {
    let revoked = web
        .consents()
        .revoke(sent.visitor.id.as_str(), sent.fields.get("client_id"))
        .map_err(|_| Failure::Unavailable)?;
    web.consents().announced().await;
    Ok(after("/consents", if revoked { Notice::ConsentWithdrawn } else { Notice::ConsentGone }))
}

fn row(consent: Consent, token: String) -> Row {
    Row {
        form: Form::new("/consents/withdraw", token, "Withdraw access")
            .hidden("client_id", consent.client_id.clone())
            .button("button danger compact"),
        name: consent.client_name,
        client_id: consent.client_id,
        scopes: consent.scopes.iter().map(|scope| told(scope)).collect(),
        granted: day::moment(consent.granted_ms),
    }
}

/// A scope as customers read it; one that we do not know is shown as it is.
fn told(scope: &str) -> String {
    match scope {
        "accounts:read" => "See your accounts, balances and history",
        "accounts:write" => "Pay in, take out and apply for loans",
        "payments:write" => "Make payments",
        "openid" => "Know that it is you",
        "profile" => "See your name",
        "offline_access" => "Go on while you are away",
        other => other,
    }
    .to_owned()
}
