//! A real browser: Chromium, driven over WebDriver (W3C) by a chromedriver of its own.
//!
//! The few calls that the tests need, over the HTTP client that is there anyway. Client crates bring either a second HTTP
//! stack or serde_json's `preserve_order`, which would change JSON under every other test of the workspace.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

/// Longest wait for something to appear on a page; a busy machine is slow.
const APPEAR_MAX: Duration = Duration::from_secs(60);

/// The name under which WebDriver hands out elements (W3C WebDriver 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The Tab key (W3C WebDriver 17.4.2).
pub const TAB: &str = "\u{e004}";

/// A browser with a fresh profile; it ends when it is dropped.
pub struct Browser {
    driver: Child,
    client: Client,
    session: Url,
    _profile: TempDir,
}

impl Browser {
    /// Starts chromedriver on a free port, and Chromium under it with a window of this size.
    ///
    /// # Errors
    /// Either is missing or does not start.
    pub async fn open(width: u32, height: u32) -> anyhow::Result<Self> {
        let profile = tempfile::tempdir()?;
        let (driver, port) = driver()?;
        let base = Url::parse(&format!("http://127.0.0.1:{port}/"))?;
        let client = Client::builder().no_proxy().build()?;
        let mut browser = Self { driver, client, session: base.join("session/")?, _profile: profile };
        let wish = capabilities(browser._profile.path(), width, height);
        let began = browser.send(Method::POST, base.join("session")?, Some(wish)).await?;
        let id = began["sessionId"].as_str().context("chromedriver names no session")?;
        browser.session = base.join(&format!("session/{id}/"))?;
        Ok(browser)
    }

