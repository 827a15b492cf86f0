//! The stages in the order in which a request meets them.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderName;
use http::request::Parts;
use learner::capacity::Class;
use pingora::proxy::Session;
use policies::evidence::AttackKind;
use policies::facts::Identity;
use policies::record::RecordedScore;
use policies::{Evidence, Facts, Outcome, Verdict};

use super::Gateway;
use super::journey::{At, Journey, Stage, Stop, copy_head};
use crate::audit::{Entry, NotRecorded};
use crate::config::{Route, Routed};
use crate::refusal::{Reason, Refusal};
use crate::stages::identity::{Authentication, Peer, Recognised};
use crate::stages::limits::{Keyed, prefix, take_together};
use crate::stages::transfer::{Claim, First, Repeat, TransferMapping};
use crate::stages::{inspection, normalize, transfer};
use crate::stores::{CaseError, CaseState, NewCase, Release, Spending};

/// Findings at least this strong make a request suspicious for capacity, before the policy speaks.
const SUSPICIOUS_FINDING: f64 = 0.8;

impl Gateway {
    /// Takes a request from its entry to the point where it may be forwarded.
    ///
    /// # Errors
    /// What to answer instead.
    pub(super) async fn walk(&self, session: &mut Session, journey: &mut Journey) -> Result<(), Stop> {
        let mut clock = StageClock::start(&self.core.metrics, &journey.id);
        let live = Arc::clone(&journey.live);
        let head: &Parts = session.req_header();
        journey.method = self.core.names.method(&head.method);
        let (peers, remote) = (&live.config.trusted_peers, journey.remote());
        let client = peers.client(remote, &head.headers);
        journey.client = client.as_ref().copied().unwrap_or_default();

        // Address limits stand before everything that costs.
        let within = self.core.addresses.take(journey.client.address);
        within.map_err(limited(Reason::LimitAddress)).at(Stage::Admission)?;
        clock.passed(0);

        client.at(Stage::Normalize)?;
        let canonical = canonical(session, &live.config.limits.head).at(Stage::Normalize)?;
        journey.client.certificate =
            peers.certificate(remote, &session.req_header().headers).at(Stage::Normalize)?;
        journey.path = canonical.path.as_str().into();
        let (app, own) = self.place(&live, &canonical, session.req_header(), journey).at(Stage::Normalize)?;
        clock.passed(1);
        if own {
            return self.own_path(session, app, journey).await;
        }
        let (_, position) = journey.place.unwrap_or_default();
        let Some(route) = live.config.applications.get(app).and_then(|a| a.routes.get(position)) else {
            return Err(Stop::Refused(
                Stage::Normalize,
                Box::new(Refusal::new(Reason::NotFound, "route vanished")),
            ));
        };

        let peer = Peer { client_cert_sha256: journey.client.certificate };
        let head: &Parts = session.req_header();
        let identity = &self.core.identity;
        let known = identity.recognise(app, head, &peer, journey.at_ms);
        let known = identity.consult(known, app, &route.requirement, head, &peer, journey.at_ms).await;
        let known = known.at(Stage::Identity)?;
        // The class is known before the permit: only what was verified before makes a better one.
        journey.class = class(route, known.is_some());
        self.permit(app, known.as_ref().map(Recognised::identity), journey).await.at(Stage::Admission)?;
        clock.passed(0);

        let authentication = identity.judge(known, app, &route.requirement, head, &peer, journey.at_ms).await;
        if let Authentication::Known(identity) = authentication.at(Stage::Identity)? {
            journey.identity = Some(identity);
            self.promote(route, journey);
        }
        clock.passed(2);

        self.limits(app, position, journey).at(Stage::Limits)?;
        clock.passed(3);

        let body = self.body(session, route, journey).await.at(Stage::Inspection)?;
        let head: &Parts = session.req_header();
        if let Some(body) = &body {
            self.inspect(head, body, journey);
        }
        clock.passed(4);

        let body = body.as_deref().unwrap_or_default();
        self.transfer(head, body, route, journey).await.at(Stage::Transfer)?;
        clock.passed(5);

        self.decide(route, journey).await?;
        clock.passed(6);
        Ok(())
    }

