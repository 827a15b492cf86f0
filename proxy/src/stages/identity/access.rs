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
        let identity = self.token(app, config, token, proved, now_ms).await?;
        let seen = self.hot.insert(Space::Replay, &proof.replay_key, &[], now_ms, proof.expires_ms).await;
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

    /// An access token whose sender proved `proved`: remembered, or else verified; or asked about.
    pub(super) async fn token(
        &self,
        app: usize,
        config: &App,
        token: &str,
        proved: Proved,
        now_ms: i64,
    ) -> Result<Arc<Identity>, Refusal> {
        if config.introspects(token) {
            return self.introspect(config, token, proved, now_ms).await;
        }
        if let Some(entry) = self.remembered.find(app, token, proved, &self.revocations, now_ms) {
            return Ok(Arc::clone(entry.identity()));
        }
        let scheme = Scheme::from(proved);
        let expected = Expected { issuers: &config.issuers, audience: &config.config.audience, proved };
        let verified = bearer::verify(token, expected, now_ms).await;
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
