//! For whom a trusted peer speaks: its client's address, TLS and certificate, in the header fields that the peer sets.
//!
//! Such fields of anybody else say nothing. Nobody's are forwarded.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use percent_encoding::percent_decode;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::front::Remote;
use crate::refusal::{Reason, Refusal};

/// Load balancers and TLS terminators directly in front of the gateway, and the header fields that they set.
#[derive(Clone, Debug, Default)]
pub struct TrustedPeers {
    /// Where they are.
    pub networks: Vec<IpNet>,
    /// How they tell their client's address; without, they do not.
    pub forwarding: Option<Forwarding>,
    /// How they tell its certificate; without, they do not.
    pub certificate: Option<CertificateField>,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Where from; 0.0.0.0: nobody knows.
    pub address: IpAddr,
    /// It spoke TLS, with the gateway or with whoever speaks for it.
    pub tls: bool,
    /// SHA-256 of the certificate whose key it proved to hold.
    pub certificate: Option<[u8; 32]>,
}

impl Client {
    /// The other end of a connection, where that speaks for itself. What a trusted peer sends without saying for whom is
    /// nobody's: it must not count against the peer.
    pub fn of(remote: Remote) -> Self {
        match remote {
            Remote { trusted: true, tls, .. } => Self { tls, ..Self::default() },
            Remote { address, tls, certificate, .. } => Self { address, tls, certificate },
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self { address: IpAddr::from([0, 0, 0, 0]), tls: false, certificate: None }
    }
}

/// The fields that tell a client's address and whether it spoke TLS. Each peer appends what it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarding {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The field that tells a client's certificate. The peer must remove or overwrite what its clients send under this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateField {
    /// Its name.
    pub name: HeaderName,
    /// What stands in it.
    pub format: CertificateFormat,
}

/// How a certificate stands in a header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateFormat {
    /// DER in Base64 between colons (RFC 9440 2.1).
    Rfc9440,
    /// DER in Base64.
    Der,
    /// PEM, percent-encoded.
    Pem,
}

impl TrustedPeers {
    /// Whether `address` is such a peer's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether what `remote` says of its clients counts. It was trusted when it connected, and still is.
    fn believes(&self, remote: Remote) -> bool {
        remote.trusted && self.trusts(remote.address)
    }

    /// The client that `remote` is, or for which it speaks; [`Self::certificate`] adds the certificate of the latter.
    ///
    /// # Errors
    /// A trusted peer's field that cannot be read: whose request it is, nobody knows.
    pub fn client(&self, remote: Remote, headers: &HeaderMap) -> Result<Client, Refusal> {
        if !self.believes(remote) {
            return Ok(Client::of(Remote { trusted: false, ..remote }));
        }
        let (address, tls) = match self.forwarding {
            None => (remote.address, None),
            Some(Forwarding::XForwarded) => self.x_forwarded(remote.address, headers)?,
            Some(Forwarding::Forwarded) => self.forwarded(remote.address, headers)?,
        };
        // What a trusted peer shows at its own connection is not its client's.
        Ok(Client { address, certificate: None, tls: tls.unwrap_or(remote.tls) })
    }

    /// The certificate of the client that `remote` is, or for which it speaks.
    ///
    /// # Errors
    /// As [`Self::client`].
    pub fn certificate(&self, remote: Remote, headers: &HeaderMap) -> Result<Option<[u8; 32]>, Refusal> {
        match &self.certificate {
            _ if !self.believes(remote) => Ok(remote.certificate),
            Some(field) => field.sha256(headers),
            None => Ok(None),
        }
    }

    /// Whether a field of a request from `remote` is the peer's writing, and not its client's.
    pub fn writes(&self, remote: Remote, field: &HeaderName) -> bool {
        let forwarding = match self.forwarding {
            Some(Forwarding::XForwarded) => [X_FORWARDED_FOR, X_FORWARDED_PROTO].contains(field),
            Some(Forwarding::Forwarded) => field == header::FORWARDED,
            None => false,
        };
        self.believes(remote) && (forwarding || self.certificate.as_ref().is_some_and(|c| c.name == field))
    }

