//! A stage that panics: the gateway of this test runs in the test, over a store that panics when it is told to.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use policies::ports::{Answer, HotStore, Space};
use proxy::clock::SystemClock;
use proxy::compose::{Stores, compose_over};
use proxy::config::Config;
use proxy::front::Sockets;
use reqwest::{Method, StatusCode};
use tests::demo::Addresses;
use tests::{Program, RunningDemo};

use crate::run::prepare;
use crate::{record, soon};

/// A store with a defect.
struct Defective {
    inner: Arc<dyn HotStore>,
    reads: AtomicBool,
    writes: AtomicBool,
}

impl Defective {
    /// Panics if it is told to; the stage that asked is in the middle of its work.
    fn meet(told: &AtomicBool) {
        assert!(!told.load(Ordering::SeqCst), "the defect of this test");
    }
}

impl HotStore for Defective {
    fn get<'a>(&'a self, space: Space, key: &'a [u8], now_ms: i64) -> Answer<'a, Option<Vec<u8>>> {
        Self::meet(&self.reads);
        self.inner.get(space, key, now_ms)
    }
    fn put<'a>(&'a self, space: Space, key: &'a [u8], value: &'a [u8], expires_ms: i64) -> Answer<'a, ()> {
        Self::meet(&self.writes);
        self.inner.put(space, key, value, expires_ms)
    }
    fn insert<'a>(
        &'a self,
        space: Space,
        key: &'a [u8],
        value: &'a [u8],
        now_ms: i64,
        expires_ms: i64,
    ) -> Answer<'a, bool> {
        Self::meet(&self.writes);
        self.inner.insert(space, key, value, now_ms, expires_ms)
    }
    fn take<'a>(&'a self, space: Space, key: &'a [u8], now_ms: i64) -> Answer<'a, Option<Vec<u8>>> {
        self.inner.take(space, key, now_ms)
    }
    fn remove<'a>(&'a self, space: Space, key: &'a [u8]) -> Answer<'a, ()> {
        self.inner.remove(space, key)
    }
    fn sweep(&self, now_ms: i64) -> Answer<'_, u64> {
        self.inner.sweep(now_ms)
    }
}

pub async fn end_their_own_request() {
    let demo = RunningDemo::start(&[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = prepare(&demo, folder.path());
    let file = folder.path().join("config/gatehouse.toml");
    // One thread serves everybody: whoever goes on, goes on beside the panic.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("threads = 2", "threads = 1")).unwrap();
    let config = Config::load(&file).unwrap();
    let Stores { hot, records } = Stores::open(&config.server).unwrap();
    let defective =
        Arc::new(Defective { inner: hot, reads: AtomicBool::new(false), writes: AtomicBool::new(false) });
    let stores = Stores { hot: defective.clone(), records };
    let core = compose_over(stores, config, Arc::new(SystemClock)).await.unwrap();
    let serving = proxy::serve::start(core, Sockets::empty()).await.unwrap();

    let (alice, bob) = (Program::of(&at, "alice").await.unwrap(), Program::of(&at, "bob").await.unwrap());
    let url = at.gateway.join("/api/stream").unwrap();
    let mut stream = reqwest::Client::new().get(url).bearer_auth(bob.token()).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    let before = alice.balance("alice-current").await.unwrap();

    // Before anything is forwarded: nothing moves, nobody is let in.
    defective.reads.store(true, Ordering::SeqCst);
    let paid = alice.pay("alice-current", "bob-current", 700, "panic").await.unwrap();
    is_a_defect(&at, &paid, 1, None).await;
    let cookie = [("cookie", "__Host-gatehouse=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
    let nobody = Program::nobody(&at.gateway).unwrap();
    let session = nobody.send(Method::GET, "/api/accounts", &cookie, None).await.unwrap();
    is_a_defect(&at, &session, 2, None).await;
    assert_eq!(alice.balance("alice-current").await.unwrap(), before, "others go on, and nothing moved");

    // Behind the application's answer: it is lost to the client, not to the books nor to the record.
    defective.reads.store(false, Ordering::SeqCst);
    defective.writes.store(true, Ordering::SeqCst);
    let paid = alice.pay("alice-current", "bob-current", 700, "panic").await.unwrap();
    is_a_defect(&at, &paid, 3, Some(201)).await;
    defective.writes.store(false, Ordering::SeqCst);
    let again = alice.pay("alice-current", "bob-current", 700, "panic").await.unwrap();
    assert_eq!(again.status, StatusCode::CREATED, "the same key is answered again: {again:?}");
    assert_eq!(before - alice.balance("alice-current").await.unwrap(), 700, "and booked once");

    // Bob's stream, on the same thread, was open all the while.
    let id = again.json()["id"].as_str().unwrap().to_owned();
    let mut read = String::new();
    soon("the event of the transfer", async || {
        let chunk = stream.chunk().await.unwrap().expect("an open stream");
        read.push_str(&String::from_utf8_lossy(&chunk));
        read.contains(&id).then_some(())
    })
    .await;
    drop(stream);
    serving.drain().await;
    demo.end().unwrap();
}

/// The refusal says nothing of the inside; its record and the metric say what it was.
async fn is_a_defect(
    at: &Addresses,
    answer: &tests::program::Answer,
    panics: u64,
    upstream_status: Option<u16>,
) {
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (500, "gateway.internal"), "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    assert!(!answer.text.contains("panic") && !answer.text.contains("the defect"), "{answer:?}");
    let ana = Program::staff(at, "ana").await.unwrap();
    let record = record::decision(&ana, answer.decision()).await["record"].clone();
    assert_eq!(
        (&record["outcome"], &record["reasons"][0]["code"], &record["status"], &record["upstream_status"]),
        (&"deny".into(), &"gateway.internal".into(), &500.into(), &upstream_status.into()),
        "{record}"
    );
    let figures = Program::nobody(&at.observe).unwrap().get("/metrics").await.unwrap().text;
    let counted = figures.lines().find(|line| line.starts_with("gatehouse_stage_panics_total"));
    assert_eq!(counted, Some(&*format!("gatehouse_stage_panics_total {panics}")));
}
