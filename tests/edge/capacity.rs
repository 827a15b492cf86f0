//! What the capacity learner learnt, over a restart: restored as it was saved, or refused by name.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use learner::capacity::q_learning::Artifact;
use proxy::clock::SystemClock;
use proxy::compose::compose;
use proxy::config::Config;
use proxy::front::Sockets;
use proxy::gateway::Core;
use tests::raw;
use url::Url;

use super::gateway::{Configured, Edge};
use super::upstream::Upstream;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models/capacity");
/// Where the application's pool keeps what it learnt.
const LEARNT: &str = "data/capacity/site.json";
const PATIENCE: Duration = Duration::from_secs(60);

fn models() -> String {
    format!("\n[models]\ncapacity = \"{SHIPPED}\"\n")
}

fn read(file: &Path) -> Artifact {
    Artifact::from_text(&fs::read_to_string(file).unwrap()).unwrap()
}

fn shipped() -> Artifact {
    read(&Path::new(SHIPPED).join("q-learning.json"))
}

/// What the pool's controller knows now.
fn table(core: &Core) -> Artifact {
    Artifact::from_text(&core.pools[0].admission.learnt().unwrap()).unwrap()
}

/// A gateway in this process; whoever had the folder before may still be letting go of it.
async fn composed(file: &Path) -> Arc<Core> {
    let began = Instant::now();
    loop {
        match compose(Config::load(file).unwrap(), Arc::new(SystemClock)).await {
            Ok(core) => return core,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let configured = Configured::write(folder.path(), &upstream, &models());
    let core = composed(&configured.file).await;
    assert_eq!(table(&core), shipped(), "the first start begins with what was shipped");

    let serving = proxy::serve::start(Arc::clone(&core), Sockets::empty()).await.unwrap();
    let gateway = Url::parse(&format!("http://{}/", serving.listeners[0])).unwrap();
    let request =
        format!("GET /inspected/x HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", gateway.authority());
    let began = Instant::now();
    while table(&core) == shipped() {
        assert!(began.elapsed() < PATIENCE, "nothing is learnt of traffic");
        assert_eq!(raw::exchange(&gateway, request.as_bytes()).await.unwrap().status(), 200);
    }
    serving.drain().await;
    drop(core);
    let saved = read(&folder.path().join(LEARNT));
    assert_ne!(saved, shipped());

    let core = composed(&configured.file).await;
    assert_eq!(table(&core), saved, "the next start goes on with what was learnt");
    assert_eq!(core.metrics.capacity_tables_refused.get(), 0);
}

pub async fn is_refused_by_name() {
    let text = shipped().to_text();
    let digits = text.find("\"schema\": \"").unwrap() + "\"schema\": \"".len();
    let other_schema = [&text[..digits], &"0".repeat(64), &text[digits + 64..]].concat();
    for (what, bytes, said) in [
        ("cut short", text.as_bytes()[..text.len() / 2].to_vec(), "cannot be read"),
        ("of another version", text.replace("\"version\": 1", "\"version\": 2").into(), "version 2"),
        ("of another schema", other_schema.into(), "made for other states or actions"),
        ("altered", text.replacen("\"state\": 1", "\"state\": 2", 1).into(), "checksum does not match"),
        ("no text", vec![0xff, 0xfe, 0x00], "UTF-8"),
        ("empty", Vec::new(), "cannot be read"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let learnt = folder.path().join(LEARNT);
        fs::create_dir_all(learnt.parent().unwrap()).unwrap();
        fs::write(&learnt, bytes).unwrap();
        let upstream = Upstream::start().await;
        let configured = Configured::write(folder.path(), &upstream, &models());

        let core = composed(&configured.file).await;
        assert_eq!(table(&core), shipped(), "{what}: it starts with what was shipped");
        drop(core);
        let edge = Edge::start_in(folder, upstream, configured).await;
        assert_eq!(edge.metric("gatehouse_capacity_tables_refused_total").await, 1.0, "{what}");
        let log = edge.log();
        let line = log.lines().find(|line| line.contains("capacity table")).unwrap_or_default();
        assert!(line.contains(said) && line.contains("site.json"), "{what}: {log}");
        assert_eq!(edge.ask("GET /inspected/x HTTP/1.1", "", "").await.status(), 200, "{what}: it serves");
    }
}
