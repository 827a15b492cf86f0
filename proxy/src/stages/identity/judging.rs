//! Who a request is from, in two steps: what only an issuer can say is waited for first, and the judgement then waits for
//! nobody.

use std::sync::Arc;

use http::request::Parts;
use policies::facts::Identity;

use super::bearer::Proved;
use super::challenge::{self, Scheme};
use super::credentials::{CredentialFault, Presented, presented};
use super::session::{is_unsafe, same_origin};
use super::{Access, App, Authentication, IdentityStage, Peer, Recognised, Requirement};
use crate::refusal::{Reason, Refusal};

impl IdentityStage {
    /// Waits for the issuer where the request's credential needs it: for a session's refresh, for a key that is not known
    /// yet, for what an opaque token is worth. This comes before the request takes capacity: a slow issuer must not hold
    /// what the application could serve others with.
    ///
    /// # Errors
    /// The refusal, with its challenge, where the issuer has settled it or cannot say.
    pub async fn consult(
        &self,
        recognised: Option<Recognised>,
        app: usize,
        requirement: &Requirement,
        parts: &Parts,
        peer: &Peer,
        now_ms: i64,
    ) -> Result<Option<Recognised>, Refusal> {
        let config = self.apps.get(app).and_then(Option::as_ref);
        let (Some(config), Ok(presented)) = (config, presented(parts)) else { return Ok(recognised) };
        if requirement.access == Access::Public {
            return Ok(recognised);
        }
        match (presented, &recognised) {
            (Presented::Session(value), None | Some(Recognised::Due(_))) => {
                let Some(client) = &config.login else { return Ok(None) };
                let session = self.find_session(config, client, value, now_ms).await?;
                Ok(session.map(Recognised::Session))
            }
            (Presented::Bearer(token), None | Some(Recognised::Opaque(_))) => {
                self.consult_about(config, token, Scheme::Bearer, now_ms).await?;
                let opaque =
                    config.introspects(token).then(|| self.recognise_opaque(config, token, peer, now_ms));
                Ok(recognised.or_else(|| opaque.flatten()))
            }
            (Presented::Dpop(token), _) => {
                self.consult_about(config, token, Scheme::Dpop, now_ms).await.map(|()| recognised)
            }
            _ => Ok(recognised),
        }
    }

    /// Who a request is from, and whether that satisfies the route.
    ///
    /// # Errors
    /// The refusal, with its challenge.
    pub async fn identify(
        &self,
        app: usize,
        requirement: &Requirement,
        parts: &Parts,
        peer: &Peer,
        now_ms: i64,
    ) -> Result<Authentication, Refusal> {
        let recognised = self.recognise(app, parts, peer, now_ms);
        let recognised = self.consult(recognised, app, requirement, parts, peer, now_ms).await?;
        self.judge(recognised, app, requirement, parts, peer, now_ms).await
    }

    /// The same for a request that went through [`Self::recognise`] and [`Self::consult`]. No issuer is waited for, and the
    /// memory is not asked twice for one token, but whatever may have ended it meanwhile is.
    ///
    /// # Errors
    /// The refusal, with its challenge.
    pub async fn judge(
        &self,
        recognised: Option<Recognised>,
        app: usize,
        requirement: &Requirement,
        parts: &Parts,
        peer: &Peer,
        now_ms: i64,
    ) -> Result<Authentication, Refusal> {
        if requirement.access == Access::Public {
            return Ok(Authentication::Anonymous);
        }
        if let Some(Recognised::Token(entry)) = &recognised
            && entry.holds(&self.revocations, now_ms)
        {
            satisfies(requirement, entry.identity(), now_ms)?;
            return Ok(Authentication::Known(Arc::clone(entry.identity())));
        }
        let found = match self.apps.get(app).and_then(Option::as_ref) {
            Some(config) => self.find(recognised, app, config, parts, peer, now_ms).await?,
            None => Found::Nothing,
        };
        match (found, requirement.access) {
            (Found::Identity(identity), _) => {
                satisfies(requirement, &identity, now_ms)?;
                Ok(Authentication::Known(identity))
            }
            (Found::Nothing | Found::EndedSession, Access::Optional) => Ok(Authentication::Anonymous),
            (Found::EndedSession, _) => Err(challenge::refused(
                Scheme::Bearer,
                Reason::SessionEnded,
                "no live session for the cookie",
            )),
            (Found::Nothing, _) => Err(challenge::missing()),
        }
    }

    async fn find(
        &self,
        recognised: Option<Recognised>,
        app: usize,
        config: &App,
        parts: &Parts,
        peer: &Peer,
        now_ms: i64,
    ) -> Result<Found, Refusal> {
        match (presented(parts).map_err(credential_refused)?, recognised) {
            (Presented::Nothing, _) => Ok(Found::Nothing),
            (Presented::Bearer(token), _) => {
                let proved = Proved::Certificate(peer.client_cert_sha256);
                self.token(app, config, token, proved, now_ms).map(Found::Identity)
            }
            (Presented::Dpop(token), _) => {
                self.bound_token(app, config, token, parts, now_ms).await.map(Found::Identity)
            }
            (Presented::Session(_), Some(Recognised::Session(session)))
                if !session.is_over(&self.revocations, now_ms) =>
            {
                if is_unsafe(parts) && !same_origin(parts, &config.origin) {
                    return Err(Refusal::new(
                        Reason::CrossSite,
                        "Origin and Sec-Fetch-Site are not the application's",
                    ));
                }
                Ok(Found::Identity(Arc::clone(session.identity())))
            }
            (Presented::Session(_), _) => Ok(Found::EndedSession),
        }
    }
}

/// What a request's credential came to.
enum Found {
    Identity(Arc<Identity>),
    Nothing,
    EndedSession,
}

/// The route's own demands on an identity.
fn satisfies(requirement: &Requirement, identity: &Identity, now_ms: i64) -> Result<(), Refusal> {
    if !requirement.scopes.iter().all(|scope| identity.has_scope(scope)) {
        return Err(challenge::scope(identity.credential.into(), requirement));
    }
    let acr = identity.acr.as_deref().unwrap_or_default();
    let strong =
        requirement.acr_values.is_empty() || requirement.acr_values.iter().any(|wanted| wanted == acr);
    let fresh = requirement
        .max_auth_age_s
        .is_none_or(|most| identity.auth_age_s(now_ms).is_some_and(|age| age <= most));
    if strong && fresh {
        Ok(())
    } else {
        let scheme = identity.credential.into();
        Err(challenge::step_up(scheme, &requirement.acr_values, requirement.max_auth_age_s))
    }
}

fn credential_refused(fault: CredentialFault) -> Refusal {
    let reason = match fault {
        CredentialFault::Ambiguous(_) => Reason::TokenAmbiguous,
        CredentialFault::Malformed(_) => Reason::TokenMalformed,
    };
    challenge::refused(Scheme::Bearer, reason, fault.to_string())
}
