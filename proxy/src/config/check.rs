//! From the raw file to checked types: parse, don't validate. Every problem is collected, not only the first.

mod listener;
mod route;

pub use listener::headers_are_sent;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use learner::capacity::{CapacityConfig, Class, Rails};

use super::location::{At, Problem};
use super::routes::RouteTable;
use super::{Admin, Application, Config, Limits, Models, Route, Server, Upstream, raw};
use crate::stages::identity::config::RawIssuer;
use crate::stages::identity::{self, Access, Requirement};
use crate::stages::limits::Rate;
use crate::stages::normalize::HeadLimits;
use crate::stages::transfer::{BodyFormat, Linking, TransferMapping};

/// Problems found so far.
#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, at: At, what: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Problem::new(at, what, hint));
    }

    fn unless(&mut self, fine: bool, at: At, what: impl Into<String>, hint: impl Into<String>) {
        if !fine {
            self.add(at, what, hint);
        }
    }
}

/// Checks the whole file; relative paths become relative to `folder`.
pub fn config(file: raw::File, document: toml::Table, folder: &Path) -> Result<Config, Vec<Problem>> {
    let mut found = Found::default();
    let root = At::root();
    let path = |p: PathBuf| folder.join(p);
    found.unless(
        !file.listeners.is_empty(),
        root.key("listeners"),
        "no listener",
        "add a [[listeners]] table with an address",
    );
    found.unless(
        !file.applications.is_empty(),
        root.key("applications"),
        "no application",
        "add an [[applications]] table",
    );
    let threads = file.server.threads;
    found.unless(
        (1..=256).contains(&threads),
        root.key("server").key("threads"),
        "threads out of range",
        "choose 1 to 256, usually the number of cores",
    );
    bounds(&file, &root, &mut found);
    files(&file, folder, &root, &mut found);

    listener::asked_for(&file.listeners, &root.key("listeners"), &mut found);
    let trusted_peers =
        file.trusted_peers.map(|raw| listener::peers(raw, &root.key("trusted_peers"), &mut found));

    let issuers = issuers(file.issuers, folder, &root, &mut found);
    let applications = applications(file.applications, &root, folder, &issuers, &mut found);
    let address = rate(Some(file.limits.address), &root.key("limits").key("address"), &mut found);
    let logins = rate(Some(file.limits.logins), &root.key("limits").key("logins"), &mut found);
    if let Some(admin) = &file.admin {
        found.unless(
            issuers.iter().any(|i| i.issuer == admin.issuer),
            root.key("admin").key("issuer"),
            "issuer is not one of [[issuers]]",
            "add it there, exactly as its tokens spell it",
        );
    }
    let (Some(address), Some(logins), true) = (address, logins, found.0.is_empty()) else {
        return Err(found.0);
    };
    Ok(Config {
        document,
        server: Server {
            data_dir: path(file.server.data_dir),
            threads,
            grace: Duration::from_secs(file.server.grace_s),
            utc_offset_hours: file.server.utc_offset_hours,
            store_entries_max: file.server.store_entries_max,
        },
        backfill: file.server.backfill.map(path),
        listeners: file.listeners.into_iter().map(|raw| listener::listener(raw, folder)).collect(),
        trusted_peers: trusted_peers.unwrap_or_default(),
        admin: file.admin.map(|a| Admin {
            address: a.address,
            issuer: a.issuer,
            audience: a.audience,
            client_id: a.client_id,
            external_url: a.external_url,
        }),
        observe: file.observe.map(|o| o.address),
        limits: limits(&file.limits, address, logins),
        models: Models {
            fraud: file.models.fraud.map(path),
            anomaly: file.models.anomaly.map(path),
            capacity: file.models.capacity.map(path),
        },
        learning: file.learning,
        policy: path(file.policy.file),
        identity: file.identity,
        issuers,
        applications,
    })
}

