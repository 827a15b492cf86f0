//! From the raw file to checked types: parse, don't validate. Every problem is collected, not only the first.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use learner::capacity::Class;

use super::location::{At, Problem};
use super::routes::RouteTable;
use super::{Admin, Application, Config, Limits, Listener, Models, Route, Server, Tls, Upstream, raw};
use crate::stages::identity::{self, Access, Requirement};
use crate::stages::limits::Rate;
use crate::stages::normalize::HeadLimits;
use crate::stages::transfer::{BodyFormat, TransferMapping};

/// A month, the longest that a repeat of a transfer is recognised.
const REPEATS_S_MAX: u64 = 2_592_000;

/// Pingora replays at most this much of a request body (its retry buffer).
const REPLAYED_BODY_MAX: usize = 64 * 1024;
/// Largest body on routes that stream it uninspected.
const STREAMED_BODY_MAX: usize = 1024 * 1024 * 1024;

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

    let mut issuers = Vec::new();
    for (index, issuer) in file.issuers.into_iter().enumerate() {
        let at = root.key("issuers").index(index);
        match identity::config::issuer(issuer) {
            Ok(issuer) => issuers.push(issuer),
            Err(wrong) => {
                found.0.extend(wrong.into_iter().map(|w| Problem::new(at.key(&w.field), w.what, w.hint)))
            }
        }
    }
    let mut applications: Vec<Application> = Vec::new();
    for (index, raw) in file.applications.into_iter().enumerate() {
        let at = root.key("applications").index(index);
        for other in &applications {
            for host in raw.hosts.iter().filter(|h| other.hosts.contains(&h.to_ascii_lowercase())) {
                found.add(
                    at.key("hosts"),
                    format!("host {host} also belongs to {}", other.name),
                    "give each host to one application",
                );
            }
        }
        applications.extend(application(raw, &at, folder, &issuers, &mut found));
    }
    let address = rate(Some(file.limits.address), &root.key("limits").key("address"), &mut found);
    if let Some(admin) = &file.admin {
        found.unless(
            issuers.iter().any(|i| i.issuer == admin.issuer),
            root.key("admin").key("issuer"),
            "issuer is not one of [[issuers]]",
            "add it there, exactly as its tokens spell it",
        );
    }
    let (Some(address), true) = (address, found.0.is_empty()) else { return Err(found.0) };
    Ok(Config {
        document,
        server: Server {
            data_dir: path(file.server.data_dir),
            threads,
            grace: Duration::from_secs(file.server.grace_s),
            utc_offset_hours: file.server.utc_offset_hours.clamp(-12, 14),
        },
        backfill: file.server.backfill.map(path),
        listeners: file.listeners.into_iter().map(|l| listener(l, folder)).collect(),
        admin: file.admin.map(|a| Admin {
            address: a.address,
            issuer: a.issuer,
            audience: a.audience,
            client_id: a.client_id,
            external_url: a.external_url,
        }),
        observe: file.observe.map(|o| o.address),
        limits: limits(&file.limits, address),
        models: Models {
            fraud: file.models.fraud.map(path),
            anomaly: file.models.anomaly.map(path),
            capacity: file.models.capacity.map(path),
        },
        policy: path(file.policy.file),
        issuers,
        applications,
    })
}

fn listener(raw: raw::Listener, folder: &Path) -> Listener {
    let tls = raw.tls.map(|t| Tls { certificate: folder.join(t.certificate), key: folder.join(t.key) });
    Listener { address: raw.address, tls }
}

fn limits(raw: &raw::Limits, address: Rate) -> Limits {
    Limits {
        address,
        addresses_max: raw.addresses_max.max(1_000),
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
    let external_url = raw.external_url;
    let identity =
        match raw.identity.map(|i| identity::config::application(i, &external_url, issuers, folder)) {
            None => None,
            Some(Ok(identity)) => Some(identity),
            Some(Err(wrong)) => {
                let at = at.key("identity");
                found.0.extend(wrong.into_iter().map(|w| Problem::new(at.key(&w.field), w.what, w.hint)));
                None
            }
        };
    let mut routes = Vec::new();
    for (index, raw) in raw.routes.into_iter().enumerate() {
        let at = at.key("routes").index(index);
        if identity.is_none() && raw.access != Access::Public {
            found.add(
                at.key("access"),
                "the application has no [applications.identity]",
                "add it, or make the route public",
            );
        }
        let paths = raw.paths.clone();
        found.unless(
            paths.iter().all(|p| p.starts_with('/')) && !paths.is_empty(),
            at.key("paths"),
            "a path pattern starts with /",
            "such as /orders/{id} or /static/{*rest}",
        );
        routes.extend(route(raw, &at, found).map(|r| (r, paths)));
    }
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
        raw.tls_name.as_deref() != Some(""),
        at.key("tls_name"),
        "an empty name would verify nothing",
        "give the name in the servers' certificate, or leave the field out for plain HTTP",
    );
    Upstream {
        peers: raw.peers,
        tls_name: raw.tls_name,
        health_path: raw.health_path,
        connect_timeout: Duration::from_millis(raw.connect_timeout_ms),
        read_timeout: Duration::from_millis(raw.read_timeout_ms),
    }
}

