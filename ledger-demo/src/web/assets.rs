//! The style sheet and the mark, for the bank's pages and for the identity provider's.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};

/// One file that never changes while the program runs.
struct Asset {
    content_type: &'static str,
    body: &'static str,
    /// First 96 bits of the body's SHA-256, base64url.
    version: String,
}

static STYLE_SHEET: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("text/css; charset=utf-8", include_str!("../../assets/bank.css")));
static MARK: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("image/svg+xml", include_str!("../../assets/mark.svg")));
static CSS_HREF: LazyLock<String> = LazyLock::new(|| format!("/assets/bank.css?v={}", STYLE_SHEET.version));

/// Serves `/assets/bank.css` and `/assets/mark.svg`; merge it into any router whose pages use them.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/assets/bank.css", get(async |query, headers| STYLE_SHEET.answer(query, headers)))
        .route("/assets/mark.svg", get(async |query, headers| MARK.answer(query, headers)))
        .route("/favicon.ico", get(async |query, headers| MARK.answer(query, headers)))
}

/// The style sheet's address with its version, so that browsers may keep it for a year.
pub fn css_href() -> &'static str {
    &CSS_HREF
}

impl Asset {
    fn new(content_type: &'static str, body: &'static str) -> Self {
        let digest = Sha256::digest(body);
        let version = URL_SAFE_NO_PAD.encode(digest.get(..12).unwrap_or(&digest));
        Self { content_type, body, version }
    }

    fn answer(&self, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
        let asked_by_version =
            query.as_deref().and_then(|text| text.strip_prefix("v=")) == Some(&self.version);
        let caching =
            if asked_by_version { "public, max-age=31536000, immutable" } else { "public, max-age=300" };
        let tag = format!("\"{}\"", self.version);
        let fresh = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
        let described = [
            (CONTENT_TYPE, self.content_type.to_owned()),
            (CACHE_CONTROL, caching.to_owned()),
            (ETAG, tag),
            (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        ];
        if fresh {
            return (StatusCode::NOT_MODIFIED, described).into_response();
        }
        (described, self.body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// The colour tokens of the block that `start` opens.
    fn colours(start: &str) -> HashMap<&'static str, [f64; 3]> {
        let block = STYLE_SHEET.body.split(start).nth(1).unwrap().split('}').next().unwrap();
        let tokens = block.lines().filter_map(|line| line.trim().strip_suffix(';')?.split_once(": #"));
        tokens
            .map(|(name, hex)| {
                let part = |at| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
                (name, [part(0), part(2), part(4)])
            })
            .collect()
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(colour: [f64; 3]) -> f64 {
        let linear = colour.map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn text_and_controls_can_be_read_in_light_and_dark() {
        let text = [
            ("--ink", "--paper"),
            ("--ink", "--brand-wash"),
            ("--ink", "--good-wash"),
            ("--ink", "--bad-wash"),
            ("--ink-soft", "--paper"),
            ("--ink-soft", "--surface"),
            ("--ink-soft", "--sunken"),
            ("--brand", "--paper"),
            ("--brand", "--surface"),
            ("--brand-strong", "--brand-wash"),
            ("--on-brand", "--brand"),
            ("--on-brand", "--brand-strong"),
            ("--good", "--surface"),
            ("--good", "--good-wash"),
            ("--warn", "--warn-wash"),
            ("--bad", "--surface"),
            ("--bad", "--bad-wash"),
        ];
        // Success criterion 1.4.11: borders of fields, the ring around what has the focus, bars and gauges.
        let shapes = [
            ("--line-strong", "--surface"),
            ("--line-strong", "--paper"),
            ("--focus", "--surface"),
            ("--focus", "--paper"),
            ("--gold", "--surface"),
            ("--brand", "--sunken"),
            ("--good", "--sunken"),
            ("--bad", "--sunken"),
        ];
        for start in [":root {", "@media (prefers-color-scheme: dark) {\n  :root {"] {
            let colours = colours(start);
            for (pairs, least) in [(&text[..], 4.5), (&shapes[..], 3.0)] {
                for (front, back) in pairs {
                    let found = contrast(colours[front], colours[back]);
                    assert!(found >= least, "{front} on {back}: {found:.2} in {start}");
                }
            }
        }
    }
}