    /// The application and, unless the path is the gateway's own, the route.
    fn place(
        &self,
        live: &super::Live,
        canonical: &normalize::Canonical,
        head: &Parts,
        journey: &mut Journey,
    ) -> Result<(usize, bool), Refusal> {
        let Some((app, routed)) = live.route(&canonical.host, &canonical.path, &head.method) else {
            return Err(Refusal::new(Reason::UnknownHost, "host belongs to no application"));
        };
        if canonical.path == "/.gatehouse" || canonical.path.starts_with("/.gatehouse/") {
            return Ok((app, true));
        }
        match routed {
            Routed::Found(route, _) => {
                journey.place = Some((app, route));
                Ok((app, false))
            }
            Routed::OtherMethod => Err(Refusal::new(Reason::MethodNotAllowed, "no route takes this method")),
            Routed::Nowhere => Err(Refusal::new(Reason::NotFound, "no route matches")),
        }
    }

    /// The gateway's own paths: log-in, log-out, session, keys. They take nothing of the application's capacity, because
    /// nothing is forwarded and they may wait for an issuer; the identity stage bounds how many are under way, and no address
    /// may use up the log-ins of all.
    async fn own_path(&self, session: &mut Session, app: usize, journey: &mut Journey) -> Result<(), Stop> {
        journey.stage = Stage::Identity;
        let limits = journey.live.config.limits;
        if matches!(&*journey.path, "/.gatehouse/login" | "/.gatehouse/step-up") {
            let within = self.core.logins.take(journey.client.address);
            within.map_err(limited(Reason::LimitAddress)).at(Stage::Limits)?;
        }
        let head = copy_head(session.req_header());
        // Nobody but an issuer has anything to say here.
        let body = if &*journey.path == "/.gatehouse/backchannel-logout" && head.method == http::Method::POST
        {
            let read = inspection::read_body(session, LOGOUT_BODY_BYTES_MAX, limits.body_timeout).await;
            read.at(Stage::Inspection)?
        } else {
            Bytes::new()
        };
        match self.core.identity.owned(app, &head, body, journey.at_ms).await.at(Stage::Identity)? {
            Some(response) => Err(Stop::Own(Box::new(response))),
            None => Err(Refusal::new(Reason::NotFound, "not a path of the gateway")).at(Stage::Normalize),
        }
    }

    async fn permit(
        &self,
        app: usize,
        known: Option<&Arc<Identity>>,
        journey: &mut Journey,
    ) -> Result<(), Refusal> {
        let Some(pool) = self.core.pools.get(app) else {
            return Err(Refusal::new(Reason::Internal, "application without a pool"));
        };
        let key = match known {
            Some(identity) => pool.admission.fair_key((&*identity.issuer, &identity.subject)),
            None => pool.admission.fair_key(prefix(journey.client.address)),
        };
        match pool.admission.admit(journey.class, key).await {
            Ok(permit) => {
                journey.permit = Some(permit);
                Ok(())
            }
            Err(shed) => {
                self.core.metrics.shed.with_label_values(&[shed.class.name()]).inc();
                let refusal = Refusal::new(Reason::Shed, shed.to_string());
                Err(refusal.retry_after(u64::from(shed.retry_after_s)))
            }
        }
    }

    /// A token verified just now earns its class.
    fn promote(&self, route: &Route, journey: &mut Journey) {
        journey.class = class(route, true);
        if let Some(permit) = journey.permit.as_mut() {
            permit.reclassify(journey.class);
        }
    }