/// The issuers that are fine.
fn issuers(raw: Vec<RawIssuer>, folder: &Path, root: &At, found: &mut Found) -> Vec<identity::IssuerConfig> {
    let mut issuers: Vec<identity::IssuerConfig> = Vec::new();
    for (index, issuer) in raw.into_iter().enumerate() {
        let at = root.key("issuers").index(index);
        if issuers.iter().any(|other| other.issuer == issuer.issuer) {
            found.add(at.key("issuer"), "the issuer stands twice", "merge the two [[issuers]] tables");
        }
        match identity::config::issuer(issuer, folder) {
            Ok(issuer) => issuers.push(issuer),
            Err(wrong) => found.0.extend(
                wrong.into_iter().map(|w| Problem::new(at.join(&At::parse(&w.field)), w.what, w.hint)),
            ),
        }
    }
    issuers
}

/// The applications that are fine.
fn applications(
    raw: Vec<raw::Application>,
    root: &At,
    folder: &Path,
    issuers: &[identity::IssuerConfig],
    found: &mut Found,
) -> Vec<Application> {
    let mut applications: Vec<Application> = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let at = root.key("applications").index(index);
        found.unless(
            !applications.iter().any(|other| *other.name == *raw.name),
            at.key("name"),
            format!("another application is called {}", raw.name),
            "records and metrics tell applications apart by name",
        );
        for other in &applications {
            for host in raw.hosts.iter().filter(|h| other.hosts.contains(&h.to_ascii_lowercase())) {
                found.add(
                    at.key("hosts"),
                    format!("host {host} also belongs to {}", other.name),
                    "give each host to one application",
                );
            }
        }
        applications.extend(application(raw, &at, folder, issuers, found));
    }
    applications
}

/// Numbers that must lie in a range.
fn bounds(file: &raw::File, root: &At, found: &mut Found) {
    let (server, limits, identity) = (root.key("server"), root.key("limits"), root.key("identity"));
    let (raw, held) = (&file.limits, &file.identity);
    for (at, key, value, low, high) in [
        (&server, "grace_s", Some(file.server.grace_s), 0, 3_600),
        (&server, "store_entries_max", as_u64(file.server.store_entries_max), 1_000, 100_000_000),
        (&limits, "addresses_max", as_u64(raw.addresses_max), 1_000, 100_000_000),
        (&limits, "connections_per_address", Some(raw.connections_per_address.into()), 1, 1_000_000),
        (&limits, "connections_max", Some(raw.connections_max.into()), 1, 1_000_000),
        (&limits, "header_timeout_ms", Some(raw.header_timeout_ms), 100, 600_000),
        (&limits, "body_timeout_ms", Some(raw.body_timeout_ms), 100, 600_000),
        // Pingora reads at most 1 MiB and 256 fields.
        (&limits, "header_bytes_max", as_u64(raw.header_bytes_max), 1_024, 1_048_576),
        (&limits, "header_fields_max", as_u64(raw.header_fields_max), 10, 256),
        (&limits, "target_bytes_max", as_u64(raw.target_bytes_max), 256, 1_048_576),
        (&limits, "query_parameters_max", as_u64(raw.query_parameters_max), 1, 10_000),
        (&identity, "remembered_tokens", as_u64(held.remembered_tokens), 1_000, 10_000_000),
        (&identity, "cached_sessions", as_u64(held.cached_sessions), 1_000, 10_000_000),
        (&identity, "minted_tokens", as_u64(held.minted_tokens), 1_000, 10_000_000),
        (&identity, "revocations", as_u64(held.revocations), 1_000, 10_000_000),
        (&identity, "proofs_of_subject", Some(held.proofs_of_subject.into()), 10, 100_000_000),
        (&identity, "own_requests", as_u64(held.own_requests), 10, 1_000_000),
        (&identity, "logins", Some(held.logins.into()), 10, 10_000_000),
    ] {
        in_range(at.key(key), value, low, high, found);
    }
    for (key, value, low, high) in file.learning.ranges() {
        in_range(root.key("learning").key(key), Some(value), low, high, found);
    }
    let hours = file.server.utc_offset_hours;
    found.unless(
        (-12..=14).contains(&hours),
        server.key("utc_offset_hours"),
        format!("{hours} is outside -12 to 14"),
        "whole hours to add to UTC",
    );
}

fn as_u64(value: usize) -> Option<u64> {
    u64::try_from(value).ok()
}