    /// Behaves as a telephone of this size from now on.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn be_a_phone(&self, width: u32, height: u32) -> anyhow::Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": true});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await
    }

    /// Runs no script of any page from now on.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn without_scripts(&self) -> anyhow::Result<()> {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await
    }

    /// Lets scripts of the test do on pages what the pages' own policies (CSP) forbid, from the next page on.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn without_page_policies(&self) -> anyhow::Result<()> {
        self.devtools("Page.setBypassCSP", json!({"enabled": true})).await
    }

    async fn devtools(&self, command: &str, parameters: Value) -> anyhow::Result<()> {
        let order = json!({"cmd": command, "params": parameters});
        self.call(Method::POST, "goog/cdp/execute", Some(order)).await.map(|_| ())
    }

    /// Goes to an address and waits until the page is loaded.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn go(&self, url: &str) -> anyhow::Result<()> {
        self.call(Method::POST, "url", Some(json!({"url": url}))).await.map(|_| ())
    }

    /// The Back button.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn back(&self) -> anyhow::Result<()> {
        self.call(Method::POST, "back", Some(json!({}))).await.map(|_| ())
    }

    /// The address of the page.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn url(&self) -> anyhow::Result<Url> {
        let url = self.call(Method::GET, "url", None).await?;
        Ok(Url::parse(url.as_str().context("no address")?)?)
    }

    /// The tabs that are open, in no order.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn tabs(&self) -> anyhow::Result<Vec<String>> {
        let tabs = self.call(Method::GET, "window/handles", None).await?;
        Ok(serde_json::from_value(tabs)?)
    }

    /// Goes on in another tab.
    ///
    /// # Errors
    /// There is no such tab.
    pub async fn turn_to(&self, tab: &str) -> anyhow::Result<()> {
        self.call(Method::POST, "window", Some(json!({"handle": tab}))).await.map(|_| ())
    }

    /// Name and value of every cookie that goes with a request for this page, those that scripts do not see included.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn cookies(&self) -> anyhow::Result<Vec<(String, String)>> {
        let cookies = self.call(Method::GET, "cookie", None).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let jar = cookies.as_array().context("no list of cookies")?;
        Ok(jar.iter().map(|cookie| (text(&cookie["name"]), text(&cookie["value"]))).collect())
    }

    /// Clicks the first element that fits, as soon as it is there.
    ///
    /// # Errors
    /// There is none, or something lies over it.
    pub async fn click(&self, css: &str) -> anyhow::Result<()> {
        let element = self.wait_for(css).await?;
        let path = format!("element/{element}/click");
        self.call(Method::POST, &path, Some(json!({}))).await.with_context(|| css.to_owned()).map(|_| ())
    }

    /// Puts `text` into a field in place of what is there.
    ///
    /// # Errors
    /// There is no such field.
    pub async fn fill(&self, css: &str, text: &str) -> anyhow::Result<()> {
        let element = self.wait_for(css).await?;
        self.call(Method::POST, &format!("element/{element}/clear"), Some(json!({}))).await?;
        self.call(Method::POST, &format!("element/{element}/value"), Some(json!({"text": text})))
            .await
            .with_context(|| css.to_owned())
            .map(|_| ())
    }

    /// Presses a key wherever the focus is.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn press(&self, key: &str) -> anyhow::Result<()> {
        let keys = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let order = json!({"actions": [{"type": "key", "id": "keyboard", "actions": keys}]});
        self.call(Method::POST, "actions", Some(order)).await.map(|_| ())
    }

    /// Waits for an element and gives its reference.
    ///
    /// # Errors
    /// It does not appear.
    pub async fn wait_for(&self, css: &str) -> anyhow::Result<String> {
        let began = Instant::now();
        let wish = json!({"using": "css selector", "value": css});
        loop {
            let found = self.call(Method::POST, "element", Some(wish.clone())).await;
            if let Some(element) = found.ok().and_then(|found| found[ELEMENT].as_str().map(str::to_owned)) {
                return Ok(element);
            }
            if began.elapsed() > APPEAR_MAX {
                bail!("{css} did not appear on {}:\n{}", self.url().await?, self.words().await?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until `text` stands on the page, and gives everything that stands there.
    ///
    /// # Errors
    /// It does not appear.
    pub async fn wait_for_words(&self, text: &str) -> anyhow::Result<String> {
        let began = Instant::now();
        loop {
            let words = self.words().await.unwrap_or_default();
            if words.contains(text) {
                return Ok(words);
            }
            if began.elapsed() > APPEAR_MAX {
                bail!("`{text}` did not appear on {}:\n{words}", self.url().await?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a person can read on the page.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn words(&self) -> anyhow::Result<String> {
        let words = self.run("return document.body.innerText").await?;
        Ok(words.as_str().unwrap_or_default().to_owned())
    }

    /// Runs a function's body in the page.
    ///
    /// # Errors
    /// It throws.
    pub async fn run(&self, body: &str) -> anyhow::Result<Value> {
        self.call(Method::POST, "execute/sync", Some(json!({"script": body, "args": []}))).await
    }

    /// What the browser complained about since the last call.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let log = self.call(Method::POST, "se/log", Some(json!({"type": "browser"}))).await?;
        let entries = log.as_array().cloned().unwrap_or_default();
        let bad =
            entries.iter().filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")));
        Ok(bad.filter_map(|entry| entry["message"].as_str().map(str::to_owned)).collect())
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        self.send(method, self.session.join(path)?, body).await
    }

    async fn send(&self, method: Method, url: Url, body: Option<Value>) -> anyhow::Result<Value> {
        let mut request = self.client.request(method, url).timeout(Duration::from_secs(120));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status();
        let mut answer: Value = response.json().await?;
        let value = answer["value"].take();
        ensure!(status.is_success(), "{}: {}", value["error"], value["message"]);
        Ok(value)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Only the end of its session makes chromedriver end Chromium; killed before that, it would leave it behind.
        let _ = self.end_session();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// By hand, because nothing can be awaited while a value is dropped.
    fn end_session(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.session.port().unwrap_or_default()))?;
        stream.set_read_timeout(Some(APPEAR_MAX))?;
        let path = self.session.path().trim_end_matches('/');
        write!(stream, "DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        // chromedriver answers when the browser has ended, and keeps the connection.
        stream.read(&mut [0; 1024]).map(|_| ())
    }
}

/// chromedriver takes a port that is free for IPv4, and ends if somebody has the same one for IPv6; then another may do.
fn driver() -> anyhow::Result<(Child, u16)> {
    const TRIES: usize = 5;
    let mut tries = 0;
    loop {
        tries += 1;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("chromedriver cannot be started: install chromium and chromium-driver")?;
        match port_of(&mut driver) {
            Ok(port) => return Ok((driver, port)),
            Err(error) => {
                let _ = driver.kill();
                let _ = driver.wait();
                if tries == TRIES {
                    return Err(error);
                }
            }
        }
    }
}

/// chromedriver says on which port it listens.
fn port_of(driver: &mut Child) -> anyhow::Result<u16> {
    let out = driver.stdout.take().context("chromedriver says nothing")?;
    for line in BufReader::new(out).lines() {
        let line = line?;
        if let Some((_, rest)) = line.split_once("started successfully on port ") {
            return Ok(rest.trim_end_matches('.').parse()?);
        }
    }
    bail!("chromedriver ended before it listened")
}

fn capabilities(profile: &std::path::Path, width: u32, height: u32) -> Value {
    let arguments = [
        "--headless",
        // Chromium's sandbox does not work for root, as which tests run in containers; the pages are our own.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ];
    let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
    arguments.push(format!("--user-data-dir={}", profile.display()));
    arguments.push(format!("--window-size={width},{height}"));
    json!({"capabilities": {"alwaysMatch": {
        "goog:chromeOptions": {"args": arguments},
        "goog:loggingPrefs": {"browser": "ALL"},
    }}})
}
