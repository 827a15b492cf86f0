//! What an operator writes about issuers, applications and routes, and the checked types that the stage works with.
//!
//! The `Raw…` sections are plain serde with unknown fields denied; [`issuer`] and [`application`] turn them into types
//! whose every value is usable, or say everything that is wrong at once, each with its field and a hint.

mod check;
mod raw;

use std::fmt;
use std::sync::Arc;

use url::Url;

use super::token::Algorithm;
pub use check::{application, endpoint, issuer};
pub use raw::{RawApplicationIdentity, RawDpop, RawIntrospection, RawIssuer, RawSession, RawTokenType};

/// Something wrong in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which field of the section; `session.idle_s` for one of a section inside it.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
    /// What to write instead.
    pub hint: &'static str,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.field, self.what, self.hint)
    }
}

impl std::error::Error for Wrong {}
/// How many entries each table may hold; the configuration's `identity` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Verified tokens remembered.
    pub remembered_tokens: usize,
    /// Sessions held in the process (more may be in the store).
    pub cached_sessions: usize,
    /// Identity tokens for upstreams kept for reuse.
    pub minted_tokens: usize,
    /// Revocations in force.
    pub revocations: usize,
    /// Log-ins that may be begun within ten minutes.
    pub logins: u32,
    /// DPoP proofs of one subject that may be remembered at the same time: a tenth of what the store has room for.
    pub proofs_of_subject: u32,
    /// Requests at one application's own paths that may be under way at the same time.
    pub own_requests: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            remembered_tokens: 100_000,
            cached_sessions: 50_000,
            minted_tokens: 100_000,
            revocations: 100_000,
            logins: 20_000,
            proofs_of_subject: 100_000,
            own_requests: 1_000,
        }
    }
}

/// What kind of JWT an issuer gives as an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// `typ` is `at+jwt` and every claim that RFC 9068 requires is there.
    Strict,
    /// `typ` may be missing or `JWT`; ID tokens are still refused.
    Lenient,
}

/// One trusted issuer.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// Compared byte for byte with `iss`.
    pub issuer: String,
    /// Where its keys are; `None`: said by its discovery document.
    pub jwks_uri: Option<Url>,
    /// Signature algorithms accepted from it.
    pub algorithms: Vec<Algorithm>,
    /// Profile of its access tokens.
    pub token_type: TokenType,
    /// How far `nbf` and `iat` may lie in the future, seconds, 0..=60.
    pub clock_skew_s: i64,
    /// Keys are fetched again after this many seconds.
    pub jwks_refresh_s: i64,
    /// Keys that could not be fetched again are used up to this age, seconds.
    pub jwks_stale_max_s: i64,
    /// Claims that must be present besides those the profile requires.
    pub required_claims: Vec<String>,
    /// Longest token read, bytes, at most 16 KiB.
    pub token_bytes_max: usize,
    /// Whether plain HTTP is acceptable: true only where the issuer itself is on a loopback address.
    pub plain_http: bool,
    /// How its opaque tokens are asked about; `None`: they are refused.
    pub introspection: Option<IntrospectionConfig>,
}

/// How an issuer is asked about opaque tokens (RFC 7662).
#[derive(Clone, Debug)]
pub struct IntrospectionConfig {
    /// Where; `None`: said by its discovery document.
    pub endpoint: Option<Url>,
    /// The gateway's client id there.
    pub client_id: String,
    /// The key of the gateway's `private_key_jwt`.
    pub client_key: Arc<super::signing::SigningKey>,
    /// Whether an answer must name the application's audience; otherwise only one that is given must.
    pub audience_required: bool,
    /// How long an answer is believed, seconds, 1..=300.
    pub cache_s: i64,
    /// Tokens remembered as active, and as many as refused.
    pub entries_max: usize,
    /// Calls for tokens never seen before that may begin within a second, and as many for known ones.
    pub calls_per_s: u32,
    /// Calls of either kind that may be under way at the same time.
    pub parallel_max: usize,
}

/// What one application accepts and how it logs people in.
#[derive(Clone, Debug)]
pub struct ApplicationIdentity {
    /// Issuers it accepts (`iss`).
    pub issuers: Vec<String>,
    /// The resource that access tokens must name in `aud`.
    pub audience: String,
    /// `aud` of the identity token that its upstream gets.
    pub upstream_audience: String,
    /// Scheme, host and port that browsers see.
    pub external_url: Url,
    /// Oldest DPoP proof accepted, milliseconds.
    pub proof_age_ms: i64,
    /// Whether a DPoP proof must carry a nonce of the gateway's (RFC 9449 9).
    pub proof_nonce: bool,
    /// `acr_values` that a step-up may ask for; the first is the default.
    pub step_up_acr_values: Vec<String>,
    /// Browser log-in; `None`: the application is an API only.
    pub session: Option<SessionConfig>,
}

/// How an application's people log in.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The issuer they log in at.
    pub issuer: String,
    /// The gateway's client id there.
    pub client_id: String,
    /// The key of the gateway's `private_key_jwt`.
    pub client_key: Arc<super::signing::SigningKey>,
    /// Scopes asked for; `openid` is always among them.
    pub scopes: Vec<String>,
    /// Whether the person is asked to consent at every log-in.
    pub prompt_consent: bool,
    /// `resource` (RFC 8707) asked for.
    pub resource: Option<String>,
    /// A session unused this long is over, seconds.
    pub idle_s: i64,
    /// A session older than this is over, seconds.
    pub absolute_s: i64,
    /// How long a session goes on while its refresh cannot reach the issuer, seconds.
    pub refresh_grace_s: i64,
    /// Local path to which a logged-out browser returns.
    pub post_logout_path: String,
}

/// What a route asks of the caller's identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// Whether there must be an identity at all.
    pub access: Access,
    /// Scopes that must all be granted.
    pub scopes: Vec<String>,
    /// Authentication context classes, one of which must hold; none: any.
    pub acr_values: Vec<String>,
    /// How long ago the person may have authenticated, seconds.
    pub max_auth_age_s: Option<i64>,
}

/// Whether a route needs an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Credentials are not looked at.
    Public,
    /// Without credentials the request goes on anonymously; bad credentials are still refused.
    Optional,
    /// Without a valid credential the request is refused.
    #[default]
    Required,
}
