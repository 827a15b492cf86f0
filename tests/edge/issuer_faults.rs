//! Issuers that are out of reach, slow or talk nonsense: what that costs the gateway, and what it costs others.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::issuer::{Issuer, Key, Mood};
use tests::raw::Exchange;

use super::gateway::{AUDIENCE, Application, Configured, Edge, free_addresses, reason};
use super::upstream::Upstream;

const PATIENCE: Duration = Duration::from_secs(60);
/// The gateway waits 5 s for an issuer, and asks all of them at the same time.
const START_MAX: Duration = Duration::from_secs(30);
/// Much less than an answer of 50 MB, and more than a gateway under its first requests grows by itself.
const GROWTH_MAX_KIB: u64 = 24 * 1024;

/// One issuer for each way of failing, each with an application of its own.
struct Faulty {
    name: &'static str,
    mood: Mood,
    issuer: Issuer,
}

impl Faulty {
    async fn all() -> Vec<Self> {
        let keys: Vec<_> = (0..10_000).map(|_| Key::new("k").unwrap().public).collect();
        let many = json!({ "keys": keys }).to_string();
        let small = json!({ "keys": vec![json!({}); 10_000] }).to_string();
        let html = "<html><body>Maintenance</body></html>".to_owned();
        let moods = [
            ("slow", Mood::Slow(Duration::from_secs(10))),
            ("html", Mood::Says("text/html", html.clone())),
            ("disguised", Mood::Says("application/json", html)),
            ("huge", Mood::Huge(50_000_000)),
            ("loop", Mood::Loop),
            ("many", Mood::Says("application/json", many)),
            ("small", Mood::Says("application/json", small)),
            ("none", Mood::Says("application/json", r#"{"keys":[]}"#.to_owned())),
        ];
        let mut faulty = Vec::new();
        for (name, mood) in moods {
            faulty.push(Self { name, mood, issuer: Issuer::start().await.unwrap() });
        }
        faulty
    }

    fn fails(&self) {
        self.issuer.set_mood(self.mood.clone());
    }

    fn token(&self) -> String {
        self.issuer.token("ada", AUDIENCE, 600).unwrap().0
    }

    /// A figure of its keys.
    async fn metric(&self, edge: &Edge, name: &str, more: &str) -> f64 {
        edge.metric(&format!("{name}{{issuer=\"{}\"{more}}}", self.issuer.url)).await
    }
}

async fn started(issuers: &[(&str, &str)]) -> Edge {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let mut more = String::new();
    for (name, issuer) in issuers {
        let application = Application { name, issuer: "jwks_refresh_s = 10", ..Application::default() };
        more += &application.before(&upstream, issuer);
    }
    let configured = Configured::write(folder.path(), &upstream, &more);
    Edge::start_in(folder, upstream, configured).await
}

async fn ask(edge: &Edge, name: &str, token: &str) -> Exchange {
    let fields =
        format!("Host: {name}.test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nAccept: */*\r\n");
    edge.send(format!("GET /inspected/page HTTP/1.1\r\n{fields}\r\n")).await
}

/// Asks until the answer has this status.
async fn until(edge: &Edge, name: &str, token: &str, status: u16) {
    let began = Instant::now();
    loop {
        let got = ask(edge, name, token).await;
        if got.status() == status {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{name}: {}", got.text);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Issuers that fail while their keys are held: nobody notices.
pub async fn leave_the_old_keys() {
    let faulty = Faulty::all().await;
    let issuers: Vec<_> = faulty.iter().map(|f| (f.name, &*f.issuer.url)).collect();
    let edge = started(&issuers).await;
    for f in &faulty {
        let got = ask(&edge, f.name, &f.token()).await;
        assert_eq!(got.status(), 200, "{}: {}", f.name, got.text);
        let line = format!("gatehouse_issuer_keys{{algorithm=\"ES256\",issuer=\"{}\"}}", f.issuer.url);
        assert_eq!(edge.metric(&line).await, 1.0, "{}", f.name);
        let oldest = f.metric(&edge, "gatehouse_issuer_key_age_seconds", ",which=\"oldest\"").await;
        assert!((0.0..60.0).contains(&oldest), "{}: {oldest} s", f.name);
    }
    let before = edge.resident_kib("VmRSS");
    faulty.iter().for_each(Faulty::fails);
    for f in &faulty {
        let began = Instant::now();
        while f.metric(&edge, "gatehouse_jwks_fetches", ",result=\"failed\"").await < 2.0 {
            assert!(began.elapsed() < PATIENCE, "{}: its keys are fetched again", f.name);
            let asked = Instant::now();
            assert_eq!(ask(&edge, f.name, &f.token()).await.status(), 200, "{}: its old keys stay", f.name);
            assert!(asked.elapsed() < Duration::from_secs(2), "{}: nobody waits for it", f.name);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(f.metric(&edge, "gatehouse_issuer_usable", "").await, 1.0, "{}", f.name);
    }
    let grown = edge.resident_kib("VmHWM").saturating_sub(before);
    println!("resident memory: {before} KiB, at most {grown} KiB more under faulty key sets");
    assert!(grown < GROWTH_MAX_KIB, "{grown} KiB more than {before} KiB");
}

/// Issuers that fail from the start: their own applications wait for them, and no other.
pub async fn at_the_start_hold_up_nobody_else() {
    let mut faulty = Faulty::all().await;
    let good = Issuer::start().await.unwrap();
    let [down]: [SocketAddr; 1] = free_addresses();
    let down_url = format!("http://{down}");
    faulty.iter().for_each(Faulty::fails);
    let mut issuers: Vec<_> = faulty.iter().map(|f| (f.name, &*f.issuer.url)).collect();
    issuers.extend([("well", &*good.url), ("down", &*down_url)]);

    let began = Instant::now();
    let edge = started(&issuers).await;
    assert!(began.elapsed() < START_MAX, "started after {:?}", began.elapsed());
    let (ready, said) = edge.ready().await;
    assert_eq!(ready, 503, "{said}");
    for (name, url) in issuers.iter().filter(|(name, _)| *name != "well") {
        assert!(said.contains(&format!("issuer {url}: its tokens cannot be verified")), "{name}: {said}");
    }
    assert!(!said.contains(&good.url), "{said}");

    // At "down" nobody answers, so anybody's token will do.
    let anybody = good.token("ada", AUDIENCE, 600).unwrap().0;
    let asked = Instant::now();
    assert_eq!(ask(&edge, "well", &anybody).await.status(), 200, "others work");
    assert!(asked.elapsed() < Duration::from_secs(2), "after {:?}", asked.elapsed());
    assert_eq!(edge.ask("GET /inspected/x HTTP/1.1", "", "").await.status(), 200, "public routes work");
    for f in &faulty {
        let got = ask(&edge, f.name, &f.token()).await;
        assert_eq!((got.status(), &*reason(&got)), (503, "identity.issuer_unavailable"), "{}", f.name);
        let head = got.text.to_ascii_lowercase();
        assert!(head.contains("\r\nretry-after: "), "{}: {}", f.name, got.text);
        assert_eq!(f.metric(&edge, "gatehouse_issuer_usable", "").await, 0.0, "{}", f.name);
        assert_eq!(f.metric(&edge, "gatehouse_jwks_age_seconds", "").await, -1.0, "{}", f.name);
    }
    let resident = edge.resident_kib("VmHWM");
    println!("resident memory: at most {resident} KiB");

    // Every one of them comes back.
    let back = Issuer::start_at(down).await.unwrap();
    until(&edge, "down", &back.token("ada", AUDIENCE, 600).unwrap().0, 200).await;
    for f in &mut faulty {
        f.issuer.set_mood(Mood::Good);
    }
    for f in &faulty {
        until(&edge, f.name, &f.token(), 200).await;
    }
    assert_eq!(edge.ready().await.0, 200);
}
