//! From a refusal or a verdict to the response: one table, two faces (problem+json for programs, a page for people).

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use pingora::http::ResponseHeader;
use policies::{Outcome, Verdict};
use sha2::{Digest, Sha256};

use crate::refusal::{Reason, Refusal};

/// An answer that the gateway gives in the upstream's place.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable reason code.
    pub code: String,
    /// What it counts as.
    pub outcome: Outcome,
    /// Short title.
    pub title: String,
    /// A sentence or more for the person at the other end.
    pub detail: Option<String>,
    /// Case that was opened, for a held transfer.
    pub case: Option<String>,
    /// Further header fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<&Refusal> for Answer {
    fn from(refusal: &Refusal) -> Self {
        let row = refusal.reason.row();
        let mut headers = refusal.headers.clone();
        if let Some(seconds) = refusal.retry_after_s {
            headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        Self {
            status: StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: row.code.to_owned(),
            outcome: row.outcome,
            title: row.title.to_owned(),
            detail: None,
            case: None,
            headers,
        }
    }
}

impl Answer {
    /// The answer to a verdict that does not forward. `challenge` is the step-up challenge of the identity stage.
    pub fn of_verdict(verdict: &Verdict, case: Option<&str>, challenge: Option<Refusal>) -> Self {
        let (status, title) = match verdict.outcome {
            Outcome::Hold => (StatusCode::ACCEPTED, "The transfer is waiting for review"),
            Outcome::Throttle => (StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Outcome::StepUp => (StatusCode::UNAUTHORIZED, Reason::StepUpNeeded.row().title),
            Outcome::Deny | Outcome::Allow | Outcome::Observe => {
                (StatusCode::FORBIDDEN, "The request was refused")
            }
        };
        let mut headers = challenge.map(|c| c.headers).unwrap_or_default();
        if verdict.outcome == Outcome::Throttle {
            headers.push((header::RETRY_AFTER, HeaderValue::from(5)));
        }
        // One sentence is enough for the customer; the record has every reason.
        let detail = verdict.leading().map(|r| r.message.to_string()).filter(|m| !m.is_empty());
        Self {
            status,
            code: verdict.leading().map_or_else(|| "policy".to_owned(), |r| r.code.to_string()),
            outcome: verdict.outcome,
            title: title.to_owned(),
            detail,
            case: case.map(str::to_owned),
            headers,
        }
    }

    /// The answer to `head`, for decision `id`.
    pub fn render(&self, head: &Parts, id: &str) -> Response<Bytes> {
        let page = navigates(head);
        let body = if page { self.page(id) } else { self.problem(id) };
        let media = match (page, self.outcome) {
            (true, _) => "text/html; charset=utf-8",
            (false, Outcome::Hold) => "application/json",
            (false, _) => "application/problem+json",
        };
        let length = HeaderValue::from(body.len());
        let body = if head.method == Method::HEAD { Bytes::new() } else { Bytes::from(body) };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(header::CONTENT_LENGTH, length);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if page {
            headers.insert(header::CONTENT_SECURITY_POLICY, PAGE_CSP.clone());
        }
        response
    }

    /// RFC 9457.
    fn problem(&self, id: &str) -> String {
        let mut members = serde_json::json!({
            "type": format!("urn:gatehouse:problem:{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "reason": self.code,
            "outcome": self.outcome.name(),
            "decision_id": id,
        });
        if let Some(members) = members.as_object_mut() {
            for (name, value) in [("detail", &self.detail), ("case", &self.case)] {
                if let Some(value) = value {
                    members.insert(name.to_owned(), value.clone().into());
                }
            }
        }
        members.to_string()
    }

    fn page(&self, id: &str) -> String {
        let paragraph = |text: &str| format!("<p>{}</p>", escape(text));
        let detail = self.detail.as_deref().map(paragraph).unwrap_or_default();
        let next = self.what_next().map(paragraph).unwrap_or_default();
        let case =
            self.case.as_deref().map_or_else(String::new, |c| format!("<dt>Case</dt><dd>{}</dd>", escape(c)));
        PAGE.replace("{title}", &escape(&self.title))
            .replace("{detail}", &detail)
            .replace("{next}", &next)
            .replace("{case}", &case)
            .replace("{id}", &escape(id))
    }
}

impl Answer {
    /// What the person who reads the page can do now, where the rule's own sentence does not say it.
    fn what_next(&self) -> Option<&'static str> {
        match (self.outcome, self.status.as_u16()) {
            (Outcome::Hold, _) => Some(
                "Nothing has been carried out yet. Somebody looks at it within a day. Once it is released, send the \
                 same again and it goes through.",
            ),
            _ if self.detail.is_some() => None,
            (Outcome::Throttle, _) => Some("Please wait a moment and try again."),
            (_, 400) => Some(
                "Nothing was carried out. Go back, check what you entered, such as an amount, and send it again.",
            ),
            (_, 404) => Some("Check the address, or begin at the start."),
            (_, 500..) => Some(
                "Please try again in a moment. If you were sending something, look first whether it was carried out.",
            ),
            _ => Some("If you think this should not have happened, tell your bank the reference below."),
        }
    }
}

/// Whether a person's browser asks for a page, rather than a program or a script for data.
pub fn navigates(head: &Parts) -> bool {
    let text = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok());
    match text("sec-fetch-mode") {
        Some(mode) => mode == "navigate",
        None => text("accept").is_some_and(|a| a.contains("text/html")) && text("authorization").is_none(),
    }
}

