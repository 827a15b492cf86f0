//! A program that uses the bank's API with a bearer token, and a staff member's with the admin API.

use anyhow::Context;
use ledger_demo::idp::script::{LoginScript, client};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;

use crate::demo::Addresses;

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
