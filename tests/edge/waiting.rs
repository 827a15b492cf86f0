//! Who waits for an issuer that hangs holds nothing of what the application serves others with.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tests::issuer::{Issuer, Mood};
use tests::raw::{self, Exchange};
use tokio::net::TcpStream;

use super::gateway::{AUDIENCE, Application, Configured, Edge, reason};
use super::upstream::Upstream;

/// Of each kind; far more than the application's capacity.
const WAITING: usize = 20;
const PATIENCE: Duration = Duration::from_secs(20);

/// RFC 7517 A.2's example key, known to everybody and used for nothing.
const CLIENT_JWK: &str = r#"{"kty":"EC","crv":"P-256","kid":"client",
    "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}"#;

/// An application with log-ins, and little capacity.
async fn small(issuer: &Issuer) -> Edge {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("client.jwk"), CLIENT_JWK).unwrap();
    let upstream = Upstream::start().await;
    let small = Application {
        name: "small",
        identity: r#"session = { client_id = "gateway", client_key_file = "client.jwk" }"#,
        more: "[applications.capacity]\ncontroller = \"static\"\nlimit = 4.0",
        ..Application::default()
    };
    let small = small.before(&upstream, &issuer.url);
    let configured = Configured::write(folder.path(), &upstream, &small);
    Edge::start_in(folder, upstream, configured).await
}

pub async fn for_an_issuer_holds_no_capacity() {
    let issuer = Issuer::start().await.unwrap();
    let edge = small(&issuer).await;
    let ask = async |path: &str, fields: &str| -> Exchange {
        let head = format!("GET {path} HTTP/1.1\r\nHost: small.test\r\nConnection: close\r\n{fields}\r\n");
        let stream = TcpStream::connect(edge.host()).await.unwrap();
        raw::over_within(stream, head.as_bytes(), PATIENCE).await.unwrap()
    };
    let with =
        async |token: String| ask("/inspected/page", &format!("Authorization: Bearer {token}\r\n")).await;
    let known = |subject: &str| issuer.token(subject, AUDIENCE, 600).unwrap().0;
    assert_eq!(with(known("ada")).await.status(), 200);

    issuer.set_mood(Mood::Slow(Duration::from_secs(60)));
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let log_in = async |_| {
        let request = browser.get(format!("http://{}/.gatehouse/login?return_to=/", edge.host()));
        let answer = request.header("host", "small.test").send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default()["reason"].clone())
    };
    let unknown = async |number: usize| {
        let key = issuer.key.called(&format!("unknown-{number}"));
        with(issuer.token_by(&key, "eve", AUDIENCE, 600, Map::new()).unwrap().0).await
    };
    let log_ins = futures_util::future::join_all((0..WAITING).map(log_in));
    let unknowns = futures_util::future::join_all((0..WAITING).map(unknown));
    let others = async {
        let began = Instant::now();
        // Every log-in, and one fetch for all of the unknown keys.
        while issuer.waiting() < WAITING + 1 {
            assert!(began.elapsed() < PATIENCE, "{} wait for the issuer", issuer.waiting());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let permits = edge.metric("gatehouse_capacity_permits{class=\"anonymous\",pool=\"small\"}").await;
        assert_eq!(permits, 0.0, "who waits for an issuer holds permits");
        let (mut slowest, began) = (Duration::ZERO, Instant::now());
        for number in 0..50 {
            let asked = Instant::now();
            let got = with(known(&format!("customer-{number}"))).await;
            assert_eq!(got.status(), 200, "{number}: {}", got.text);
            slowest = slowest.max(asked.elapsed());
        }
        let waiting = issuer.waiting();
        println!(
            "50 others served in {:?}, the slowest in {slowest:?}, while {waiting} waited",
            began.elapsed()
        );
        assert_eq!(waiting, WAITING + 1, "they waited all the while");
    };
    let (log_ins, unknowns, ()) = tokio::join!(log_ins, unknowns, others);
    for got in log_ins {
        assert_eq!(got, (503, json!("identity.issuer_unavailable")));
    }
    for got in unknowns {
        assert_eq!((got.status(), &*reason(&got)), (401, "token.signature"), "{}", got.text);
    }
}

/// No address uses up the log-ins of all, and nobody is listened to who has nothing to say.
pub async fn for_log_ins_is_shared() {
    const BURST: usize = 100;
    let issuer = Issuer::start().await.unwrap();
    let edge = small(&issuer).await;
    let at: SocketAddr = edge.host().parse().unwrap();
    let ask = async |from: u8, line: &str, fields: &str| -> Exchange {
        let head = format!("{line} HTTP/1.1\r\nHost: small.test\r\nConnection: close\r\n{fields}\r\n");
        let stream = raw::connect_from(IpAddr::from([127, 0, 0, from]), at).await.unwrap();
        raw::over(stream, head.as_bytes()).await.unwrap()
    };
    let mut refused = 0;
    for number in 0..2 * BURST {
        let got = ask(1, "GET /.gatehouse/login?return_to=/", "").await;
        let limited = got.status() == 429 && reason(&got) == "limit.address";
        assert!(!limited || number >= BURST, "{number}: {}", got.text);
        refused += usize::from(limited);
    }
    assert!(refused > BURST / 2, "{refused}");
    let got = ask(3, "GET /.gatehouse/login?return_to=/", "").await;
    assert_ne!(got.status(), 429, "another address: {}", got.text);
    let got = ask(1, "GET /.gatehouse/session", "").await;
    assert_eq!(got.status(), 401, "what is no log-in: {}", got.text);

    // A body that never comes is not waited for, but where an issuer sends one.
    for (line, status) in [
        ("POST /.gatehouse/session", 405),
        ("GET /.gatehouse/jwks.json", 200),
        ("POST /.gatehouse/nothing", 404),
        ("POST /.gatehouse/backchannel-logout", 408),
    ] {
        let got = ask(4, line, "Content-Length: 1000\r\n").await;
        assert_eq!(got.status(), status, "{line}: {}", got.text);
    }
    let got = ask(4, "POST /.gatehouse/backchannel-logout", "Content-Length: 100000\r\n").await;
    assert_eq!(got.status(), 413, "{}", got.text);
}
