//! The gateway as Pingora sees it: each hook calls stages, in a few lines, and notes the result in the [`Journey`].

mod core;
mod journey;
mod pool;
mod unread;
mod walk;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, OrErr};

pub use self::core::{Core, Live, Parts, Scorers};
pub use self::journey::{Journey, Stage};
pub use self::pool::Pool;
pub use self::unread::Unread;

use self::journey::{Stop, copy_head};
use crate::front::Exchange;
use crate::refusal::{Reason, Refusal};
use crate::stages::identity::session::{FORM_BYTES_MAX, Form};
use crate::stages::identity::{Vouched, dpop};
use crate::stages::respond::{self, Answer};
use crate::stages::transfer::First;
use crate::stages::{inspection, upstream};

/// Servers tried for one request.
const ATTEMPTS_MAX: u8 = 2;
/// A refused request's body is read to its end within these bounds, so that the connection can be used again.
const DRAIN_BYTES_MAX: usize = 64 * 1024;
const DRAIN_TIME_MAX: Duration = Duration::from_millis(500);

/// The proxy application.
pub struct Gateway {
    core: Arc<Core>,
}

impl Gateway {
    /// A gateway over `core`.
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Sends an answer of the gateway's own.
    async fn answer(
        &self,
        session: &mut Session,
        journey: &mut Journey,
        response: http::Response<Bytes>,
    ) -> pingora::Result<()> {
        let (mut head, body) = response.into_parts();
        head.headers.insert(upstream::DECISION, decision(journey)?);
        respond::security_headers(&mut head.headers, journey.client.tls);
        let header = ResponseHeader::from(head);
        journey.status = header.status.as_u16();
        // The client may ask again as soon as it reads this.
        journey.claim = None;
        drain(session).await;
        let no_body = body.is_empty();
        session.write_response_header(Box::new(header), no_body).await?;
        if !no_body {
            session.write_response_body(Some(body), true).await?;
        }
        Ok(())
    }

    /// The response to a request that goes no further. What it held of the application's capacity is free before its client
    /// has read the answer, or its issuer has been asked for a step-up.
    async fn stopped(&self, session: &mut Session, journey: &mut Journey, stop: Stop) -> pingora::Result<()> {
        let response = match stop {
            Stop::Broken(error) => return Err(error),
            Stop::Own(response) => *response,
            Stop::Refused(stage, refusal) => {
                journey.stage = stage;
                tracing::debug!(decision = %journey.id, stage = stage.name(), inside = %refusal.inside, "refused");
                let answer = Answer::from(&*refusal);
                if refusal.reason == Reason::Ambiguous || session.req_header().method == http::Method::CONNECT
                {
                    // Where this request ends is in doubt, so nothing after it is read as another (RFC 9112 6.3).
                    session.set_keepalive(None);
                }
                journey.refusal = Some(*refusal);
                journey.release();
                self.login_or(session, journey, answer).await
            }
            Stop::Verdict => {
                journey.stage = Stage::Decision;
                journey.release();
                let answer = self.verdict_answer(session, journey);
                self.login_or(session, journey, answer).await
            }
        };
        self.answer(session, journey, response).await
    }

    /// A person's browser without a good enough log-in is sent to log in; everybody else reads the answer.
    async fn login_or(
        &self,
        session: &mut Session,
        journey: &Journey,
        answer: Answer,
    ) -> http::Response<Bytes> {
        let head = copy_head(session.req_header());
        let Some((app, _)) = journey.place.filter(|_| respond::navigates(&head)) else {
            return answer.render(&head, &journey.id);
        };
        let identity = &self.core.identity;
        if answer.outcome == policies::Outcome::StepUp
            && let Some(form) = entered(session, &head, journey).await
            && let Some(Ok(redirect)) = identity.step_up_with(app, &head, form, journey.at_ms).await
        {
            return redirect;
        }
        let back = journey.route().and_then(|r| r.step_up_return.as_deref());
        let reason = journey.refusal.as_ref().map(|r| r.reason);
        let redirect = identity.login_redirect(app, &head, reason, answer.outcome, back);
        redirect.unwrap_or_else(|| answer.render(&head, &journey.id))
    }

