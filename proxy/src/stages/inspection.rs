//! Inspection: the body is read within a bound, and the request judged for injections and for anomaly.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use http::request::Parts;
use learner::anomaly::{self, AnomalyScorer};
use learner::features::request::{FEATURES, RequestSample, vector};
use learner::lexical::{self, Attack, Location};
use pingora::proxy::Session;
use policies::Name;
use policies::evidence::{AttackKind, Contribution, Finding, Score, Scored, Unavailability};

use crate::refusal::{Reason, Refusal};

/// Reads the whole body, at most `max` bytes, so that Pingora can replay it to the upstream.
///
/// # Errors
/// The body is larger, later, or cannot be read.
pub async fn read_body(session: &mut Session, max: usize, deadline: Duration) -> Result<Bytes, Refusal> {
    let declared = session.req_header().headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    if declared.is_some_and(|length| length > max) {
        return Err(Refusal::new(Reason::BodyTooLarge, "declared length over the route's bound"));
    }
    if session.as_downstream_mut().is_body_empty() {
        return Ok(Bytes::new());
    }
    session.enable_retry_buffering();
    let head = session.req_header();
    // HTTP/1.0 knows no interim responses (RFC 9110 10.1.1).
    if head.version >= http::Version::HTTP_11 && head.headers.contains_key(header::EXPECT) {
        session
            .write_continue_response()
            .await
            .map_err(|_| Refusal::new(Reason::BodyUnreadable, "client went away before its body"))?;
    }
    match pingora::time::timeout(deadline, collect(session, max)).await {
        Ok(body) => body,
        Err(_) => Err(Refusal::new(Reason::BodyTooSlow, "body not complete by its deadline")),
    }
}

async fn collect(session: &mut Session, max: usize) -> Result<Bytes, Refusal> {
    let mut body = BytesMut::new();
    loop {
        match session.read_request_body().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) > max => {
                return Err(Refusal::new(Reason::BodyTooLarge, "body over the route's bound"));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body.freeze()),
            Err(_) => return Err(Refusal::new(Reason::BodyUnreadable, "body framing is broken")),
        }
    }
}

/// What was found in a request.
#[derive(Debug)]
pub struct Inspected {
    /// Signs of attacks, strongest first.
    pub findings: Vec<Finding>,
    /// Anomaly score.
    pub anomaly: Scored,
}

/// Inspects the head, without the fields that are `others` writing than the client's, and the body. Pure, linear in their
/// length.
pub fn inspect(
    head: &Parts,
    body: &[u8],
    others: impl Fn(&http::HeaderName) -> bool,
    scorer: Option<&AnomalyScorer>,
    model: &Name,
) -> Inspected {
    let headers: Vec<(&str, &[u8])> = head
        .headers
        .iter()
        .filter(|(name, _)| !is_secret(name) && !others(name))
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let sample = RequestSample {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query(),
        headers: &headers,
        content_type: head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()),
        body,
        client_rate_per_s: None,
    };
    let found = lexical::inspect(&sample);
    let anomaly = match scorer {
        None => Scored::Unavailable(Unavailability::NoModel),
        Some(scorer) => anomaly_score(scorer, &sample, &found, model),
    };
    let mut findings: Vec<Finding> = found.items().iter().map(finding).collect();
    findings.sort_by(|a, b| b.score.total_cmp(&a.score));
    Inspected { findings, anomaly }
}

/// Credentials are the identity stage's to judge; their base64 says nothing of an attack.
fn is_secret(name: &http::HeaderName) -> bool {
    name == header::AUTHORIZATION || name == header::PROXY_AUTHORIZATION || name.as_str() == "dpop"
}

fn anomaly_score(
    scorer: &AnomalyScorer,
    sample: &RequestSample<'_>,
    found: &lexical::Findings,
    model: &Name,
) -> Scored {
    let features = vector(sample, found);
    let Ok(score) = scorer.score_vector(&features) else {
        return Scored::Unavailable(Unavailability::Failed);
    };
    let contributions = score.contributions.iter().filter(|c| c.error > 0.0).filter_map(|c| {
        let value = features.get(c.feature).copied().map_or(f64::NAN, f64::from);
        Some(Contribution {
            feature: FEATURES.get(c.feature)?.name.into(),
            value,
            weight: f64::from(c.error),
        })
    });
    Scored::Available(Score {
        value: score.percentile,
        model: model.clone(),
        contributions: contributions.collect(),
        // Words only where somebody will read them: an everyday request needs none.
        sentences: if score.percentile >= UNUSUAL { anomaly::sentences(&score) } else { Vec::new() },
        features: features.iter().map(|&f| f64::from(f)).collect(),
    })
}

/// From this percentile of normal traffic on a score is explained in words.
const UNUSUAL: f64 = 0.95;

fn finding(found: &lexical::Finding) -> Finding {
    let kind = match found.attack {
        Attack::Sql => AttackKind::Sqli,
        Attack::Script => AttackKind::Xss,
        Attack::Path => AttackKind::Traversal,
        Attack::Command => AttackKind::Command,
        Attack::Other => AttackKind::Probe,
    };
    let location = match &found.location {
        Location::Path => "path".to_owned(),
        Location::Query => "query".to_owned(),
        Location::QueryParameter(name) => format!("query:{name}"),
        Location::Header(name) => format!("header:{name}"),
        Location::BodyField(name) => format!("body:{name}"),
        Location::Body => "body".to_owned(),
    };
    Finding { kind, score: f64::from(found.score), location, why: found.matched.to_owned() }
}