    /// Customer, client and route, together or not at all.
    fn limits(&self, app: usize, route: usize, journey: &Journey) -> Result<(), Refusal> {
        let Some(live) = journey.live.apps.get(app) else { return Ok(()) };
        let keys = &self.core.keys;
        let identity = journey.identity.as_deref();
        let customer = identity.map(|i| keys.of((&*i.issuer, &i.subject)));
        let client = identity.map(|i| keys.of((&*i.issuer, &i.client_id)));
        let route_limit = live.routes.get(route).and_then(|r| r.limit.as_ref());
        let taken: Vec<(&Keyed, u64)> = [
            live.customer.as_ref().zip(customer),
            live.client.as_ref().zip(client),
            route_limit.map(|limit| (limit, 0)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let now_us = i64::try_from(self.core.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        take_together(&taken, now_us).map_err(|exceeded| {
            let reason = match &*exceeded.limit {
                "customer" => Reason::LimitCustomer,
                "client" => Reason::LimitClient,
                _ => Reason::LimitRoute,
            };
            Refusal::new(reason, "over its rate").retry_after(exceeded.retry_after_s)
        })
    }

    /// Reads the body where the route has it inspected.
    async fn body(
        &self,
        session: &mut Session,
        route: &Route,
        journey: &Journey,
    ) -> Result<Option<Bytes>, Refusal> {
        if !route.inspect && route.transfer.is_none() {
            return Ok(None);
        }
        let deadline = journey.live.config.limits.body_timeout;
        inspection::read_body(session, route.body_bytes_max, deadline).await.map(Some)
    }

    /// Inspects head and body.
    fn inspect(&self, head: &Parts, body: &[u8], journey: &mut Journey) {
        let models = &journey.live.models;
        let name = models.anomaly_name.as_ref().unwrap_or(&self.core.names.none);
        let (peers, remote) = (&journey.live.config.trusted_peers, journey.remote());
        let written_by_peer = |field: &HeaderName| peers.writes(remote, field);
        let found = inspection::inspect(head, body, written_by_peer, models.anomaly.as_ref(), name);
        match found.anomaly.value() {
            Some(score) => self.core.metrics.anomaly_score.observe(score),
            None => self.core.metrics.score_unavailable.with_label_values(&["anomaly"]).inc(),
        }
        let attack =
            found.findings.iter().any(|f| f.kind != AttackKind::Probe && f.score >= SUSPICIOUS_FINDING);
        if attack {
            journey.class = Class::Suspicious;
            if let Some(permit) = journey.permit.as_mut() {
                permit.reclassify(Class::Suspicious);
            }
        }
        journey.evidence =
            Evidence { anomaly: Some(found.anomaly), inspection: found.findings, ..Evidence::default() };
    }

    /// Reads what is to be transferred, and how likely it is fraud.
    async fn transfer(
        &self,
        head: &Parts,
        body: &[u8],
        route: &Route,
        journey: &mut Journey,
    ) -> Result<(), Refusal> {
        let Some(mapping) = &route.transfer else { return Ok(()) };
        let Some(identity) = journey.identity.clone() else {
            return Err(Refusal::new(Reason::TokenMissing, "a transfer without an identity"));
        };
        let intent = transfer::intent(mapping, &head.headers, body)?;
        journey.intent = Some(intent.clone());
        if let Some(linking) = mapping.linking.as_ref().filter(|_| !route.score_only) {
            let (audience, external) = journey.resource().unwrap_or_default();
            let resources = [audience, external];
            journey.authorisations =
                transfer::authorised(linking, &identity, &intent, &resources, journey.at_ms)?;
        }
        journey.repeat = self.repeat(head, body, mapping, journey).await?;
        if journey.repeat.is_some() {
            return Ok(());
        }
        let event = self.core.customers.event(&identity, &intent, head, journey.at_ms);
        let models = &journey.live.models;
        let name = models.fraud_name.as_ref().unwrap_or(&self.core.names.none);
        let assessment = transfer::assess(event, &self.core.profiles, models.fraud.as_ref(), name);
        match assessment.fraud.value() {
            Some(score) => self.core.metrics.fraud_score.observe(score),
            None => self.core.metrics.score_unavailable.with_label_values(&["fraud"]).inc(),
        }
        journey.evidence.fraud = Some(assessment.fraud.clone());
        journey.evidence.behaviour = Some(assessment.behaviour.clone());
        journey.assessment = Some(assessment);
        Ok(())
    }

    /// The judgement that the transfer repeats, if it does; else the transfer has the claim to be judged itself.
    async fn repeat(
        &self,
        head: &Parts,
        body: &[u8],
        mapping: &TransferMapping,
        journey: &mut Journey,
    ) -> Result<Option<Repeat>, Refusal> {
        if mapping.repeats.is_zero() || journey.route().is_some_and(|r| r.score_only) {
            return Ok(None);
        }
        let (app, _) = journey.names();
        let (Some(identity), Some(intent)) = (&journey.identity, &journey.intent) else { return Ok(None) };
        let repeats = &self.core.repeats;
        let Some(request) = repeats.request(&app, identity, intent, head, body) else { return Ok(None) };
        let Some(claim) = repeats.claim(request, mapping.repeats) else {
            return Err(
                Refusal::new(Reason::RequestUnderWay, "the first one has no answer yet").retry_after(1)
            );
        };
        let first = repeats.first(&claim, journey.at_ms).await;
        journey.claim = Some(claim);
        let Some(first) = first else { return Ok(None) };
        let mut repeat = Repeat { of: first.decision, held: Vec::new() };
        if let Some(case) = first.case {
            let waiting = self.core.cases.get(&case).await.map_err(unavailable)?;
            let Some(waiting) = waiting.filter(|case| case.state == CaseState::Open) else { return Ok(None) };
            repeat.held = waiting.held.reasons;
            journey.case = Some(case);
        }
        journey.claim = None;
        Ok(Some(repeat))
    }

    /// The verdict; and before money moves, its durable record.
    async fn decide(&self, route: &Route, journey: &mut Journey) -> Result<(), Stop> {
        if route.score_only {
            return self.decide_would_be(journey);
        }
        if let Some(repeat) = journey.repeat.clone() {
            return self.decide_repeat(repeat, journey).await;
        }
        let facts = journey.facts();
        let policy = Arc::clone(&journey.live.policy);
        let mut verdict = policy.decide(&facts, &journey.evidence);
        let moves_money = route.transfer.is_some();
        if moves_money && matches!(verdict.outcome, Outcome::StepUp | Outcome::Hold) {
            journey.evidence.released_case = self.released(journey).await.at(Stage::Decision)?;
            if journey.evidence.released_case.is_some() {
                verdict = policy.decide(&facts, &journey.evidence);
            }
        }
        let forwards = verdict.outcome.forwards();
        let holds = verdict.outcome == Outcome::Hold;
        journey.verdict = Some(verdict);
        if !forwards {
            if holds && moves_money {
                self.hold(journey).await.at(Stage::Decision)?;
            }
            return Err(Stop::Verdict);
        }
        self.spend_authorisation(journey).await.at(Stage::Decision)?;
        if let Some(case) = journey.evidence.released_case.clone()
            && let Err(refusal) = self.spend(case, journey).await
        {
            self.give_back(journey).await;
            return Err(refusal).at(Stage::Decision);
        }
        if moves_money || route.class == Class::MoneyMoving {
            return self.forward_recorded(journey).await;
        }
        journey.stage = Stage::Upstream;
        Ok(())
    }

    /// A payment that a token was granted for is made once.
    async fn spend_authorisation(&self, journey: &mut Journey) -> Result<(), Refusal> {
        let wanted = std::mem::take(&mut journey.authorisations);
        let needed = !wanted.is_empty();
        // Only where the application promises to recognise a repeat is there a claim.
        let request = journey.claim.as_ref().map(Claim::request);
        for one in wanted {
            let spending =
                self.core.spent.spend(&one, request.as_ref()).await.map_err(|error| {
                    Refusal::new(Reason::StoreUnavailable, error.to_string()).retry_after(5)
                })?;
            match spending {
                Spending::Now => {
                    journey.spent = Some(one);
                    return Ok(());
                }
                Spending::Again => return Ok(()),
                Spending::Before => {}
            }
        }
        let spent = Refusal::new(Reason::AuthorisationSpent, "the payment was forwarded before");
        if needed { Err(spent) } else { Ok(()) }
    }

    /// What was surely not carried out may be asked for again.
    pub(super) async fn give_back(&self, journey: &mut Journey) {
        let Some(spent) = journey.spent.take() else { return };
        if let Err(error) = self.core.spent.give_back(&spent).await {
            tracing::warn!(decision = %journey.id, %error, "an authorisation that came to nothing stays spent");
        }
    }

    /// Money moves only after its decision is on disk.
    async fn forward_recorded(&self, journey: &mut Journey) -> Result<(), Stop> {
        journey.stage = Stage::Audit;
        let recorded = self.record_intent(journey).await;
        if recorded.is_err() {
            self.give_back(journey).await;
        }
        recorded.at(Stage::Audit)?;
        journey.stage = Stage::Upstream;
        Ok(())
    }

    /// A repeat keeps the judgement of the first: its transfer is not judged again, and one that waits goes on waiting. The
    /// request itself is decided as one without a transfer, so that an attack is refused here as anywhere.
    async fn decide_repeat(&self, repeat: Repeat, journey: &mut Journey) -> Result<(), Stop> {
        let plain = Facts { transfer: None, ..journey.facts() };
        let mut verdict = journey.live.policy.decide(&plain, &journey.evidence);
        if !repeat.held.is_empty() {
            let reasons = [repeat.held, verdict.reasons].concat();
            verdict =
                Verdict { failures: verdict.failures, ..Verdict::from_reasons(reasons, verdict.shadow) };
        }
        let forwards = verdict.outcome.forwards();
        journey.verdict = Some(verdict);
        if !forwards {
            return Err(Stop::Verdict);
        }
        self.forward_recorded(journey).await
    }

    /// A route that only wants to know: what the transfer would meet is told to the upstream and recorded in shadow; the
    /// request itself is decided as one without a transfer, so that an attack is refused here as anywhere.
    fn decide_would_be(&self, journey: &mut Journey) -> Result<(), Stop> {
        let facts = journey.facts();
        let policy = Arc::clone(&journey.live.policy);
        let would_be = policy.decide(&facts, &journey.evidence);
        let plain = Facts { transfer: None, ..facts };
        let evidence = Evidence { fraud: None, behaviour: None, ..journey.evidence.clone() };
        let mut verdict = policy.decide(&plain, &evidence);
        verdict.shadow.extend(would_be.reasons.iter().cloned());
        let forwards = verdict.outcome.forwards();
        journey.would_be = Some(would_be);
        journey.verdict = Some(verdict);
        if !forwards {
            return Err(Stop::Verdict);
        }
        journey.stage = Stage::Upstream;
        Ok(())
    }

    /// A reviewer's release of this very transfer, not yet spent.
    async fn released(&self, journey: &Journey) -> Result<Option<String>, Refusal> {
        let Some(held) = self.case_of(journey) else { return Ok(None) };
        let wanted = Release {
            customer: &held.customer,
            payee: &held.payee,
            amount_minor: held.amount_minor,
            currency: &held.currency,
            key: held.key.as_ref(),
        };
        self.core.cases.find_release(&wanted, journey.at_ms).await.map_err(unavailable)
    }

    /// A release lets one transfer through; of two that race for it, one is refused.
    async fn spend(&self, case: String, journey: &mut Journey) -> Result<(), Refusal> {
        if !self.core.cases.spend(&case, &journey.id, journey.at_ms).await.map_err(unavailable)? {
            return Err(Refusal::new(Reason::ReleaseSpent, "another request spent the release"));
        }
        journey.case = Some(case);
        Ok(())
    }

    /// Opens the case that a held transfer waits in.
    async fn hold(&self, journey: &mut Journey) -> Result<(), Refusal> {
        let Some(held) = self.case_of(journey) else { return Ok(()) };
        let case = self.core.cases.open(held, journey.at_ms).await.map_err(unavailable)?.id;
        journey.case = Some(case.clone());
        if let Some(claim) = &journey.claim {
            let first = First { decision: journey.id.clone(), case: Some(case) };
            self.core.repeats.remember(claim, &first, journey.at_ms).await;
        }
        Ok(())
    }

    fn case_of(&self, journey: &Journey) -> Option<NewCase> {
        let (identity, intent) = (journey.identity.as_ref()?, journey.intent.as_ref()?);
        let pseudonyms = &self.core.pseudonyms;
        let score = journey.evidence.fraud.as_ref().map(RecordedScore::of);
        Some(NewCase {
            decision: journey.id.clone(),
            customer: pseudonyms.subject(&identity.issuer, &identity.subject),
            payee: pseudonyms.account(&intent.to),
            amount_minor: intent.amount_minor,
            currency: intent.currency_code().to_owned(),
            key: intent.idempotency_key.as_deref().map(|k| pseudonyms.idempotency_key(k)),
            reasons: journey.verdict.as_ref().map(|v| v.reasons.clone()).unwrap_or_default(),
            from: Some(pseudonyms.account(&intent.from)),
            route: Some(journey.names().1),
            fraud: score.as_ref().and_then(|s| s.value),
            sentences: score.map(|s| s.sentences).unwrap_or_default(),
        })
    }

    async fn record_intent(&self, journey: &mut Journey) -> Result<(), Refusal> {
        let record = self.core.record(journey, &journey.recorded_verdict(), 0);
        let recorded = self.core.log.submit_durable(Entry::Intent(Box::new(record))).await;
        let refused = |e: NotRecorded| Refusal::new(Reason::AuditUnavailable, e.to_string()).retry_after(5);
        journey.intent_at = Some(recorded.map_err(refused)?);
        Ok(())
    }
}

/// A log-out token is read up to 8 KiB; some of its letters may be percent-encoded.
const LOGOUT_BODY_BYTES_MAX: usize = 16 * 1024;

fn unavailable(error: CaseError) -> Refusal {
    Refusal::new(Reason::StoreUnavailable, error.to_string()).retry_after(5)
}

fn limited(reason: Reason) -> impl Fn(u64) -> Refusal {
    move |seconds| Refusal::new(reason, "over its rate").retry_after(seconds)
}

/// Routes that move money keep their class only for callers that are known.
fn class(route: &Route, known: bool) -> Class {
    if known { route.class } else { Class::Anonymous }
}

fn canonical(session: &Session, limits: &normalize::HeadLimits) -> Result<normalize::Canonical, Refusal> {
    let raw = session.as_downstream().as_http1().map(|h1| h1.get_headers_raw_bytes());
    normalize::normalize(raw.as_deref(), session.req_header(), limits)
}

/// Measures the time between stages, in one request of sixteen: two threads that count into the same figures eight times a
/// request spend more on that than on some of the stages.
struct StageClock<'a> {
    running: Option<(&'a crate::metrics::Metrics, Instant)>,
}

impl<'a> StageClock<'a> {
    /// Which requests are measured is as random as the last digit of their id.
    fn start(metrics: &'a crate::metrics::Metrics, id: &str) -> Self {
        Self { running: id.ends_with('0').then(|| (metrics, Instant::now())) }
    }

    /// The stage at `position` of [`crate::metrics::STAGES`] ended now.
    fn passed(&mut self, position: usize) {
        if let Some((metrics, last)) = &mut self.running {
            let now = Instant::now();
            metrics.stage(position, now.duration_since(*last).as_secs_f64());
            *last = now;
        }
    }
}