    /// The identity, vouched for to the upstream.
    fn vouch(
        &self,
        app: usize,
        identity: &Arc<policies::facts::Identity>,
        journey: &mut Journey,
    ) -> pingora::Result<Arc<Vouched>> {
        self.core.identity.upstream_identity(app, identity, journey.at_ms).map_err(|refusal| {
            journey.refusal = Some(refusal);
            Error::explain(ErrorType::InternalError, "no identity for the upstream")
        })
    }

    /// The application's answer, before the client reads it: what was taken is remembered, for its repeats; whatever came
    /// to nothing is judged again when it is asked again.
    async fn remember(&self, journey: &mut Journey) {
        let Some(claim) = journey.claim.take_if(|_| journey.status >= 200) else { return };
        if is_acceptance(journey.status) {
            let first = First { decision: journey.id.clone(), case: None };
            self.core.repeats.remember(&claim, &first, journey.at_ms).await;
        }
    }

    /// The request as the upstream gets it.
    fn prepare(&self, request: &mut RequestHeader, journey: &mut Journey) -> pingora::Result<()> {
        journey.sent = true;
        if let Some(permit) = journey.permit.as_mut() {
            permit.forwarded();
        }
        let app = journey.place.map(|(app, _)| app);
        let vouched = match (app, journey.identity.clone()) {
            (Some(app), Some(identity)) => Some(self.vouch(app, &identity, journey)?),
            _ => None,
        };
        // Without Pingora's second map, which keeps how names were spelt: names have no case (RFC 9110 5.1).
        let mut head = http::request::Parts::from(std::mem::replace(request, nothing().into()));
        let certificate = journey.live.config.trusted_peers.certificate.as_ref().map(|field| &field.name);
        upstream::prepare(&mut head.headers, &journey.client, certificate, &journey.id, vouched.as_deref())
            .or_err(FIELD, "request")?;
        if journey.route().is_some_and(|r| r.score_only) {
            let would_be = journey.would_be.as_ref();
            upstream::tell_scores(&mut head.headers, &journey.evidence, would_be).or_err(FIELD, "scores")?;
        }
        *request = head.into();
        Ok(())
    }

    /// The application's answer as the client gets it.
    async fn answered(
        &self,
        session: &Session,
        response: &mut ResponseHeader,
        journey: &mut Journey,
    ) -> pingora::Result<()> {
        journey.status = response.status.as_u16();
        if journey.upstream_status.is_none() {
            journey.upstream_status = Some(journey.status);
        }
        if let Some(permit) = journey.permit.as_mut() {
            permit.answered();
        }
        self.remember(journey).await;
        if is_refusal(journey.status) {
            self.give_back(journey).await;
        }
        journey.upgraded = journey.status == 101;
        if journey.upgraded || respond::is_event_stream(response) {
            journey.tie(session.req_header());
        }
        let empty = http::Response::new(()).into_parts().0;
        let mut head = http::response::Parts::from(std::mem::replace(response, empty.into()));
        upstream::clean_response(&mut head.headers);
        head.headers.insert(upstream::DECISION, decision(journey)?);
        let nonce = journey
            .place
            .and_then(|(app, _)| self.core.identity.next_nonce(app, session.req_header(), journey.at_ms));
        head.headers.extend(nonce.map(|nonce| (dpop::NONCE, nonce)));
        respond::security_headers(&mut head.headers, journey.client.tls);
        *response = head.into();
        Ok(())
    }

    /// Counts a defect, which ends the request that met it and no other.
    fn panicked(&self) -> Refusal {
        self.core.metrics.panics.inc();
        Refusal::new(Reason::Internal, "a stage panicked")
    }