/// Whether the response goes on for as long as somebody listens (the HTML standard's server-sent events).
pub fn is_event_stream(response: &ResponseHeader) -> bool {
    let media = response.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    media.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Security headers that an application should set; the gateway adds those that are missing.
pub static SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'none'")),
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")),
];

/// Puts the missing security headers in; HSTS only where the client came over TLS (RFC 6797 7.2).
pub fn security_headers(headers: &mut HeaderMap, over_tls: bool) {
    for (name, value) in &SECURITY_HEADERS {
        if over_tls || name != header::STRICT_TRANSPORT_SECURITY {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// Whether `name` is one that only the gateway may set, in any spelling that some reader folds onto it.
pub fn is_gateway_header(name: &HeaderName) -> bool {
    match name.as_str().as_bytes().split_at_checked(9) {
        Some((head, rest)) => {
            head.eq_ignore_ascii_case(b"gatehouse") && matches!(rest.first(), Some(b'-' | b'_'))
        }
        None => false,
    }
}

/// Text as it stands in HTML, in elements and in quoted attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

const PAGE: &str = concat!(include_str!("page_head.html"), include_str!("respond.html"));

/// Nothing but the page's own style, named by its hash (CSP level 3, 2.3.1).
static PAGE_CSP: LazyLock<HeaderValue> = LazyLock::new(|| page_policy(PAGE, "'none'"));

/// The policy of a page of the gateway's own, whose forms may go to `form_action`.
pub fn page_policy(page: &str, form_action: &str) -> HeaderValue {
    let style =
        page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap_or_default();
    let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; base-uri 'none'; form-action {form_action}"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[(&str, &str)]) -> Parts {
        let mut builder = http::Request::builder().uri("/x");
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_program_reads_a_problem() {
        let refusal = Refusal::new(Reason::TokenExpired, "exp 12 s ago").retry_after(3);
        let response = Answer::from(&refusal).render(&head(&[]), "d1");
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "3");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            (body["reason"].as_str(), body["decision_id"].as_str()),
            (Some("token.expired"), Some("d1"))
        );
        assert!(!String::from_utf8_lossy(response.body()).contains("12 s ago"));
    }

    #[test]
    fn a_person_reads_a_page_that_escapes() {
        let verdict = Verdict::from_reasons(
            vec![policies::Reason {
                code: "x.y".into(),
                source: "r".into(),
                outcome: Outcome::Deny,
                precedence: 1,
                message: "<script>alert(1)</script>".into(),
            }],
            vec![],
        );
        let response =
            Answer::of_verdict(&verdict, None, None).render(&head(&[("accept", "text/html")]), "d2");
        let page = String::from_utf8_lossy(response.body());
        assert!(page.contains("d2") && page.contains("&lt;script&gt;") && !page.contains("<script>"));
    }

    #[test]
    fn gateway_headers_are_known_in_any_spelling() {
        for name in ["gatehouse-subject", "gatehouse_subject", "gatehouse-identity", "gatehouse-x"] {
            assert!(is_gateway_header(&HeaderName::from_bytes(name.as_bytes()).unwrap()), "{name}");
        }
        for name in ["gatehouse", "x-gatehouse-a", "gatehousex"] {
            assert!(!is_gateway_header(&HeaderName::from_bytes(name.as_bytes()).unwrap()), "{name}");
        }
    }
}
