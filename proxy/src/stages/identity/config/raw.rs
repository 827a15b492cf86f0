//! The sections as they stand in the file.

use std::path::PathBuf;

use serde::Deserialize;

/// One `[[issuers]]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawIssuer {
    /// `iss`, exactly.
    pub issuer: String,
    /// Key set; left out: read from the discovery document.
    pub jwks_uri: Option<String>,
    /// Such as `["ES256", "PS256"]`.
    pub algorithms: Vec<String>,
    /// `at+jwt` (strict, the default) or `lenient`.
    #[serde(default)]
    pub token_type: RawTokenType,
    /// Default 10, at most 60.
    pub clock_skew_s: Option<u32>,
    /// Default 300; 10 to 86,400.
    pub jwks_refresh_s: Option<u32>,
    /// Default 86,400; at least the refresh interval.
    pub jwks_stale_max_s: Option<u32>,
    /// Further claims that must be there.
    #[serde(default)]
    pub required_claims: Vec<String>,
    /// Default and at most 16,384.
    pub token_bytes_max: Option<u32>,
    /// Opaque tokens; left out: they are refused.
    pub introspection: Option<RawIntrospection>,
}

/// An issuer's `introspection` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawIntrospection {
    /// RFC 7662 endpoint; left out: read from the discovery document.
    pub endpoint: Option<String>,
    /// The gateway's client id.
    pub client_id: String,
    /// PEM (PKCS#8) or JWK file with a private P-256 key.
    pub client_key_file: PathBuf,
    /// Whether an answer must name the application in `aud`; default true.
    pub audience_required: Option<bool>,
    /// Default 30; 1 to 300.
    pub cache_s: Option<u32>,
    /// Default 20,000; 100 to 1,000,000.
    pub entries_max: Option<u32>,
    /// Default 200; 1 to 10,000.
    pub calls_per_s: Option<u32>,
    /// Default 16; 1 to 256.
    pub parallel_max: Option<u32>,
}

/// See [`super::TokenType`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum RawTokenType {
    /// RFC 9068.
    #[default]
    #[serde(rename = "at+jwt")]
    AtJwt,
    /// Any JWT that is not recognisably something else.
    #[serde(rename = "lenient")]
    Lenient,
}

/// An application's `identity` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawApplicationIdentity {
    /// Issuers it accepts, each one of `[[issuers]]`.
    pub issuers: Vec<String>,
    /// The resource that access tokens must be meant for.
    pub audience: String,
    /// `aud` of the token for the upstream; default: the same.
    pub upstream_audience: Option<String>,
    /// Proofs of possession (RFC 9449).
    #[serde(default)]
    pub dpop: RawDpop,
    /// What a step-up may ask for.
    #[serde(default)]
    pub step_up_acr_values: Vec<String>,
    /// Browser log-in.
    pub session: Option<RawSession>,
}

/// An application's `identity.dpop` section.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDpop {
    /// Oldest proof accepted; default 60, 5 to 600.
    pub proof_age_s: Option<u32>,
    /// Whether every proof must carry a nonce of the gateway's; default no.
    #[serde(default)]
    pub nonce: bool,
}

/// An application's `identity.session` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSession {
    /// Issuer to log in at; default: the application's first.
    pub issuer: Option<String>,
    /// The gateway's client id.
    pub client_id: String,
    /// PEM (PKCS#8) or JWK file with a private P-256 key.
    pub client_key_file: PathBuf,
    /// Scopes; `openid` is added.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whether every log-in asks for consent (`prompt=consent`); default: if `scopes` has `offline_access`.
    pub prompt_consent: Option<bool>,
    /// RFC 8707 resource.
    pub resource: Option<String>,
    /// Default 900; 60 to 86,400.
    pub idle_s: Option<u32>,
    /// Default 28,800; at least `idle_s`, at most 2,592,000.
    pub absolute_s: Option<u32>,
    /// Default 300, at most 3,600.
    pub refresh_grace_s: Option<u32>,
    /// Default `/`.
    pub post_logout_path: Option<String>,
}
