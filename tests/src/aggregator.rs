//! The third party of the demo, which a customer lets in by consent and authenticates with a key of its own.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ledger_demo::idp::script::{Tokens, client, code_challenge, tokens};
use ledger_demo::idp::{DEMO_AGGREGATOR, RESOURCE_BANK};
use serde_json::json;
use url::Url;

use crate::demo::Addresses;
use crate::person::Person;

const VERIFIER: &str = "a-verifier-of-more-than-forty-three-characters-0123456789";

/// The third party, with the key that the demo made for it.
pub struct Aggregator {
    idp: Url,
    redirect_uri: String,
    key_file: PathBuf,
}

impl Aggregator {
    /// The third party of the demo at `at`, whose data folder is `data`.
    pub fn new(at: &Addresses, data: &Path) -> Self {
        Self {
            idp: at.idp.clone(),
            redirect_uri: format!("{}aggregator/callback", at.gateway),
            key_file: data.join("config/keys/demo-aggregator.pem"),
        }
    }

    /// Sends `person` to log in as `username` and consent; what the third party has then.
    ///
    /// # Errors
    /// Log-in, consent or code went wrong.
    pub async fn let_in(&self, person: &mut Person, username: &str) -> anyhow::Result<Tokens> {
        let mut authorize = self.idp.join("/authorize")?;
        authorize
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", DEMO_AGGREGATOR)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", "accounts:read offline_access")
            .append_pair("resource", RESOURCE_BANK)
            .append_pair("state", "s")
            .append_pair("code_challenge", &code_challenge(VERIFIER))
            .append_pair("code_challenge_method", "S256");
        let asked = person.log_in(username, authorize.as_str()).await?;
        ensure!(asked.url.path() == "/consent", "not asked but sent to {} {}", asked.url, asked.words());
        let back = person.submit(&asked, "", &[("decision", "allow")]).await?;
        let code = back.url.query_pairs().find(|(name, _)| name == "code");
        let (_, code) = code.with_context(|| format!("no code but {}", back.url))?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", VERIFIER),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &self.assertion()?),
        ];
        Ok(tokens(client(None)?.post(self.idp.join("/token")?).form(&form).send().await?).await?)
    }

    fn assertion(&self) -> anyhow::Result<String> {
        let pem = std::fs::read_to_string(&self.key_file)?;
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let key = EncodingKey::from_ec_der(&STANDARD.decode(base64)?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let claims = json!({
            "iss": DEMO_AGGREGATOR, "sub": DEMO_AGGREGATOR, "aud": self.idp.join("/token")?.as_str(),
            "iat": now.as_secs(), "exp": now.as_secs() + 60, "jti": now.as_nanos().to_string(),
        });
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key)?)
    }
}
