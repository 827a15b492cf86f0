//! The provider's state and what is done to it from inside the program.

use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::broadcast;
use url::Url;

use super::announce::Registration;
use super::client_auth::ASSERTION_LIFETIME_MS;
use super::clients::Clients;
use super::consents::ConsentRecords;
use super::cookies::Cookies;
use super::errors::IdpError;
use super::expiring::Expiring;
use super::grants::{Grant, Grants};
use super::keys::SigningKeys;
use super::request::AuthorizationRequest;
use super::revocations::{Revocations, Revoked};
use super::seal::Seal;
use super::session::{SecondFactor, Session};
use super::throttle::Throttle;
use super::token::IssuedCode;
use crate::Clock;
use crate::people::Directory;
use crate::web::{Consent, Consents, ConsentsUnavailable};

pub(super) const SESSION_LIFETIME_MS: i64 = 8 * 60 * 60 * 1000;
const INTERACTION_LIFETIME_MS: i64 = 15 * 60 * 1000;
pub(super) const PUSHED_LIFETIME_MS: i64 = 60 * 1000;
/// Longer than a code is good for, so that using it again is noticed while its tokens live.
const CODE_REMEMBERED_MS: i64 = 10 * 60 * 1000;
const DEVICE_LIFETIME_MS: i64 = 30 * 24 * 60 * 60 * 1000;
pub(super) const ENTRIES_MAX: usize = 10_000;
const BACKCHANNEL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

/// How the provider is set up.
pub struct IdpConfig {
    /// Where people and clients reach the provider. The issuer identifier is this address without a closing slash.
    pub issuer: Url,
    /// Where people reach the gateway; client `demo-web` is registered with its addresses.
    pub gateway_url: Url,
    /// Public key of `demo-web` (an EC P-256 JWK; `kid` is compared if both sides have one).
    pub demo_web_jwk: Value,
    /// Public key of `demo-aggregator`, likewise.
    pub aggregator_jwk: Value,
    /// Redirect addresses of `demo-aggregator`, compared as texts.
    pub aggregator_redirect_uris: Vec<String>,
    /// Told of everything that is revoked, at once.
    pub revoked: Option<broadcast::Sender<Revoked>>,
    /// Who passes that on to the gateway.
    pub announcer: Option<Registration>,
}

/// The identity provider.
pub struct Idp {
    issuer: String,
    pub(super) clock: Clock,
    pub(super) people: Directory,
    pub(super) clients: Clients,
    pub(super) cookies: Cookies,
    pub(super) keys: SigningKeys,
    pub(super) grants: Grants,
    pub(super) consents: ConsentRecords,
    pub(super) revocations: Revocations,
    pub(super) sessions: Expiring<Session>,
    /// Seals log-ins under way into their own forms.
    pub(super) interactions: Seal,
    /// What is kept of them: people whose password was right, by the sealed log-in.
    pub(super) second_factors: Expiring<SecondFactor>,
    pub(super) pushed: Expiring<AuthorizationRequest>,
    pub(super) codes: Expiring<IssuedCode>,
    pub(super) assertions: Expiring<()>,
    pub(super) devices: Expiring<String>,
    /// `sid`s that ended: a code of such a session is worth nothing any more.
    pub(super) ended_sids: Expiring<()>,
    pub(super) throttle: Throttle,
    pub(super) http: reqwest::Client,
}

