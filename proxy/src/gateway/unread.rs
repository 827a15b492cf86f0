//! Heads that Pingora could not read as a request: answered, counted and recorded like every other refusal. On HTTP/2 the
//! answer is the layer's own.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::header;
use pingora::http::ResponseHeader;
use pingora::protocols::http::date::get_cached_date;

use super::core::Core;
use super::journey::{Journey, Stage};
use crate::front::{Cut, Exchange, Remote, Unreadable};
use crate::refusal::{Reason, Refusal};
use crate::stages::forwarded::Client;
use crate::stages::respond::{self, Answer};

/// The journey of what is no request: it begins and ends in one step.
pub struct Unread {
    core: Arc<Core>,
}

impl Unread {
    /// Records in `core`.
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

impl Unreadable for Unread {
    fn refuse(&self, remote: Remote) -> Bytes {
        let (mut journey, refusal) =
            self.journey(remote, Refusal::new(Reason::Malformed, "no HTTP/1 request head"));
        let answer = Answer::from(&refusal);
        journey.status = answer.status.as_u16();
        // A header field of ours always fits; should one not, the client at least learns the status.
        let bytes = written(&answer, &journey.id, remote.tls).unwrap_or_else(|_| bare(journey.status));
        journey.end();
        bytes
    }

    fn refused(&self, remote: Remote, cut: Cut) {
        self.core.metrics.http2_resets.with_label_values(&cut.labels()).inc();
        if !cut.is_unread() {
            return;
        }
        let refusal = if cut.is_excess() {
            Refusal::new(Reason::LimitAddress, "more HTTP/2 streams than a connection may have")
        } else {
            Refusal::new(Reason::Malformed, "no HTTP/2 request")
        };
        let (mut journey, _) = self.journey(remote, refusal);
        if cut == Cut::Request {
            journey.status = 400;
        }
        journey.end();
    }
}

impl Unread {
    /// A journey that `refusal` ends, or the address limit: noise counts against its address like any request.
    fn journey(&self, remote: Remote, refusal: Refusal) -> (Journey, Refusal) {
        let mut journey = Journey::begin(&self.core, Exchange::default());
        journey.client = Client::of(remote);
        let refusal = match self.core.addresses.take(journey.client.address) {
            Ok(()) => refusal,
            Err(seconds) => Refusal::new(Reason::LimitAddress, "over its rate").retry_after(seconds),
        };
        journey.stage =
            if refusal.reason == Reason::LimitAddress { Stage::Admission } else { Stage::Normalize };
        journey.refusal = Some(refusal.clone());
        (journey, refusal)
    }
}

/// The response as it goes over the wire. Nothing after it on this connection is read.
fn written(answer: &Answer, id: &str, over_tls: bool) -> pingora::Result<Bytes> {
    let nothing_known = http::Request::new(()).into_parts().0;
    let (mut head, body) = answer.render(&nothing_known, id).into_parts();
    respond::security_headers(&mut head.headers, over_tls);
    let mut header = ResponseHeader::from(head);
    header.insert_header("gatehouse-decision", id)?;
    header.insert_header(header::DATE, get_cached_date())?;
    header.insert_header(header::CONNECTION, "close")?;
    let mut out = BytesMut::new();
    out.put_slice(format!("HTTP/1.1 {}\r\n", header.status).as_bytes());
    header.header_to_h1_wire(&mut out);
    out.put_slice(b"\r\n");
    out.put_slice(&body);
    Ok(out.freeze())
}

fn bare(status: u16) -> Bytes {
    Bytes::from(format!("HTTP/1.1 {status} \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
}
