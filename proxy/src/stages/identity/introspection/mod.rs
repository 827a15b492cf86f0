//! Opaque tokens: their issuer is asked whether they are good (RFC 7662), and what it said is believed for a short time.
//!
//! | module | what it is |
//! |---|---|
//! | `answer` | strict reading of what the issuer said, pure |
//! | `held` | answers that are still believed, in two tables of fixed size |
//! | `denied` | why a token is not taken |
//! | `status` | what is counted |
//! | `lane` | how many calls may begin and be under way |
//! | `asking` | one issuer's calls: one at a time for each token |
//!
//! A token with the shape of a JWT never comes here: what a signature can prove is not asked.

mod answer;
mod asking;
mod denied;
mod held;
mod lane;
mod status;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policies::facts::Identity;

use super::bearer::{Proved, TokenFault, check_binding};
use super::challenge::Scheme;
use super::{App, IdentityStage, Peer, Recognised};
use crate::refusal::{Reason, Refusal};

pub use asking::{BUSY_RETRY_AFTER_S, Introspector};
pub use status::Status;

use self::denied::Denied;
use self::held::{Active, key};

impl App {
    /// Whether an issuer is asked about this token; without one that offers it, what is no JWT is malformed.
    pub(super) fn introspects(&self, token: &str) -> bool {
        !self.introspectors.is_empty() && is_opaque(token)
    }

    /// What is believed of a token, and who said it.
    fn held(&self, token: &str, now_ms: i64) -> Option<(&Introspector, Arc<Active>)> {
        let key = key(token);
        self.introspectors.iter().find_map(|issuer| Some((&**issuer, issuer.held(&key, now_ms)?)))
    }
}

impl IdentityStage {
    /// Whose an opaque token is that came by the Bearer scheme, if that is known without waiting.
    pub(super) fn recognise_opaque(
        &self,
        app: &App,
        token: &str,
        peer: &Peer,
        now_ms: i64,
    ) -> Option<Recognised> {
        let (issuer, active) = app.held(token, now_ms)?;
        let proved = Proved::Certificate(peer.client_cert_sha256);
        self.judge_answer(app, issuer, &active, proved, now_ms).ok().map(Recognised::Opaque)
    }

    /// Waits until an issuer has spoken well of an opaque token, unless that is still believed. Several issuers are asked
    /// in their order until one knows it, and that one first the next time.
    ///
    /// # Errors
    /// The refusal with its challenge: 401 if all issuers say that the token is worth nothing, 503 if one could not say.
    pub(super) async fn ask(
        &self,
        app: &App,
        token: &str,
        scheme: Scheme,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let key = key(token);
        let mut order: Vec<&Arc<Introspector>> = app.introspectors.iter().collect();
        order.sort_by_key(|issuer| !issuer.knows(&key, now_ms));
        let mut denied: Option<Denied> = None;
        for issuer in order {
            match issuer.ask(key, token, now_ms).await {
                Ok(active) => {
                    let alive = active.check_alive(now_ms);
                    return alive.map_err(|fault| Denied::from(fault).into_refusal(scheme));
                }
                Err(next) if denied.as_ref().is_none_or(|d| d.retry_after_s.is_none()) => denied = Some(next),
                Err(_) => {}
            }
        }
        let inside = "no issuer of the application gives opaque tokens";
        let denied = denied.unwrap_or_else(|| TokenFault::new(Reason::TokenMalformed, inside).into());
        Err(denied.into_refusal(scheme))
    }

    /// Whose an opaque token is, by what its issuer has said.
    ///
    /// # Errors
    /// The refusal with its challenge.
    pub(super) fn introspected(
        &self,
        app: &App,
        token: &str,
        proved: Proved,
        now_ms: i64,
    ) -> Result<Arc<Identity>, Refusal> {
        let judged = match app.held(token, now_ms) {
            Some((issuer, active)) => {
                self.judge_answer(app, issuer, &active, proved, now_ms).map_err(Denied::from)
            }
            // Between the issuer's answer and now others have taken its place in the table.
            None => Err(Denied::unavailable("what the issuer said is not held any more", BUSY_RETRY_AFTER_S)),
        };
        judged.map_err(|denied| denied.into_refusal(proved.into()))
    }

    /// What of an active token depends on the request. Whatever is revoked or has expired since is refused at once.
    fn judge_answer(
        &self,
        app: &App,
        issuer: &Introspector,
        active: &Active,
        proved: Proved,
        now_ms: i64,
    ) -> Result<Arc<Identity>, TokenFault> {
        let answer = &active.answer;
        if self.revocations.is_revoked_since(&answer.identity, &active.checked) {
            return Err(TokenFault::new(Reason::TokenRevoked, "revoked by jti, sid or subject"));
        }
        active.check_alive(now_ms)?;
        answer.check_audience(&app.config.audience, issuer.config().audience_required)?;
        check_binding(&answer.binding, proved)?;
        Ok(Arc::clone(&answer.identity))
    }

    /// How introspection does at each issuer that offers it.
    pub fn introspection(&self) -> Vec<Status> {
        self.introspectors.iter().map(|i| i.status()).collect()
    }
}

/// Whether a bearer token has not the shape of a JWT: three parts (JWS) or five (JWE), or a first part that is a JOSE
/// header, which a token that was cut or lengthened still has.
fn is_opaque(token: &str) -> bool {
    let dots = token.bytes().filter(|b| *b == b'.').count();
    let starts_with_header = || {
        let first = token.split_once('.').and_then(|(first, _)| URL_SAFE_NO_PAD.decode(first).ok());
        first.is_some_and(|bytes| bytes.trim_ascii_start().first() == Some(&b'{'))
    };
    dots != 2 && dots != 4 && !starts_with_header()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_is_never_taken_for_an_opaque_token() {
        // "eyJhbGciOiJub25lIn0" is {"alg":"none"}.
        for (token, opaque) in [
            ("2YotnFZFEjr1zCsicMWpAA", true),
            ("ya29.a0AfH6SMBx", true),
            ("eyJhbGciOiJub25lIn0", true),
            ("a.b.c.d", true),
            ("", true),
            ("a.b.c", false),
            ("..", false),
            ("a.b.c.d.e", false),
            ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", false),
            ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0", false),
            ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.x.", false),
            ("ICB7fQ.a", false),
        ] {
            assert_eq!(is_opaque(token), opaque, "{token}");
        }
    }
}