impl Idp {
    /// Opens the provider's records in `db`; makes a signing key at the first time.
    ///
    /// # Errors
    /// When the store fails, an address has no host, or a client's key is no EC P-256 JWK.
    pub fn open(
        db: &sled::Db,
        people: Directory,
        config: IdpConfig,
        clock: Clock,
    ) -> Result<Arc<Self>, IdpError> {
        check_address("issuer", &config.issuer)?;
        check_address("gateway_url", &config.gateway_url)?;
        let now_ms = clock();
        let idp = Self {
            issuer: config.issuer.as_str().trim_end_matches('/').to_owned(),
            clients: Clients::new(&config)?,
            cookies: Cookies { secure: config.issuer.scheme() == "https" },
            keys: SigningKeys::open(db, now_ms)?,
            grants: Grants::open(db)?,
            consents: ConsentRecords::open(db)?,
            revocations: Revocations::open(db, config.revoked, config.announcer, now_ms)?,
            sessions: Expiring::new(SESSION_LIFETIME_MS, ENTRIES_MAX),
            interactions: Seal::new(INTERACTION_LIFETIME_MS)?,
            second_factors: Expiring::new(INTERACTION_LIFETIME_MS, ENTRIES_MAX),
            pushed: Expiring::new(PUSHED_LIFETIME_MS, ENTRIES_MAX),
            codes: Expiring::new(CODE_REMEMBERED_MS, ENTRIES_MAX),
            assertions: Expiring::new(ASSERTION_LIFETIME_MS, 10 * ENTRIES_MAX),
            devices: Expiring::new(DEVICE_LIFETIME_MS, ENTRIES_MAX),
            ended_sids: Expiring::new(CODE_REMEMBERED_MS, ENTRIES_MAX),
            throttle: Throttle::new(),
            http: reqwest::Client::builder()
                .timeout(BACKCHANNEL_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .build()?,
            people,
            clock,
        };
        idp.tend()?;
        Ok(Arc::new(idp))
    }

    /// The issuer identifier, exactly as in `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Publishes a new signing key, which signs from [`PUBLISHED_AHEAD_MS`](super::PUBLISHED_AHEAD_MS) later on.
    ///
    /// # Errors
    /// When the key cannot be made or stored.
    pub fn rotate_keys(&self) -> Result<(), IdpError> {
        self.keys.rotate(self.now_ms())
    }

    /// What `subject` allowed third parties, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn consents_of(&self, subject: &str) -> Result<Vec<Consent>, IdpError> {
        let consents = self.consents.of(subject)?;
        Ok(consents
            .into_iter()
            .map(|consent| Consent {
                client_name: self.clients.get(&consent.client_id).map_or("", |client| client.name).to_owned(),
                client_id: consent.client_id,
                scopes: consent.scopes.into_iter().collect(),
                granted_ms: consent.granted_ms,
            })
            .collect())
    }

    /// Takes back all that `subject` allowed `client_id`. When this returns, its refresh tokens are gone, its access tokens
    /// are inactive, and whoever listens has been told. False when there was no consent.
    ///
    /// # Errors
    /// When the store fails; then call it again.
    pub fn revoke_consent(&self, subject: &str, client_id: &str) -> Result<bool, IdpError> {
        // The consent first: a refresh that runs meanwhile must not find it any more.
        let existed = self.consents.remove(subject, client_id)?;
        for grant in
            self.grants.end_where(|grant| grant.subject == subject && grant.client_id == client_id)?
        {
            self.revoke_tokens_of(grant)?;
        }
        Ok(existed)
    }

    /// Resolves when the gateway has heard of everything revoked so far, or does not answer soon: it is told then as soon as
    /// it does.
    pub(super) async fn announced(&self) {
        self.revocations.announced().await;
    }

    /// Rotates old keys and forgets what is dead. Called now and then.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn tend(&self) -> Result<(), IdpError> {
        let now_ms = self.now_ms();
        self.keys.tend(now_ms)?;
        self.grants.end_where(|grant| grant.expires_ms <= now_ms)?;
        self.revocations.forget_expired(now_ms)
    }

    /// Unix milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// The absolute address of one of our paths.
    pub(super) fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// Revokes the access tokens of a grant that has ended.
    pub(super) fn revoke_tokens_of(&self, grant: Grant) -> Result<(), IdpError> {
        self.revocations.revoke(grant.live)
    }
}

impl Consents for Idp {
    fn list(&self, subject: &str) -> Result<Vec<Consent>, ConsentsUnavailable> {
        self.consents_of(subject).map_err(unavailable)
    }

    fn revoke(&self, subject: &str, client_id: &str) -> Result<bool, ConsentsUnavailable> {
        self.revoke_consent(subject, client_id).map_err(unavailable)
    }

    fn announced(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.announced())
    }
}

fn unavailable(error: IdpError) -> ConsentsUnavailable {
    tracing::error!(%error, "the consents are out of reach");
    ConsentsUnavailable
}

fn check_address(name: &'static str, url: &Url) -> Result<(), IdpError> {
    let fits = matches!(url.scheme(), "http" | "https") && url.has_host();
    if fits && url.query().is_none() && url.fragment().is_none() {
        Ok(())
    } else {
        Err(IdpError::Address(name))
    }
}
