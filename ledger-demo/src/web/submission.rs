//! Reading a form that was sent: bounded, from our own pages, and by the person that the page was shown to.
//!
//! A [`Submission`] exists only after every check has passed, so a handler that takes one cannot forget any of them.

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue};
use url::form_urlencoded;

use super::visitor::Visitor;
use super::{Failure, WebState};

/// Largest form, in bytes.
pub const FORM_BYTES_MAX: usize = 16 * 1024;
/// Most fields of one form.
const FIELDS_MAX: usize = 32;

/// The fields of a form, each there once.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Just this one field, as a page may start with.
    pub fn of(name: &str, value: String) -> Self {
        Self(vec![(name.to_owned(), value)])
    }

    /// The field's text, empty when it was not sent.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Reads `application/x-www-form-urlencoded`. A name that comes twice is refused: whoever stands in front of us might
    /// have judged the other one.
    fn read(body: &[u8]) -> Result<Self, Failure> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if fields.len() == FIELDS_MAX || fields.iter().any(|(known, _)| *known == name) {
                return Err(Failure::MalformedForm);
            }
            fields.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(fields))
    }
}

/// A form sent by somebody who is logged in.
pub struct Submission {
    /// Who sent it.
    pub visitor: Visitor,
    /// What they entered.
    pub fields: Fields,
    /// The request's headers.
    pub headers: HeaderMap,
}

/// A form sent by somebody who need not be logged in.
pub struct PublicSubmission {
    /// What they entered.
    pub fields: Fields,
}

impl FromRequest<WebState> for Submission {
    type Rejection = Failure;

    async fn from_request(request: Request, web: &WebState) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, web).await?;
        let headers = parts.headers.clone();
        let fields = read_own_form(Request::from_parts(parts, body), web).await?;
        if !web.form_token_is_good(fields.get("csrf"), &visitor) {
            return Err(Failure::ForgedForm);
        }
        Ok(Self { visitor, fields, headers })
    }
}

impl FromRequest<WebState> for PublicSubmission {
    type Rejection = Failure;

    /// The token of a public form belongs to nobody, so it only shows that the page was loaded lately; what keeps other
    /// sites out is the check of where the request comes from.
    async fn from_request(request: Request, web: &WebState) -> Result<Self, Failure> {
        let fields = read_own_form(request, web).await?;
        if !web.public_form_token_is_good(fields.get("csrf")) {
            return Err(Failure::ForgedForm);
        }
        Ok(Self { fields })
    }
}

async fn read_own_form(request: Request, web: &WebState) -> Result<Fields, Failure> {
    let headers = request.headers();
    if !comes_from_own_page(headers, web.origins()) {
        return Err(Failure::ForgedForm);
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = media_type.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Failure::MalformedForm);
    }
    let body = to_bytes(request.into_body(), FORM_BYTES_MAX).await.map_err(|_| Failure::FormTooLarge)?;
    Fields::read(&body)
}

/// Whether the browser says that the request starts on one of our own pages. `Sec-Fetch-Site` and `Origin` must not
/// contradict that; a client that sends neither is no browser of today and is left to the token.
fn comes_from_own_page(headers: &HeaderMap, origins: &[String]) -> bool {
    let site_is_ours = match one(headers, "sec-fetch-site") {
        Header::Absent => true,
        Header::Once(site) => site == "same-origin",
        Header::Unclear => false,
    };
    let origin_is_ours = match one(headers, ORIGIN.as_str()) {
        Header::Absent => true,
        Header::Once(origin) if origins.is_empty() => {
            let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let host = headers.get(HOST).and_then(|host| host.to_str().ok());
            authority.is_some() && authority == host
        }
        Header::Once(origin) => origins.iter().any(|ours| ours == origin),
        Header::Unclear => false,
    };
    site_is_ours && origin_is_ours
}

enum Header<'a> {
    Absent,
    Once(&'a str),
    /// Sent twice, or no text.
    Unclear,
}

fn one<'a>(headers: &'a HeaderMap<HeaderValue>, name: &str) -> Header<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Header::Absent,
        (Some(value), None) => value.to_str().map_or(Header::Unclear, Header::Once),
        (Some(_), Some(_)) => Header::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_that_start_on_our_own_pages_pass() {
        let ours = ["http://127.0.0.1:8080".to_owned(), "http://localhost:8080".to_owned()];
        let cases: [(&[(&str, &str)], bool); 13] = [
            (&[], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("origin", "http://127.0.0.1:8080")], true),
            (&[("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "null")], false),
            (&[("origin", "https://127.0.0.1:8080")], false),
            (&[("origin", "http://127.0.0.1:8080.evil.example")], false),
            (&[("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], false),
            (&[("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "cross-site")], false),
            (&[("origin", "http://127.0.0.1:8080"), ("origin", "http://evil.example")], false),
        ];
        for (sent, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(
                    http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                );
            }
            assert_eq!(comes_from_own_page(&headers, &ours), expected, "{sent:?}");
        }
    }

    #[test]
    fn without_a_list_of_origins_the_origin_must_be_the_host() {
        for (origin, expected) in
            [("http://bank.example:81", true), ("http://bank.example", false), ("bank.example:81", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("bank.example:81"));
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
            assert_eq!(comes_from_own_page(&headers, &[]), expected, "{origin}");
        }
    }

    #[test]
    fn fields_are_read_once_and_bounded() {
        let fields = Fields::read(b"amount=12.50&memo=%3Cb%3E+caf%C3%A9&to=").unwrap();
        assert_eq!((fields.get("amount"), fields.get("memo")), ("12.50", "<b> café"));
        assert_eq!((fields.get("to"), fields.get("absent")), ("", ""));
        assert!(matches!(Fields::read(b"amount=1&amount=1000"), Err(Failure::MalformedForm)));
        assert!(matches!(Fields::read(b"amount=1&am%6Funt=1000"), Err(Failure::MalformedForm)));
        let many: String = (0..100).map(|n| format!("f{n}=1&")).collect();
        assert!(matches!(Fields::read(many.as_bytes()), Err(Failure::MalformedForm)));
    }
}
