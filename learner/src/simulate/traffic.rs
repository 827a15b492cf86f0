//! Web traffic of a bank: browsers, apps and programs on routes that are handed in, and attackers among them.

use super::Random;
use super::fields::{self, Field};
use crate::train::data::RecordedRequest;
use serde::{Deserialize, Serialize};

/// A kind of request that an application answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Method, upper case.
    pub method: String,
    /// Path with fields in braces, such as `/items/{identifier}`.
    pub path: String,
    /// Query parameters.
    #[serde(default)]
    pub query: Vec<(String, Field)>,
    /// Body.
    #[serde(default)]
    pub body: Body,
    /// How often it is asked for, against the others.
    pub weight: u32,
}

/// What a route takes as its body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Nothing.
    #[default]
    None,
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, Field)>),
    /// `application/json`, a flat object.
    Json(Vec<(String, Field)>),
}

/// How much traffic, and of what kind.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficSettings {
    /// Everything random follows from it.
    pub seed: u64,
    /// Requests.
    pub requests: usize,
    /// Share of attacks, 0 to 1.
    pub attacks: f64,
    /// Routes of the application.
    pub routes: Vec<Route>,
}

impl TrafficSettings {
    /// Normal traffic on generic routes, as shipped models are trained on.
    pub fn normal(seed: u64, requests: usize) -> Self {
        Self { seed, requests, attacks: 0.0, routes: generic_routes() }
    }
}

/// Routes such as many sites have: pages, forms, lists, items, changes, callbacks of a login, static files.
pub fn generic_routes() -> Vec<Route> {
    use Field::*;
    let named =
        |fields: &[(&str, Field)]| fields.iter().map(|(name, field)| ((*name).to_owned(), *field)).collect();
    let get = |path: &str, query: &[(&str, Field)], weight| Route {
        method: "GET".to_owned(),
        path: path.to_owned(),
        query: named(query),
        body: Body::None,
        weight,
    };
    let send = |method: &str, path: &str, body, weight| Route {
        method: method.to_owned(),
        path: path.to_owned(),
        query: Vec::new(),
        body,
        weight,
    };
    let form = |fields: &[(&str, Field)]| Body::Form(named(fields));
    let json = |fields: &[(&str, Field)]| Body::Json(named(fields));
    vec![
        get("/", &[], 8),
        get("/{segment}", &[], 14),
        get("/{segment}", &[("page", Number)], 6),
        get("/{segment}", &[("q", Words)], 3),
        get("/{segment}", &[("from", Date), ("to", Date), ("limit", Number)], 4),
        get("/static/{file}", &[], 14),
        get("/static/{file}", &[("v", Identifier)], 4),
        get("/api/{segment}", &[], 12),
        get("/api/{segment}", &[("limit", Number), ("after", Identifier)], 5),
        get("/api/{segment}/{identifier}", &[], 12),
        get("/api/{segment}/{uuid}", &[], 5),
        get("/api/{segment}/{identifier}/{segment}", &[("after", Token)], 6),
        get("/.well-known/{segment}", &[], 1),
        get("/login/callback", &[("code", Token), ("state", Token), ("iss", Url)], 3),
        get("/login", &[("return_to", Path)], 3),
        send("POST", "/{segment}", form(&[("csrf", Token), ("amount", Amount), ("memo", Words)]), 4),
        send(
            "POST",
            "/{segment}",
            form(&[
                ("csrf", Token),
                ("to", Account),
                ("amount", Amount),
                ("currency", Currency),
                ("memo", Words),
            ]),
            4,
        ),
        send("POST", "/{segment}", form(&[("csrf", Token), ("username", Name), ("password", Secret)]), 2),
        send(
            "POST",
            "/{segment}",
            form(&[("csrf", Token), ("name", Name), ("email", Email), ("address", Words), ("born", Date)]),
            2,
        ),
        send(
            "POST",
            "/token",
            form(&[
                ("grant_type", Name),
                ("code", Token),
                ("redirect_uri", Url),
                ("code_verifier", Token),
                ("client_id", Identifier),
            ]),
            2,
        ),
        send("POST", "/logout", form(&[("csrf", Token)]), 1),
        send(
            "POST",
            "/api/{segment}",
            json(&[
                ("from", Account),
                ("to", Account),
                ("amount", Number),
                ("currency", Currency),
                ("memo", Words),
            ]),
            6,
        ),
        send(
            "POST",
            "/api/{segment}",
            json(&[
                ("id", Uuid),
                ("from", Identifier),
                ("to", Identifier),
                ("amount", Number),
                ("currency", Currency),
            ]),
            5,
        ),
        send("POST", "/api/{segment}", json(&[("name", Name), ("email", Email)]), 2),
        send(
            "POST",
            "/api/{segment}/{identifier}/{segment}",
            json(&[("amount", Number), ("currency", Currency)]),
            4,
        ),
        send(
            "PUT",
            "/api/{segment}/{identifier}",
            json(&[("name", Name), ("note", Words), ("limit", Number)]),
            1,
        ),
        send("DELETE", "/api/{segment}/{identifier}", Body::None, 1),
        send("HEAD", "/", Body::None, 1),
    ]
}

