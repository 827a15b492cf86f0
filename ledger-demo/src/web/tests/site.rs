//! A small bank with alice, bob and staff, its pages, and a browser to look at them.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use parking_lot::Mutex;
use serde_json::json;
use tower::ServiceExt;

use crate::banking::{Bank, CashRequest, OpenAccount, TransferRequest};
use crate::caller::{CallerVerifier, IDENTITY_HEADER};
use crate::ledger::{
    AccountId, AccountKind, Category, Command, Currency, CustomerId, NewTransfer, Operation, TransferId,
};
use crate::people::Directory;
use crate::testing::{NOW_S, SigningKey};
use crate::web::{Consent, Consents, ConsentsUnavailable, FormKey, WebConfig, WebState, router};

pub const NOW_MS: i64 = NOW_S * 1_000;
pub const ORIGIN: &str = "http://127.0.0.1:8080";
/// Text that is put wherever somebody may write something.
pub const HOSTILE: &str = "\"'><script>alert(1)</script>";
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const ISSUER: &str = "http://gateway.test";
const AUDIENCE: &str = "urn:gatehouse:demo-bank";

pub struct Site {
    pub bank: Arc<Bank>,
    pub consents: Arc<Kept>,
    pages: Router,
    key: SigningKey,
    _folder: tempfile::TempDir,
}

/// The consents of everybody, in memory.
#[derive(Default)]
pub struct Kept(pub Mutex<Vec<(String, Consent)>>);

impl Consents for Kept {
    fn list(&self, subject: &str) -> Result<Vec<Consent>, ConsentsUnavailable> {
        let kept = self.0.lock();
        Ok(kept.iter().filter(|(owner, _)| owner == subject).map(|(_, consent)| consent.clone()).collect())
    }

    fn revoke(&self, subject: &str, client_id: &str) -> Result<bool, ConsentsUnavailable> {
        let mut kept = self.0.lock();
        let before = kept.len();
        kept.retain(|(owner, consent)| owner != subject || consent.client_id != client_id);
        Ok(kept.len() < before)
    }
}

/// An answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn location(&self) -> &str {
        self.headers.get("location").map_or("", |value| value.to_str().unwrap())
    }

    /// The value of the hidden field `name` of the form that posts to `action`.
    pub fn hidden(&self, action: &str, name: &str) -> String {
        let form = self.body.split(&format!("action=\"{action}\"")).nth(1).expect("the form is there");
        let form = form.split("</form>").next().unwrap();
        let start = format!("name=\"{name}\" value=\"");
        form.split(&start).nth(1).expect("the field is there").split('"').next().unwrap().to_owned()
    }
}

