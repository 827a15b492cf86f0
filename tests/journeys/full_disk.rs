//! A disk without room under a running gateway: money waits, everything else goes on, and room mends it.
//!
//! The disk is full for one process: its file size limit (RLIMIT_FSIZE) is set just above the decision log's segment, which
//! is larger than every other file of the gateway then.

use std::fs;
use std::path::Path;
use std::process::Command;

use reqwest::StatusCode;
use tests::demo::{Addresses, binary};
use tests::{Program, RunningDemo};

use crate::run::{Gateway, prepare};
use crate::{audit, soon};

/// What one more record does not fit into.
const ROOM_BYTES: u64 = 200;

pub async fn stops_money_and_nothing_else() {
    let demo = RunningDemo::start(&[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = prepare(&demo, folder.path());
    let file = folder.path().join("config/gatehouse.toml");
    let text = fs::read_to_string(&file).unwrap();
    let unlimited = text.replace("per_second = 100, burst = 200", "per_second = 100_000, burst = 100_000");
    assert_ne!(unlimited, text);
    fs::write(&file, unlimited).unwrap();

    // A write beyond the limit fails, as on a full disk, only where the signal of it is ignored.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(binary().unwrap());
    command.args(["run", "--config"]).arg(&file);
    let mut gateway = Gateway::started_by(command, folder.path().join("full.log"));
    gateway.serves().await;
    let alice = Program::of(&at, "alice").await.unwrap();
    let pay = async |key: &str| alice.pay("alice-current", "bob-current", 150, key).await.unwrap();
    let paid = pay("before").await;
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");
    let before = alice.balance("alice-current").await.unwrap();
    let data = folder.path().join("gateway");
    grow_beyond_all_others(&at, &data).await;

    limit(&gateway, &(largest(&data.join("decisions")) + ROOM_BYTES).to_string());
    // What is written after the answer fails first, or the first transfer itself.
    let refused = soon("a transfer is refused", async || {
        let answer = pay("meanwhile").await;
        (answer.status != StatusCode::CREATED).then_some(answer)
    })
    .await;
    assert_eq!(
        (refused.status.as_u16(), refused.reason().as_str()),
        (503, "audit.unavailable"),
        "{refused:?}"
    );
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|s| s > 0), "{refused:?}");
    let held = alice.balance("alice-current").await.unwrap();
    assert_eq!(before - held, 0, "nothing is forwarded without its record");
    for path in ["/api/accounts", "/api/advice", "/api/credit-score"] {
        let answer = alice.get(path).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "reads go on: {answer:?}");
    }
    let scraper = Program::nobody(&at.observe).unwrap();
    let ready = scraper.get("/readyz").await.unwrap();
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE, "{ready:?}");
    assert!(ready.text.contains("the decision log cannot be written"), "{ready:?}");
    let figures = scraper.get("/metrics").await.unwrap().text;
    assert!(figures.contains("gatehouse_audit_failing 1"), "{figures}");
    assert!(figures.contains("gatehouse_refusals_total{reason=\"audit.unavailable\"}"), "{figures}");
    assert!(!figures.contains("gatehouse_audit_log{what=\"failed\"} 0\n"), "{figures}");
    assert!(gateway.said("the decision log cannot be written"));

    limit(&gateway, "unlimited");
    soon("the log is written again", async || {
        (scraper.get("/readyz").await.unwrap().status == StatusCode::OK).then_some(())
    })
    .await;
    let paid = pay("after").await;
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");
    assert!(scraper.get("/metrics").await.unwrap().text.contains("gatehouse_audit_failing 0"));
    gateway.tell("-TERM");
    assert!(gateway.ended().await.success());
    // What happened meanwhile was kept, and is in the chain.
    let report = audit::sound(&data.join("decisions"));
    assert_eq!((&report["lost"], &report["abrupt"]), (&0.into(), &0.into()), "{report}");
    demo.end().unwrap();
}

/// Fills the decision log until its segment is the gateway's largest file by far.
async fn grow_beyond_all_others(at: &Addresses, data: &Path) {
    let nobody = Program::nobody(&at.gateway).unwrap();
    let others = || ["records", "hot"].iter().map(|part| largest(&data.join(part))).max().unwrap();
    while largest(&data.join("decisions")) < others() + (others() / 2) {
        // Refusals for findings have the longest records.
        for _ in 0..20 {
            let answer = nobody.get("/?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E").await.unwrap();
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
        }
    }
}

/// Bytes of the largest file in `folder`.
fn largest(folder: &Path) -> u64 {
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap().filter_map(Result::ok) {
        let kind = entry.metadata().unwrap();
        found = found.max(if kind.is_dir() { largest(&entry.path()) } else { kind.len() });
    }
    found
}

/// Sets the soft limit alone, which may be raised again.
fn limit(gateway: &Gateway, bytes: &str) {
    let pid = gateway.pid().to_string();
    let done = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")]).status();
    assert!(done.expect("prlimit (util-linux) is there").success());
}
