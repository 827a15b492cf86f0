//! `introspection.yaml`: what issuers say of opaque tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Map;

use super::super::fake_issuer::Mood;
use super::super::opaque::{CERTIFICATE, Opaque, bearer, good_answer};
use super::token::Words;
use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Put over the good answer.
    #[serde(default)]
    answer: Map<String, Value>,
    /// The whole answer, with status (default 200) and media type (default JSON).
    text: Option<String>,
    status: Option<u16>,
    media: Option<Media>,
    /// Default: one that nobody else has.
    token: Option<String>,
    /// Whether the connection has a client certificate.
    #[serde(default)]
    certificate: bool,
    #[serde(default = "yes")]
    audience_required: bool,
    /// Whether the issuer must be asked.
    #[serde(default = "yes")]
    asked: bool,
    #[serde(default)]
    later_ms: i64,
    /// `ok` or a reason code.
    expect: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Media {
    #[serde(rename = "text/html")]
    Page,
    #[serde(rename = "application/token-introspection+jwt")]
    Signed,
}

fn yes() -> bool {
    true
}

#[tokio::test]
async fn every_answer_about_an_opaque_token_meets_its_reason() {
    let strict = Opaque::new(json!({})).await;
    let loose = Opaque::new(json!({ "audience_required": false })).await;
    let mut tally = Tally::default();
    for (number, case) in cases::<Case>("introspection").iter().enumerate() {
        let house = if case.audience_required { &strict } else { &loose };
        let token = case.token.clone().unwrap_or_else(|| format!("opaque-token-number-{number}"));
        prepare(house, case, &token);
        let before = house.calls();
        let first = answer(house, case, &token).await;
        let calls = house.calls() - before;
        assert_eq!(calls, usize::from(case.asked), "{}: calls", case.name);
        let again = answer(house, case, &token).await;
        // Nothing but a failure is asked again at once.
        let unknown = case.expect == "identity.issuer_unavailable";
        assert_eq!(house.calls() - before > calls, unknown, "{}: calls", case.name);
        tally.expect(&case.name, &case.expect, &[&first, &again]);
    }
    tally.close();
}

fn prepare(house: &Opaque, case: &Case, token: &str) {
    let issuer = &house.issuer.url;
    let words = Words::default().with("iss", issuer).with("cert", URL_SAFE_NO_PAD.encode(CERTIFICATE));
    let mut said = good_answer(issuer, json!({}));
    words.change(&mut said, &case.answer);
    let members = said.to_string();
    let words = words.with("members", &members[1..members.len() - 1]);
    house.issuer.opaque.lock().insert(token.to_owned(), said);
    let media = match case.media {
        None => "application/json",
        Some(Media::Page) => "text/html",
        Some(Media::Signed) => "application/token-introspection+jwt",
    };
    house.mood(match &case.text {
        None => Mood::Good,
        Some(text) => Mood::Says(case.status.unwrap_or(200), media, words.fill(text)),
    });
}

async fn answer(house: &Opaque, case: &Case, token: &str) -> String {
    let peer = Peer { client_cert_sha256: case.certificate.then_some(CERTIFICATE) };
    let now_ms = NOW_MS + case.later_ms;
    let refusal = house.refusal(0, token, &peer, now_ms).await;
    let recognised = house.stage.recognise(0, &bearer(token), &peer, now_ms);
    assert_eq!(recognised.is_some(), refusal.is_none(), "{}", case.name);
    let Some(refusal) = refusal else { return "ok".into() };
    let unknown = refusal.reason == Reason::IssuerUnavailable;
    assert_eq!(refusal.retry_after_s.is_some(), unknown, "{}", case.name);
    code(&refusal, &case.name, &[token])
}
