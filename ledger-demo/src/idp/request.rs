//! An authorization request, checked whole before anything is shown (RFC 6749, 7636, 8707, 9207; OpenID Connect Core 3.1.2).

use std::collections::BTreeSet;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::clients::{
    Client, Clients, DEMO_AGGREGATOR, DEMO_CLI, DEMO_REVOKER, DEMO_WEB, RESOURCE_ADMIN, RESOURCE_BANK,
};
use super::errors::{ErrorCode, OAuthError};
use super::params::Params;

/// `acr` after password and second factor.
pub const ACR_TWO_FACTORS: &str = "urn:gatehouse:acr:2fa";
/// `acr` after both factors, entered afresh for this very request.
pub const ACR_STEP_UP: &str = "urn:gatehouse:acr:stepup";
/// Longest `state`, `nonce` or `login_hint`, in bytes.
const VALUE_BYTES_MAX: usize = 1024;
const CHALLENGE_CHARS: usize = 43;

/// A name that the provider itself gave, to a client or a resource.
type OwnName = &'static str;

/// What a client asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AuthorizationRequest {
    #[serde(deserialize_with = "own_name")]
    pub(super) client_id: OwnName,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) scopes: BTreeSet<String>,
    #[serde(deserialize_with = "own_name")]
    pub(super) resource: OwnName,
    pub(super) code_challenge: String,
    pub(super) prompt: Prompt,
    pub(super) max_age_s: Option<i64>,
    /// A fresh log-in is demanded and will be attested as [`ACR_STEP_UP`].
    pub(super) step_up: bool,
    pub(super) login_hint: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Prompt {
    pub(super) none: bool,
    pub(super) login: bool,
    pub(super) consent: bool,
}

/// A request that is not carried out.
#[derive(Debug)]
pub(super) enum Refused {
    /// The client or its redirect address is not certain: told to the person, never sent on.
    Here(&'static str),
    /// Told to the client.
    ToClient(ErrorReturn),
}

/// Where an error goes, and which.
#[derive(Debug)]
pub(super) struct ErrorReturn {
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) error: OAuthError,
}

impl AuthorizationRequest {
    pub(super) fn check(params: &Params, clients: &Clients) -> Result<Self, Refused> {
        let client = params
            .get("client_id")
            .and_then(|id| clients.get(id))
            .ok_or(Refused::Here("The application that sent you here is not known to this bank."))?;
        let redirect_uri = params.get("redirect_uri").filter(|uri| client.may_redirect_to(uri)).ok_or(
            Refused::Here("The application that sent you here gave a return address that is not registered."),
        )?;
        let state = params.get("state").map(str::to_owned);
        Self::check_rest(params, client, redirect_uri).map_err(|error| {
            // An over-long state is not sent back.
            let state = state.filter(|state| state.len() <= VALUE_BYTES_MAX);
            Refused::ToClient(ErrorReturn { redirect_uri: redirect_uri.to_owned(), state, error })
        })
    }

    fn check_rest(params: &Params, client: &Client, redirect_uri: &str) -> Result<Self, OAuthError> {
        if params.get("request").is_some() {
            return Err(OAuthError::new(ErrorCode::RequestNotSupported, "request objects are not supported"));
        }
        if params.get("request_uri").is_some() {
            return Err(OAuthError::new(ErrorCode::InvalidRequestUri, "request_uri is not one of ours"));
        }
        if params.require("response_type")? != "code" {
            return Err(OAuthError::new(ErrorCode::UnsupportedResponseType, "only response_type code"));
        }
        if params.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(invalid("only response_mode query"));
        }
        let resource = resource(params.get("resource"))?;
        let scopes =
            client.scopes_for(resource, params.get("scope").unwrap_or_default()).ok_or(OAuthError::new(
                ErrorCode::InvalidScope,
                "a scope is missing or not for this client and resource",
            ))?;
        let max_age_s = params.get("max_age").map(max_age).transpose()?;
        let acr_step_up = asks_for_step_up(params.get("acr_values"))?;
        Ok(Self {
            client_id: client.id,
            redirect_uri: redirect_uri.to_owned(),
            state: bounded(params.get("state"))?,
            nonce: bounded(params.get("nonce"))?,
            scopes,
            resource,
            code_challenge: code_challenge(params)?,
            prompt: prompt(params.get("prompt").unwrap_or_default())?,
            max_age_s,
            step_up: acr_step_up || max_age_s == Some(0),
            login_hint: bounded(params.get("login_hint"))?,
        })
    }

    /// The `acr` that is attested of whoever logs in, or is logged in, for this request.
    pub(super) fn acr(&self) -> &'static str {
        if self.step_up { ACR_STEP_UP } else { ACR_TWO_FACTORS }
    }

    /// The address that tells the client of an error.
    pub(super) fn error(&self, code: ErrorCode, description: &'static str) -> ErrorReturn {
        ErrorReturn {
            redirect_uri: self.redirect_uri.clone(),
            state: self.state.clone(),
            error: OAuthError::new(code, description),
        }
    }
}