/// Requests in order, each labelled with its attack, if it is one.
pub fn traffic(settings: &TrafficSettings) -> Vec<RecordedRequest> {
    let mut random = Random::new(settings.seed);
    let mut requests = Vec::with_capacity(settings.requests);
    for _ in 0..settings.requests {
        let Some(route) = weighted(&settings.routes, &mut random) else { break };
        let mut request = normal(route, &mut random);
        if random.chance(settings.attacks) {
            super::attackers::spoil(&mut request, &mut random);
        }
        requests.push(request);
    }
    requests
}

fn weighted<'a>(routes: &'a [Route], random: &mut Random) -> Option<&'a Route> {
    let total: u32 = routes.iter().map(|route| route.weight).sum();
    let mut drawn = random.between(0, u64::from(total)) as u32;
    routes.iter().find(|route| {
        let found = drawn < route.weight;
        drawn = drawn.wrapping_sub(route.weight);
        found
    })
}

fn normal(route: &Route, random: &mut Random) -> RecordedRequest {
    let client = Client::draw(random);
    let query = pairs(&route.query, random);
    let (content_type, body) = match &route.body {
        Body::None => (None, String::new()),
        Body::Form(fields) => (Some("application/x-www-form-urlencoded"), pairs(fields, random)),
        Body::Json(fields) => (Some("application/json"), object(fields, random)),
    };
    let mut headers = client.headers(&route.method, random);
    if let Some(content_type) = content_type {
        headers.push(("content-type".to_owned(), content_type.to_owned()));
        headers.push(("content-length".to_owned(), body.len().to_string()));
        if random.chance(0.5) {
            headers.push(("idempotency-key".to_owned(), fields::uuid(random)));
        }
    }
    RecordedRequest {
        method: route.method.clone(),
        path: filled(&route.path, random),
        query: (!query.is_empty()).then_some(query),
        headers,
        content_type: content_type.map(str::to_owned),
        body,
        client_rate_per_s: random.chance(0.7).then(|| random.lognormal(0.4, 1.0).min(8.0) as f32),
        attack: None,
    }
}

/// The path with its fields filled in.
fn filled(path: &str, random: &mut Random) -> String {
    let mut out = String::new();
    for (at, piece) in path.split(['{', '}']).enumerate() {
        if at % 2 == 0 {
            out.push_str(piece);
            continue;
        }
        out.push_str(&match piece {
            "identifier" => fields::identifier(random),
            "uuid" => fields::uuid(random),
            "file" => fields::file(random),
            _ => fields::segment(random),
        });
    }
    out
}

/// Form encoding of fields; optional ones are left out now and then.
fn pairs(named: &[(String, Field)], random: &mut Random) -> String {
    let mut out = String::new();
    for (name, field) in named {
        if random.chance(0.08) {
            continue;
        }
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(&fields::form_encoded(&field.value(random)));
    }
    out
}

