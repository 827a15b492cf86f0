//! What the upstream is told, and what of its answer the client is not.

use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use policies::evidence::Scored;
use policies::{Evidence, Verdict};

use super::forwarded::Client;
use super::identity::{SESSION_COOKIE, Vouched};
use super::respond::is_gateway_header;

/// Makes the header fields that the upstream gets: the client's copies of the gateway's are gone, its credentials stay
/// behind (`certificate` is the field for client certificates), and who it is stands in `Gatehouse-*`.
///
/// # Errors
/// A field that cannot be written.
pub fn prepare(
    headers: &mut HeaderMap,
    client: &Client,
    certificate: Option<&HeaderName>,
    decision: &str,
    vouched: Option<&Vouched>,
) -> Result<(), InvalidHeaderValue> {
    let left_behind: Vec<HeaderName> =
        headers.keys().filter(|n| stays_behind(n, certificate)).cloned().collect();
    for name in left_behind {
        headers.remove(&name);
    }
    without_session_cookie(headers);
    headers.insert(FORWARDED_FOR, HeaderValue::try_from(client.address.to_string())?);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if client.tls { "https" } else { "http" }));
    headers.insert(DECISION, HeaderValue::from_str(decision)?);
    if let Some(vouched) = vouched {
        headers.insert(IDENTITY, vouched.token.clone());
        headers.insert(SUBJECT, vouched.subject.clone());
        headers.insert(SCOPES, vouched.scopes.clone());
    }
    Ok(())
}

/// The id of the decision, on every response and every forwarded request.
pub const DECISION: HeaderName = HeaderName::from_static("gatehouse-decision");
const IDENTITY: HeaderName = HeaderName::from_static("gatehouse-identity");
const SUBJECT: HeaderName = HeaderName::from_static("gatehouse-subject");
const SCOPES: HeaderName = HeaderName::from_static("gatehouse-scopes");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FRAUD_SCORE: HeaderName = HeaderName::from_static("gatehouse-fraud-score");
const FRAUD_REASONS: HeaderName = HeaderName::from_static("gatehouse-fraud-reasons");
const FRAUD_OUTCOME: HeaderName = HeaderName::from_static("gatehouse-fraud-outcome");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Credentials, what only a proxy may say, and what would make some servers act on another address or method than the
/// one that was judged.
const LEFT_BEHIND: [&str; 16] = [
    "authorization",
    "proxy-authorization",
    "dpop",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "x-cluster-client-ip",
    "cf-connecting-ip",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "proxy",
];

/// The same by the beginning of their names: what proxies say of clients and their certificates.
const LEFT_BEHIND_FROM: [&str; 6] =
    ["x-forwarded", "client-cert", "x-client-cert", "ssl-client-", "x-ssl-", "x-amzn-mtls-"];

/// Whether a header of the client's goes no further, in any spelling that some server folds onto it.
fn stays_behind(name: &HeaderName, certificate: Option<&HeaderName>) -> bool {
    if is_gateway_header(name) {
        return true;
    }
    let name = name.as_str().as_bytes();
    let spelt =
        |wanted: &str| name.iter().zip(wanted.bytes()).all(|(&n, w)| n == w || (n == b'_' && w == b'-'));
    let begins = |wanted: &str| name.len() >= wanted.len() && spelt(wanted);
    let is = |wanted: &str| name.len() == wanted.len() && spelt(wanted);
    LEFT_BEHIND_FROM.iter().any(|wanted| begins(wanted))
        || LEFT_BEHIND.iter().any(|wanted| is(wanted))
        || certificate.is_some_and(|wanted| is(wanted.as_str()))
}

/// Tells the upstream the scores of a route that only wants to know them.
///
/// # Errors
/// A field that cannot be written.
pub fn tell_scores(
    headers: &mut HeaderMap,
    evidence: &Evidence,
    verdict: Option<&Verdict>,
) -> Result<(), InvalidHeaderValue> {
    if let Some(Scored::Available(score)) = &evidence.fraud {
        headers.insert(FRAUD_SCORE, HeaderValue::try_from(format!("{:.4}", score.value))?);
        let sentences: Vec<String> = score.sentences.iter().map(|s| encoded(s)).collect();
        headers.insert(FRAUD_REASONS, HeaderValue::try_from(sentences.join(";"))?);
    }
    let outcome = verdict.map_or("allow", |v| v.outcome.name());
    headers.insert(FRAUD_OUTCOME, HeaderValue::from_static(outcome));
    Ok(())
}

