//! Requests that the gateway itself makes, to issuers: every one bounded in time and size.
//!
//! No redirect is followed (a redirect would lead the gateway to wherever the answering host likes), no proxy is taken
//! from the environment, bodies are counted while they stream, and only JSON is read.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From the first packet to the last byte.
    pub deadline: Duration,
    /// Largest body read.
    pub body_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(5), body_bytes_max: 256 * 1024 }
    }
}

/// Why there is no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The whole exchange took longer than its deadline.
    #[error("no complete answer within {0:?}")]
    Deadline(Duration),
    /// The body is larger than its bound.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The peer wants to send the gateway elsewhere.
    #[error("answered with a redirect ({0}), which is not followed")]
    Redirect(u16),
    /// Neither success nor a JSON error.
    #[error("answered with status {0}")]
    Status(u16),
    /// Something else than JSON.
    #[error("answered with content type {0:?} instead of JSON")]
    ContentType(String),
    /// No connection, no TLS, or a broken exchange.
    #[error("cannot be reached: {0}")]
    Transport(String),
}

/// A complete answer whose body is JSON.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The status: success, or an error that explains itself in JSON.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

/// The client. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: reqwest::Client,
    bounds: Bounds,
}

impl Outbound {
    /// A client with these bounds.
    ///
    /// # Errors
    /// [`OutboundError::Transport`] if TLS cannot be set up.
    pub fn new(bounds: Bounds) -> Result<Self, OutboundError> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(bounds.deadline.min(Duration::from_secs(2)))
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(4)
            .user_agent("gatehouse")
            .build()
            .map_err(|e| OutboundError::Transport(cause(&e)))?;
        Ok(Self { client, bounds })
    }

    /// The same client, for exchanges with tighter bounds.
    pub fn within(&self, bounds: Bounds) -> Self {
        let bounds = Bounds {
            deadline: bounds.deadline.min(self.bounds.deadline),
            body_bytes_max: bounds.body_bytes_max.min(self.bounds.body_bytes_max),
        };
        Self { client: self.client.clone(), bounds }
    }

    /// Fetches a JSON document; anything but success is an error.
    ///
    /// # Errors
    /// See [`OutboundError`].
    pub async fn get(&self, url: &Url) -> Result<Bytes, OutboundError> {
        let fetched = self.exchange(self.client.request(Method::GET, url.clone())).await?;
        if fetched.status.is_success() {
            Ok(fetched.body)
        } else {
            Err(OutboundError::Status(fetched.status.as_u16()))
        }
    }

    /// Posts a form and reads the JSON answer, which may be an OAuth error (RFC 6749 5.2).
    ///
    /// # Errors
    /// See [`OutboundError`].
    pub async fn post(&self, url: &Url, headers: HeaderMap, form: Vec<u8>) -> Result<Fetched, OutboundError> {
        self.exchange(self.client.request(Method::POST, url.clone()).headers(headers).body(form)).await
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Fetched, OutboundError> {
        match tokio::time::timeout(self.bounds.deadline, self.read(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(OutboundError::Deadline(self.bounds.deadline)),
        }
    }

    async fn read(&self, request: reqwest::RequestBuilder) -> Result<Fetched, OutboundError> {
        let transport = |e: reqwest::Error| OutboundError::Transport(cause(&e));
        let mut response =
            request.header(http::header::ACCEPT, "application/json").send().await.map_err(transport)?;
        let status = response.status();
        if status.is_redirection() {
            return Err(OutboundError::Redirect(status.as_u16()));
        }
        let max = self.bounds.body_bytes_max;
        if response.content_length().is_some_and(|length| length > max as u64) {
            return Err(OutboundError::TooLarge(max));
        }
        let media =
            response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        if !is_json(&media) {
            let unexplained = !status.is_success();
            let status = OutboundError::Status(status.as_u16());
            return Err(if unexplained {
                status
            } else {
                OutboundError::ContentType(media.chars().take(80).collect())
            });
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if body.len().saturating_add(chunk.len()) > max {
                return Err(OutboundError::TooLarge(max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched { status, body: body.freeze() })
    }
}

/// `application/json` or anything with the `+json` suffix (RFC 6839), such as `application/jwk-set+json`.
fn is_json(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// reqwest's outermost message names the URL and nothing else; the innermost says what happened.
fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_read() {
        for (media, read) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/jwk-set+json", true),
            ("text/html", false),
            ("text/plain; application/json", false),
            ("image/x+json", false),
            ("", false),
        ] {
            assert_eq!(is_json(media), read, "{media}");
        }
    }
}