fn route(raw: raw::Route, at: &At, found: &mut Found) -> Option<Route> {
    let before = found.0.len();
    found.unless(is_name(&raw.name), at.key("name"), "not a name", "use letters, digits and hyphens");
    let methods: Vec<http::Method> = raw.methods.iter().filter_map(|m| m.parse().ok()).collect();
    found.unless(
        methods.len() == raw.methods.len()
            && raw.methods.iter().all(|m| m.bytes().all(|b| b.is_ascii_uppercase())),
        at.key("methods"),
        "not a list of methods",
        "write them in upper case, such as [\"GET\", \"POST\"]",
    );
    let reads_body = raw.inspect || raw.transfer.is_some();
    let body_bytes_max = raw.body_bytes_max.unwrap_or(REPLAYED_BODY_MAX);
    let largest = if reads_body { REPLAYED_BODY_MAX } else { STREAMED_BODY_MAX };
    found.unless(
        body_bytes_max <= largest,
        at.key("body_bytes_max"),
        format!("over {largest} bytes"),
        "an inspected or scored body must fit into 65536 bytes; set inspect = false to stream larger ones",
    );
    let money = raw.class == Some(raw::ClassName::MoneyMoving);
    found.unless(
        raw.transfer.is_none() || raw.access == Access::Required,
        at.key("access"),
        "a transfer route must require an identity",
        "set access = \"required\"",
    );
    let class = match raw.class {
        Some(raw::ClassName::MoneyMoving) => Class::MoneyMoving,
        Some(raw::ClassName::AuthenticatedRead) => Class::AuthenticatedRead,
        Some(raw::ClassName::Anonymous) => Class::Anonymous,
        None if raw.access == Access::Required => Class::AuthenticatedRead,
        None => Class::Anonymous,
    };
    found.unless(
        !money || raw.access == Access::Required,
        at.key("class"),
        "money-moving needs an identity",
        "set access = \"required\"",
    );
    let transfer = raw.transfer.map(|t| mapping(t, &at.key("transfer"), found));
    let rate = rate(raw.rate, &at.key("rate"), found);
    (found.0.len() == before).then(|| Route {
        name: raw.name.as_str().into(),
        methods,
        class,
        requirement: Requirement {
            access: raw.access,
            scopes: raw.scopes,
            acr_values: raw.acr_values,
            max_auth_age_s: raw.max_auth_age_s,
        },
        rate,
        body_bytes_max,
        inspect: raw.inspect,
        transfer,
        score_only: raw.score_only,
        step_up_return: raw.step_up_return,
    })
}

fn mapping(raw: raw::Transfer, at: &At, found: &mut Found) -> TransferMapping {
    for (key, value) in
        [("from", &raw.from), ("to", &raw.to), ("amount", &raw.amount), ("currency", &raw.currency)]
    {
        let fits = match raw.format {
            BodyFormat::Json => value.starts_with('/'),
            BodyFormat::Form => !value.is_empty(),
        };
        found.unless(
            fits,
            at.key(key),
            "not a place in the body",
            "JSON bodies take a pointer such as /amount, forms a field name",
        );
    }
    let header = http::HeaderName::from_bytes(raw.idempotency_header.as_bytes());
    found.unless(
        header.is_ok(),
        at.key("idempotency_header"),
        "not the name of a header field",
        "name the field that carries the key, such as Idempotency-Key",
    );
    found.unless(
        raw.repeats_s <= REPEATS_S_MAX,
        at.key("repeats_s"),
        format!("over {REPEATS_S_MAX} seconds"),
        "give the time for which the application surely remembers a key",
    );
    TransferMapping {
        format: raw.format,
        from: raw.from,
        to: raw.to,
        amount: raw.amount,
        currency: raw.currency,
        unit: raw.unit,
        idempotency_header: header.unwrap_or(http::header::HOST),
        repeats: Duration::from_secs(raw.repeats_s.min(REPEATS_S_MAX)),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
