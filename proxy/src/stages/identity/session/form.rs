//! A form that was answered with a step-up: kept while its sender logs in again, then shown once to be sent.
//!
//! What was entered is sealed with secrets that only the browser's way through the log-in gives, and stands in no address.
//! It is not sent by itself: the person sees it and presses the button, as the first time.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use policies::ports::Space;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::super::IdentityStage;
use super::super::credentials::{SESSION_COOKIE, cookie};
use super::login::{LOGIN_MS, Wish, store_failed};
use super::owned::{Answer, Own, see_other};
use super::return_to::LocalPath;
use super::secret::Secret;
use crate::refusal::{Reason, Refusal};
use crate::stages::respond::{escape, page_policy};

/// Largest form that is kept, bytes; its sender enters a larger one anew.
pub const FORM_BYTES_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 64;
const PURPOSE: &str = "form";
const PAGE: &str = concat!(include_str!("../../page_head.html"), include_str!("form.html"));

/// A form as it was sent.
#[derive(Clone, Serialize, Deserialize)]
pub struct Form {
    action: String,
    /// Where it is entered.
    page: String,
    fields: Vec<(String, String)>,
    /// What a person recognises it by.
    shown: Vec<(String, String)>,
}

impl Form {
    /// Reads a form that was entered on `page`; `None` when it is none or cannot be sent again as it was. `shown` are
    /// labels and the fields that they stand for.
    pub fn read(parts: &Parts, body: &[u8], page: &str, shown: &[(&str, &str)]) -> Option<Self> {
        let media = parts.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let essence = media.split(';').next().unwrap_or_default().trim();
        let is_form = essence.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        if parts.method != Method::POST || !is_form || body.len() > FORM_BYTES_MAX {
            return None;
        }
        let fields: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
        // The replacement character stands for bytes that a page cannot hold.
        let whole = |text: &String| !text.contains(char::REPLACEMENT_CHARACTER);
        if fields.len() > FIELDS_MAX || !fields.iter().all(|(name, value)| whole(name) && whole(value)) {
            return None;
        }
        let entered = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, v)| v.clone());
        let shown = shown.iter().filter_map(|(label, field)| Some(((*label).to_owned(), entered(field)?)));
        Some(Self {
            action: LocalPath::parse(parts.uri.path_and_query()?.as_str())?.as_str().to_owned(),
            page: LocalPath::parse(page)?.as_str().to_owned(),
            shown: shown.collect(),
            fields,
        })
    }

    /// Where it is entered.
    pub(super) fn page(&self) -> LocalPath {
        LocalPath::parse(&self.page).unwrap_or_else(LocalPath::root)
    }

    fn html(&self) -> String {
        let rows = self
            .shown
            .iter()
            .map(|(label, value)| format!("<dt>{}</dt><dd>{}</dd>", text(label), text(value)));
        let fields = self.fields.iter().map(|(name, value)| {
            format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", text(name), text(value))
        });
        PAGE.replace("{title}", "Send this now?")
            .replace("{action}", &text(&self.action))
            .replace("{page}", &text(&self.page))
            .replace("{shown}", &rows.collect::<String>())
            .replace("{fields}", &fields.collect::<String>())
    }
}

/// Text for the page; a brace in it is no placeholder.
fn text(entered: &str) -> String {
    escape(entered).replace('{', "&#123;")
}

impl IdentityStage {
    /// Sends a person's browser from a form to a stronger log-in, after which the form can be sent again. `None` where
    /// the application has no log-in, or a program presented a token.
    ///
    /// # Errors
    /// The log-in cannot begin.
    pub async fn step_up_with(
        &self,
        app: usize,
        parts: &Parts,
        form: Form,
        now_ms: i64,
    ) -> Option<Result<Response<Bytes>, Refusal>> {
        let app = self.apps.get(app)?.as_ref()?;
        let client = app.login.as_ref()?;
        if parts.headers.contains_key(http::header::AUTHORIZATION) {
            return None;
        }
        let own = match Own::enter(self, app, client, parts, &app.own, now_ms) {
            Ok(own) => own,
            Err(shed) => return Some(Err(shed)),
        };
        let wish = Wish { return_to: form.page(), again: false, step_up: true, form: Some(form) };
        Some(own.begin_login(wish).await)
    }
}

