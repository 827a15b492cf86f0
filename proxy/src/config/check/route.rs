//! One application's routes, checked.

use super::*;

/// A month, the longest that a repeat of a transfer is recognised.
const REPEATS_S_MAX: u64 = 2_592_000;

/// Pingora replays at most this much of a request body (its retry buffer).
const REPLAYED_BODY_MAX: usize = 64 * 1024;
/// Largest body on routes that stream it uninspected.
const STREAMED_BODY_MAX: usize = 1024 * 1024 * 1024;

/// The routes that are fine, each with its path patterns.
pub(super) fn routes(
    raw: Vec<raw::Route>,
    takes_identities: bool,
    at: &At,
    found: &mut Found,
) -> Vec<(Route, Vec<String>)> {
    let mut routes: Vec<(Route, Vec<String>)> = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let at = at.key("routes").index(index);
        if !takes_identities && raw.access != Access::Public {
            found.add(
                at.key("access"),
                "the application has no [applications.identity]",
                "add it, or make the route public",
            );
        }
        let paths = raw.paths.clone();
        found.unless(
            !routes.iter().any(|(other, _)| *other.name == *raw.name),
            at.key("name"),
            format!("another route is called {}", raw.name),
            "rules, records and metrics tell routes apart by name",
        );
        found.unless(
            !paths.iter().any(|p| p.starts_with("/.gatehouse")),
            at.key("paths"),
            "paths under /.gatehouse are the gateway's own",
            "choose another path",
        );
        shadowed(&raw, &routes, &at, found);
        found.unless(
            paths.iter().all(|p| p.starts_with('/')) && !paths.is_empty(),
            at.key("paths"),
            "a path pattern starts with /",
            "such as /orders/{id} or /static/{*rest}",
        );
        routes.extend(route(raw, &at, found).map(|r| (r, paths)));
    }
    linked_alike(&routes, at, found);
    routes
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
    asked(&raw, at, found);
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

/// What a route asks of its callers and of the body.
fn asked(raw: &raw::Route, at: &At, found: &mut Found) {
    // What asks for an identity on a route that looks at none would silently not be asked for.
    let asks = !raw.scopes.is_empty() || !raw.acr_values.is_empty() || raw.max_auth_age_s.is_some();
    found.unless(
        raw.access != Access::Public || !asks,
        at.key("access"),
        "a public route checks no scopes, acr_values or max_auth_age_s",
        "set access = \"required\", or leave them out",
    );
    found.unless(
        raw.max_auth_age_s.is_none_or(|age| (0..=31_536_000).contains(&age)),
        at.key("max_auth_age_s"),
        "not an age in seconds",
        "0 to 31536000",
    );
    found.unless(
        !raw.score_only || raw.transfer.is_some(),
        at.key("score_only"),
        "nothing is scored without a transfer mapping",
        "add transfer = { … }, or leave it out",
    );
    found.unless(
        !raw.score_only || raw.transfer.as_ref().is_none_or(|transfer| transfer.linking.is_none()),
        at.key("score_only"),
        "nothing is authorised where nothing is carried out",
        "leave transfer.linking out",
    );
    found.unless(
        raw.step_up_return.as_deref().is_none_or(|p| identity::session::LocalPath::parse(p).is_some()),
        at.key("step_up_return"),
        "not a path of the application",
        "such as /transfer",
    );
}

/// A route whose every path and method an earlier one takes would never be reached.
fn shadowed(raw: &raw::Route, earlier: &[(Route, Vec<String>)], at: &At, found: &mut Found) {
    for (other, paths) in earlier {
        let both = raw.methods.is_empty()
            || other.methods.is_empty()
            || raw.methods.iter().any(|m| other.methods.iter().any(|o| o.as_str() == m));
        let bare = |path: &str| path.trim_end_matches('/').to_owned();
        let taken = |path: &String| both && paths.iter().any(|p| bare(p) == bare(path));
        for path in raw.paths.iter().filter(|p| taken(p)) {
            found.add(
                at.key("paths"),
                format!("{path} with the same method is also taken by route {}", other.name),
                "give each path and method to one route",
            );
        }
    }
}

/// A token that was granted for one payment must not pay another on a route that does not look.
fn linked_alike(routes: &[(Route, Vec<String>)], at: &At, found: &mut Found) {
    let pays = |route: &&Route| route.transfer.is_some() && !route.score_only;
    let linked = |route: &Route| route.transfer.as_ref().is_some_and(|transfer| transfer.linking.is_some());
    let paying: Vec<&Route> = routes.iter().map(|(route, _)| route).filter(pays).collect();
    let Some(loose) = paying.iter().find(|route| !linked(route)) else { return };
    if let Some(tied) = paying.iter().find(|route| linked(route)) {
        found.add(
            at.key("routes"),
            format!("route {} has transfer.linking and route {} has none", tied.name, loose.name),
            "a token for one payment would pay any other there: give it to all transfers of the application",
        );
    }
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
        linking: raw.linking.map(|linking| self::linking(linking, at, found)),
    }
}

fn linking(raw: raw::Linking, at: &At, found: &mut Found) -> Linking {
    let at = at.key("linking");
    let places = [
        ("from", raw.from.as_ref()),
        ("to", Some(&raw.to)),
        ("amount", Some(&raw.amount)),
        ("currency", Some(&raw.currency)),
    ];
    for (key, place) in places {
        found.unless(
            place.is_none_or(|place| place.starts_with('/')),
            at.key(key),
            "not a JSON pointer",
            "a place in one of the details, such as /instructedAmount/amount",
        );
    }
    found.unless(!raw.kind.is_empty(), at.key("type"), "is empty", "the `type` of details that are payments");
    Linking {
        kind: raw.kind,
        from: raw.from,
        to: raw.to,
        amount: raw.amount,
        currency: raw.currency,
        unit: raw.unit,
        required: raw.required,
        identified: raw.identified,
    }
}
