//! A person with a browser in front of the bank: keeps cookies, follows redirects, fills in forms.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, bail, ensure};
use ledger_demo::idp::script::client;
use ledger_demo::people::{DEMO_PASSWORD, DEMO_SECOND_FACTOR};
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, RequestBuilder, StatusCode};
use url::Url;

use crate::demo::Addresses;
use crate::program::Answer;

const REDIRECTS_MAX: usize = 12;

/// A page that a person sees.
#[derive(Debug)]
pub struct Page {
    /// Where the browser ended up.
    pub url: Url,
    /// What it was answered there.
    pub answer: Answer,
}

impl Page {
    /// The status of the last answer.
    pub fn status(&self) -> StatusCode {
        self.answer.status
    }

    /// What stands in the main part, without markup.
    pub fn words(&self) -> String {
        let text = &self.answer.text;
        let main = text.find("<main").and_then(|at| text.get(at..)).unwrap_or(text);
        let mut words = String::new();
        let mut inside = false;
        for c in main.chars() {
            match c {
                '<' => {
                    inside = true;
                    words.push(' ');
                }
                '>' => inside = false,
                c if !inside => words.push(c),
                _ => {}
            }
        }
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The amount of money, minor units, that stands right after `label`, such as `Balance 1,234.56 EUR`.
    ///
    /// # Errors
    /// There is none.
    pub fn money_after(&self, label: &str) -> anyhow::Result<i64> {
        let words = self.words();
        let (_, rest) =
            words.split_once(label).with_context(|| format!("{label} is not on the page: {words}"))?;
        let amount = rest.split_whitespace().next().unwrap_or_default();
        let digits: String = amount.chars().filter(char::is_ascii_digit).collect();
        let minor: i64 = digits.parse().with_context(|| format!("{amount} after {label} is no amount"))?;
        Ok(if amount.starts_with('\u{2212}') || amount.starts_with('-') { -minor } else { minor })
    }
}

/// A form of a page.
struct Form {
    action: Url,
    hidden: Vec<(String, String)>,
}

/// Somebody with a browser.
pub struct Person {
    client: Client,
    gateway: Url,
    /// By origin: real browsers share cookies between ports, which the demo does not need.
    cookies: BTreeMap<(String, String), String>,
}

impl Person {
    /// A person with a fresh browser, at `address` of this machine.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn new(at: &Addresses, address: IpAddr) -> anyhow::Result<Self> {
        Ok(Self { client: client(Some(address))?, gateway: at.gateway.clone(), cookies: BTreeMap::new() })
    }

    /// Goes to a page of the bank, wherever that leads.
    ///
    /// # Errors
    /// No answer, or no end of redirects.
    pub async fn visit(&mut self, path: &str) -> anyhow::Result<Page> {
        let url = self.gateway.join(path)?;
        self.open(url).await
    }

    /// Logs in on the way to `path`, with password and second factor.
    ///
    /// # Errors
    /// The log-in did not go as it should.
    pub async fn log_in(&mut self, username: &str, path: &str) -> anyhow::Result<Page> {
        let login = self.visit(path).await?;
        self.prove(&login, username, DEMO_PASSWORD).await
    }

    /// Enters password and second factor where the identity provider asks for them.
    ///
    /// # Errors
    /// `login` is not where they are asked for, or they were refused.
    pub async fn prove(&mut self, login: &Page, username: &str, password: &str) -> anyhow::Result<Page> {
        ensure!(login.url.path() == "/login", "no log-in page but {}: {}", login.url, login.words());
        let credentials = [("username", username), ("password", password)];
        let second = self.submit(login, "", &credentials).await?;
        ensure!(second.url.path() == "/otp", "no second factor but {} {}", second.url, second.words());
        self.submit(&second, "", &[("otp", DEMO_SECOND_FACTOR)]).await
    }