impl ErrorReturn {
    pub(super) fn url(&self, issuer: &str) -> String {
        let error = [("error", self.error.code.as_str()), ("error_description", self.error.description)];
        response_url(&self.redirect_uri, &error, self.state.as_deref(), issuer)
    }
}

/// A redirect address with response parameters, `state` and `iss` (RFC 9207).
pub(super) fn response_url(
    redirect_uri: &str,
    answer: &[(&str, &str)],
    state: Option<&str>,
    issuer: &str,
) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in answer {
        query.append_pair(name, value);
    }
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    query.append_pair("iss", issuer);
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    format!("{redirect_uri}{separator}{}", query.finish())
}

/// What a content security policy calls the redirect address: browsers hold redirects after a form to `form-action`.
pub(super) fn form_action_source(redirect_uri: &str) -> Option<String> {
    let url = Url::parse(redirect_uri).ok()?;
    match url.host()? {
        // A policy has no way to write an IPv6 address.
        url::Host::Ipv6(_) => Some(format!("{}:", url.scheme())),
        _ => Some(url.origin().ascii_serialization()),
    }
}

/// The resource asked for (RFC 8707), the bank's API when none is.
pub(super) fn resource(asked: Option<&str>) -> Result<&'static str, OAuthError> {
    match asked {
        None | Some(RESOURCE_BANK) => Ok(RESOURCE_BANK),
        Some(RESOURCE_ADMIN) => Ok(RESOURCE_ADMIN),
        Some(_) => Err(OAuthError::new(ErrorCode::InvalidTarget, "no such resource")),
    }
}

fn own_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OwnName, D::Error> {
    let name = String::deserialize(deserializer)?;
    let own = [DEMO_WEB, DEMO_CLI, DEMO_AGGREGATOR, DEMO_REVOKER, RESOURCE_BANK, RESOURCE_ADMIN];
    own.into_iter().find(|own| *own == name).ok_or_else(|| D::Error::custom("no name of ours"))
}

fn code_challenge(params: &Params) -> Result<String, OAuthError> {
    let challenge = params.get("code_challenge").ok_or(invalid("PKCE is required"))?;
    if params.get("code_challenge_method") != Some("S256") {
        return Err(invalid("only code_challenge_method S256"));
    }
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if challenge.len() != CHALLENGE_CHARS || !challenge.bytes().all(base64url) {
        return Err(invalid("code_challenge is not a base64url SHA-256"));
    }
    Ok(challenge.to_owned())
}

fn prompt(text: &str) -> Result<Prompt, OAuthError> {
    let mut prompt = Prompt::default();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match word {
            "none" => prompt.none = true,
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            _ => return Err(invalid("unknown prompt")),
        }
    }
    if prompt.none && (prompt.login || prompt.consent) {
        return Err(invalid("prompt none stands alone"));
    }
    Ok(prompt)
}

fn max_age(text: &str) -> Result<i64, OAuthError> {
    text.parse::<u32>().map(i64::from).map_err(|_| invalid("max_age is not a number of seconds"))
}

/// Whether the preferred `acr` that we know is the step-up; asking for none that we know is an error (RFC 9470).
fn asks_for_step_up(acr_values: Option<&str>) -> Result<bool, OAuthError> {
    let Some(values) = acr_values else {
        return Ok(false);
    };
    let known = values.split(' ').find(|value| matches!(*value, ACR_TWO_FACTORS | ACR_STEP_UP));
    known.map(|value| value == ACR_STEP_UP).ok_or(OAuthError::new(
        ErrorCode::UnmetAuthenticationRequirements,
        "none of these acr_values is offered",
    ))
}

fn bounded(value: Option<&str>) -> Result<Option<String>, OAuthError> {
    match value {
        Some(text) if text.len() > VALUE_BYTES_MAX => Err(invalid("a parameter is too long")),
        other => Ok(other.map(str::to_owned)),
    }
}

fn invalid(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}
