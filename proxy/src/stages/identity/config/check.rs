//! From sections to checked types.

use std::path::Path;
use std::sync::Arc;

use policies::Name;
use url::{Host, Url};

use super::super::session::LocalPath;
use super::super::signing::SigningKey;
use super::super::token::Algorithm;
use super::{
    Access, AppConfig, Bounds, ConfigFault, IdentityConfig, IssuerConfig, RawApplication, RawIssuer,
    RawRequirement, RawSession, RawTokenType, Requirement, SessionConfig, TokenType,
};

/// Longest token ever read, bytes; no honest access token comes near it.
pub const TOKEN_BYTES_MAX: u32 = 16 * 1024;

/// Where a check stands in the document, and the faults found so far.
struct Faults<'a> {
    found: &'a mut Vec<ConfigFault>,
    section: String,
}

impl<'a> Faults<'a> {
    fn at(found: &'a mut Vec<ConfigFault>, section: String) -> Self {
        Self { found, section }
    }

    fn add(&mut self, field: &str, problem: impl Into<String>, hint: &'static str) {
        self.found.push(ConfigFault {
            field: format!("{}.{field}", self.section),
            problem: problem.into(),
            hint,
        });
    }

    fn range(&mut self, field: &str, value: Option<u32>, default: u32, allowed: [u32; 2]) -> u32 {
        let value = value.unwrap_or(default);
        let [low, high] = allowed;
        if !(low..=high).contains(&value) {
            self.add(field, format!("{value} is outside {low} to {high}"), "give a value in the range");
        }
        value
    }

    /// Scope tokens and the like: RFC 6749 3.3, so that they stand safely inside a quoted string of a header.
    fn words(&mut self, field: &str, words: &[String]) -> Vec<String> {
        for word in words {
            let fits = !word.is_empty()
                && word.len() <= 256
                && word.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'"' && b != b'\\');
            if !fits {
                self.add(field, format!("{word:?} is not one word"), "no spaces, quotes or backslashes");
            }
        }
        words.to_vec()
    }
}

impl IdentityConfig {
    /// Checks every section; key files are read relative to `folder`.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first.
    pub fn check(
        issuers: &[RawIssuer],
        apps: &[(Name, RawApplication)],
        bounds: Bounds,
        folder: &Path,
    ) -> Result<Self, Vec<ConfigFault>> {
        let mut found = Vec::new();
        let mut checked: Vec<Arc<IssuerConfig>> = Vec::new();
        for (at, raw) in issuers.iter().enumerate() {
            let mut faults = Faults::at(&mut found, format!("issuers[{at}]"));
            if checked.iter().any(|i| *i.issuer == *raw.issuer) {
                faults.add("issuer", "stands twice", "one section for each issuer");
            }
            checked.push(Arc::new(issuer(raw, &mut faults)));
        }
        if u16::try_from(apps.len()).is_err() {
            Faults::at(&mut found, "applications".into()).add("", "too many", "at most 65,535");
        }
        let apps = apps
            .iter()
            .enumerate()
            .filter_map(|(at, (name, raw))| {
                let mut faults = Faults::at(&mut found, format!("applications[{at}].identity"));
                application(name, raw, &checked, folder, &mut faults)
            })
            .collect();
        if found.is_empty() { Ok(Self { issuers: checked, apps, bounds }) } else { Err(found) }
    }
}

impl Requirement {
    /// Checks a route's section, which stands at `section` of the document.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn check(raw: &RawRequirement, section: &str) -> Result<Self, Vec<ConfigFault>> {
        let mut found = Vec::new();
        let mut faults = Faults::at(&mut found, section.to_owned());
        let scopes = faults.words("scopes", &raw.scopes);
        let acr_values = faults.words("acr_values", &raw.acr_values);
        let demands = !scopes.is_empty() || !acr_values.is_empty() || raw.max_auth_age_s.is_some();
        if demands && raw.access != Access::Required {
            faults.add("access", "scopes, acr_values and max_auth_age_s need an identity", "use `required`");
        }
        if found.is_empty() {
            Ok(Self {
                access: raw.access,
                scopes,
                acr_values,
                max_auth_age_s: raw.max_auth_age_s.map(i64::from),
            })
        } else {
            Err(found)
        }
    }
}

fn issuer(raw: &RawIssuer, faults: &mut Faults<'_>) -> IssuerConfig {
    let plain_http = match endpoint(&raw.issuer) {
        Ok(url) => {
            if url.query().is_some() || url.fragment().is_some() {
                faults.add("issuer", "has a query or fragment", "RFC 8414 allows neither");
            }
            url.scheme() == "http"
        }
        Err(problem) => {
            faults.add("issuer", problem, ENDPOINT_HINT);
            false
        }
    };
    let jwks_uri = raw.jwks_uri.as_deref().and_then(|text| match endpoint(text) {
        Ok(url) => Some(url),
        Err(problem) => {
            faults.add("jwks_uri", problem, ENDPOINT_HINT);
            None
        }
    });
    let mut algorithms = Vec::new();
    for name in &raw.algorithms {
        match Algorithm::from_name(name) {
            Some(algorithm) if algorithms.contains(&algorithm) => {}
            Some(algorithm) => algorithms.push(algorithm),
            None => faults.add("algorithms", format!("{name:?} is not accepted"), ALGORITHM_HINT),
        }
    }
    if raw.algorithms.is_empty() {
        faults.add("algorithms", "is empty", ALGORITHM_HINT);
    }
    let refresh = faults.range("jwks_refresh_s", raw.jwks_refresh_s, 300, [10, 86_400]);
    let stale = faults.range("jwks_stale_max_s", raw.jwks_stale_max_s, 86_400, [refresh, 604_800]);
    IssuerConfig {
        issuer: raw.issuer.as_str().into(),
        jwks_uri,
        algorithms,
        token_type: match raw.token_type {
            RawTokenType::AtJwt => TokenType::Strict,
            RawTokenType::Lenient => TokenType::Lenient,
        },
        clock_skew_s: faults.range("clock_skew_s", raw.clock_skew_s, 10, [0, 60]).into(),
        jwks_refresh_s: refresh.into(),
        jwks_stale_max_s: stale.into(),
        required_claims: faults.words("required_claims", &raw.required_claims),
        token_bytes_max: faults.range(
            "token_bytes_max",
            raw.token_bytes_max,
            TOKEN_BYTES_MAX,
            [256, TOKEN_BYTES_MAX],
        ) as usize,
        plain_http,
    }
}

