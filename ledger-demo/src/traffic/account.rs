//! One person's API client: logs in, keeps its tokens fresh, reads and pays.

use std::time::{Duration, Instant};

use rand::RngCore;
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::Stage;
use super::tally::{Kind, Outcome};
use crate::idp::script::{self, Browser, LoginScript, ScriptError, Tokens};
use crate::idp::{ACR_STEP_UP, DEMO_CLI};

/// Tokens are refreshed this long before they expire.
const REFRESH_AHEAD: Duration = Duration::from_secs(30);
/// Longest answer that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Somebody logged in.
pub(super) struct Account {
    stage: Stage,
    http: Client,
    browser: Browser,
    username: String,
    access_token: SecretString,
    refresh_token: Option<SecretString>,
    refresh_at: Instant,
}

/// A payment to make.
pub(super) struct Payment {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) amount_minor: i64,
    pub(super) memo: &'static str,
}

/// An account as `GET /api/accounts` lists it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) available: i64,
}

#[derive(Deserialize)]
struct Listing {
    accounts: Vec<Listed>,
}

impl Account {
    /// Logs in with a fresh browser.
    pub(super) async fn log_in(stage: &Stage, http: &Client, username: &str) -> Result<Self, ScriptError> {
        let mut browser = Browser::new(http.clone());
        let script = LoginScript::new(stage.idp_url.clone(), username);
        let tokens = script.run_in(&mut browser).await;
        stage.tally.count(Kind::Login, outcome_of(&tokens));
        let tokens = tokens?;
        Ok(Self {
            stage: stage.clone(),
            http: http.clone(),
            browser,
            username: username.to_owned(),
            refresh_at: refresh_at(&tokens),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
        })
    }

    /// Fetches a path; false when logging in again is needed.
    pub(super) async fn read(&mut self, path: &str) -> bool {
        let answer = self.get(path, Kind::Read).await;
        let logged_in = !matches!(&answer, Ok(response) if response.status() == StatusCode::UNAUTHORIZED);
        if let Ok(response) = answer {
            let _ = bounded_body(response).await;
        }
        logged_in
    }

    /// The person's accounts, none when they cannot be read.
    pub(super) async fn accounts(&mut self) -> Vec<Listed> {
        let Ok(response) = self.get("/api/accounts", Kind::Read).await else {
            return Vec::new();
        };
        let body = bounded_body(response).await.unwrap_or_default();
        serde_json::from_slice::<Listing>(&body).map(|listing| listing.accounts).unwrap_or_default()
    }

    /// Pays. Challenged to step up (RFC 9470), an honest customer does and repeats the same payment with the same key.
    pub(super) async fn pay(&mut self, payment: &Payment, kind: Kind, steps_up: bool) {
        let key = format!("{}-{:016x}", self.username, rand::rngs::OsRng.next_u64());
        let answer = self.post_payment(payment, &key).await;
        self.stage.tally.count_answer(kind, &answer);
        let challenged = answer.as_ref().is_ok_and(asks_for_step_up);
        if challenged && steps_up && self.step_up().await {
            let answer = self.post_payment(payment, &key).await;
            self.stage.tally.count_answer(kind, &answer);
        }
    }

    /// Pays cash in.
    pub(super) async fn deposit(&mut self, account: &str, amount_minor: i64) {
        let url = self.stage.at(&format!("/api/accounts/{account}/deposits"));
        let body = json!({ "amount": amount_minor, "currency": "EUR", "memo": "Cash" });
        let key = format!("{}-{:016x}", self.username, rand::rngs::OsRng.next_u64());
        let request = self.http.post(url).header("Idempotency-Key", key).json(&body);
        let answer = request.bearer_auth(self.access_token.expose_secret()).send().await;
        self.stage.tally.count_answer(Kind::Deposit, &answer);
    }

    /// Sends a request of any making with the person's token.
    pub(super) async fn send(&self, request: reqwest::RequestBuilder, kind: Kind) {
        let answer = request.bearer_auth(self.access_token.expose_secret()).send().await;
        self.stage.tally.count_answer(kind, &answer);
        if let Ok(response) = answer {
            let _ = bounded_body(response).await;
        }
    }

    async fn get(&mut self, path: &str, kind: Kind) -> Result<Response, reqwest::Error> {
        self.keep_fresh().await;
        let request = self.http.get(self.stage.at(path)).bearer_auth(self.access_token.expose_secret());
        let answer = request.send().await;
        self.stage.tally.count_answer(kind, &answer);
        answer
    }

    async fn post_payment(&self, payment: &Payment, key: &str) -> Result<Response, reqwest::Error> {
        let body = json!({
            "from": payment.from, "to": payment.to, "amount": payment.amount_minor, "currency": "EUR",
            "memo": payment.memo,
        });
        let request =
            self.http.post(self.stage.at("/api/transfers")).header("Idempotency-Key", key).json(&body);
        request.bearer_auth(self.access_token.expose_secret()).send().await
    }

    async fn step_up(&mut self) -> bool {
        let mut script = LoginScript::new(self.stage.idp_url.clone(), &self.username);
        script.extra.push(("acr_values".to_owned(), ACR_STEP_UP.to_owned()));
        let tokens = script.run_in(&mut self.browser).await;
        self.stage.tally.count(Kind::Login, outcome_of(&tokens));
        tokens.map(|tokens| self.take(tokens)).is_ok()
    }

    async fn keep_fresh(&mut self) {
        if Instant::now() < self.refresh_at {
            return;
        }
        let Some(refresh_token) = self.refresh_token.take() else {
            return;
        };
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", DEMO_CLI),
            ("refresh_token", refresh_token.expose_secret()),
        ];
        let Ok(url) = self.stage.idp_url.join("/token") else {
            return;
        };
        if let Ok(response) = self.http.post(url).form(&form).send().await
            && let Ok(tokens) = script::tokens(response).await
        {
            self.take(tokens);
        }
    }

    fn take(&mut self, tokens: Tokens) {
        self.refresh_at = refresh_at(&tokens);
        self.access_token = tokens.access_token;
        self.refresh_token = tokens.refresh_token;
    }
}

/// What a log-in counts as: 200 when it succeeded.
pub(super) fn outcome_of(result: &Result<Tokens, ScriptError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Status(200),
        Err(ScriptError::Refused(status)) => Outcome::Status(status.as_u16()),
        Err(ScriptError::Returned(_)) => Outcome::Status(400),
        Err(ScriptError::Http(_) | ScriptError::Unexpected(_)) => Outcome::NoAnswer,
    }
}

/// Reads an answer so that its connection can be used again; a longer one than we read is dropped.
pub(super) async fn bounded_body(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

fn asks_for_step_up(response: &Response) -> bool {
    let challenges = response.headers().get_all("www-authenticate");
    challenges
        .iter()
        .any(|value| value.to_str().is_ok_and(|text| text.contains("insufficient_user_authentication")))
}

fn refresh_at(tokens: &Tokens) -> Instant {
    let lifetime = Duration::from_secs(tokens.expires_in.clamp(0, 3600).unsigned_abs());
    Instant::now() + lifetime.saturating_sub(REFRESH_AHEAD)
}
