//! Every way in which a request can be refused before or beside the policy's verdict: one table.
//!
//! A stage returns a [`Refusal`]; `stages/respond` alone turns it into bytes. What the client reads stands in the table;
//! what the log reads travels in [`Refusal::inside`] and never leaves the gateway.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use policies::Outcome;

/// A refused request: which row of the table, and what this case adds to it.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The row.
    pub reason: Reason,
    /// Header fields of this case, such as `WWW-Authenticate`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Seconds for `Retry-After`.
    pub retry_after_s: Option<u64>,
    /// For the log and the record only; may name internals, never secrets.
    pub inside: Cow<'static, str>,
}

impl Refusal {
    /// A refusal by `reason`; `inside` says for the log what exactly was wrong.
    pub fn new(reason: Reason, inside: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, headers: Vec::new(), retry_after_s: None, inside: inside.into() }
    }

    /// Adds a header field.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `Retry-After`.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

/// One row: the stable code, the status, and the words for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Stable code, also the last part of the problem `type`.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Short title, the same for every occurrence (RFC 9457 3.1.3).
    pub title: &'static str,
    /// What this counts as in records and metrics.
    pub outcome: Outcome,
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident => $code:literal $status:literal $outcome:ident $title:literal,)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, for metrics and documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// This reason's row.
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$name => Row { code: $code, status: $status, title: $title, outcome: Outcome::$outcome },)*
                }
            }
        }
    };
}