    fn x_forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> Result<(IpAddr, Option<bool>), Refusal> {
        let hops = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let hops = hops.flat_map(|value| value.as_bytes().rsplit(|&b| b == b',').map(<[u8]>::trim_ascii));
        let mut address = peer;
        // A list may have empty elements (RFC 9110 5.6.1).
        for hop in hops.filter(|hop| !hop.is_empty()) {
            match Node::read(hop)? {
                Node::Address(hop) => address = hop,
                Node::Hidden => break,
            }
            if !self.trusts(address) {
                break;
            }
        }
        let proto = headers.get_all(X_FORWARDED_PROTO).iter().next_back();
        let proto = proto.and_then(|value| value.as_bytes().rsplit(|&b| b == b',').next());
        Ok((address, proto.map(|proto| is_tls(proto.trim_ascii())).transpose()?))
    }

    fn forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> Result<(IpAddr, Option<bool>), Refusal> {
        let (mut address, mut tls) = (peer, None);
        // Each field on its own: a quote that a client opens in its own must not swallow the peer's.
        for value in headers.get_all(header::FORWARDED).iter().rev() {
            let elements = split(value.as_bytes(), b',')?;
            for element in elements.into_iter().rev().filter(|element| !element.is_empty()) {
                let hop = Hop::read(element)?;
                tls = hop.tls;
                match hop.node {
                    Some(Node::Address(hop)) => address = hop,
                    Some(Node::Hidden) | None => return Ok((address, tls)),
                }
                if !self.trusts(address) {
                    return Ok((address, tls));
                }
            }
        }
        Ok((address, tls))
    }
}

impl CertificateField {
    /// SHA-256 of the certificate (RFC 8705 3.1); `None` where the client showed none.
    fn sha256(&self, headers: &HeaderMap) -> Result<Option<[u8; 32]>, Refusal> {
        let mut values = headers.get_all(&self.name).iter();
        let Some(value) = values.next().map(|value| value.as_bytes().trim_ascii()) else { return Ok(None) };
        if values.next().is_some() {
            return Err(unreadable("more than one client certificate"));
        }
        if value.is_empty() {
            return Ok(None);
        }
        let der = match self.format {
            CertificateFormat::Rfc9440 => value
                .strip_prefix(b":")
                .and_then(|v| v.strip_suffix(b":"))
                .and_then(|v| STANDARD.decode(v).ok()),
            CertificateFormat::Der => STANDARD.decode(value).ok(),
            CertificateFormat::Pem => {
                let pem: Vec<u8> = percent_decode(value).collect();
                CertificateDer::from_pem_slice(&pem).ok().map(|certificate| certificate.to_vec())
            }
        };
        let der = der.filter(|der| !der.is_empty()).ok_or_else(|| unreadable("no client certificate"))?;
        Ok(Some(Sha256::digest(der).into()))
    }
}

/// One hop as the one after it names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Address(IpAddr),
    /// `unknown`, or a name of its own (RFC 7239 6.2, 6.3).
    Hidden,
}

impl Node {
    /// An address with or without port, an IPv6 one with or without brackets.
    fn read(text: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(text).map_err(|_| unreadable("an address outside ASCII"))?;
        if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') {
            return Ok(Self::Hidden);
        }
        // A port may have a name instead of a number (RFC 7239 6.4).
        let host = text.split_once(":_").map_or(text, |(host, _)| host);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let address = bare.parse::<IpAddr>().or_else(|_| host.parse::<SocketAddr>().map(|with| with.ip()));
        address.map(|address| Self::Address(address.to_canonical())).map_err(|_| unreadable("no address"))
    }
}

/// One element of `Forwarded`.
struct Hop {
    node: Option<Node>,
    tls: Option<bool>,
}

impl Hop {
    fn read(element: &[u8]) -> Result<Self, Refusal> {
        let mut hop = Self { node: None, tls: None };
        for pair in split(element, b';')?.into_iter().filter(|pair| !pair.is_empty()) {
            let (name, value) = halves(pair).ok_or_else(|| unreadable("a Forwarded pair without ="))?;
            let value = unquoted(value);
            if name.eq_ignore_ascii_case(b"for") && hop.node.replace(Node::read(&value)?).is_some()
                || name.eq_ignore_ascii_case(b"proto") && hop.tls.replace(is_tls(&value)?).is_some()
            {
                return Err(unreadable("a Forwarded parameter stands twice"));
            }
        }
        Ok(hop)
    }
}