const ENDPOINT_HINT: &str = "https://, or http:// with a loopback address such as http://127.0.0.1:7002";
const ALGORITHM_HINT: &str = "choose from ES256, ES384, EdDSA, PS256, RS256";

/// A URL that may be fetched: HTTPS, or HTTP where the packets never leave the machine.
pub fn endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("{text:?} is not a URL: {e}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries a user name or password".into());
    }
    let local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(_)) | None => false,
    };
    match url.scheme() {
        "https" if url.host().is_some() => Ok(url),
        "http" if local => Ok(url),
        "http" => Err(format!("{text:?} is plain HTTP over the network")),
        other => Err(format!("{other:?} is not a scheme that can be fetched")),
    }
}

fn application(
    name: &Name,
    raw: &RawApplication,
    issuers: &[Arc<IssuerConfig>],
    folder: &Path,
    faults: &mut Faults<'_>,
) -> Option<AppConfig> {
    let find = |wanted: &str| issuers.iter().position(|i| *i.issuer == *wanted);
    let mut accepted = Vec::new();
    for wanted in &raw.issuers {
        match find(wanted) {
            Some(at) => accepted.push(at),
            None => {
                faults.add("issuers", format!("{wanted:?} is not configured"), "add an [[issuers]] section")
            }
        }
    }
    if raw.issuers.is_empty() {
        faults.add("issuers", "is empty", "name at least one of [[issuers]]");
    }
    if raw.audience.is_empty() {
        faults.add("audience", "is empty", "the resource that access tokens name in `aud`");
    }
    let external_url = match external_url(&raw.external_url) {
        Ok(url) => Some(url),
        Err(problem) => {
            faults.add("external_url", problem, "scheme, host and port alone, such as https://bank.example");
            None
        }
    };
    let session = raw.session.as_ref().map(|session| {
        let at = session.issuer.as_deref().map_or(accepted.first().copied(), find);
        let at = at.filter(|at| accepted.contains(at));
        if at.is_none() {
            faults.add("session.issuer", "is not accepted by the application", "name one of its issuers");
        }
        at.and_then(|at| self::session(session, at, folder, faults))
    });
    let external_url = external_url?;
    Some(AppConfig {
        name: name.clone(),
        issuers: accepted,
        audience: raw.audience.clone(),
        upstream_audience: raw.upstream_audience.clone().unwrap_or_else(|| name.to_string()),
        external_url,
        session: session.flatten(),
    })
}

fn external_url(text: &str) -> Result<Url, String> {
    let url = endpoint(text)?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("has a path, query or fragment".into());
    }
    Ok(url)
}

fn session(raw: &RawSession, issuer: usize, folder: &Path, faults: &mut Faults<'_>) -> Option<SessionConfig> {
    let key = match SigningKey::from_file(&folder.join(&raw.client_key_file)) {
        Ok(key) => Some(key),
        Err(problem) => {
            let hint = "a private P-256 key: PKCS#8 PEM or a JWK";
            faults.add("session.client_key_file", problem.to_string(), hint);
            None
        }
    };
    let mut scopes = faults.words("session.scopes", &raw.scopes);
    if !scopes.iter().any(|s| s == "openid") {
        scopes.insert(0, "openid".into());
    }
    let idle = faults.range("session.idle_s", raw.idle_s, 900, [60, 86_400]);
    let absolute = faults.range("session.absolute_s", raw.absolute_s, 28_800, [idle, 2_592_000]);
    let post_logout_path = raw.post_logout_path.clone().unwrap_or_else(|| "/".into());
    if LocalPath::parse(&post_logout_path).is_none() {
        faults.add("session.post_logout_path", "is not a local path", "such as /goodbye");
    }
    if raw.client_id.is_empty() {
        faults.add("session.client_id", "is empty", "the gateway's client id at the issuer");
    }
    Some(SessionConfig {
        issuer,
        client_id: raw.client_id.clone(),
        client_key: Arc::new(key?),
        scopes,
        resource: raw.resource.clone(),
        step_up_acr_values: faults.words("session.step_up_acr_values", &raw.step_up_acr_values),
        idle_s: idle.into(),
        absolute_s: absolute.into(),
        refresh_grace_s: faults.range("session.refresh_grace_s", raw.refresh_grace_s, 300, [0, 3_600]).into(),
        post_logout_path,
    })
}