    /// The same once the request is with the upstream.
    fn defect(&self, journey: &mut Journey) -> Box<Error> {
        journey.refusal = Some(self.panicked());
        Error::explain(ErrorType::InternalError, "a stage panicked")
    }

    fn verdict_answer(&self, session: &Session, journey: &Journey) -> Answer {
        let verdict = journey.recorded_verdict();
        let challenge = journey
            .place
            .filter(|_| verdict.outcome == policies::Outcome::StepUp)
            .map(|(app, _)| self.core.identity.step_up_challenge(app, session.req_header()));
        Answer::of_verdict(&verdict, journey.case.as_deref(), challenge)
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Journey;

    fn new_ctx(&self) -> Journey {
        let exchange = Exchange::current();
        exchange.enter();
        Journey::begin(&self.core, exchange)
    }

    /// Nothing of Pingora's own modules: responses pass as they are.
    fn init_downstream_modules(&self, _modules: &mut pingora::modules::http::HttpModules) {}

    async fn request_filter(&self, session: &mut Session, journey: &mut Journey) -> pingora::Result<bool> {
        // A defect in a stage ends that request alone, with an answer and a record.
        let walked = AssertUnwindSafe(self.walk(session, journey)).catch_unwind().await;
        let walked = walked.unwrap_or_else(|_| {
            let refusal = self.panicked();
            Err(Stop::Refused(Stage::Dropped, Box::new(refusal)))
        });
        match walked {
            Ok(()) => Ok(false),
            Err(stop) => self.stopped(session, journey, stop).await.map(|()| true),
        }
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        journey: &mut Journey,
    ) -> pingora::Result<()> {
        let max = journey.route().map_or(0, |r| r.body_bytes_max);
        journey.body_bytes = journey.body_bytes.saturating_add(body.as_ref().map_or(0, Bytes::len));
        if journey.body_bytes > max && !journey.upgraded {
            journey.refusal =
                Some(Refusal::new(Reason::BodyTooLarge, "streamed body over the route's bound"));
            return Err(Error::explain(ErrorType::HTTPStatus(413), "body over the route's bound"));
        }
        Ok(())
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        journey: &mut Journey,
    ) -> pingora::Result<Box<HttpPeer>> {
        journey.attempts = journey.attempts.saturating_add(1);
        let pool = journey.place.and_then(|(app, _)| self.core.pools.get(app));
        let peer = pool.and_then(Pool::peer);
        peer.map(Box::new).ok_or_else(|| Error::explain(ErrorType::ConnectNoRoute, "no server is well"))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        journey: &mut Journey,
    ) -> pingora::Result<()> {
        let prepared = catch_unwind(AssertUnwindSafe(|| self.prepare(request, journey)));
        prepared.unwrap_or_else(|_| Err(self.defect(journey)))
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        journey: &mut Journey,
    ) -> pingora::Result<()> {
        let answered = AssertUnwindSafe(self.answered(session, response, journey)).catch_unwind().await;
        answered.unwrap_or_else(|_| Err(self.defect(journey)))
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        journey: &mut Journey,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing has been sent: another server may take it, whatever the method.
        error.set_retry(journey.attempts < ATTEMPTS_MAX);
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        journey: &mut Journey,
        reused: bool,
    ) -> Box<Error> {
        let safe = matches!(session.req_header().method, http::Method::GET | http::Method::HEAD)
            && journey.upstream_status.is_none()
            && journey.refusal.is_none()
            && journey.attempts < ATTEMPTS_MAX
            && !session.as_ref().retry_buffer_truncated();
        if safe {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        journey: &mut Journey,
    ) -> FailToProxy {
        if journey.refusal.is_none() {
            journey.refusal = failure(error);
        }
        journey.stage = Stage::Upstream;
        if !journey.sent {
            self.give_back(journey).await;
        }
        let Some(refusal) = journey.refusal.clone() else {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        if session.response_written().is_none() {
            let response = Answer::from(&refusal).render(session.req_header(), &journey.id);
            session.set_keepalive(None);
            if let Err(error) = self.answer(session, journey, response).await {
                tracing::debug!(decision = %journey.id, %error, "client went away before its refusal");
            }
        }
        FailToProxy { error_code: refusal.reason.row().status, can_reuse_downstream: false }
    }

    async fn logging(&self, _session: &mut Session, _error: Option<&Error>, journey: &mut Journey) {
        if journey.stage == Stage::Dropped {
            journey.stage = Stage::Upstream;
        }
        journey.end();
    }

    /// Client disconnects are everyday; the record has them.
    fn suppress_error_log(&self, _session: &Session, _journey: &Journey, error: &Error) -> bool {
        error.esource() == &ErrorSource::Downstream
    }
}

/// A head with nothing in it, to stand where another is taken from.
fn nothing() -> http::request::Parts {
    http::Request::new(()).into_parts().0
}

const FIELD: ErrorType = ErrorType::InvalidHTTPHeader;

/// The value of `Gatehouse-Decision`.
fn decision(journey: &Journey) -> pingora::Result<http::HeaderValue> {
    http::HeaderValue::from_str(&journey.id).or_err(FIELD, "decision id")
}

/// What was entered in the form that a route answers with a step-up, whether or not a stage has read it yet.
async fn entered(session: &mut Session, head: &http::request::Parts, journey: &Journey) -> Option<Form> {
    let route = journey.route()?;
    let page = route.step_up_return.as_deref()?;
    let body = match session.get_retry_buffer() {
        Some(body) => body,
        None => {
            let deadline = journey.live.config.limits.body_timeout;
            inspection::read_body(session, FORM_BYTES_MAX.min(route.body_bytes_max), deadline).await.ok()?
        }
    };
    let shown = route
        .transfer
        .as_ref()
        .map(|t| [("From", &*t.from), ("To", &*t.to), ("Amount", &*t.amount), ("Currency", &*t.currency)]);
    Form::read(head, &body, page, shown.as_ref().map_or(&[], |rows| rows))
}

/// What a failed exchange means to the client; `None` when the client itself went away.
fn failure(error: &Error) -> Option<Refusal> {
    let inside = error.to_string();
    let reason = match (error.etype(), error.esource()) {
        (_, ErrorSource::Downstream) => return None,
        (ErrorType::ReadTimedout | ErrorType::WriteTimedout, ErrorSource::Upstream) => {
            Reason::UpstreamTimeout
        }
        (ErrorType::ConnectTimedout, _) => Reason::UpstreamTimeout,
        (ErrorType::ConnectNoRoute, _) | (_, ErrorSource::Upstream) => Reason::UpstreamDown,
        _ => Reason::Internal,
    };
    Some(Refusal::new(reason, inside))
}

/// Whether an upstream that answers `status` did what it was asked: a redirect after a form post is how pages say "done".
fn is_acceptance(status: u16) -> bool {
    (200..400).contains(&status)
}

/// Whether an upstream that answers `status` surely did nothing. What may be said after the work is done does not count, such
/// as 406 or 412; a client can bring those about.
fn is_refusal(status: u16) -> bool {
    matches!(status, 400 | 401 | 403 | 404 | 405 | 409 | 413 | 415 | 422 | 429)
}

/// Reads what is left of a refused request's body, within bounds; beyond them the connection closes.
async fn drain(session: &mut Session) {
    let read = async {
        let mut left = DRAIN_BYTES_MAX;
        while let Ok(Some(chunk)) = session.read_request_body().await {
            left = left.checked_sub(chunk.len())?;
        }
        Some(())
    };
    if !matches!(pingora::time::timeout(DRAIN_TIME_MAX, read).await, Ok(Some(()))) {
        session.set_keepalive(None);
    }
}
