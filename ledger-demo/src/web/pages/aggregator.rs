//! Where the demo's third party gets its customers back from the identity provider. The app itself is no part of the demo:
//! this page stands in for it, and redeems no code.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use crate::web::headers;

/// Path of the app's redirect address.
pub const CALLBACK: &str = "/aggregator/callback";

#[derive(Template)]
#[template(path = "aggregator.html")]
struct AggregatorPage {
    title: &'static str,
    text: &'static str,
}

/// The answer of the identity provider (RFC 6749, sections 4.1.2 and 4.1.2.1). Only whether there is one is shown.
#[derive(Debug, Default, Deserialize)]
pub struct Answer {
    code: Option<String>,
    error: Option<String>,
}

/// `GET /aggregator/callback`
pub async fn callback(Query(answer): Query<Answer>) -> Response {
    let (title, text) = match (answer.code, answer.error.as_deref()) {
        (Some(_), None) => (
            "You let Demo Aggregator in",
            "The bank gave the app a code that is good once, for a minute. The app would fetch its access with it now, and \
             you could see and withdraw that access among your connected apps.",
        ),
        (None, Some("access_denied")) => (
            "You did not let Demo Aggregator in",
            "The app was told that you said no. It sees nothing of yours.",
        ),
        (None, Some(_)) => (
            "Demo Aggregator was not let in",
            "The bank could not do what the app asked for. It sees nothing of yours.",
        ),
        _ => (
            "Demo Aggregator",
            "The bank sends you here when an app outside the bank has asked to see your accounts.",
        ),
    };
    headers::html(StatusCode::OK, AggregatorPage { title, text }.render())
}
