//! The gateway as a confidential OAuth 2 client of one issuer: pushed authorization requests (RFC 9126), code exchange
//! with PKCE (RFC 7636), refresh; authenticated by `private_key_jwt` (RFC 7523, signed ES256).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
    BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RefreshToken, RequestTokenError, Scope, StandardRevocableToken, StandardTokenResponse,
    TokenResponse as _, TokenUrl,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::super::config::SessionConfig;
use super::super::keys::{IssuerKeys, KeyUnavailable, Metadata};
use super::super::private_key_jwt::client_assertion;
use super::secret::Secret;
use crate::outbound::{Outbound, OutboundError};

/// Longest token that is kept from a token response, bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct IdTokenField {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdTokenField {}

type TokenResponse = StandardTokenResponse<IdTokenField, BasicTokenType>;
type OAuthClient = oauth2::Client<
    BasicErrorResponse,
    TokenResponse,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Why the issuer did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// Out of reach, slow, or answering nonsense: may work later.
    #[error("{0}")]
    Unavailable(String),
    /// It said no: the code or refresh token is worth nothing.
    #[error("{0}")]
    Refused(String),
}

impl From<KeyUnavailable> for ClientFault {
    fn from(fault: KeyUnavailable) -> Self {
        Self::Unavailable(fault.to_string())
    }
}

impl From<OutboundError> for ClientFault {
    fn from(error: OutboundError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// What the token endpoint gave.
pub struct Granted {
    pub access_token: SecretString,
    pub refresh_token: Option<String>,
    pub id_token: Option<String>,
    pub expires_in_s: Option<i64>,
    /// `None`: what was asked for (RFC 6749 5.1).
    pub scopes: Option<Vec<String>>,
}

/// What one log-in asks for.
pub struct Asked<'a> {
    pub state: &'a Secret,
    pub nonce: &'a str,
    pub verifier: &'a str,
    /// A step-up asks for one of these and for a fresh authentication.
    pub acr_values: Option<&'a [String]>,
}

/// The client of one application at one issuer.
pub struct LoginClient {
    /// How the application logs people in.
    pub config: SessionConfig,
    /// Where.
    pub issuer: Arc<IssuerKeys>,
    redirect_uri: Url,
    outbound: Outbound,
}

impl LoginClient {
    /// A client that returns browsers to `external_url`.
    pub fn new(
        config: SessionConfig,
        issuer: Arc<IssuerKeys>,
        external_url: &Url,
        outbound: Outbound,
    ) -> Self {
        let mut redirect_uri = external_url.clone();
        redirect_uri.set_path("/.gatehouse/callback");
        Self { config, issuer, redirect_uri, outbound }
    }

    /// The address to send a browser to.
    pub async fn authorize(&self, asked: &Asked<'_>, now_ms: i64) -> Result<Url, ClientFault> {
        let metadata = self.issuer.metadata(now_ms).await?;
        let client = self.oauth(&metadata)?;
        let state = asked.state.expose().to_owned();
        let verifier = PkceCodeVerifier::new(asked.verifier.to_owned());
        let mut request = client
            .authorize_url(move || CsrfToken::new(state))
            .add_scopes(self.config.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_extra_param("nonce", asked.nonce);
        if let Some(resource) = &self.config.resource {
            request = request.add_extra_param("resource", resource.as_str());
        }
        if self.config.prompt_consent {
            // For a step-up too: its session is a new one, with a refresh token of its own. That the person logs in again is
            // said by max_age, so the list needs no `login`.
            request = request.add_extra_param("prompt", "consent");
        }
        if let Some(acr_values) = asked.acr_values {
            request = request.add_extra_param("max_age", "0");
            if !acr_values.is_empty() {
                request = request.add_extra_param("acr_values", acr_values.join(" "));
            }
        }
        let (url, _) = request.url();
        match &metadata.pushed_authorization_request_endpoint {
            Some(endpoint) => self.push(endpoint, url, now_ms).await,
            None => Ok(url),
        }
    }

    /// RFC 9126: the parameters go to the issuer directly, the browser carries a reference.
    async fn push(&self, endpoint: &Url, mut url: Url, now_ms: i64) -> Result<Url, ClientFault> {
        #[derive(Deserialize)]
        struct Pushed {
            request_uri: String,
        }
        let assertion = self.assertion(now_ms)?;
        // The serializer is not `Send`: it must be gone before the exchange is waited for.
        let form = url::form_urlencoded::Serializer::new(url.query().unwrap_or_default().to_owned())
            .extend_pairs(assertion)
            .finish();
        let fetched = self.outbound.post(endpoint, form_headers(), form.into_bytes()).await?;
        if !fetched.status.is_success() {
            return Err(ClientFault::Unavailable(format!("pushed request: {}", oauth_error(&fetched.body))));
        }
        let pushed: Pushed = serde_json::from_slice(&fetched.body)
            .map_err(|e| ClientFault::Unavailable(format!("pushed request: {e}")))?;
        url.query_pairs_mut()
            .clear()
            .append_pair("client_id", &self.config.client_id)
            .append_pair("request_uri", &pushed.request_uri);
        Ok(url)
    }

    /// Exchanges a code.
    pub async fn exchange(&self, code: &str, verifier: &str, now_ms: i64) -> Result<Granted, ClientFault> {
        let client = self.oauth(&*self.issuer.metadata(now_ms).await?)?;
        let mut request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()));
        for (name, value) in self.assertion(now_ms)? {
            request = request.add_extra_param(name, value);
        }
        read(request.request_async(&Http(self.outbound.clone())).await)
    }