fn in_range(at: At, value: Option<u64>, low: u64, high: u64, found: &mut Found) {
    let value = value.unwrap_or(u64::MAX);
    found.unless(
        (low..=high).contains(&value),
        at,
        format!("{value} is outside {low} to {high}"),
        "give a value in the range",
    );
}

/// Files and folders that the configuration names must be there.
fn files(file: &raw::File, folder: &Path, root: &At, found: &mut Found) {
    let (server, models) = (root.key("server"), root.key("models"));
    let mut named = vec![(root.key("policy").key("file"), Some(&file.policy.file))];
    named.push((server.key("backfill"), file.server.backfill.as_ref()));
    named.push((models.key("fraud"), file.models.fraud.as_ref()));
    named.push((models.key("anomaly"), file.models.anomaly.as_ref()));
    named.push((models.key("capacity"), file.models.capacity.as_ref()));
    for (index, listener) in file.listeners.iter().enumerate() {
        let tls = root.key("listeners").index(index).key("tls");
        named.push((tls.key("certificate"), listener.tls.as_ref().map(|t| &t.certificate)));
        named.push((tls.key("key"), listener.tls.as_ref().map(|t| &t.key)));
        let authorities = listener.tls.as_ref().and_then(|t| t.client_authorities.as_ref());
        named.push((tls.key("client_authorities"), authorities));
    }
    for (at, path) in named {
        let Some(path) = path.map(|p| folder.join(p)) else { continue };
        if let Err(error) = std::fs::metadata(&path) {
            found.add(
                at,
                format!("{}: {error}", path.display()),
                "relative paths start at this file's folder",
            );
        }
    }
}

fn limits(raw: &raw::Limits, address: Rate, logins: Rate) -> Limits {
    Limits {
        address,
        logins,
        addresses_max: raw.addresses_max,
        connections_per_address: raw.connections_per_address,
        connections_max: raw.connections_max,
        header_timeout: Duration::from_millis(raw.header_timeout_ms),
        body_timeout: Duration::from_millis(raw.body_timeout_ms),
        head: HeadLimits {
            header_bytes_max: raw.header_bytes_max,
            fields_max: raw.header_fields_max,
            target_bytes_max: raw.target_bytes_max,
            parameters_max: raw.query_parameters_max,
        },
    }
}

fn rate(raw: Option<raw::Rate>, at: &At, found: &mut Found) -> Option<Rate> {
    let raw = raw?;
    match (NonZeroU32::new(raw.per_second), NonZeroU32::new(raw.burst)) {
        (Some(per_second), Some(burst)) if raw.per_second <= 1_000_000 => Some(Rate { per_second, burst }),
        _ => {
            found.add(
                at.clone(),
                "a rate needs per_second 1..1000000 and burst of at least 1",
                "leave the table out for no limit",
            );
            None
        }
    }
}

fn application(
    raw: raw::Application,
    at: &At,
    folder: &Path,
    issuers: &[identity::IssuerConfig],
    found: &mut Found,
) -> Option<Application> {
    let before = found.0.len();
    found.unless(is_name(&raw.name), at.key("name"), "not a name", "use letters, digits and hyphens");
    found.unless(
        !raw.hosts.is_empty(),
        at.key("hosts"),
        "no host",
        "list the host names that clients use, with port where it is not 80 or 443",
    );
    found.unless(
        raw.hosts.iter().all(|h| is_host(h)),
        at.key("hosts"),
        "not a list of host names",
        "such as \"www.bank.example\" or \"127.0.0.1:8080\", without scheme or path",
    );
    capacity(&raw.capacity, &at.key("capacity"), found);
    let external_url = raw.external_url;
    let takes_identities = raw.identity.is_some();
    let identity = match raw
        .identity
        .map(|i| identity::config::application(i, &external_url, issuers, folder))
    {
        None => None,
        Some(Ok(identity)) => Some(identity),
        Some(Err(wrong)) => {
            found.0.extend(wrong.into_iter().map(|w| {
                // A fault without a field is one of `external_url`, which stands beside the section.
                let field =
                    if w.field.is_empty() { "external_url".into() } else { format!("identity.{}", w.field) };
                Problem::new(at.join(&At::parse(&field)), w.what, w.hint)
            }));
            None
        }
    };
    let routes = route::routes(raw.routes, takes_identities, at, found);
    let upstream = upstream(raw.upstream, &at.key("upstream"), found);
    let customer = rate(raw.customer, &at.key("customer"), found);
    let client = rate(raw.client, &at.key("client"), found);
    let routes = match RouteTable::new(routes) {
        Ok(table) => table,
        Err((index, why)) => {
            found.add(
                at.key("routes").index(index).key("paths"),
                why,
                "give each path pattern to routes that differ by method",
            );
            RouteTable::default()
        }
    };
    (found.0.len() == before).then(|| Application {
        name: raw.name.as_str().into(),
        hosts: raw.hosts.iter().map(|h| h.to_ascii_lowercase()).collect(),
        external_url,
        upstream,
        capacity: raw.capacity,
        identity,
        routes,
        customer,
        client,
    })
}

