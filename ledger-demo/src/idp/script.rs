//! A person's way through the provider's pages, step by step as a browser goes it: authorize, password, second factor,
//! consent, code, tokens. Tests, journeys and the traffic player log in with it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;
use url::Url;

use super::clients::{DEMO_CLI, LOOPBACK_PATH};
use super::secret::random_token;
use crate::people::{DEMO_PASSWORD, DEMO_SECOND_FACTOR};

/// Longest page that is read.
const PAGE_BYTES_MAX: usize = 256 * 1024;
const STEPS_MAX: usize = 12;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Why a log-in did not succeed.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// The provider could not be reached, or its answer could not be read.
    #[error("the provider did not answer")]
    Http(#[from] reqwest::Error),
    /// The provider answered a form with this status: wrong password, too many attempts and the like.
    #[error("the provider answered {0}")]
    Refused(StatusCode),
    /// The provider returned this OAuth error, such as `access_denied`.
    #[error("the provider returned the error {0}")]
    Returned(String),
    /// A page, redirect or answer was not what it should be.
    #[error("unexpected: {0}")]
    Unexpected(&'static str),
}

/// The answer of the token endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "TokenResponse")]
pub struct Tokens {
    /// The access token.
    pub access_token: SecretString,
    /// Given with scope `offline_access`, and always to `demo-web`.
    pub refresh_token: Option<SecretString>,
    /// Given with scope `openid`.
    pub id_token: Option<SecretString>,
    /// Seconds that the access token lives.
    pub expires_in: i64,
    /// What was granted.
    pub scope: String,
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    refresh_token: Option<String>,
    id_token: Option<String>,
    expires_in: i64,
    scope: String,
}

impl From<TokenResponse> for Tokens {
    fn from(response: TokenResponse) -> Self {
        Self {
            access_token: response.access_token.into(),
            refresh_token: response.refresh_token.map(SecretString::from),
            id_token: response.id_token.map(SecretString::from),
            expires_in: response.expires_in,
            scope: response.scope,
        }
    }
}

/// One log-in of one person for `demo-cli`.
#[derive(Debug, Clone)]
pub struct LoginScript {
    /// The provider's address.
    pub idp_url: Url,
    /// Who logs in.
    pub username: String,
    /// With this password.
    pub password: SecretString,
    /// With this second factor.
    pub otp: String,
    /// Asking for these scopes, separated by spaces.
    pub scope: String,
    /// For this resource (RFC 8707); the bank's API when `None`.
    pub resource: Option<String>,
    /// Further parameters of the authorization request, such as `acr_values`.
    pub extra: Vec<(String, String)>,
}

impl LoginScript {
    /// A demo login for the bank's API with every scope of a customer.
    pub fn new(idp_url: Url, username: &str) -> Self {
        Self {
            idp_url,
            username: username.to_owned(),
            password: SecretString::from(DEMO_PASSWORD),
            otp: DEMO_SECOND_FACTOR.to_owned(),
            scope: "openid profile accounts:read accounts:write payments:write offline_access".to_owned(),
            resource: None,
            extra: Vec::new(),
        }
    }

    /// A demo login of staff for the admin API.
    pub fn admin(idp_url: Url, username: &str) -> Self {
        let resource = Some(super::RESOURCE_ADMIN.to_owned());
        Self { scope: "openid admin".to_owned(), resource, ..Self::new(idp_url, username) }
    }

    /// Logs in with a fresh browser.
    ///
    /// # Errors
    /// See [`ScriptError`].
    pub async fn run(&self, client: &Client) -> Result<Tokens, ScriptError> {
        self.run_in(&mut Browser::new(client.clone())).await
    }

    /// Logs in with a browser that may have a session already.
    ///
    /// # Errors
    /// See [`ScriptError`].
    pub async fn run_in(&self, browser: &mut Browser) -> Result<Tokens, ScriptError> {
        let verifier = random_token().map_err(|_| ScriptError::Unexpected("no random numbers"))?;
        let state = random_token().map_err(|_| ScriptError::Unexpected("no random numbers"))?;
        // Nothing listens there: the script reads the code from the redirect, as a command line reads it from its listener.
        let redirect_uri = format!("http://127.0.0.1:8400{LOOPBACK_PATH}");
        let url = self.authorize_url(&redirect_uri, &verifier, &state);
        let returned = self.walk(browser, url, &redirect_uri).await?;
        let answer = Answer::read(&returned, &state)?;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", DEMO_CLI),
            ("code", answer.code.as_str()),
            ("redirect_uri", redirect_uri.as_str()),
            ("code_verifier", verifier.as_str()),
        ];
        tokens(browser.client.post(self.address("/token")).form(&form).send().await?).await
    }

    /// Walks from an authorization request of any client to the redirect back to it, filling in every form on the way.
    ///
    /// # Errors
    /// See [`ScriptError`]; an OAuth error in the redirect is not one.
    pub async fn walk(
        &self,
        browser: &mut Browser,
        start: Url,
        redirect_uri: &str,
    ) -> Result<Url, ScriptError> {
        let mut response = browser.get(start).await?;
        for _ in 0..STEPS_MAX {
            let here = response.url().clone();
            if response.status().is_redirection() {
                let next = location(&response)?;
                if next.as_str().split('?').next() == Some(redirect_uri) {
                    return Ok(next);
                }
                response = browser.get(next).await?;
                continue;
            }
            if !response.status().is_success() {
                return Err(ScriptError::Refused(response.status()));
            }
            let page = page(response).await?;
            let mut fields = hidden_fields(&page);
            fields.extend(self.entries(here.path())?);
            response = browser.post(here, &fields).await?;
        }
        Err(ScriptError::Unexpected("the log-in goes round in circles"))
    }

    fn authorize_url(&self, redirect_uri: &str, verifier: &str, state: &str) -> Url {
        let mut url = self.address("/authorize");
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", DEMO_CLI)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.scope)
            .append_pair("state", state)
            .append_pair("code_challenge", &code_challenge(verifier))
            .append_pair("code_challenge_method", "S256");
        if let Some(resource) = &self.resource {
            query.append_pair("resource", resource);
        }
        for (name, value) in &self.extra {
            query.append_pair(name, value);
        }
        drop(query);
        url
    }

    /// What the person enters on a page.
    fn entries(&self, path: &str) -> Result<Vec<(String, String)>, ScriptError> {
        let entry = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match path {
            "/login" => {
                Ok(vec![entry("username", &self.username), entry("password", self.password.expose_secret())])
            }
            "/otp" => Ok(vec![entry("otp", &self.otp)]),
            "/consent" => Ok(vec![entry("decision", "allow")]),
            _ => Err(ScriptError::Unexpected("a page that is no part of a log-in")),
        }
    }

    fn address(&self, path: &str) -> Url {
        let mut url = self.idp_url.clone();
        url.set_path(path);
        url
    }
}

