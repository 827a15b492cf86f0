//! Access tokens as requests bring them: by the Bearer scheme, or with a proof of possession beside them.

use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;
use policies::facts::Identity;
use policies::ports::Space;

use super::bearer::{self, Expected, Proved, RETRY_AFTER_S, TokenFault};
use super::challenge::{self, Scheme};
use super::dpop::{self, ProofFault};
use super::{App, IdentityStage};
use crate::refusal::{Reason, Refusal};

/// Seconds after which a subject may prove again that has used up its share of the replay memory.
const PROOFS_RETRY_AFTER_S: u64 = 5;

impl IdentityStage {
    /// An access token and its proof (RFC 9449 7.1). The proof is remembered last: a stranger's fills no memory.
    pub(super) async fn bound_token(
        &self,
        app: usize,
        config: &App,
        token: &str,
        parts: &Parts,
        now_ms: i64,
    ) -> Result<Arc<Identity>, Refusal> {
        let proof = config.prove(token, parts, now_ms)?;
        let proved = Proved::Key(proof.thumbprint);
        let remembered = || self.remembered.find(app, token, proved, &self.revocations, now_ms);
        let identity = match (!config.introspects(token)).then(remembered).flatten() {
            Some(entry) => Arc::clone(entry.identity()),
            None => self.token(app, config, token, proved, now_ms)?,
        };
        if !self.proofs.take(&identity, config.config.proof_age_ms, now_ms) {
            let inside = "more proofs than one subject may have remembered";
            return Err(Refusal::new(Reason::LimitCustomer, inside).retry_after(PROOFS_RETRY_AFTER_S));
        }
        let seen = self.hot.insert(Space::Proofs, &proof.replay_key, &[], now_ms, proof.expires_ms).await;
        match seen {
            Ok(true) => Ok(identity),
            Ok(false) => {
                Err(challenge::refused(Scheme::Dpop, Reason::DpopReplayed, "the proof was seen before"))
            }
            Err(error) => Err(Refusal::new(Reason::StoreUnavailable, error.to_string()).retry_after(5)),
        }
    }

    /// The nonce that a client's next proof should carry, where the application asks for one and the client makes proofs.
    pub fn next_nonce(&self, app: usize, parts: &Parts, now_ms: i64) -> Option<HeaderValue> {
        let app = self.apps.get(app)?.as_ref().filter(|_| parts.headers.contains_key(dpop::PROOF))?;
        app.nonces.as_ref()?.current(now_ms)
    }

    /// Waits for what only the issuer can say of a token: a key, or whether an opaque one is good.
    ///
    /// # Errors
    /// The refusal with its challenge.
    pub(super) async fn consult_about(
        &self,
        config: &App,
        token: &str,
        scheme: Scheme,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        if config.introspects(token) {
            return self.ask(config, token, scheme, now_ms).await;
        }
        let key = bearer::await_key(token, &config.issuers, now_ms).await;
        key.map_err(|fault| token_refused(scheme, fault))
    }

    /// An access token that is not remembered, whose sender proved `proved`.
    pub(super) fn token(
        &self,
        app: usize,
        config: &App,
        token: &str,
        proved: Proved,
        now_ms: i64,
    ) -> Result<Arc<Identity>, Refusal> {
        if config.introspects(token) {
            return self.introspected(config, token, proved, now_ms);
        }
        let scheme = Scheme::from(proved);
        let expected = Expected { issuers: &config.issuers, audience: &config.config.audience, proved };
        let verified = bearer::verify(token, expected, now_ms);
        let verified = verified.map_err(|fault| token_refused(scheme, fault))?;
        if self.revocations.is_revoked(&verified.identity) {
            return Err(challenge::refused(scheme, Reason::TokenRevoked, "revoked by jti, sid or subject"));
        }
        Ok(self.remembered.keep(app, token, verified))
    }
}

impl App {
    /// The proof that stands beside `token`.
    fn prove(&self, token: &str, parts: &Parts, now_ms: i64) -> Result<dpop::Proof, Refusal> {
        let refused = |fault: ProofFault| {
            let reason = match fault {
                ProofFault::Invalid(_) => Reason::DpopProof,
                ProofFault::Nonce => Reason::DpopNonce,
            };
            let refusal = challenge::refused(Scheme::Dpop, reason, fault.to_string());
            match self.nonces.as_ref().and_then(|nonces| nonces.current(now_ms)) {
                Some(nonce) => refusal.with_header(dpop::NONCE, nonce),
                None => refusal,
            }
        };
        let target = dpop::Target::of(&self.config.external_url, parts.uri.path());
        let target = target.ok_or_else(|| Refusal::new(Reason::Internal, "no address for proofs"))?;
        let expected = dpop::Expected {
            method: parts.method.as_str(),
            target: &target,
            token,
            nonces: self.nonces.as_ref(),
            age_max_ms: self.config.proof_age_ms,
            now_ms,
        };
        dpop::presented(parts).and_then(|proof| dpop::prove(proof, &expected)).map_err(refused)
    }
}

fn token_refused(scheme: Scheme, fault: TokenFault) -> Refusal {
    let refusal = challenge::refused(scheme, fault.reason, fault.inside);
    match fault.reason {
        Reason::IssuerUnavailable => refusal.retry_after(RETRY_AFTER_S),
        _ => refusal,
    }
}
