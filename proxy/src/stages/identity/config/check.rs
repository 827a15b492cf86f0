//! From sections to checked types.

use std::path::Path;
use std::sync::Arc;

use url::{Host, Url};

use super::super::session::LocalPath;
use super::super::signing::SigningKey;
use super::super::token::Algorithm;
use super::{
    ApplicationIdentity, IntrospectionConfig, IssuerConfig, RawApplicationIdentity, RawIntrospection,
    RawIssuer, RawSession, RawTokenType, SessionConfig, TokenType, Wrong,
};

/// The scope for refresh tokens, which providers ignore without consent (OpenID Connect Core 11).
const OFFLINE_ACCESS: &str = "offline_access";

/// Longest token ever read, bytes (no honest access token comes near it).
pub const TOKEN_BYTES_MAX: u32 = 16 * 1024;

/// What was found wrong so far.
#[derive(Default)]
struct Faults(Vec<Wrong>);

impl Faults {
    fn add(&mut self, field: &str, what: impl Into<String>, hint: &'static str) {
        self.0.push(Wrong { field: field.to_owned(), what: what.into(), hint });
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

    fn endpoint(&mut self, field: &str, text: Option<&str>) -> Option<Url> {
        endpoint(text?).map_err(|problem| self.add(field, problem, ENDPOINT_HINT)).ok()
    }

    fn algorithms(&mut self, names: &[String]) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for name in names {
            match Algorithm::from_name(name) {
                Some(algorithm) if algorithms.contains(&algorithm) => {}
                Some(algorithm) => algorithms.push(algorithm),
                None => self.add("algorithms", format!("{name:?} is not accepted"), ALGORITHM_HINT),
            }
        }
        if names.is_empty() {
            self.add("algorithms", "is empty", ALGORITHM_HINT);
        }
        algorithms
    }

    /// The gateway as a client of an issuer: its id and its key.
    fn client(&mut self, section: &str, id: &str, file: &Path) -> Option<Arc<SigningKey>> {
        if id.is_empty() {
            let field = format!("{section}.client_id");
            self.add(&field, "is empty", "the gateway's client id at the issuer");
        }
        match SigningKey::from_file(file) {
            Ok(key) => Some(Arc::new(key)),
            Err(problem) => {
                let field = format!("{section}.client_key_file");
                self.add(&field, problem.to_string(), "a private P-256 key: PKCS#8 PEM or a JWK");
                None
            }
        }
    }
}

/// Checks one `[[issuers]]` section; key files are relative to `folder`.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub fn issuer(raw: RawIssuer, folder: &Path) -> Result<IssuerConfig, Vec<Wrong>> {
    let mut faults = Faults::default();
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
    let jwks_uri = faults.endpoint("jwks_uri", raw.jwks_uri.as_deref());
    let algorithms = faults.algorithms(&raw.algorithms);
    let refresh = faults.range("jwks_refresh_s", raw.jwks_refresh_s, 300, [10, 86_400]);
    let stale = faults.range("jwks_stale_max_s", raw.jwks_stale_max_s, 86_400, [refresh, 604_800]);
    let introspection = raw.introspection.and_then(|section| introspection(&section, folder, &mut faults));
    let config = IssuerConfig {
        jwks_uri,
        introspection,
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
        issuer: raw.issuer,
    };
    if faults.0.is_empty() { Ok(config) } else { Err(faults.0) }
}

fn introspection(raw: &RawIntrospection, folder: &Path, faults: &mut Faults) -> Option<IntrospectionConfig> {
    let client_key = faults.client("introspection", &raw.client_id, &folder.join(&raw.client_key_file));
    let mut range = |name, value, default, allowed| {
        faults.range(&format!("introspection.{name}"), value, default, allowed)
    };
    let cache_s = range("cache_s", raw.cache_s, 30, [1, 300]);
    let entries_max = range("entries_max", raw.entries_max, 20_000, [100, 1_000_000]);
    let calls_per_s = range("calls_per_s", raw.calls_per_s, 200, [1, 10_000]);
    let parallel_max = range("parallel_max", raw.parallel_max, 16, [1, 256]);
    Some(IntrospectionConfig {
        endpoint: faults.endpoint("introspection.endpoint", raw.endpoint.as_deref()),
        client_id: raw.client_id.clone(),
        client_key: client_key?,
        audience_required: raw.audience_required.unwrap_or(true),
        cache_s: cache_s.into(),
        entries_max: entries_max as usize,
        calls_per_s,
        parallel_max: parallel_max as usize,
    })
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

/// Checks an application's `identity` section against the issuers found before; key files are relative to `folder`.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub fn application(
    raw: RawApplicationIdentity,
    external_url: &Url,
    issuers: &[IssuerConfig],
    folder: &Path,
) -> Result<ApplicationIdentity, Vec<Wrong>> {
    let mut faults = Faults::default();
    for wanted in &raw.issuers {
        if !issuers.iter().any(|i| i.issuer == *wanted) {
            faults.add(
                "issuers",
                format!("{wanted:?} is not configured"),
                "add an [[issuers]] section for it",
            );
        }
    }
    if raw.issuers.is_empty() {
        faults.add("issuers", "is empty", "name at least one of [[issuers]]");
    }
    if raw.audience.is_empty() {
        faults.add("audience", "is empty", "the resource that access tokens name in `aud`");
    }
    if let Err(what) = external(external_url) {
        faults.add("", what, "external_url is scheme, host and port alone, such as https://bank.example");
    }
    let session = raw.session.and_then(|section| {
        let issuer = section.issuer.clone().or_else(|| raw.issuers.first().cloned()).unwrap_or_default();
        if !raw.issuers.contains(&issuer) {
            faults.add("session.issuer", "is not accepted by the application", "name one of its issuers");
        }
        session(&section, issuer, folder, &mut faults)
    });
    let proof_age_s: i64 = faults.range("dpop.proof_age_s", raw.dpop.proof_age_s, 60, [5, 600]).into();
    let checked = ApplicationIdentity {
        issuers: raw.issuers,
        upstream_audience: raw.upstream_audience.unwrap_or_else(|| raw.audience.clone()),
        audience: raw.audience,
        external_url: external_url.clone(),
        proof_age_ms: proof_age_s.saturating_mul(1000),
        proof_nonce: raw.dpop.nonce,
        step_up_acr_values: faults.words("step_up_acr_values", &raw.step_up_acr_values),
        session,
    };
    if faults.0.is_empty() { Ok(checked) } else { Err(faults.0) }
}

fn external(url: &Url) -> Result<(), String> {
    endpoint(url.as_str())?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("external_url has a path, query or fragment".into());
    }
    Ok(())
}

fn session(raw: &RawSession, issuer: String, folder: &Path, faults: &mut Faults) -> Option<SessionConfig> {
    let key = faults.client("session", &raw.client_id, &folder.join(&raw.client_key_file));
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
    Some(SessionConfig {
        issuer,
        client_id: raw.client_id.clone(),
        client_key: key?,
        prompt_consent: raw.prompt_consent.unwrap_or_else(|| scopes.iter().any(|s| s == OFFLINE_ACCESS)),
        scopes,
        resource: raw.resource.clone(),
        idle_s: idle.into(),
        absolute_s: absolute.into(),
        refresh_grace_s: faults.range("session.refresh_grace_s", raw.refresh_grace_s, 300, [0, 3_600]).into(),
        post_logout_path,
    })
}