fn upstream(raw: raw::Upstream, at: &At, found: &mut Found) -> Upstream {
    found.unless(
        !raw.peers.is_empty(),
        at.key("peers"),
        "no peer",
        "list at least one address such as \"10.0.0.5:8443\"",
    );
    // An empty SNI makes the TLS library verify nothing.
    found.unless(
        raw.tls_name.as_deref().is_none_or(|name| is_host(name) && !name.contains(':')),
        at.key("tls_name"),
        "an empty name, or one that is no host name, would verify nothing",
        "give the name in the servers' certificate, or leave the field out for plain HTTP",
    );
    found.unless(
        raw.health_path.as_deref().is_none_or(|p| p.starts_with('/') && p.parse::<http::Uri>().is_ok()),
        at.key("health_path"),
        "not a path",
        "such as /healthz, or leave it out to check whether a connection opens",
    );
    in_range(at.key("connect_timeout_ms"), Some(raw.connect_timeout_ms), 1, 60_000, found);
    in_range(at.key("read_timeout_ms"), Some(raw.read_timeout_ms), 1, 3_600_000, found);
    Upstream {
        peers: raw.peers,
        tls_name: raw.tls_name,
        health_path: raw.health_path,
        connect_timeout: Duration::from_millis(raw.connect_timeout_ms),
        read_timeout: Duration::from_millis(raw.read_timeout_ms),
    }
}

/// The learner clamps what it cannot work with; what an operator wrote is refused instead.
fn capacity(raw: &CapacityConfig, at: &At, found: &mut Found) {
    let rails = &raw.rails;
    let at_rails = at.key("rails");
    let ceiling = Rails::LIMIT_CEILING;
    let within = |value: f64, low: f64, high: f64| value.is_finite() && value >= low && value <= high;
    in_range(at.key("tick_ms"), Some(raw.tick_ms), 100, 250, found);
    for (at, fine, what) in [
        (at.key("limit"), within(raw.limit, 1.0, ceiling), "not a limit from 1 to 16384"),
        (
            at.key("target_ms"),
            raw.target_ms.0.iter().all(|&t| within(t, 1.0, 60_000.0)),
            "not four times from 1 to 60000",
        ),
        (
            at_rails.key("limit_min"),
            within(rails.limit_min, 1.0, rails.limit_max),
            "not a limit from 1 to limit_max",
        ),
        (at_rails.key("limit_max"), within(rails.limit_max, 1.0, ceiling), "not a limit from 1 to 16384"),
        (
            at_rails.key("growth_max"),
            within(rails.growth_max, 1.000_001, 10.0),
            "not a factor over 1, at most 10",
        ),
        (
            at_rails.key("shrink_max"),
            within(rails.shrink_max, 0.000_001, 0.999_999),
            "not a factor between 0 and 1",
        ),
        (
            at_rails.key("floor"),
            rails.floor.0.iter().all(|&f| within(f, 0.0, 0.5)) && rails.floor.0.iter().sum::<f64>() <= 0.5,
            "not four shares of together at most 0.5",
        ),
    ] {
        found.unless(fine, at, what, "gatehouse.toml says what each setting means");
    }
}

/// A host name or address, perhaps with a port.
fn is_host(text: &str) -> bool {
    let authority = text.parse::<http::uri::Authority>().is_ok_and(|a| !a.host().is_empty());
    authority && !text.contains('@') && text.len() <= 255
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
