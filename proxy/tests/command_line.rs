//! The binary itself: it starts, helps, and says what is wrong with a file.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn gatehouse(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatehouse")).args(arguments).output().unwrap()
}

#[test]
fn every_command_helps() {
    for command in ["demo", "run", "check", "train", "evaluate", "score", "simulate", "audit"] {
        let output = gatehouse(&[command, "--help"]);
        assert!(output.status.success() && !output.stdout.is_empty(), "{command}");
    }
    let version = gatehouse(&["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_config_is_told_with_file_line_column_and_hint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    for (text, wanted) in [
        ("listeners = 3\n", "gateway.toml:1:"),
        ("[[listeners]]\naddress = \"127.0.0.1:1\"\nsurprise = 1\n", "gateway.toml:3:1"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = gatehouse(&["check", "--config", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(wanted) && said.contains("hint:"), "{said}");
    }
}

#[test]
fn a_log_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no-such-log");
    let output = gatehouse(&["audit", "verify", "--log", missing.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no-such-log"), "{said}");
}

#[test]
fn a_model_that_was_altered_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models/fraud/model.artifact");
    let mut bytes = std::fs::read(shipped).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(folder.path().join("model.artifact"), bytes).unwrap();
    let output = gatehouse(&["evaluate", "--model", folder.path().to_str().unwrap(), "--data", "simulate:1"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn controllers_are_played_against_a_scenario() {
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/scenarios/calm.toml");
    let output = gatehouse(&[
        "simulate",
        "--scenario",
        scenario,
        "--controller",
        "static",
        "--seeds",
        "1..2",
        "--json",
    ]);
    let row: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row["controller"], "static");
    assert!(row["goodput"].as_f64().unwrap() > 0.9, "a calm day is served: {row}");
}
