//! Tells the gateway, over its admin API, of access tokens that are dead before their time.
//!
//! The provider is a client of its own for this: `demo-revoker`, which may do nothing but revoke. Its key is made at every
//! start and never leaves the process. What is not told when the process ends is told at the next start, from the store.

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use url::Url;

use super::clients::{DEMO_REVOKER, RESOURCE_ADMIN};
use super::errors::IdpError;
use super::revocations::Revoked;
use super::secret::random_id;
use crate::Clock;

/// Revocations that may wait to be told.
pub const WAITING_MAX: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(3);
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const ASSERTION_LIFETIME_S: i64 = 60;

/// What the provider must know of its announcer.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Public key of `demo-revoker`.
    pub jwk: Value,
    /// How many revocations have been told, or were found to be out of time.
    pub told: watch::Receiver<u64>,
}

/// Passes revocations on.
pub struct Announcer {
    token_endpoint: Url,
    revoke_endpoint: Url,
    key: EncodingKey,
    http: reqwest::Client,
    clock: Clock,
    access_token: Option<SecretString>,
    told: watch::Sender<u64>,
}

/// Why the gateway was not told.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    #[error("no answer")]
    Http(#[from] reqwest::Error),
    #[error("answered {0}")]
    Answer(StatusCode),
    #[error("cannot sign in")]
    Credential(#[from] IdpError),
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
}

impl Announcer {
    /// An announcer of the provider at `issuer` for the admin API at `admin`, and how the provider knows it.
    ///
    /// # Errors
    /// When no key can be made or an address cannot be used.
    pub fn new(issuer: &Url, admin: &Url, clock: Clock) -> Result<(Self, Registration), IdpError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| IdpError::Key)?;
        let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().map_err(|_| IdpError::Key)?.as_ref());
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(|_| IdpError::Key)?;
        let (told, hears) = watch::channel(0);
        let announcer = Self {
            token_endpoint: issuer.join("/token").map_err(|_| IdpError::Address("issuer"))?,
            revoke_endpoint: admin
                .join("/api/v1/sessions/revoke")
                .map_err(|_| IdpError::Address("admin API"))?,
            key,
            http: reqwest::Client::builder()
                .timeout(TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .build()?,
            clock,
            access_token: None,
            told,
        };
        Ok((announcer, Registration { jwk: serde_json::to_value(jwk)?, told: hears }))
    }

    /// Passes on what it hears, each until the gateway has it, until nobody can tell it anything any more.
    pub async fn run(mut self, mut revoked: broadcast::Receiver<Revoked>) {
        loop {
            let heard = match revoked.recv().await {
                Ok(Revoked::Token { jti, expires_ms }) => {
                    self.announce(&jti, expires_ms).await;
                    1
                }
                // The gateway hears of ended sessions by back-channel logout; tokens of offline grants outlive them.
                Ok(Revoked::Session { .. }) => 1,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::error!(missed, "revocations were lost before the gateway heard of them");
                    missed
                }
                Err(broadcast::error::RecvError::Closed) => return,
            };
            self.told.send_modify(|told| *told = told.saturating_add(heard));
        }
    }

    /// Tells of one token, again and again with growing pauses, for as long as the token would live.
    async fn announce(&mut self, jti: &str, expires_ms: i64) {
        let mut pause = PAUSE_FIRST;
        while (self.clock)() < expires_ms {
            match self.tell(jti).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the gateway has not heard of a revocation"),
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    async fn tell(&mut self, jti: &str) -> Result<(), NotTold> {
        let token = match &self.access_token {
            Some(token) => token.clone(),
            None => self.access_token.insert(self.sign_in().await?).clone(),
        };
        let order = json!({ "kind": "jti", "value": jti, "note": "revoked at the identity provider" });
        let request = self.http.post(self.revoke_endpoint.clone()).bearer_auth(token.expose_secret());
        let status = request.json(&order).send().await.map_err(reqwest::Error::without_url)?.status();
        if status.is_success() {
            return Ok(());
        }
        // It may have expired; the next attempt brings a new one.
        self.access_token = None;
        Err(NotTold::Answer(status))
    }

    /// Client credentials with `private_key_jwt` (RFC 6749 4.4, RFC 7523).
    async fn sign_in(&self) -> Result<SecretString, NotTold> {
        let now_s = (self.clock)() / 1000;
        let claims = json!({
            "iss": DEMO_REVOKER, "sub": DEMO_REVOKER, "aud": self.token_endpoint.as_str(),
            "iat": now_s, "exp": now_s.saturating_add(ASSERTION_LIFETIME_S), "jti": random_id()?,
        });
        let assertion = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key)
            .map_err(|_| NotTold::Credential(IdpError::Key))?;
        let form = [
            ("grant_type", "client_credentials"),
            ("resource", RESOURCE_ADMIN),
            ("scope", "admin"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion),
        ];
        let sent = self.http.post(self.token_endpoint.clone()).form(&form).send().await;
        let answer = sent.map_err(reqwest::Error::without_url)?;
        if !answer.status().is_success() {
            return Err(NotTold::Answer(answer.status()));
        }
        Ok(answer.json::<Granted>().await.map_err(reqwest::Error::without_url)?.access_token.into())
    }
}
