//! The console's files, embedded, and the headers that keep it to them.

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::answer::hex;
use crate::refusal::Refusal;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/console"]
struct Files;

/// Nothing but our own files runs, nothing inline, nothing framed, and no text ever becomes markup.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// `GET /`: the shell. It holds no data; its scripts ask for them with the session.
pub(crate) async fn index(headers: HeaderMap) -> Response {
    serve(&headers, "index.html")
}

/// `GET /assets/{file}`.
pub(crate) async fn asset(headers: HeaderMap, Path(file): Path<String>) -> Response {
    if file == "index.html" { Refusal::NotFound.into_response() } else { serve(&headers, &file) }
}

fn serve(headers: &HeaderMap, name: &str) -> Response {
    let Some(file) = Files::get(name) else { return Refusal::NotFound.into_response() };
    let tag = format!("\"{}\"", hex(&file.metadata.sha256_hash(), 16));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, media_type(name))], Body::from(file.data)).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// A page of two sentences, for what happens outside the console proper.
pub(crate) fn notice(status: StatusCode, heading: &str, detail: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Gatehouse</title><link rel=\"stylesheet\" href=\"/assets/console.css\">\
         <main class=\"notice\"><h1>{}</h1><p>{}</p><p><a class=\"button\" href=\"/\">Back to the console</a></p></main></html>",
        escape(heading),
        escape(detail)
    );
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Sets the headers that every response of the admin listener carries.
pub(crate) async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed = [
        ("content-security-policy", CONTENT_SECURITY_POLICY),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Vec<(String, String)> {
        let text = |name: &str| String::from_utf8(Files::get(name).unwrap().data.into_owned()).unwrap();
        Files::iter().map(|name| (name.to_string(), text(&name))).collect()
    }

    #[test]
    fn no_script_can_turn_text_into_markup_or_code() {
        let banned = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "srcdoc",
            "createContextualFragment",
            "DOMParser",
            "setHTML",
            "javascript:",
            "setAttribute('on",
            "setAttribute(\"on",
        ];
        for (name, text) in sources().iter().filter(|(name, _)| name.ends_with(".js")) {
            for word in banned {
                assert!(!text.contains(word), "{name} uses {word}");
            }
        }
    }

    #[test]
    fn the_console_fetches_nothing_from_elsewhere_and_has_nothing_inline() {
        for (name, text) in sources() {
            let elsewhere = text.replace("http://www.w3.org/", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{name}");
            if name.ends_with(".html") {
                let lower = text.to_lowercase();
                assert!(!lower.contains("<style") && !lower.contains(" style="), "{name} has inline style");
                assert!(
                    !lower.contains(" onclick") && !lower.contains(" onload"),
                    "{name} has inline handlers"
                );
                assert_eq!(
                    lower.matches("<script").count(),
                    lower.matches("<script type=\"module\" src=").count()
                );
            }
            assert_ne!(media_type(&name), "application/octet-stream", "{name} has no media type");
        }
    }

    #[test]
    fn a_notice_shows_text_as_text() {
        assert_eq!(escape("<img src=x onerror=\"a&b\">"), "&lt;img src=x onerror=&quot;a&amp;b&quot;&gt;");
    }
}