fn object(named: &[(String, Field)], random: &mut Random) -> String {
    let mut object = serde_json::Map::new();
    for (name, field) in named {
        if !random.chance(0.08) {
            let value = field.value(random);
            let value = if matches!(field, Field::Number) {
                value.parse::<u64>().map_or(value.into(), Into::into)
            } else {
                value.into()
            };
            object.insert(name.clone(), value);
        }
    }
    let object = serde_json::Value::Object(object);
    if random.chance(0.1) { format!("{object:#}") } else { object.to_string() }
}

/// Who asks.
enum Client {
    Browser,
    App,
    Program,
}

impl Client {
    fn draw(random: &mut Random) -> Self {
        match random.uniform() {
            n if n < 0.55 => Self::Browser,
            n if n < 0.75 => Self::App,
            _ => Self::Program,
        }
    }

    fn headers(&self, method: &str, random: &mut Random) -> Vec<(String, String)> {
        let mut headers = vec![("host".to_owned(), "bank.example".to_owned())];
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        match self {
            Self::Browser => {
                add("user-agent", browser(random));
                add(
                    "accept",
                    if random.chance(0.6) {
                        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
                    } else {
                        "*/*"
                    }
                    .to_owned(),
                );
                add(
                    "accept-language",
                    ["en-GB,en;q=0.5", "de-DE,de;q=0.9,en;q=0.7", "en-US,en;q=0.9", "fr"][random.below(4)]
                        .to_owned(),
                );
                add("accept-encoding", "gzip, deflate, br".to_owned());
                if random.chance(0.8) {
                    for (name, value) in [
                        ("sec-fetch-dest", "document"),
                        ("sec-fetch-mode", "navigate"),
                        ("sec-fetch-site", "same-origin"),
                    ] {
                        add(name, value.to_owned());
                    }
                }
                if random.chance(0.3) {
                    add("sec-ch-ua", "\"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"".to_owned());
                    add("sec-ch-ua-mobile", "?0".to_owned());
                    add("sec-ch-ua-platform", "\"Linux\"".to_owned());
                }
                if random.chance(0.8) {
                    add("cookie", format!("session={}", fields::token(random)));
                }
                if random.chance(0.7) {
                    add("referer", format!("https://bank.example/{}", fields::segment(random)));
                }
                if method == "POST" {
                    add("origin", "https://bank.example".to_owned());
                }
                if random.chance(0.4) {
                    add("upgrade-insecure-requests", "1".to_owned());
                }
                if random.chance(0.3) {
                    add("connection", "keep-alive".to_owned());
                }
            }
            Self::App => {
                add(
                    "user-agent",
                    format!("BankApp/{}.{} (Android 14)", random.between(1, 9), random.between(0, 30)),
                );
                add("accept", "application/json".to_owned());
                add("authorization", format!("Bearer {}.{}", fields::token(random), fields::token(random)));
                if random.chance(0.5) {
                    add("x-request-id", fields::uuid(random));
                    add("accept-encoding", "gzip".to_owned());
                }
                if random.chance(0.3) {
                    add("dpop", format!("{}.{}", fields::token(random), fields::token(random)));
                }
            }
            Self::Program => {
                if random.chance(0.7) {
                    add(
                        "user-agent",
                        [
                            "curl/8.5.0",
                            "python-requests/2.32",
                            "okhttp/4.12",
                            "Apache-HttpClient/5.3 (Java/21)",
                        ][random.below(4)]
                        .to_owned(),
                    );
                }
                if random.chance(0.8) {
                    add("accept", "*/*".to_owned());
                }
                if random.chance(0.8) {
                    add(
                        "authorization",
                        format!("Bearer {}.{}", fields::token(random), fields::token(random)),
                    );
                }
                if random.chance(0.2) {
                    add("traceparent", format!("00-{}-01", fields::token(random).to_lowercase()));
                }
            }
        }
        headers
    }
}

fn browser(random: &mut Random) -> String {
    let version = random.between(110, 132);
    match random.below(4) {
        0 => format!("Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"),
        1 => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
        ),
        2 => format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_{} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.{} Mobile/15E148 Safari/604.1",
            version % 7,
            version % 5
        ),
        _ => format!(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{}.1 Safari/605.1.15",
            13 + version % 5
        ),
    }
}
