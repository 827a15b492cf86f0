//! Serves the bank's pages with a seeded bank and one visitor, without gateway and identity provider: to look at them.
//!
//! `cargo run -p ledger-demo --example pages -- 127.0.0.1:7101 alice`
//!
//! `alice` may be any demo login, `newcomer` for an empty bank, or `nobody` for the public pages.
//!
//! `/preview/transfer?to=bob-current&amount=12,50` shows what the page answers when that form is sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use ledger_demo::banking::{Bank, LoanApplication};
use ledger_demo::caller::{CallerVerifier, IDENTITY_HEADER};
use ledger_demo::ledger::{AccountId, Currency, CustomerId};
use ledger_demo::people::Directory;
use ledger_demo::seed::{DEMO_SEED, seed};
use ledger_demo::web::{Consent, Consents, ConsentsUnavailable, FormKey, WebConfig, WebState, router};
use parking_lot::Mutex;
use tower::ServiceExt;

type Error = Box<dyn std::error::Error + Send + Sync>;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

const ISSUER: &str = "http://gateway.example";
const AUDIENCE: &str = "urn:gatehouse:demo-bank";
const WEB_CLIENT: &str = "demo-web";

/// Stands in for the gateway: signs one visitor's identity into every request.
struct Gateway {
    claims: serde_json::Value,
    signing: EncodingKey,
    checking: DecodingKey,
}

impl Gateway {
    fn new(name: &str, roles: &[String]) -> Result<Self, Error> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let signing = EncodingKey::from_ec_der(pair.to_pkcs8v1()?.as_ref());
        // An uncompressed point: 4, x, y.
        let point = pair.public_key().as_ref();
        let part = |range| point.get(range).map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).unwrap_or_default();
        let checking = DecodingKey::from_ec_components(&part(1..33), &part(33..65))?;
        let claims = serde_json::json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": name, "client_id": WEB_CLIENT, "sid": "example", "roles": roles,
        });
        Ok(Self { claims, signing, checking })
    }

    fn verifier(&self) -> CallerVerifier {
        let key = ("example".to_owned(), self.checking.clone());
        CallerVerifier::with_keys(ISSUER, AUDIENCE, [key], Arc::new(now_ms))
    }

    fn identity(&self) -> Result<String, Error> {
        let mut claims = self.claims.clone();
        let now_s = now_ms() / 1000;
        if let Some(claims) = claims.as_object_mut() {
            claims.insert("iat".to_owned(), now_s.into());
            claims.insert("exp".to_owned(), (now_s + 60).into());
        }
        let header = Header { kid: Some("example".to_owned()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.signing)?)
    }
}

async fn identify(
    State(gateway): State<Arc<Gateway>>,
    mut request: axum::extract::Request,
    next: Next,
) -> Response {
    match gateway.identity().map(|token| token.parse()) {
        Ok(Ok(identity)) => {
            request.headers_mut().insert(IDENTITY_HEADER, identity);
            next.run(request).await
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

struct Kept(Mutex<Vec<Consent>>);

impl Consents for Kept {
    fn list(&self, _subject: &str) -> Result<Vec<Consent>, ConsentsUnavailable> {
        Ok(self.0.lock().clone())
    }

    fn revoke(&self, _subject: &str, client_id: &str) -> Result<bool, ConsentsUnavailable> {
        let mut consents = self.0.lock();
        let before = consents.len();
        consents.retain(|consent| consent.client_id != client_id);
        Ok(consents.len() < before)
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().unwrap_or_else(|| "127.0.0.1:7101".to_owned()).parse()?;
    let name = arguments.next().unwrap_or_else(|| "alice".to_owned());
    let folder = tempfile::tempdir()?;
    let db = ledger_demo::open_store(folder.path())?;
    let people = Directory::open(&db)?;
    people.seed_demo(now_ms())?;
    let bank = Arc::new(Bank::open(&db, now_ms()).await?);
    if name != "newcomer" {
        seed_bank(&bank, &name).await?;
    }
    let roles = people.get(&name).map(|person| person.roles).unwrap_or_default();
    let gateway = Gateway::new(&name, &roles)?;
    let consents = Kept(Mutex::new(vec![Consent {
        client_id: "demo-aggregator".to_owned(),
        client_name: "Demo Aggregator".to_owned(),
        scopes: vec!["accounts:read".to_owned(), "offline_access".to_owned()],
        granted_ms: now_ms() - 12 * DAY_MS,
    }]));
    let web = WebState::new(WebConfig {
        bank,
        people,
        consents: Arc::new(consents),
        callers: gateway.verifier(),
        web_client: WEB_CLIENT.to_owned(),
        form_key: FormKey::open(&folder.path().join("form.key"))?,
        origins: Vec::new(),
        login_origins: Vec::new(),
        clock: Arc::new(now_ms),
    })?;
    let identified = axum::middleware::from_fn_with_state(Arc::new(gateway), identify);
    let pages = if name == "nobody" { router(web) } else { router(web).layer(identified) };
    let app = Router::new().route("/preview/{*page}", get(preview)).with_state(pages.clone()).merge(pages);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/accounts", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The demo's customers, and a loan of the visitor's.
async fn seed_bank(bank: &Bank, name: &str) -> Result<(), Error> {
    seed(bank, DEMO_SEED, now_ms()).await?;
    let application = LoanApplication {
        account: AccountId::new(format!("{name}-current"))?,
        amount_minor: 240_000,
        currency: Currency::EUR,
        months: 12,
    };
    if let Err(error) = bank.apply_for_loan(&CustomerId::new(name)?, application, None, now_ms()).await {
        println!("no loan: {error}");
    }
    Ok(())
}

/// Loads the page's form, fills it in and sends it, with the headers that the gateway would add.
async fn preview(
    State(pages): State<Router>,
    Path(page): Path<String>,
    Query(entered): Query<BTreeMap<String, String>>,
) -> Response {
    match send(pages, &page, entered).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn send(pages: Router, page: &str, entered: BTreeMap<String, String>) -> Result<Response, Error> {
    let shown = pages.clone().oneshot(Request::get(format!("/{page}")).body(Body::empty())?).await?;
    let html = String::from_utf8(to_bytes(shown.into_body(), 1 << 20).await?.to_vec())?;
    let body = filled_in(&html, page, entered);
    let request = Request::post(format!("/{page}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("gatehouse-fraud-score", "0.874")
        .header("gatehouse-fraud-outcome", "hold")
        .header(
            "gatehouse-fraud-reasons",
            "You have never paid this account before;The amount is 14 times your usual payment;It is night where you usually are",
        )
        .body(Body::from(body))?;
    Ok(pages.oneshot(request).await?)
}

/// The body of the page's form with its hidden values and what is entered.
fn filled_in(html: &str, page: &str, entered: BTreeMap<String, String>) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    let path = format!("action=\"/{page}\"");
    let inside = html.split(path.as_str()).nth(1).and_then(|rest| rest.split("</form>").next()).unwrap_or("");
    for hidden in inside.split("<input type=\"hidden\" name=\"").skip(1) {
        let mut parts = hidden.split('"');
        if let (Some(name), Some(_), Some(value)) = (parts.next(), parts.next(), parts.next()) {
            form.append_pair(name, value);
        }
    }
    form.extend_pairs(entered);
    form.finish()
}
