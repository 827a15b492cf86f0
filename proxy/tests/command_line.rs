//! The binary itself: it starts, helps, and says what is wrong with a file.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn gatehouse(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatehouse")).args(arguments).output().unwrap()
}

#[test]
fn every_command_helps() {
    for command in ["demo", "run", "check", "audit"] {
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
