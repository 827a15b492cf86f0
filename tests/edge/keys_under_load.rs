//! An issuer's keys while many ask: a rotation, and tokens that name keys that nobody has.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Map;
use tests::issuer::{Issuer, Key};

use super::gateway::{AUDIENCE, Application, Configured, Edge};
use super::upstream::Upstream;

const CLIENTS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);

async fn start(issuer: &Issuer) -> Edge {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let keys = Application { name: "keys", issuer: "jwks_refresh_s = 10", ..Application::default() };
    let keys = keys.before(&upstream, &issuer.url);
    let configured = Configured::write(folder.path(), &upstream, &keys);
    Edge::start_in(folder, upstream, configured).await
}

fn token(issuer: &Issuer, key: &Key) -> String {
    issuer.token_by(key, "ada", AUDIENCE, 600, Map::new()).unwrap().0
}

/// A program that keeps its connection.
struct Client(reqwest::Client, String);

impl Client {
    fn of(edge: &Edge) -> Self {
        Self(reqwest::Client::new(), format!("http://{}/inspected/page", edge.host()))
    }

    async fn status(&self, token: &str) -> u16 {
        let request = self.0.get(&self.1).header("host", "keys.test").bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    }
}

/// What one key's tokens were answered.
#[derive(Default)]
struct Answers {
    good: AtomicUsize,
    others: AtomicUsize,
}

/// Clients ask all the time with tokens of every key that is in use; each answer is counted.
pub async fn rotate_without_one_wrong_answer() {
    let issuer = Issuer::start().await.unwrap();
    let (old, new) = (issuer.key.clone(), Key::new("new").unwrap());
    let edge = start(&issuer).await;
    let (old_in_use, new_in_use, over) =
        (AtomicBool::new(true), AtomicBool::new(false), AtomicBool::new(false));
    let (by_old, by_new) = (Answers::default(), Answers::default());
    let client = async |number: usize| {
        let client = Client::of(&edge);
        // Half of the clients have a token for each request, the others one for all.
        let mut kept = [token(&issuer, &old), token(&issuer, &new)];
        while !over.load(Ordering::SeqCst) {
            for (at, (key, in_use, answers)) in
                [(&old, &old_in_use, &by_old), (&new, &new_in_use, &by_new)].into_iter().enumerate()
            {
                if number.is_multiple_of(2) {
                    kept[at] = token(&issuer, key);
                }
                if in_use.load(Ordering::SeqCst) {
                    let good = client.status(&kept[at]).await == 200;
                    if good { &answers.good } else { &answers.others }.fetch_add(1, Ordering::SeqCst);
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let more = async |answers: &Answers| {
        let (before, began) = (answers.good.load(Ordering::SeqCst), Instant::now());
        while answers.good.load(Ordering::SeqCst) < before + 200 {
            assert!(began.elapsed() < PATIENCE, "hardly anything is answered");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let issues = async {
        more(&by_old).await;
        issuer.publish(&[&old, &new]);
        new_in_use.store(true, Ordering::SeqCst);
        more(&by_new).await;
        more(&by_old).await;
        // The last token of the old key is over: it is taken back.
        old_in_use.store(false, Ordering::SeqCst);
        let probe = (Client::of(&edge), token(&issuer, &old));
        assert_eq!(probe.0.status(&probe.1).await, 200, "published still");
        issuer.publish(&[&new]);
        let (fetches, began) = (issuer.fetches(), Instant::now());
        while issuer.fetches() == fetches {
            assert!(began.elapsed() < PATIENCE, "the keys are fetched again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while probe.0.status(&probe.1).await == 200 {
            assert!(began.elapsed() < PATIENCE, "a dropped key's remembered token is good for ever");
        }
        for _ in 0..20 {
            assert_eq!(probe.0.status(&probe.1).await, 401, "the remembered token of the dropped key");
            assert_eq!(probe.0.status(&token(&issuer, &old)).await, 401, "a fresh one");
        }
        more(&by_new).await;
        over.store(true, Ordering::SeqCst);
    };
    let clients = futures_util::future::join_all((0..CLIENTS).map(client));
    tokio::join!(clients, issues);
    let counts = [&by_old, &by_new].map(|a| [&a.good, &a.others].map(|n| n.load(Ordering::SeqCst)));
    println!("answers [good, others] by the old key {:?}, by the new one {:?}", counts[0], counts[1]);
    assert_eq!(counts.map(|[_, others]| others), [0, 0], "{counts:?}");
}

/// Made-up keys without number: their issuer hears of them once in a minute.
pub async fn made_up_cost_one_fetch() {
    const TOKENS: usize = 20_000;
    let issuer = Issuer::start().await.unwrap();
    let edge = start(&issuer).await;
    let client = Client::of(&edge);
    assert_eq!(client.status(&token(&issuer, &issuer.key)).await, 200);
    let asked = async |from: usize| {
        for number in (from..TOKENS).step_by(CLIENTS) {
            let made_up = token(&issuer, &issuer.key.called(&format!("made-up-{number}")));
            assert_eq!(client.status(&made_up).await, 401);
        }
    };
    let (fetches, before, began) = (issuer.fetches(), edge.resident_kib("VmRSS"), Instant::now());
    let held = edge.metric("gatehouse_remembered_tokens{what=\"held\"}").await;
    futures_util::future::join_all((0..CLIENTS).map(asked)).await;
    let seconds = began.elapsed().as_secs();
    let (caused, grown) = (issuer.fetches() - fetches, edge.resident_kib("VmHWM").saturating_sub(before));
    println!("{TOKENS} made-up kids in {seconds} s: {caused} fetches, {grown} KiB");
    // The background has its own, every ten seconds; and one a minute may be for a made-up key.
    let background = usize::try_from(seconds / 10).unwrap() + 1;
    let on_demand = usize::try_from(seconds / 60).unwrap() + 1;
    assert!((1..=background + on_demand).contains(&caused), "{caused} fetches in {seconds} s");
    assert_eq!(edge.metric("gatehouse_remembered_tokens{what=\"held\"}").await, held);
    assert!(grown < 32 * 1024, "{grown} KiB more than {before} KiB");
}