    /// Exchanges a refresh token; the answer may bring the next one.
    pub async fn refresh(&self, refresh_token: &str, now_ms: i64) -> Result<Granted, ClientFault> {
        let client = self.oauth(&*self.issuer.metadata(now_ms).await?)?;
        let token = RefreshToken::new(refresh_token.to_owned());
        let mut request = client.exchange_refresh_token(&token);
        if let Some(resource) = &self.config.resource {
            request = request.add_extra_param("resource", resource.as_str());
        }
        for (name, value) in self.assertion(now_ms)? {
            request = request.add_extra_param(name, value);
        }
        read(request.request_async(&Http(self.outbound.clone())).await)
    }

    fn oauth(&self, metadata: &Metadata) -> Result<OAuthClient, ClientFault> {
        let missing = |name: &str| ClientFault::Unavailable(format!("the issuer has no {name}"));
        let authorize =
            metadata.authorization_endpoint.clone().ok_or_else(|| missing("authorization_endpoint"))?;
        let token = metadata.token_endpoint.clone().ok_or_else(|| missing("token_endpoint"))?;
        Ok(oauth2::Client::new(ClientId::new(self.config.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(authorize))
            .set_token_uri(TokenUrl::from_url(token))
            .set_redirect_uri(RedirectUrl::from_url(self.redirect_uri.clone()))
            .set_auth_type(AuthType::RequestBody))
    }

    fn assertion(&self, now_ms: i64) -> Result<[(&'static str, String); 2], ClientFault> {
        let config = &self.config;
        client_assertion(&config.client_key, &config.client_id, &self.issuer.config.issuer, now_ms)
            .ok_or_else(|| ClientFault::Unavailable("no randomness for a client assertion".into()))
    }
}

fn form_headers() -> http::HeaderMap {
    let form = http::HeaderValue::from_static("application/x-www-form-urlencoded");
    http::HeaderMap::from_iter([(CONTENT_TYPE, form)])
}

type TokenError = RequestTokenError<OutboundError, BasicErrorResponse>;

fn read(answer: Result<TokenResponse, TokenError>) -> Result<Granted, ClientFault> {
    let answer = answer.map_err(|error| match error {
        // Our own credentials being wrong says nothing of the person's grant.
        RequestTokenError::ServerResponse(said) if *said.error() == BasicErrorResponseType::InvalidGrant => {
            ClientFault::Refused(bounded(&said.to_string()))
        }
        RequestTokenError::ServerResponse(said) => ClientFault::Unavailable(bounded(&said.to_string())),
        RequestTokenError::Request(error) => ClientFault::Unavailable(error.to_string()),
        // The body is not repeated: it may hold tokens.
        RequestTokenError::Parse(error, _) => {
            ClientFault::Unavailable(format!("token response: {}", error.path()))
        }
        RequestTokenError::Other(said) => ClientFault::Unavailable(bounded(&said)),
    })?;
    let kept = |token: &str| token.len() <= TOKEN_BYTES_MAX;
    let refresh_token = answer.refresh_token().map(|t| t.secret().clone());
    let id_token = answer.extra_fields().id_token.clone();
    if !refresh_token.iter().chain(&id_token).all(|t| kept(t)) || !kept(answer.access_token().secret()) {
        return Err(ClientFault::Unavailable(format!("a token is longer than {TOKEN_BYTES_MAX} bytes")));
    }
    Ok(Granted {
        access_token: answer.access_token().secret().clone().into(),
        refresh_token,
        id_token,
        expires_in_s: answer.expires_in().map(|d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX)),
        scopes: answer.scopes().map(|list| list.iter().map(|s| s.to_string()).collect()),
    })
}

fn oauth_error(body: &[u8]) -> String {
    let said: Option<BasicErrorResponse> = serde_json::from_slice(body).ok();
    said.map_or_else(|| "an error without explanation".to_owned(), |e| bounded(&e.to_string()))
}

/// What an issuer says goes into a log line, not more.
fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The bounded client as the `oauth2` crate takes it.
struct Http(Outbound);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = OutboundError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, OutboundError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let url =
                Url::parse(&parts.uri.to_string()).map_err(|e| OutboundError::Transport(e.to_string()))?;
            let fetched = self.0.post(&url, parts.headers, body).await?;
            let mut response = HttpResponse::new(fetched.body.to_vec());
            *response.status_mut() = fetched.status;
            Ok(response)
        })
    }
}
