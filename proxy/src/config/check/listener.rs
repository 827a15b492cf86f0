//! Where clients connect, and what may stand before it, checked.

use std::net::IpAddr;
use std::path::Path;

use http::HeaderName;
use ipnet::IpNet;

use super::super::{ClientCertificates, Listener, Tls};
use super::*;
use crate::stages::forwarded::{CertificateField, TrustedPeers};

/// Whether somebody is trusted to send the headers that listeners wait for. To be asked of a file as it is written: a reload
/// that takes trust away leaves the listeners as they are, and nobody's headers count any more.
pub fn headers_are_sent(file: &raw::File) -> Vec<Problem> {
    let mut found = Found::default();
    for (index, listener) in file.listeners.iter().enumerate() {
        found.unless(
            file.trusted_peers.is_some() || !listener.proxy_protocol,
            At::root().key("listeners").index(index).key("proxy_protocol"),
            "nobody is trusted to speak for others",
            "add [trusted_peers] with the balancers' addresses",
        );
    }
    found.0
}

/// Whether what the listeners ask of clients can be had.
pub(super) fn asked_for(listeners: &[raw::Listener], at: &At, found: &mut Found) {
    for (index, listener) in listeners.iter().enumerate() {
        let at = at.index(index);
        let Some(tls) = &listener.tls else { continue };
        found.unless(
            tls.client_authorities.is_none() || tls.client_certificates.is_some(),
            at.key("tls").key("client_authorities"),
            "clients are not asked for certificates",
            "set client_certificates to \"optional\" or \"required\"",
        );
    }
}

/// Relative paths become relative to `folder`.
pub(super) fn listener(raw: raw::Listener, folder: &Path) -> Listener {
    let tls = raw.tls.map(|tls| Tls {
        certificate: folder.join(tls.certificate),
        key: folder.join(tls.key),
        clients: tls.client_certificates.map(|asked_for| ClientCertificates {
            asked_for,
            authorities: tls.client_authorities.map(|file| folder.join(file)),
        }),
    });
    Listener { address: raw.address, proxy_protocol: raw.proxy_protocol, tls }
}

/// Those who may speak for others.
pub(super) fn peers(raw: raw::TrustedPeers, at: &At, found: &mut Found) -> TrustedPeers {
    let addresses = at.key("addresses");
    found.unless(
        !raw.addresses.is_empty(),
        addresses.clone(),
        "nobody is named",
        "list the balancers' addresses, or leave [trusted_peers] out",
    );
    let mut networks = Vec::new();
    for (index, text) in raw.addresses.iter().enumerate() {
        match network(text) {
            Some(network) if network.prefix_len() >= if network.addr().is_ipv4() { 8 } else { 16 } => {
                networks.push(network);
            }
            Some(_) => found.add(
                addresses.index(index),
                format!("{text} is too many"),
                "name the balancers: whoever is trusted chooses the addresses that limits and rules see",
            ),
            None => found.add(
                addresses.index(index),
                format!("{text} is neither an address nor a network"),
                "such as \"10.1.2.3\", \"10.1.0.0/16\" or \"2001:db8::/32\"",
            ),
        }
    }
    let certificate = raw.client_certificate.and_then(|raw| {
        let name = raw.field.to_ascii_lowercase().parse::<HeaderName>().ok();
        // A field that means something else must not be taken out of requests.
        let name = name.filter(|name| name.as_str().contains("cert"));
        found.unless(
            name.is_some(),
            at.key("client_certificate").key("field"),
            "not a header field for certificates",
            "such as \"Client-Cert\" (RFC 9440) or \"X-SSL-Client-Cert\"",
        );
        Some(CertificateField { name: name?, format: raw.format })
    });
    TrustedPeers { networks, forwarding: raw.forwarding, certificate }
}

fn network(text: &str) -> Option<IpNet> {
    let Ok(network) = text.parse::<IpNet>() else {
        return text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    };
    // Addresses are compared as IPv4 where they are that.
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (address @ IpAddr::V4(_), Some(bits)) if network.addr().is_ipv6() => IpNet::new(address, bits).ok(),
        _ => Some(network.trunc()),
    }
}