/// The client side of a browser: keeps cookies by hand, follows no redirects by itself.
#[derive(Debug, Clone)]
pub struct Browser {
    client: Client,
    /// By origin, unlike in real browsers, which share them between ports.
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    /// A browser without cookies. `client` must not follow redirects; see [`client`].
    pub fn new(client: Client) -> Self {
        Self { client, cookies: BTreeMap::new() }
    }

    /// Fetches a page.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&mut self, url: Url) -> Result<Response, reqwest::Error> {
        let request = self.client.get(url.clone()).header(COOKIE, self.cookie_header(&url));
        self.remember(request.send().await?)
    }

    /// Sends a form.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&mut self, url: Url, fields: &[(String, String)]) -> Result<Response, reqwest::Error> {
        let request = self.client.post(url.clone()).header(COOKIE, self.cookie_header(&url)).form(fields);
        self.remember(request.send().await?)
    }

    /// The value of a cookie that `url` set.
    pub fn cookie(&self, url: &Url, name: &str) -> Option<&str> {
        self.cookies.get(&(origin(url), name.to_owned())).map(String::as_str)
    }

    /// Plants a cookie.
    pub fn set_cookie(&mut self, url: &Url, name: &str, value: &str) {
        self.cookies.insert((origin(url), name.to_owned()), value.to_owned());
    }

    fn cookie_header(&self, url: &Url) -> String {
        let origin = origin(url);
        let own = self.cookies.iter().filter(|((of, _), _)| *of == origin);
        own.map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn remember(&mut self, response: Response) -> Result<Response, reqwest::Error> {
        for header in response.headers().get_all(SET_COOKIE) {
            let Ok(header) = header.to_str() else {
                continue;
            };
            let pair = header.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                let key = (origin(response.url()), name.trim().to_owned());
                match value.trim() {
                    "" => drop(self.cookies.remove(&key)),
                    value => drop(self.cookies.insert(key, value.to_owned())),
                }
            }
        }
        Ok(response)
    }
}

/// An HTTP client as scripts need it: no redirects followed, no proxy, a time limit, and on request another local address.
///
/// # Errors
/// When the client cannot be made.
pub fn client(local_address: Option<IpAddr>) -> Result<Client, reqwest::Error> {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .local_address(local_address)
        .build()
}

/// `code_challenge` of a verifier (RFC 7636, S256).
pub fn code_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// Reads a token response.
///
/// # Errors
/// [`ScriptError::Returned`] with the OAuth error, or another when the answer cannot be read.
pub async fn tokens(response: Response) -> Result<Tokens, ScriptError> {
    #[derive(Deserialize)]
    struct Error {
        error: String,
    }
    if response.status().is_success() {
        return Ok(response.json().await?);
    }
    Err(ScriptError::Returned(response.json::<Error>().await?.error))
}

/// The hidden fields of a page's first form, as our own templates write them.
pub fn hidden_fields(page: &str) -> Vec<(String, String)> {
    let form = page.split("<form").nth(1).unwrap_or_default();
    let form = form.split("</form>").next().unwrap_or_default();
    form.split("<input type=\"hidden\" name=\"")
        .skip(1)
        .filter_map(|rest| {
            let (name, rest) = rest.split_once('"')?;
            let (value, _) = rest.strip_prefix(" value=\"")?.split_once('"')?;
            Some((name.to_owned(), value.replace("&#38;", "&").replace("&amp;", "&")))
        })
        .collect()
}

struct Answer {
    code: String,
}

impl Answer {
    fn read(url: &Url, expected_state: &str) -> Result<Self, ScriptError> {
        let mut answer: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        if answer.get("state").map(String::as_str) != Some(expected_state) {
            return Err(ScriptError::Unexpected("another state came back"));
        }
        if let Some(error) = answer.remove("error") {
            return Err(ScriptError::Returned(error));
        }
        let code = answer.remove("code").ok_or(ScriptError::Unexpected("no code came back"))?;
        Ok(Self { code })
    }
}

fn location(response: &Response) -> Result<Url, ScriptError> {
    let header = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let text = header.ok_or(ScriptError::Unexpected("a redirect without an address"))?;
    response.url().join(text).map_err(|_| ScriptError::Unexpected("a redirect to no address"))
}

async fn page(mut response: Response) -> Result<String, ScriptError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > PAGE_BYTES_MAX {
            return Err(ScriptError::Unexpected("the page is too long"));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| ScriptError::Unexpected("the page is no text"))
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
