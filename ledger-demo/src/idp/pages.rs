//! The provider's pages and redirects, with the headers that each must carry.

use std::collections::BTreeSet;

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{HeaderValue, StatusCode};

use super::errors::IdpError;
use super::request::form_action_source;
use crate::people::DEMO_SECOND_FACTOR;

/// What every form of a log-in carries.
pub(super) struct FormPage<'a> {
    pub(super) txn: &'a str,
    pub(super) csrf: &'a str,
    pub(super) error: Option<&'a str>,
    pub(super) client_name: &'a str,
    /// Where the log-in will lead.
    pub(super) redirect_uri: &'a str,
}

#[derive(Template)]
#[template(path = "idp/login.html")]
struct PasswordPage<'a> {
    form: &'a FormPage<'a>,
    username: &'a str,
    step_up: bool,
}

#[derive(Template)]
#[template(path = "idp/otp.html")]
struct SecondFactorPage<'a> {
    form: &'a FormPage<'a>,
    username: &'a str,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "idp/consent.html")]
struct ConsentPage<'a> {
    form: &'a FormPage<'a>,
    username: &'a str,
    permissions: Vec<&'a str>,
}

#[derive(Template)]
#[template(path = "idp/logout.html")]
struct LogoutPage<'a> {
    username: &'a str,
    csrf: &'a str,
    post_logout_redirect_uri: &'a str,
    client_id: &'a str,
    state: &'a str,
}

#[derive(Template)]
#[template(path = "idp/message.html")]
struct MessagePage<'a> {
    title: &'a str,
    text: &'a str,
}

pub(super) fn password(status: StatusCode, form: &FormPage<'_>, username: &str, step_up: bool) -> Response {
    page(status, &PasswordPage { form, username, step_up }, Some(form.redirect_uri))
}

pub(super) fn second_factor(status: StatusCode, form: &FormPage<'_>, username: &str) -> Response {
    page(status, &SecondFactorPage { form, username, code: DEMO_SECOND_FACTOR }, Some(form.redirect_uri))
}

pub(super) fn consent(
    status: StatusCode,
    form: &FormPage<'_>,
    username: &str,
    scopes: &BTreeSet<String>,
) -> Response {
    let permissions = scopes.iter().map(|scope| permission(scope)).collect();
    page(status, &ConsentPage { form, username, permissions }, Some(form.redirect_uri))
}

/// Asks whether somebody really wants to log out.
pub(super) fn confirm_logout(username: &str, csrf: &str, to: &super::logout::Wish<'_>) -> Response {
    let template = LogoutPage {
        username,
        csrf,
        post_logout_redirect_uri: to.post_logout_redirect_uri.unwrap_or_default(),
        client_id: to.client_id.unwrap_or_default(),
        state: to.state.unwrap_or_default(),
    };
    page(StatusCode::OK, &template, to.post_logout_redirect_uri)
}

pub(super) fn logged_out() -> Response {
    let template = MessagePage { title: "Logged out", text: "You are logged out. You can close this page." };
    page(StatusCode::OK, &template, None)
}

/// Says why nothing happens.
pub(super) fn refusal(status: StatusCode, text: &str) -> Response {
    page(status, &MessagePage { title: "That did not work", text }, None)
}

/// Our own failure: the log knows the cause, the page does not.
pub(super) fn failure(error: IdpError) -> Response {
    tracing::error!(%error, "the identity provider failed");
    refusal(StatusCode::INTERNAL_SERVER_ERROR, "Something failed on our side. Please try again.")
}

/// A redirect after which no browser repeats a form, with cookies.
pub(super) fn redirect<const N: usize>(to: &str, cookies: [Option<HeaderValue>; N]) -> Response {
    let Ok(location) = HeaderValue::from_str(to) else {
        return refusal(StatusCode::BAD_REQUEST, "The address to go on to is not valid.");
    };
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response();
    add_cookies(&mut response, cookies);
    response
}

pub(super) fn add_cookies<const N: usize>(response: &mut Response, cookies: [Option<HeaderValue>; N]) {
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// Browsers hold the redirects that follow a form to `form-action`, so where the form leads must be allowed.
fn page(status: StatusCode, template: &impl Template, leads_to: Option<&str>) -> Response {
    let leads_to = leads_to.and_then(form_action_source).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; \
         form-action 'self' {leads_to}"
    );
    let (Ok(body), Ok(policy)) = (template.render(), HeaderValue::from_str(policy.trim_end())) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    (status, headers, body).into_response()
}

/// What a scope means, in the customer's words.
fn permission(scope: &str) -> &str {
    match scope {
        "openid" => "know who you are at this bank",
        "profile" => "know your name",
        "offline_access" => "do this also when you are not here, until you take it back",
        "accounts:read" => "see your accounts, balances and history",
        "accounts:write" => "pay in and withdraw",
        "payments:write" => "make transfers",
        other => other,
    }
}
