//! The life of the fraud model over real sockets: transfers are recorded, labels come in, a challenger is trained, scores in
//! shadow, is promoted by two people and rolled back; what is broken is passed over.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use learner::simulate::TransferSettings;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tests::issuer::Issuer;
use tests::{raw, season};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use url::Url;

use super::gateway::{Configured, Edge, free_addresses};
use super::upstream::Upstream;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models/fraud");
const PATIENCE: Duration = Duration::from_secs(300);

const CONFIG: &str = r#"
[models]
fraud = "@SHIPPED@"
[learning]
label_delay_days = 0
retrain_every_h = 0
[admin]
address = "@ADMIN@"
external_url = "http://@ADMIN@/"
issuer = "@ISSUER@"
audience = "urn:edge:admin"
client_id = "console"
[[issuers]]
issuer = "@ISSUER@"
algorithms = ["ES256"]
[[applications]]
name = "payments"
hosts = ["payments.test"]
external_url = "https://payments.test"
identity = { issuers = ["@ISSUER@"], audience = "urn:edge:payments" }
upstream = { peers = ["@UPSTREAM@"] }
[[applications.routes]]
name = "pay"
paths = ["/inspected/pay"]
methods = ["POST"]
[applications.routes.transfer]
format = "json"
from = "/from"
to = "/to"
amount = "/amount"
currency = "/currency"
unit = "minor"
"#;

/// A customer who pays, and staff who look after the model.
struct House {
    edge: Edge,
    issuer: Issuer,
    admin: Url,
}