impl Site {
    pub async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = crate::open_store(folder.path()).unwrap();
        let people = Directory::open(&db).unwrap();
        let bank = Arc::new(Bank::open(&db, NOW_MS - 100 * DAY_MS).await.unwrap());
        seed(&bank).await;
        let consents = Arc::new(Kept::default());
        let consent = Consent {
            client_id: "demo-aggregator".into(),
            client_name: format!("Aggregator {HOSTILE}"),
            scopes: vec!["accounts:read".into(), HOSTILE.into()],
            granted_ms: NOW_MS - DAY_MS,
        };
        consents.0.lock().extend([("alice".to_owned(), consent.clone()), ("bob".to_owned(), consent)]);
        let key = SigningKey::generate("k1");
        let clock: crate::Clock = Arc::new(|| NOW_MS);
        let callers =
            CallerVerifier::with_keys(ISSUER, AUDIENCE, [(key.kid.clone(), key.decoding())], clock.clone());
        let web = WebState::new(WebConfig {
            bank: bank.clone(),
            people,
            consents: consents.clone(),
            callers,
            web_client: "demo-web".into(),
            form_key: FormKey::new(&[9; 32]),
            origins: vec![ORIGIN.into()],
            login_origins: vec!["http://127.0.0.1:7002".into()],
            clock,
        });
        Self { bank, consents, pages: router(web.unwrap()), key, _folder: folder }
    }

    /// The identity of somebody in a browser.
    pub fn identity(&self, name: &str, session: &str, roles: &[&str]) -> String {
        self.sign(json!({"sub": name, "sid": session, "client_id": "demo-web", "roles": roles}))
    }

    /// An identity with these claims on top of those that every identity has.
    pub fn sign(&self, claims: serde_json::Value) -> String {
        let mut all = json!({"iss": ISSUER, "aud": AUDIENCE, "iat": NOW_S, "exp": NOW_S + 60});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.key.sign(&all)
    }

    /// Looks at a page as `name` in session `s1`; as nobody when that is empty.
    pub async fn get(&self, name: &str, path: &str) -> Answer {
        let identity = (!name.is_empty()).then(|| self.identity(name, "s1", &[]));
        self.get_as(identity, path).await
    }

    pub async fn get_as(&self, identity: Option<String>, path: &str) -> Answer {
        let mut request = Request::get(path);
        if let Some(identity) = identity {
            request = request.header(IDENTITY_HEADER, identity);
        }
        self.ask(request.body(Body::empty()).unwrap()).await
    }

    /// Loads the page at `path`, fills in `entered` beside its hidden fields and sends it.
    pub async fn fill_in(&self, name: &str, path: &str, entered: &[(&str, &str)]) -> Answer {
        let page = self.get(name, path).await;
        let mut fields: Vec<(String, String)> = Vec::new();
        for hidden in ["csrf", "id", "currency"] {
            if page.body.contains(&format!("name=\"{hidden}\" value=\"")) {
                fields.push((hidden.to_owned(), page.hidden(path, hidden)));
            }
        }
        fields.extend(entered.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.post(name, path, &fields, &[]).await
    }

    /// Sends a form as a browser on our own page would, with `extra` headers on top.
    pub async fn post(
        &self,
        name: &str,
        path: &str,
        fields: &[(String, String)],
        extra: &[(&str, &str)],
    ) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", ORIGIN)
            .header("sec-fetch-site", "same-origin");
        if !name.is_empty() {
            request = request.header(IDENTITY_HEADER, self.identity(name, "s1", &[]));
        }
        let mut request = request.body(Body::from(body)).unwrap();
        for (name, value) in extra {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        self.ask(request).await
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.pages.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// What stands on an account, minor units.
    pub fn balance(&self, owner: &str, account: &str) -> i64 {
        let (owner, account) = (CustomerId::new(owner).unwrap(), AccountId::new(account).unwrap());
        self.bank.account(&owner, &account).unwrap().balance()
    }
}

async fn seed(bank: &Bank) {
    let customer = |name: &str| CustomerId::new(name).unwrap();
    for (name, kind) in
        [("alice", AccountKind::Current), ("alice", AccountKind::Savings), ("bob", AccountKind::Current)]
    {
        let account = OpenAccount { kind, name: format!("{name} & co"), currency: Currency::EUR };
        bank.open_account(&customer(name), account, NOW_MS - 99 * DAY_MS).await.unwrap();
    }
    let alice = AccountId::new("alice-current").unwrap();
    for day in [90, 60, 30] {
        wages(bank, &alice, NOW_MS - day * DAY_MS).await;
    }
    for day in [95, 60, 20] {
        let cash = CashRequest {
            account: alice.clone(),
            amount_minor: 100_000,
            currency: None,
            memo: HOSTILE.into(),
        };
        bank.deposit(&customer("alice"), cash, None, NOW_MS - day * DAY_MS).await.unwrap();
    }
    for number in 0..40 {
        let payment = TransferRequest {
            id: None,
            from: alice.clone(),
            to: AccountId::new(if number % 2 == 0 { "bob-current" } else { "cafe-lantern" }).unwrap(),
            amount_minor: 100 + number,
            currency: Currency::EUR,
            memo: format!("payment {number} {HOSTILE}"),
        };
        bank.transfer(&customer("alice"), payment, None, NOW_MS - (45 - number) * DAY_MS).await.unwrap();
    }
}

/// A month's wages, which alone count as income when money is lent.
async fn wages(bank: &Bank, account: &AccountId, at_ms: i64) {
    let wages = NewTransfer {
        id: TransferId::new(format!("wages-{at_ms}")).unwrap(),
        debit: AccountId::new("employer-northwind").unwrap(),
        credit: account.clone(),
        amount_minor: 300_000,
        currency: Currency::EUR,
        category: Category::Salary,
        memo: "Wages".to_owned(),
        timeout_ms: None,
    };
    let command = Command { operations: vec![Operation::Transfer(wages)], receipt: None, at_ms };
    bank.ledger().submit(command).await.unwrap();
}
