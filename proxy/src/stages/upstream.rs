//! What the upstream is told, and what of its answer the client is not.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pingora::http::{RequestHeader, ResponseHeader};
use policies::evidence::Scored;
use policies::facts::Identity;
use policies::{Evidence, Verdict};

use super::identity::SESSION_COOKIE;
use super::respond::is_gateway_header;

/// The client's end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Whether it came over TLS.
    pub tls: bool,
}

/// Makes the request that the upstream gets: the client's copies of the gateway's headers are gone, its credentials
/// stay behind, and who it is stands in `Gatehouse-*`.
///
/// # Errors
/// A header that cannot be written.
pub fn prepare(
    request: &mut RequestHeader,
    client: Client,
    decision: &str,
    identity: Option<&Identity>,
    minted: Option<HeaderValue>,
) -> pingora::Result<()> {
    let left_behind: Vec<HeaderName> = request.headers.keys().filter(|n| stays_behind(n)).cloned().collect();
    for name in left_behind {
        request.remove_header(&name);
    }
    without_session_cookie(request)?;
    request.insert_header(FORWARDED_FOR, client.address.to_string())?;
    request.insert_header(FORWARDED_PROTO, if client.tls { "https" } else { "http" })?;
    request.insert_header(DECISION, decision)?;
    if let (Some(identity), Some(minted)) = (identity, minted) {
        request.insert_header(IDENTITY, minted)?;
        request.insert_header(SUBJECT, encoded(&identity.subject))?;
        request.insert_header(SCOPES, encoded_scopes(identity))?;
    }
    Ok(())
}

/// The id of the decision, on every response and every forwarded request.
pub const DECISION: HeaderName = HeaderName::from_static("gatehouse-decision");
const IDENTITY: HeaderName = HeaderName::from_static("gatehouse-identity");
const SUBJECT: HeaderName = HeaderName::from_static("gatehouse-subject");
const SCOPES: HeaderName = HeaderName::from_static("gatehouse-scopes");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Credentials, what only a proxy may say, and what would make some servers act on another address or method than the
/// one that was judged.
const LEFT_BEHIND: [&str; 13] = [
    "authorization",
    "proxy-authorization",
    "dpop",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "proxy",
];

/// Whether a header of the client's goes no further, in any spelling that some server folds onto it.
fn stays_behind(name: &HeaderName) -> bool {
    if is_gateway_header(name) {
        return true;
    }
    let name = name.as_str().as_bytes();
    let spelt =
        |wanted: &str| name.iter().zip(wanted.bytes()).all(|(&n, w)| n == w || (n == b'_' && w == b'-'));
    let begins = |wanted: &str| name.len() >= wanted.len() && spelt(wanted);
    begins("x-forwarded") || LEFT_BEHIND.iter().any(|wanted| name.len() == wanted.len() && spelt(wanted))
}

/// Tells the upstream the scores of a route that only wants to know them.
///
/// # Errors
/// A header that cannot be written.
pub fn tell_scores(
    request: &mut RequestHeader,
    evidence: &Evidence,
    verdict: Option<&Verdict>,
) -> pingora::Result<()> {
    if let Some(Scored::Available(score)) = &evidence.fraud {
        request.insert_header("gatehouse-fraud-score", format!("{:.4}", score.value))?;
        let sentences: Vec<String> = score.sentences.iter().map(|s| encoded(s)).collect();
        request.insert_header("gatehouse-fraud-reasons", sentences.join(";"))?;
    }
    let outcome = verdict.map_or("allow", |v| v.outcome.name());
    request.insert_header("gatehouse-fraud-outcome", outcome)
}

/// Takes away what only the gateway may say, and what names the upstream's software.
///
/// # Errors
/// None in practice; kept for the header map's own bounds.
pub fn clean_response(response: &mut ResponseHeader) -> pingora::Result<()> {
    let unwanted = |name: &&HeaderName| is_gateway_header(name) || NAMES_SOFTWARE.contains(name);
    let found: Vec<HeaderName> = response.headers.keys().filter(unwanted).cloned().collect();
    for name in &found {
        response.remove_header(name);
    }
    without_gateway_cookies(response)
}

/// An application that could set the session's cookie could put its visitors into a session of its choice.
fn without_gateway_cookies(response: &mut ResponseHeader) -> pingora::Result<()> {
    let set = response.headers.get_all(header::SET_COOKIE);
    let is_ours = |cookie: &HeaderValue| is_gateway_cookie(cookie.as_bytes().trim_ascii_start());
    if !set.iter().any(is_ours) {
        return Ok(());
    }
    let others: Vec<HeaderValue> = set.iter().filter(|cookie| !is_ours(cookie)).cloned().collect();
    response.remove_header(&header::SET_COOKIE);
    for cookie in others {
        response.append_header(header::SET_COOKIE, cookie)?;
    }
    Ok(())
}

const NAMES_SOFTWARE: [HeaderName; 2] = [header::SERVER, HeaderName::from_static("x-powered-by")];

/// The session cookie is between browser and gateway.
fn without_session_cookie(request: &mut RequestHeader) -> pingora::Result<()> {
    if !request
        .headers
        .get_all(header::COOKIE)
        .iter()
        .any(|v| contains(v.as_bytes(), SESSION_COOKIE.as_bytes()))
    {
        return Ok(());
    }
    let kept: Vec<Vec<u8>> = request
        .headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty() && !is_gateway_cookie(pair))
        .map(<[u8]>::to_vec)
        .collect();
    request.remove_header(&header::COOKIE);
    match HeaderValue::from_bytes(&kept.join(&b"; "[..])) {
        Ok(value) if !kept.is_empty() => request.insert_header(header::COOKIE, value),
        _ => Ok(()),
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
fn encoded(text: &str) -> String {
    const KEPT: percent_encoding::AsciiSet =
        NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@').remove(b':');
    utf8_percent_encode(text, &KEPT).to_string()
}

fn encoded_scopes(identity: &Identity) -> String {
    let scopes: Vec<String> = identity.scopes.iter().map(|s| encoded(s)).collect();
    scopes.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(lines: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in lines {
            request.append_header(*name, *value).unwrap();
        }
        let client = Client { address: [192, 0, 2, 7].into(), tls: false };
        prepare(&mut request, client, "d1", None, None).unwrap();
        request
    }

    #[test]
    fn nothing_that_the_gateway_says_comes_from_the_client() {
        let request = prepared(&[
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
        ]);
        assert!(
            request.headers.values().all(|v| v != "forged" && v != "Bearer secret"),
            "{:?}",
            request.headers
        );
        assert_eq!(request.headers["x-forwarded-for"], "192.0.2.7");
        assert!(!request.headers.contains_key("forwarded"));
    }

    #[test]
    fn an_application_sets_its_own_cookies_alone() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for cookie in ["theme=dark", &format!(" {SESSION_COOKIE}=fixed; Path=/; Secure"), "lang=de"] {
            response.append_header("Set-Cookie", cookie).unwrap();
        }
        clean_response(&mut response).unwrap();
        let left: Vec<_> = response.headers.get_all("set-cookie").iter().collect();
        assert_eq!(left, ["theme=dark", "lang=de"]);
    }

    #[test]
    fn the_session_cookie_stays_behind() {
        let cookie = format!("theme=dark; {SESSION_COOKIE}=secret; lang=de");
        let request = prepared(&[("Cookie", &cookie)]);
        assert_eq!(request.headers[header::COOKIE], "theme=dark; lang=de");
        let only = format!("{SESSION_COOKIE}=secret");
        assert!(!prepared(&[("Cookie", &only)]).headers.contains_key(header::COOKIE));
    }
}