    /// Fills in the form of `page` whose action begins with `action`, and sends it.
    ///
    /// # Errors
    /// There is no such form, or no answer.
    pub async fn submit(
        &mut self,
        page: &Page,
        action: &str,
        entries: &[(&str, &str)],
    ) -> anyhow::Result<Page> {
        let form = form(page, action).with_context(|| format!("no form {action} on {}", page.url))?;
        let mut fields = form.hidden;
        fields.extend(entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let origin = page.url.origin().ascii_serialization();
        let site = if form.action.origin() == page.url.origin() { "same-origin" } else { "same-site" };
        let request = self.client.post(form.action.clone()).header(ORIGIN, origin).form(&fields);
        let answer = self.send(request, &form.action, site).await?;
        self.follow(form.action, answer).await
    }

    /// Sends a form that another site made the browser send.
    ///
    /// # Errors
    /// No answer.
    pub async fn lured(&mut self, path: &str, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let url = self.gateway.join(path)?;
        let request = self.client.post(url.clone()).header(ORIGIN, "https://prizes.test").form(fields);
        self.send(request, &url, "cross-site").await
    }

    /// The cookies that the browser keeps for the bank.
    pub fn bank_cookies(&self) -> Vec<(&str, &str)> {
        let origin = origin(&self.gateway);
        let own = self.cookies.iter().filter(|((of, _), _)| *of == origin);
        own.map(|((_, name), value)| (name.as_str(), value.as_str())).collect()
    }

    /// Puts the cookies of somebody's browser into this one, as malware that read them would.
    pub fn take_cookies(&mut self, victim: &Self) {
        self.cookies.clone_from(&victim.cookies);
    }

    async fn open(&mut self, url: Url) -> anyhow::Result<Page> {
        let answer = self.send(self.client.get(url.clone()), &url, "none").await?;
        self.follow(url, answer).await
    }

    async fn follow(&mut self, mut url: Url, mut answer: Answer) -> anyhow::Result<Page> {
        for _ in 0..REDIRECTS_MAX {
            if !answer.status.is_redirection() {
                return Ok(Page { url, answer });
            }
            url = url.join(answer.header(LOCATION.as_str()))?;
            answer = self.send(self.client.get(url.clone()), &url, "none").await?;
        }
        bail!("redirects go round in circles at {url}")
    }

    async fn send(&mut self, request: RequestBuilder, url: &Url, site: &str) -> anyhow::Result<Answer> {
        let origin = origin(url);
        let own = self.cookies.iter().filter(|((of, _), _)| *of == origin);
        let cookies: Vec<String> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut request = request
            .header("accept", "text/html")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-site", site);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        let response = request.send().await?;
        self.remember(&origin, response.headers());
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    fn remember(&mut self, origin: &str, headers: &reqwest::header::HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let pair = cookie.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            let key = (origin.to_owned(), name.trim().to_owned());
            if value.trim().is_empty() {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.trim().to_owned());
            }
        }
    }
}

/// The last form of a page with this action (the bank's own pages begin with a form to log out); a form without one goes
/// to the page itself.
fn form(page: &Page, action: &str) -> Option<Form> {
    let forms = page.answer.text.split("<form").skip(1);
    forms
        .filter_map(|rest| read_form(page, rest.split("</form>").next()?))
        .filter(|form| action.is_empty() || form.action.path() == action)
        .last()
}

fn read_form(page: &Page, text: &str) -> Option<Form> {
    let head = text.split('>').next()?;
    if !head.contains("method=\"post\"") {
        return None;
    }
    let action = attribute(head, "action").unwrap_or_default();
    let inputs = text.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap_or_default());
    let hidden = inputs
        .filter(|input| attribute(input, "type").as_deref() == Some("hidden"))
        .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?)))
        .collect();
    Some(Form { action: page.url.join(&action).ok()?, hidden })
}

/// An attribute's value, entities undone as far as our own templates write them.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let value = rest.split('"').next()?;
    let undone = value.replace("&#38;", "&").replace("&#39;", "'").replace("&#34;", "\"");
    Some(undone.replace("&quot;", "\"").replace("&amp;", "&"))
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