/// Takes away what only the gateway may say, and what names the upstream's software.
pub fn clean_response(headers: &mut HeaderMap) {
    let unwanted = |name: &&HeaderName| is_gateway_header(name) || NAMES_SOFTWARE.contains(name);
    let found: Vec<HeaderName> = headers.keys().filter(unwanted).cloned().collect();
    for name in &found {
        headers.remove(name);
    }
    without_gateway_cookies(headers);
}

/// An application that could set the session's cookie could put its visitors into a session of its choice.
fn without_gateway_cookies(headers: &mut HeaderMap) {
    let set = headers.get_all(header::SET_COOKIE);
    let is_ours = |cookie: &HeaderValue| is_gateway_cookie(cookie.as_bytes().trim_ascii_start());
    if !set.iter().any(is_ours) {
        return;
    }
    let others: Vec<HeaderValue> = set.iter().filter(|cookie| !is_ours(cookie)).cloned().collect();
    headers.remove(header::SET_COOKIE);
    for cookie in others {
        headers.append(header::SET_COOKIE, cookie);
    }
}

const NAMES_SOFTWARE: [HeaderName; 2] = [header::SERVER, HeaderName::from_static("x-powered-by")];

/// The session cookie is between browser and gateway.
fn without_session_cookie(headers: &mut HeaderMap) {
    let cookies = headers.get_all(header::COOKIE);
    if !cookies.iter().any(|v| contains(v.as_bytes(), SESSION_COOKIE.as_bytes())) {
        return;
    }
    let kept: Vec<Vec<u8>> = cookies
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty() && !is_gateway_cookie(pair))
        .map(<[u8]>::to_vec)
        .collect();
    headers.remove(header::COOKIE);
    if let Ok(value) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
        && !kept.is_empty()
    {
        headers.insert(header::COOKIE, value);
    }
}

/// Session and log-in cookies share their beginning.
fn is_gateway_cookie(pair: &[u8]) -> bool {
    pair.starts_with(SESSION_COOKIE.as_bytes())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

/// Header-safe: what is not a plain character is percent-encoded, so that no value can break out of its field.
pub fn encoded(text: &str) -> String {
    const KEPT: percent_encoding::AsciiSet =
        NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@').remove(b':');
    utf8_percent_encode(text, &KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        let named = |name: &str| HeaderName::try_from(name).unwrap();
        lines.iter().map(|(name, value)| (named(name), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn prepared(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = fields(lines);
        let client = Client { address: [192, 0, 2, 7].into(), ..Client::default() };
        let certificate = HeaderName::from_static("x-bank-cert");
        prepare(&mut headers, &client, Some(&certificate), "d1", None).unwrap();
        headers
    }

    #[test]
    fn nothing_that_the_gateway_says_comes_from_the_client() {
        let headers = prepared(&[
            ("Gatehouse-Identity", "forged"),
            ("gatehouse_subject", "forged"),
            ("GATEHOUSE-Scopes", "forged"),
            ("X-Forwarded-For", "10.0.0.1"),
            ("Forwarded", "for=10.0.0.1"),
            ("Authorization", "Bearer secret"),
            ("X_Forwarded_For", "forged"),
            ("X-Forwarded-Port", "forged"),
            ("X_Real-IP", "forged"),
            ("X-Original-URL", "forged"),
            ("X-HTTP-Method-Override", "forged"),
            ("Proxy", "forged"),
            ("Client-Cert", "forged"),
            ("Client-Cert-Chain", "forged"),
            ("X_SSL-Client-Verify", "forged"),
            ("SSL-Client-S-DN", "forged"),
            ("X-Original-Host", "forged"),
            ("X_Bank-Cert", "forged"),
        ]);
        assert!(headers.values().all(|v| v != "forged" && v != "Bearer secret"), "{headers:?}");
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
        assert!(!headers.contains_key("forwarded"));
    }

    #[test]
    fn an_application_sets_its_own_cookies_alone() {
        let fixed = format!(" {SESSION_COOKIE}=fixed; Path=/; Secure");
        let mut headers =
            fields(&[("Set-Cookie", "theme=dark"), ("Set-Cookie", &fixed), ("Set-Cookie", "lang=de")]);
        clean_response(&mut headers);
        let left: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(left, ["theme=dark", "lang=de"]);
    }

    #[test]
    fn the_session_cookie_stays_behind() {
        let cookie = format!("theme=dark; {SESSION_COOKIE}=secret; lang=de");
        let headers = prepared(&[("Cookie", &cookie)]);
        assert_eq!(headers[header::COOKIE], "theme=dark; lang=de");
        let only = format!("{SESSION_COOKIE}=secret");
        assert!(!prepared(&[("Cookie", &only)]).contains_key(header::COOKIE));
    }
}