impl Own<'_> {
    /// Keeps a form for the session of `secret`, which has just begun; answers where the form is shown.
    pub(super) async fn keep(&self, form: &Form, secret: &Secret) -> Result<url::Url, Refusal> {
        let unsealed = || Refusal::new(Reason::Internal, "a form cannot be sealed");
        let plain = serde_json::to_vec(form).map_err(|_| unsealed())?;
        let sealed = secret.seal(PURPOSE, &plain).ok_or_else(unsealed)?;
        let expires_ms = self.now_ms.saturating_add(LOGIN_MS);
        let store = self.stage.sessions.store();
        store.put(Space::Logins, &secret.key(PURPOSE), &sealed, expires_ms).await.map_err(store_failed)?;
        let mut url = self.app.config.external_url.clone();
        url.set_path("/.gatehouse/form");
        Ok(url)
    }

    /// `/form`: shows the kept form, once.
    pub(super) async fn show_form(&self) -> Answer {
        let secret = cookie(self.parts, SESSION_COOKIE).ok().flatten().and_then(Secret::parse);
        let (Some(_), Some(secret)) = (self.session().await?, secret) else {
            return Ok(see_other(&self.app.config.external_url));
        };
        let store = self.stage.sessions.store();
        let sealed = store.take(Space::Logins, &secret.key(PURPOSE), self.now_ms).await;
        let plain = sealed.map_err(store_failed)?.and_then(|sealed| secret.open(PURPOSE, &sealed));
        let form: Option<Form> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        let Some(form) = form else { return Ok(see_other(&self.app.config.external_url)) };
        let mut response = Response::new(Bytes::from(form.html()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, page_policy(PAGE, "'self'"));
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(target: &str, media: &str) -> Parts {
        let request = http::Request::post(target).header(CONTENT_TYPE, media);
        request.body(()).unwrap().into_parts().0
    }

    const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

    #[test]
    fn what_was_entered_is_shown_and_sent_again_as_it_was() {
        let body = b"to=%22%3E%3Cscript%3E&amount=12&amount=13&memo=%7Bshown%7D+a%0D%0Ab&empty=";
        let form = Form::read(&post("/pay?x=1", FORM), body, "/pay", &[("To", "to"), ("Iban", "iban")]);
        let html = form.unwrap().html();
        for part in [
            "action=\"/pay?x=1\"",
            "name=\"to\" value=\"&quot;&gt;&lt;script&gt;\"",
            "name=\"amount\" value=\"12\">\n<input type=\"hidden\" name=\"amount\" value=\"13\"",
            "name=\"memo\" value=\"&#123;shown} a\r\nb\"",
            "name=\"empty\" value=\"\"",
            "<dt>To</dt><dd>&quot;&gt;&lt;script&gt;</dd>",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert!(!html.contains("Iban") && !html.contains("{fields}"), "{html}");
    }

    #[test]
    fn what_cannot_be_sent_again_is_not_kept() {
        let long = [b"a=".as_slice(), &[b'x'; FORM_BYTES_MAX]].concat();
        let many = "a=1&".repeat(FIELDS_MAX + 1);
        for (what, parts, body, page) in [
            (
                "another media type",
                post("/pay", "multipart/form-data; boundary=x"),
                b"a=1".as_slice(),
                "/pay",
            ),
            ("too long", post("/pay", FORM), &long, "/pay"),
            ("too many fields", post("/pay", FORM), many.as_bytes(), "/pay"),
            ("no text", post("/pay", FORM), b"a=%ff", "/pay"),
            ("another site", post("//evil.example/pay", FORM), b"a=1", "/pay"),
            ("a page elsewhere", post("/pay", FORM), b"a=1", "https://evil.example/"),
        ] {
            assert!(Form::read(&parts, body, page, &[]).is_none(), "{what}");
        }
    }
}