impl House {
    /// Pays, and answers the decision's id.
    async fn pay(&self, amount: u32) -> String {
        let (token, _) = self.issuer.token("ada", "urn:edge:payments", 600).unwrap();
        let body = json!({ "from": "a", "to": "DE1", "amount": amount, "currency": "EUR" }).to_string();
        let request = format!(
            "POST /inspected/pay HTTP/1.1\r\nHost: payments.test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let got = self.edge.send(request).await;
        assert_eq!(got.status(), 200, "{}", got.text);
        header(&got, "gatehouse-decision")
    }

    /// Calls the admin API as `who`, with all of `roles`.
    async fn call(
        &self,
        who: (&str, &[&str]),
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.request(method, self.admin.join(path).unwrap()).bearer_auth(self.token(who));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = request.body(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    fn token(&self, who: (&str, &[&str])) -> String {
        let claims = json!({ "scope": "admin", "roles": who.1 }).as_object().cloned();
        let claims: Map<String, Value> = claims.unwrap();
        self.issuer.token_with(who.0, "urn:edge:admin", 600, claims).unwrap().0
    }

    /// The first line of the answer to so many bytes of labels of twice as many that are announced: whoever sends on may be
    /// refused, and cut off, in the middle of it.
    async fn labels_without_end(&self, bytes: usize) -> String {
        let place = format!("{}:{}", self.admin.host_str().unwrap(), self.admin.port().unwrap());
        let mut stream = TcpStream::connect(&place).await.unwrap();
        let head = format!(
            "POST /api/v1/labels HTTP/1.1\r\nhost: {place}\r\nauthorization: Bearer {}\r\ncontent-type: text/csv\r\n\
             content-length: {}\r\n\r\n",
            self.token(ANA),
            2 * bytes
        );
        stream.write_all(&[head.into_bytes(), vec![b'x'; bytes]].concat()).await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line
    }

    async fn life(&self) -> Value {
        let (status, model) = self.call(VIEWER, Method::GET, "/api/v1/models/fraud", &[], "").await;
        assert_eq!(status, StatusCode::OK, "{model}");
        model["life"].clone()
    }

    async fn act(&self, who: (&str, &[&str]), what: &str, tag: &str, order: Value) -> (StatusCode, Value) {
        let path = format!("/api/v1/models/fraud/{what}");
        let mut fields = vec![("content-type", "application/json")];
        if !tag.is_empty() {
            fields.push(("if-match", tag));
        }
        self.call(who, Method::POST, &path, &fields, order.to_string()).await
    }

    async fn labels(&self, media: &str, body: String) -> (StatusCode, Value) {
        self.call(ANA, Method::POST, "/api/v1/labels", &[("content-type", media)], body).await
    }

    /// The model that a new decision names, by the first digits of its hash.
    async fn decides(&self) -> String {
        let id = self.pay(1_200).await;
        let path = format!("/api/v1/decisions/{id}");
        let found = soon("the decision is recorded", async || {
            let (status, detail) = self.call(VIEWER, Method::GET, &path, &[], "").await;
            (status == StatusCode::OK).then_some(detail)
        });
        let detail = found.await;
        let name = detail["record"]["fraud"]["model"].as_str().unwrap_or_default().to_owned();
        name.strip_prefix("fraud/").unwrap_or_else(|| panic!("{detail}")).to_owned()
    }

    /// The promotion of whatever challenges, by two people.
    async fn promote(&self) {
        let tag = |life: &Value| format!("\"m{}\"", life["revision"]);
        let (status, model) = self.act(OLIVIA, "promote", &tag(&self.life().await), json!({})).await;
        assert_eq!(status, StatusCode::OK, "{model}");
        let (status, model) = self.act(PETRA, "approve", &tag(&model["life"]), json!({})).await;
        assert_eq!(status, StatusCode::OK, "{model}");
    }
}

const VIEWER: (&str, &[&str]) = ("vera", &["viewer"]);
const ANA: (&str, &[&str]) = ("ana", &["analyst"]);
const OLIVIA: (&str, &[&str]) = ("olivia", &["operator", "approver"]);
const PETRA: (&str, &[&str]) = ("petra", &["approver"]);

fn header(got: &raw::Exchange, name: &str) -> String {
    let line = got.text.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
    line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap()
}

async fn soon<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = found().await {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What an earlier run of the gateway recorded: a season of transfers, and which of them were fraud.
fn season(data: &Path) -> Vec<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let last_ms = i64::try_from(now.as_millis()).unwrap() - 3_600_000;
    let season = season::write(data, Path::new(SHIPPED), TransferSettings::small(3), last_ms).unwrap();
    season.frauds.into_iter().map(|(decision, _)| decision).collect()
}

async fn house() -> (House, Vec<String>) {
    let issuer = Issuer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let [admin] = free_addresses();
    let config = CONFIG
        .replace("@SHIPPED@", SHIPPED)
        .replace("@ADMIN@", &admin.to_string())
        .replace("@ISSUER@", &issuer.url)
        .replace("@UPSTREAM@", &upstream.address.to_string());
    let configured = Configured::write(folder.path(), &upstream, &config);
    let frauds = season(&folder.path().join("data"));
    let edge = Edge::start_in(folder, upstream, configured).await;
    (House { edge, issuer, admin: Url::parse(&format!("http://{admin}/")).unwrap() }, frauds)
}

pub async fn goes_round() {
    let (mut house, frauds) = house().await;
    let shipped = house.decides().await;
    labels_come_in(&house, &frauds).await;
    let challenger = trained(&house).await;
    assert_ne!(challenger[..12], *shipped);
    shadows(&house).await;
    promoted(&house, &challenger).await;

    let (status, model) = house.act(OLIVIA, "rollback", "", json!({})).await;
    assert_eq!((status, &model["hash"].as_str().unwrap()[..12]), (StatusCode::OK, &*shipped), "{model}");
    assert_eq!(house.decides().await, shipped, "rolled back by one call");
    house.promote().await;
    assert_eq!(house.decides().await, challenger[..12]);

    house.edge.restart(|_| {}).await;
    assert_eq!(house.decides().await, challenger[..12], "a promotion survives a kill");
    house
        .edge
        .restart(|folder| {
            let store = folder.join("data/models/fraud");
            let artifact = store.join(format!("{challenger}.artifact"));
            let text = fs::read(&artifact).unwrap();
            fs::write(&artifact, &text[..text.len() / 2]).unwrap();
            fs::write(store.join("stray.artifact"), "not ours").unwrap();
        })
        .await;
    assert_eq!(house.decides().await, shipped, "the one before a broken one serves");
    let (status, text) = house.edge.ready().await;
    assert!(status == 200 && text.contains(&challenger) && text.contains("an earlier one serves"), "{text}");
    assert_eq!(house.edge.metric("gatehouse_model_fallback ").await, 1.0);
    assert!(house.edge.metric("gatehouse_model_artifacts_refused_total ").await >= 1.0);
    house.edge.restart(|folder| fs::write(folder.join("data/models/fraud/state.signed"), "x").unwrap()).await;
    assert_eq!(house.decides().await, shipped, "without a state the configured one serves");
}

async fn labels_come_in(house: &House, frauds: &[String]) {
    let own = house.pay(900).await;
    let unknown = format!("{}{}", &own[..31], if own.ends_with('0') { '1' } else { '0' });
    let rows: Vec<String> = frauds.iter().chain([&own, &unknown]).map(|id| format!("{id},1")).collect();
    let table = format!("decision,fraud\n{}\n../../etc/passwd,1\n", rows.join("\n"));
    let known = frauds.len() as u64 + 1;
    for unchanged in [0, known] {
        let (status, said) = house.labels("text/csv", table.clone()).await;
        let counts = (&said["accepted"], &said["unchanged"], &said["unknown"]);
        assert_eq!(
            (status, counts),
            (StatusCode::OK, (&json!(known), &json!(unchanged), &json!(1))),
            "{said}"
        );
        assert_eq!(said["unknown_decisions"], json!([unknown]));
        assert_eq!(said["malformed"][0]["line"], json!(known + 3), "{said}");
    }
    let sent = json!({ "labels": [{ "decision": own, "fraud": false }] }).to_string();
    let (_, said) = house.labels("application/json", sent).await;
    assert_eq!(said["replaced"], 1, "{said}");
    let refused = house.labels_without_end(admin::extract::TABLE_BYTES_MAX + 1).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    let metric = async |result: &str| {
        house.edge.metric(&format!("gatehouse_model_labels_total{{result=\"{result}\"}}")).await
    };
    assert_eq!(
        (metric("unknown").await, metric("replaced").await, metric("malformed").await),
        (2.0, 1.0, 2.0)
    );
}

/// Has a challenger trained; answers its hash.
async fn trained(house: &House) -> String {
    for (name, status) in [("..%2F..%2Fkeys", 404), ("anomaly", 404), ("fraud", 200), ("fraud", 422)] {
        let path = format!("/api/v1/models/{name}/retrain");
        let order = json!({ "kind": "tree" }).to_string();
        let fields = [("content-type", "application/json")];
        let (got, said) = house.call(OLIVIA, Method::POST, &path, &fields, order).await;
        assert_eq!(got.as_u16(), status, "{name}: {said}");
    }
    let life = soon("a challenger is trained", async || {
        let life = house.life().await;
        life["retraining"]["ok"].is_boolean().then_some(life)
    });
    let life = life.await;
    assert_eq!(life["retraining"]["ok"], true, "{life}");
    let challenger = &life["challenger"];
    let comparison = &challenger["comparison"];
    assert!(comparison["frauds"].as_u64().unwrap() >= 10, "{challenger}");
    let (low, high) =
        (comparison["interval"][0].as_f64().unwrap(), comparison["interval"][1].as_f64().unwrap());
    assert!(low < high, "{comparison}");
    challenger["hash"].as_str().unwrap().to_owned()
}

async fn shadows(house: &House) {
    for _ in 0..3 {
        house.pay(1_000).await;
    }
    let scored = soon("the challenger scores in shadow", async || {
        let scored = house.life().await["shadow"]["scored"].as_u64().unwrap();
        (scored >= 3).then_some(scored)
    });
    assert_eq!(scored.await, 3);
    assert_eq!(house.edge.metric("gatehouse_model_shadow_total").await, 3.0);
    soon("calibration is known", async || {
        house.life().await["calibration"]["frauds"].as_u64().filter(|&frauds| frauds > 10)
    })
    .await;
    assert!(house.edge.metric("gatehouse_model_calibration{share=\"expected\"}").await > 0.0);
}

async fn promoted(house: &House, challenger: &str) {
    let seen = format!("\"m{}\"", house.life().await["revision"]);
    let (status, said) = house.act(OLIVIA, "promote", &seen, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    let next = format!("\"m{}\"", said["life"]["revision"]);
    for (who, what, tag, status, reason) in [
        (OLIVIA, "promote", &*seen, 412, "precondition.failed"),
        (OLIVIA, "approve", &*next, 403, "approval.own"),
        (ANA, "approve", &*next, 403, "auth.role"),
        (PETRA, "approve", &*seen, 412, "precondition.failed"),
        (PETRA, "approve", "", 428, "precondition.missing"),
    ] {
        let (got, said) = house.act(who, what, tag, json!({})).await;
        assert_eq!((got.as_u16(), said["reason"].as_str()), (status, Some(reason)), "{what}: {said}");
    }
    assert_ne!(house.decides().await, challenger[..12], "a proposal changes nothing");
    let (status, said) = house.act(PETRA, "approve", &next, json!({})).await;
    assert_eq!((status, said["hash"].as_str()), (StatusCode::OK, Some(challenger)), "{said}");
    assert_eq!(house.decides().await, challenger[..12], "decisions name the new model");
    let (status, said) = house.act(PETRA, "approve", &next, json!({})).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "replayed: {said}");
    house.edge.recorded(&format!("\\\"approve\\\":\\\"{challenger}"), 1).await;
}
