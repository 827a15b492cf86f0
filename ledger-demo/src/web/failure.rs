//! Why a page is not shown, and the one table that turns it into an answer.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use super::headers;
use crate::banking::BankError;

/// A request that ends without the page that was asked for.
#[derive(Debug)]
pub enum Failure {
    /// Nobody is logged in; afterwards they come back to this path of ours.
    LogIn {
        /// Path and query.
        return_to: String,
    },
    /// Somebody calls, but not from a browser's session.
    NoBrowserSession,
    /// No such page, or an account that is not the visitor's: the two look the same.
    NotFound,
    /// A page for the bank's staff.
    StaffOnly,
    /// A form that did not come from our own page, or whose page is too old.
    ForgedForm,
    /// A form that no page of ours sends.
    MalformedForm,
    /// A form beyond [`super::submission::FORM_BYTES_MAX`].
    FormTooLarge,
    /// Too many people register at this moment.
    Busy,
    /// The bank or one of its parts is out of order.
    Unavailable,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    title: &'static str,
    text: &'static str,
    href: &'static str,
    link: &'static str,
}

impl From<BankError> for Failure {
    fn from(error: BankError) -> Self {
        match error {
            BankError::NotFound | BankError::Id(_) => Self::NotFound,
            BankError::Refused(_) | BankError::NotOffered(_) => Self::MalformedForm,
            BankError::Unavailable => Self::Unavailable,
            BankError::Store(cause) => {
                tracing::error!(%cause, "the bank's store failed while a page was made");
                Self::Unavailable
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let is_busy = matches!(self, Self::Busy);
        let (href, link) = match self {
            Self::NoBrowserSession => ("/.gatehouse/login?return_to=/accounts", "Log in"),
            _ => ("/accounts", "Back to your accounts"),
        };
        let (status, title, text) = match self {
            Self::LogIn { return_to } => return log_in(&return_to),
            Self::NoBrowserSession => (
                StatusCode::FORBIDDEN,
                "This needs a log-in in your browser",
                "The pages are for customers who have logged in here. Please log in again.",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "We cannot find that",
                "The page or the account is not there, or it is not yours.",
            ),
            Self::StaffOnly => (
                StatusCode::FORBIDDEN,
                "For the bank's staff",
                "This page is open to the bank's staff alone.",
            ),
            Self::ForgedForm => (
                StatusCode::FORBIDDEN,
                "We did not accept this form",
                "It did not come from a page that we showed you in this session, or the page stood open for too long. \
                 Nothing was done. Open the page again and send the form from there.",
            ),
            Self::MalformedForm => (
                StatusCode::BAD_REQUEST,
                "We could not read this form",
                "It was not complete or had something twice. Nothing was done.",
            ),
            Self::FormTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "This form is too long",
                "Please write less. Nothing was done.",
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Many people are registering",
                "Please try again in a minute. Nothing was done.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The bank is out of order",
                "Please try again later. If you have just sent a payment, look at the account's history first: \
                 it may have been booked.",
            ),
        };
        let page = FailurePage { title, text, href, link };
        let mut response = headers::html(status, page.render());
        if is_busy {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}

fn log_in(return_to: &str) -> Response {
    let encoded: String = url::form_urlencoded::byte_serialize(return_to.as_bytes()).collect();
    let target = format!("/.gatehouse/login?return_to={encoded}");
    (StatusCode::SEE_OTHER, [(LOCATION, target)]).into_response()
}
