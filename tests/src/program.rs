//! A program that uses the bank's API with a bearer token, and a staff member's with the admin API.

use std::time::{Duration, Instant};

use anyhow::Context;
use ledger_demo::idp::script::{LoginScript, client};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::demo::Addresses;

/// Longest time that a registration may be put off; hashing a password is slow on purpose.
const REGISTRATION_MAX: Duration = Duration::from_secs(30);

/// The password of customers that register.
pub const NEW_CUSTOMER_PASSWORD: &str = "a long phrase that is easy to keep";

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: reqwest::header::HeaderMap,
    /// Body as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// A header field as text; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The id of the decision that this answer came from.
    pub fn decision(&self) -> &str {
        self.header("gatehouse-decision")
    }

    /// The reason code of a refusal.
    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or_default().to_owned()
    }
}

/// Somebody's program.
pub struct Program {
    client: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl Program {
    /// A program of customer `username`, logged in at the demo's identity provider.
    ///
    /// # Errors
    /// The log-in failed.
    pub async fn of(at: &Addresses, username: &str) -> anyhow::Result<Self> {
        let client = client(None)?;
        let tokens = LoginScript::new(at.idp.clone(), username).run(&client).await.context("log-in")?;
        Ok(Self {
            client,
            base: at.gateway.clone(),
            token: Some(tokens.access_token.expose_secret().to_owned()),
        })
    }

    /// A program of the person that `script` logs in, for the bank's API.
    ///
    /// # Errors
    /// The log-in failed.
    pub async fn with(at: &Addresses, script: &LoginScript) -> anyhow::Result<Self> {
        let client = client(None)?;
        let tokens = script.run(&client).await.context("log-in")?;
        let token = Some(tokens.access_token.expose_secret().to_owned());
        Ok(Self { client, base: at.gateway.clone(), token })
    }

    /// A program of somebody who becomes a customer first, with `deposit_minor` on the account.
    ///
    /// # Errors
    /// Registration, log-in or deposit failed.
    pub async fn of_new_customer(at: &Addresses, username: &str, deposit_minor: i64) -> anyhow::Result<Self> {
        let password = NEW_CUSTOMER_PASSWORD;
        let nobody = Self::nobody(&at.gateway)?;
        let person = json!({"username": username, "name": "New Customer", "password": password});
        let until = Instant::now() + REGISTRATION_MAX;
        loop {
            let registered = nobody.post("/api/register", person.clone()).await?;
            match registered.status {
                StatusCode::CREATED => break,
                // The bank hashes few passwords at once and says so.
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS if Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                _ => anyhow::bail!("registration: {registered:?}"),
            }
        }
        let mut script = LoginScript::new(at.idp.clone(), username);
        script.password = password.into();
        let program = Self::with(at, &script).await?;
        if deposit_minor > 0 {
            let cash = json!({"amount": deposit_minor, "currency": "EUR"});
            let paid = program.post(&format!("/api/accounts/{username}-current/deposits"), cash).await?;
            anyhow::ensure!(paid.status == StatusCode::CREATED, "deposit: {paid:?}");
        }
        Ok(program)
    }

    /// A program of staff member `username`, for the admin API.
    ///
    /// # Errors
    /// The log-in failed.
    pub async fn staff(at: &Addresses, username: &str) -> anyhow::Result<Self> {
        let client = client(None)?;
        let tokens = LoginScript::admin(at.idp.clone(), username).run(&client).await.context("log-in")?;
        Ok(Self {
            client,
            base: at.admin.clone(),
            token: Some(tokens.access_token.expose_secret().to_owned()),
        })
    }

    /// A program that holds `token`, for the bank's API.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn holding(at: &Addresses, token: SecretString) -> anyhow::Result<Self> {
        let token = Some(token.expose_secret().to_owned());
        Ok(Self { client: client(None)?, base: at.gateway.clone(), token })
    }

    /// A program without credentials, at `base`.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn nobody(base: &Url) -> anyhow::Result<Self> {
        Ok(Self { client: client(None)?, base: base.clone(), token: None })
    }

    /// The same program, coming from another address of this machine.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn from_address(mut self, address: std::net::IpAddr) -> anyhow::Result<Self> {
        self.client = client(Some(address))?;
        Ok(self)
    }

    /// The balance of one of the person's accounts, minor units.
    ///
    /// # Errors
    /// No answer, or no such account.
    pub async fn balance(&self, account: &str) -> anyhow::Result<i64> {
        let answer = self.get(&format!("/api/accounts/{account}")).await?;
        answer.json()["balance"].as_i64().with_context(|| format!("balance of {account}: {answer:?}"))
    }

    /// Asks for a transfer in EUR, under an idempotency key.
    ///
    /// # Errors
    /// No answer.
    pub async fn pay(&self, from: &str, to: &str, amount: i64, key: &str) -> anyhow::Result<Answer> {
        let transfer = json!({"from": from, "to": to, "amount": amount, "currency": "EUR"});
        self.send(Method::POST, "/api/transfers", &[("idempotency-key", key)], Some(transfer)).await
    }

    /// The access token.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// No answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, &[], None).await
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// No answer.
    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// Sends a request with further header fields.
    ///
    /// # Errors
    /// No answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.client.request(method, self.base.join(path)?);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        Ok(Answer { status: answer.status(), headers: answer.headers().clone(), text: answer.text().await? })
    }
}
