//! What the pages work with, handed in once.

use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;

use super::consents::Consents;
use super::form_token::FormKey;
use super::page::Page;
use super::visitor::Visitor;
use super::{Failure, headers};
use crate::Clock;
use crate::banking::Bank;
use crate::caller::CallerVerifier;
use crate::people::Directory;

/// Everything that the pages need from the composition.
pub struct WebConfig {
    /// The bank.
    pub bank: Arc<Bank>,
    /// Who the customers are, and where new ones register.
    pub people: Directory,
    /// The identity provider's consents.
    pub consents: Arc<dyn Consents>,
    /// Proves the gateway's word about who is calling.
    pub callers: CallerVerifier,
    /// The client id that browsers log in with at the gateway, such as `demo-web`. Identities of other clients see no page.
    pub web_client: String,
    /// The key of form tokens: [`FormKey::open`] keeps one beside the data.
    pub form_key: FormKey,
    /// The origins that browsers reach the bank at through the gateway, such as `http://127.0.0.1:8080` and
    /// `http://localhost:8080`. Empty: a form's `Origin` must then equal its `Host`.
    pub origins: Vec<String>,
    /// The origins that logging in and out passes through (the identity provider), such as `http://127.0.0.1:7002`.
    pub login_origins: Vec<String>,
    /// Where the time comes from.
    pub clock: Clock,
}

/// A configuration that the pages cannot be served with.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// A login origin with characters that no header may hold.
    #[error("a login origin is not an origin such as http://127.0.0.1:7002")]
    LoginOrigin,
}

/// The pages' state: a cheap handle, shared by all requests.
#[derive(Clone)]
pub struct WebState(Arc<Inner>);

struct Inner {
    config: WebConfig,
    content_security_policy: HeaderValue,
}

impl WebState {
    /// Takes the configuration.
    ///
    /// # Errors
    /// [`WebConfigError`] for an origin that is none.
    pub fn new(config: WebConfig) -> Result<Self, WebConfigError> {
        let is_origin = |origin: &String| {
            url::Url::parse(origin).is_ok_and(|parsed| parsed.origin().ascii_serialization() == *origin)
        };
        if !config.login_origins.iter().all(is_origin) {
            return Err(WebConfigError::LoginOrigin);
        }
        let content_security_policy = headers::content_security_policy(&config.login_origins)
            .map_err(|_| WebConfigError::LoginOrigin)?;
        Ok(Self(Arc::new(Inner { config, content_security_policy })))
    }

    /// The bank.
    pub(super) fn bank(&self) -> &Bank {
        &self.0.config.bank
    }

    /// The directory of people.
    pub(super) fn people(&self) -> &Directory {
        &self.0.config.people
    }

    /// The identity provider's consents.
    pub(super) fn consents(&self) -> &dyn Consents {
        self.0.config.consents.as_ref()
    }

    /// What proves the gateway's word.
    pub(super) fn callers(&self) -> &CallerVerifier {
        &self.0.config.callers
    }

    /// The client that browsers log in with.
    pub(super) fn web_client(&self) -> &str {
        &self.0.config.web_client
    }

    /// The origins of our own pages.
    pub(super) fn origins(&self) -> &[String] {
        &self.0.config.origins
    }

    /// The policy that every answer carries.
    pub(super) fn content_security_policy(&self) -> HeaderValue {
        self.0.content_security_policy.clone()
    }

    /// Unix milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        (self.0.config.clock)()
    }

    /// The name of the visitor for the head of the page.
    pub(super) fn name_of(&self, visitor: &Visitor) -> String {
        let person = self.people().get(visitor.id.as_str());
        person.map_or_else(|| visitor.id.to_string(), |person| person.full_name)
    }

    /// The frame of a page for this visitor.
    pub(super) fn page(&self, visitor: &Visitor, title: &'static str, path: &'static str) -> Page {
        Page::new(title, path, self.name_of(visitor), visitor.is_staff())
    }

    /// A token for the forms of a page shown to this visitor.
    pub(super) fn form_token(&self, visitor: &Visitor) -> String {
        self.0.config.form_key.issue(visitor.id.as_str(), &visitor.session, self.now_ms())
    }

    /// Whether a form's token was shown to this visitor in this session.
    pub(super) fn form_token_is_good(&self, token: &str, visitor: &Visitor) -> bool {
        self.0.config.form_key.accepts(token, visitor.id.as_str(), &visitor.session, self.now_ms())
    }

    /// A token for a form that nobody need be logged in for.
    pub(super) fn public_form_token(&self) -> String {
        self.0.config.form_key.issue("", "", self.now_ms())
    }

    /// Whether a public form was loaded lately.
    pub(super) fn public_form_token_is_good(&self, token: &str) -> bool {
        self.0.config.form_key.accepts(token, "", "", self.now_ms())
    }
}

/// An id for one sending of one form, 128 random bits: sent twice, it is done once.
///
/// # Errors
/// [`Failure::Unavailable`] when the system has no randomness.
pub(super) fn one_time_id() -> Result<String, Failure> {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| Failure::Unavailable)?;
    Ok(format!("web-{}", URL_SAFE_NO_PAD.encode(id)))
}