fn halves(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|&b| b == b'=')?;
    let (name, value) = pair.split_at_checked(at)?;
    Some((name, value.get(1..)?))
}

/// The parts between `separator`s that stand outside quotes, trimmed (RFC 9110 5.6.4).
fn split(text: &[u8], separator: u8) -> Result<Vec<&[u8]>, Refusal> {
    let (mut quoted, mut escaped) = (false, false);
    let parts: Vec<&[u8]> = text
        .split(|&b| {
            let escapes = quoted && !escaped && b == b'\\';
            if b == b'"' && !escaped {
                quoted = !quoted;
            }
            escaped = escapes;
            b == separator && !quoted
        })
        .map(<[u8]>::trim_ascii)
        .collect();
    if quoted { Err(unreadable("a quote without end")) } else { Ok(parts) }
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) else {
        return value.to_vec();
    };
    let mut escaped = false;
    let keep = |&&b: &&u8| {
        escaped = b == b'\\' && !escaped;
        !escaped
    };
    inner.iter().filter(keep).copied().collect()
}

fn is_tls(scheme: &[u8]) -> Result<bool, Refusal> {
    match scheme {
        scheme if scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss") => Ok(true),
        scheme if scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"ws") => Ok(false),
        _ => Err(unreadable("neither http nor https")),
    }
}