table! {
    /// A request the gateway cannot read in one way only.
    Ambiguous => "request.ambiguous" 400 Deny "The request can be read in more than one way",
    /// Bytes that are no HTTP request.
    Malformed => "request.malformed" 400 Deny "The request cannot be read as HTTP",
    /// Bad percent-encoding, control characters, overlong UTF-8 in the target.
    BadEncoding => "request.encoding" 400 Deny "The request target is not encoded correctly",
    /// Header section over its bound.
    HeadersTooLarge => "request.headers_too_large" 431 Deny "The request header is too large",
    /// Target over its bound.
    TargetTooLong => "request.target_too_long" 414 Deny "The request target is too long",
    /// Body over the route's bound.
    BodyTooLarge => "request.body_too_large" 413 Deny "The request body is too large",
    /// Body later than its deadline.
    BodyTooSlow => "request.body_too_slow" 408 Deny "The request body did not arrive in time",
    /// Body that the route's mapping cannot read.
    BodyUnreadable => "request.body_unreadable" 400 Deny "The request body cannot be read",
    /// More parameters or deeper JSON than the bound.
    TooComplex => "request.too_complex" 400 Deny "The request has too many parts",
    /// Method that the route does not take.
    MethodNotAllowed => "request.method" 405 Deny "This method is not allowed here",
    /// No application answers to this host.
    UnknownHost => "request.unknown_host" 421 Deny "No application answers to this host name",
    /// No route matches.
    NotFound => "request.not_found" 404 Deny "There is nothing at this address",
    /// Cross-site write with a session cookie.
    CrossSite => "request.cross_site" 403 Deny "This request came from another site",

    /// No credentials where the route needs them.
    TokenMissing => "token.missing" 401 Deny "Authentication is needed",
    /// Two credentials, two methods, or a token in the query.
    TokenAmbiguous => "token.ambiguous" 400 Deny "More than one credential was sent",
    /// Not a token at all, or over 16 KiB.
    TokenMalformed => "token.malformed" 401 Deny "The access token cannot be read",
    /// `typ`, `alg` or `crit` not accepted.
    TokenHeader => "token.header" 401 Deny "The access token is of a kind not accepted here",
    /// Signature does not verify, or no key fits.
    TokenSignature => "token.signature" 401 Deny "The access token's signature is not valid",
    /// Wrong issuer.
    TokenIssuer => "token.issuer" 401 Deny "The access token is from an issuer not accepted here",
    /// Meant for another audience.
    TokenAudience => "token.audience" 401 Deny "The access token is meant for another service",
    /// Past its `exp`.
    TokenExpired => "token.expired" 401 Deny "The access token has expired",
    /// `nbf` or `iat` in the future.
    TokenNotYetValid => "token.not_yet_valid" 401 Deny "The access token is not valid yet",
    /// A required claim is missing or of a wrong type.
    TokenClaims => "token.claims" 401 Deny "The access token lacks a required claim",
    /// Its issuer says that it is not active (RFC 7662 2.2).
    TokenInactive => "token.inactive" 401 Deny "The access token is not active",
    /// Revoked.
    TokenRevoked => "token.revoked" 401 Deny "The access token was revoked",
    /// A bound token without, or with a wrong, proof.
    TokenBinding => "token.binding" 401 Deny "The access token is bound to a key that was not proved",
    /// A DPoP proof that proves nothing (RFC 9449 4.3).
    DpopProof => "token.dpop_proof" 401 Deny "The proof of possession is not valid",
    /// A DPoP proof without a current nonce (RFC 9449 9).
    DpopNonce => "token.dpop_nonce" 401 Deny "The proof of possession needs a current nonce",
    /// A DPoP proof that was seen before (RFC 9449 11.1).
    DpopReplayed => "token.dpop_replayed" 401 Deny "The proof of possession was used before",
    /// Not enough scope.
    ScopeInsufficient => "token.scope" 403 Deny "The access token does not allow this",
    /// The token's `authorization_details` do not name this transfer (RFC 9396).
    TransferNotAuthorised => "token.authorization_details" 403 Deny "The access token does not authorise this transfer",
    /// They did, and it was made.
    AuthorisationSpent => "token.authorization_spent" 403 Deny "This authorised transfer was made before",
    /// Weak `acr` or old `auth_time` (RFC 9470).
    StepUpNeeded => "identity.step_up" 401 StepUp "A stronger or more recent log-in is needed",
    /// Keys or introspection out of reach beyond the bound.
    IssuerUnavailable => "identity.issuer_unavailable" 503 Deny "Identities cannot be checked at the moment",
    /// Session unknown or over; the browser may log in again.
    SessionEnded => "session.ended" 401 Deny "The session has ended",
    /// Log-in could not be completed.
    LoginFailed => "session.login_failed" 400 Deny "The log-in could not be completed",

    /// Address over its rate.
    LimitAddress => "limit.address" 429 Throttle "Too many requests from this address",
    /// Customer over its rate.
    LimitCustomer => "limit.customer" 429 Throttle "Too many requests by this customer",
    /// Client over its rate.
    LimitClient => "limit.client" 429 Throttle "Too many requests by this application",
    /// Route over its rate.
    LimitRoute => "limit.route" 429 Throttle "Too many requests for this service",
    /// No capacity permit for the class.
    Shed => "capacity.shed" 503 Throttle "The service is busy",

    /// No healthy upstream, or it did not connect.
    UpstreamDown => "upstream.down" 502 Deny "The service is not reachable",
    /// The upstream did not answer in time.
    UpstreamTimeout => "upstream.timeout" 504 Deny "The service did not answer in time",
    /// A reviewer's release was used by another request at the same moment.
    ReleaseSpent => "case.spent" 409 Deny "The release was already used",
    /// The same transfer under the same idempotency key is under way.
    RequestUnderWay => "request.under_way" 409 Deny "The same request is being carried out",
    /// The decision log cannot take a money-moving request's record.
    AuditUnavailable => "audit.unavailable" 503 Deny "The request cannot be recorded at the moment",
    /// A store needed for the decision is out of reach.
    StoreUnavailable => "store.unavailable" 503 Deny "The request cannot be checked at the moment",
    /// A defect inside the gateway.
    Internal => "gateway.internal" 500 Deny "The gateway could not handle the request",
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_dotted() {
        let mut seen = HashSet::new();
        for reason in Reason::ALL {
            let row = reason.row();
            assert!(seen.insert(row.code), "{} stands twice", row.code);
            assert!(row.code.contains('.') && row.status >= 400, "{row:?}");
        }
    }
}