fn unreadable(what: &'static str) -> Refusal {
    Refusal::new(Reason::Malformed, format!("a trusted peer's field: {what}"))
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn peers(forwarding: Forwarding) -> TrustedPeers {
        let networks = ["10.0.0.0/8", "2001:db8:1::/48"].map(|n| n.parse().unwrap()).to_vec();
        TrustedPeers { networks, forwarding: Some(forwarding), certificate: None }
    }

    fn remote(address: &str, peers: &TrustedPeers) -> Remote {
        let address = address.parse().unwrap();
        Remote { address, trusted: peers.trusts(address), tls: false, certificate: Some([9; 32]) }
    }

    fn fields(name: &'static str, values: &[&str]) -> HeaderMap {
        let pair = |value: &&str| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        values.iter().map(pair).collect()
    }

    #[test]
    fn the_last_address_that_no_trusted_peer_has_is_the_clients() {
        let of = peers(Forwarding::XForwarded);
        for (values, expected) in [
            (&[][..], Some("10.0.0.1")),
            (&["192.0.2.7"], Some("192.0.2.7")),
            (&["203.0.113.9, 192.0.2.7"], Some("192.0.2.7")),
            (&["203.0.113.9", "192.0.2.7"], Some("192.0.2.7")),
            (&["203.0.113.9, 192.0.2.7, 10.0.0.2"], Some("192.0.2.7")),
            (&["192.0.2.7, 10.0.0.2", "10.0.0.3"], Some("192.0.2.7")),
            (&["10.0.0.4, 10.0.0.2"], Some("10.0.0.4")),
            (&["2001:db8::7"], Some("2001:db8::7")),
            (&["[2001:db8::7]:4711, 2001:db8:1::5"], Some("2001:db8::7")),
            (&["192.0.2.7:4711"], Some("192.0.2.7")),
            (&["::ffff:192.0.2.7"], Some("192.0.2.7")),
            (&["192.0.2.7,, "], Some("192.0.2.7")),
            // What stands left of the client's address is what the client says.
            (&["nonsense\", 192.0.2.7"], Some("192.0.2.7")),
            (&["192.0.2.7, unknown"], Some("10.0.0.1")),
            (&["192.0.2.7, _hidden, 10.0.0.2"], Some("10.0.0.2")),
            (&["nonsense"], None),
            (&["192.0.2.7, nonsense, 10.0.0.2"], None),
            (&["192.0.2.007"], None),
            (&["192.0.2.7:"], None),
            (&["192.0.2.7:99999"], None),
            (&["\u{ff11}92.0.2.7"], None),
        ] {
            let client = of.client(remote("10.0.0.1", &of), &fields("x-forwarded-for", values));
            let address = client.map(|client| client.address.to_string());
            assert_eq!(address.as_deref().ok(), expected, "{values:?}");
        }
    }

    #[test]
    fn however_many_peers_there_are_the_client_is_found() {
        for (forwarding, name, hop) in [
            (Forwarding::XForwarded, "x-forwarded-for", ", 10.0.0.2"),
            (Forwarding::Forwarded, "forwarded", ", for=10.0.0.2"),
        ] {
            let of = peers(forwarding);
            let client = if name == "forwarded" { "for=192.0.2.7" } else { "192.0.2.7" };
            let value = format!("{client}{}", hop.repeat(50_000));
            let client = of.client(remote("10.0.0.1", &of), &fields(name, &[&value])).unwrap();
            assert_eq!(client.address.to_string(), "192.0.2.7");
        }
    }

    #[test]
    fn forwarded_says_the_same_and_the_scheme() {
        let of = peers(Forwarding::Forwarded);
        for (values, expected) in [
            (&[][..], Some(("10.0.0.1", false))),
            (&["for=192.0.2.7"], Some(("192.0.2.7", false))),
            (&["For=\"192.0.2.7:4711\";Proto=HTTPS;by=10.0.0.1"], Some(("192.0.2.7", true))),
            (&["for=\"[2001:db8::7]:_port\";proto=https"], Some(("2001:db8::7", true))),
            (&["for=203.0.113.9;proto=https, for=192.0.2.7;proto=http"], Some(("192.0.2.7", false))),
            (&["for=192.0.2.7;proto=https, for=10.0.0.2;proto=http"], Some(("192.0.2.7", true))),
            (&["for=192.0.2.7;proto=https", "for=10.0.0.2;proto=http"], Some(("192.0.2.7", true))),
            (&["for=unknown;proto=https"], Some(("10.0.0.1", true))),
            (&["for=203.0.113.9, for=_hidden"], Some(("10.0.0.1", false))),
            (&["for=203.0.113.9, by=10.0.0.1"], Some(("10.0.0.1", false))),
            (&["for=\"192.0.2.\\7\""], Some(("192.0.2.7", false))),
            (&["for=\"a,b;for=203.0.113.9\", for=192.0.2.7"], Some(("192.0.2.7", false))),
            (&["for=\"203.0.113.9", "for=192.0.2.7"], Some(("192.0.2.7", false))),
            // A client's open quote, to which a peer appends its own element.
            (&["for=203.0.113.9;x=\", for=\"[2001:db8::7]:4711\""], None),
            (&["for=203.0.113.9;x=\"\\, for=\"[2001:db8::7]:4711\""], None),
            (&["for=203.0.113.9;x=\", for=192.0.2.7"], None),
            (&["for=192.0.2.7;for=203.0.113.9"], None),
            (&["for=192.0.2.7;proto=gopher"], None),
            (&["for=nonsense"], None),
            (&["192.0.2.7"], None),
        ] {
            let client = of.client(remote("10.0.0.1", &of), &fields("forwarded", values));
            let said = client.map(|client| (client.address.to_string(), client.tls)).ok();
            let expected = expected.map(|(address, tls)| (address.to_owned(), tls));
            assert_eq!(said, expected, "{values:?}");
        }
    }

    #[test]
    fn nobody_else_is_believed() {
        let mut of = peers(Forwarding::XForwarded);
        of.certificate = Some(CertificateField {
            name: HeaderName::from_static("client-cert"),
            format: CertificateFormat::Rfc9440,
        });
        let mut headers = fields("x-forwarded-for", &["10.0.0.5"]);
        headers.extend(fields("x-forwarded-proto", &["https"]));
        headers.extend(fields("client-cert", &["no certificate"]));
        let alone = |from: Remote| {
            let client = of.client(from, &headers).unwrap();
            assert_eq!(
                (client, Some(client.certificate)),
                (Client::of(from), of.certificate(from, &headers).ok())
            );
            assert!(headers.keys().all(|field| !of.writes(from, field)), "{from:?}");
        };
        for address in ["192.0.2.1", "11.0.0.1", "2001:db8:2::1"] {
            alone(remote(address, &of));
            // Trusted when it connected, and no longer.
            let before = Remote { trusted: true, ..remote(address, &of) };
            assert_eq!(of.client(before, &headers).unwrap().address, before.address, "{address}");
            assert_eq!(of.certificate(before, &headers).unwrap(), before.certificate, "{address}");
        }
        // What a balancer sends for itself or for nobody in particular.
        alone(Remote { trusted: false, ..remote("10.0.0.1", &of) });
        let peer = remote("10.0.0.1", &of);
        assert!(of.certificate(peer, &headers).is_err());
        assert!(headers.keys().all(|field| of.writes(peer, field)));
        // Nor is a trusted peer by the field that it was not said to set.
        let of = peers(Forwarding::Forwarded);
        let client = of.client(peer, &headers).unwrap();
        assert_eq!((client.address.to_string().as_str(), client.tls), ("10.0.0.1", false));
        assert_eq!(of.certificate(peer, &headers).unwrap(), None, "its own is not its client's");
        assert!(headers.keys().all(|field| !of.writes(peer, field)));
    }

    #[test]
    fn the_scheme_is_the_last_peers() {
        let of = peers(Forwarding::XForwarded);
        for (values, expected) in [
            (&[][..], Some(false)),
            (&["https"], Some(true)),
            (&["HTTPS"], Some(true)),
            (&["https, http"], Some(false)),
            (&["http", "https"], Some(true)),
            (&["https;"], None),
            (&[""], None),
        ] {
            let client = of.client(remote("10.0.0.1", &of), &fields("x-forwarded-proto", values));
            assert_eq!(client.map(|client| client.tls).ok(), expected, "{values:?}");
        }
    }

    #[test]
    fn a_certificate_stands_in_one_field_in_one_format() {
        let der = b"stands for DER".to_vec();
        let sha256: [u8; 32] = Sha256::digest(&der).into();
        let base64 = STANDARD.encode(&der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        let escaped =
            percent_encoding::utf8_percent_encode(&pem, percent_encoding::NON_ALPHANUMERIC).to_string();
        let between_colons = format!(":{base64}:");
        let (rfc9440, plain, pem) =
            (CertificateFormat::Rfc9440, CertificateFormat::Der, CertificateFormat::Pem);
        for (format, values, expected) in [
            (rfc9440, vec![&*between_colons], Ok(Some(sha256))),
            (plain, vec![&*base64], Ok(Some(sha256))),
            (pem, vec![&*escaped], Ok(Some(sha256))),
            (rfc9440, vec![], Ok(None)),
            (rfc9440, vec![""], Ok(None)),
            (rfc9440, vec![&*base64], Err(())),
            (plain, vec![&*between_colons], Err(())),
            (pem, vec![&*base64], Err(())),
            (rfc9440, vec!["::"], Err(())),
            (rfc9440, vec![&*between_colons, &*between_colons], Err(())),
            (rfc9440, vec!["", &*between_colons], Err(())),
            (pem, vec!["%2D%2D%zz"], Err(())),
        ] {
            let name = HeaderName::from_static("client-cert");
            let of = TrustedPeers {
                certificate: Some(CertificateField { name, format }),
                ..peers(Forwarding::XForwarded)
            };
            let certificate = of.certificate(remote("10.0.0.1", &of), &fields("client-cert", &values));
            assert_eq!(certificate.map_err(|_| ()), expected, "{format:?} {values:?}");
        }
    }

    proptest! {
        #[test]
        fn any_fields_are_answered(value in proptest::collection::vec(0x20..=0xff_u8, 0..80)) {
            for forwarding in [Forwarding::XForwarded, Forwarding::Forwarded] {
                let of = peers(forwarding);
                let mut headers = HeaderMap::new();
                for name in ["x-forwarded-for", "x-forwarded-proto", "forwarded"] {
                    headers.extend(HeaderValue::from_bytes(&value).ok().map(|v| (HeaderName::from_static(name), v)));
                }
                let _ = of.client(remote("10.0.0.1", &of), &headers);
            }
        }
    }
}
