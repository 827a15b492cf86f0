//! The shape of the house: which crate may know which, and what may not be named where.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every allowed edge between the workspace's crates.
const ALLOWED: &[(&str, &str)] = &[
    ("learner", "policies"),
    ("admin", "policies"),
    ("admin", "learner"),
    ("proxy", "policies"),
    ("proxy", "learner"),
    ("proxy", "admin"),
    ("proxy", "ledger-demo"),
    ("tests", "policies"),
    ("tests", "learner"),
    ("tests", "admin"),
    ("tests", "proxy"),
    ("tests", "ledger-demo"),
];

/// Longest file of source code, lines.
const FILE_LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn only_the_allowed_dependencies_exist() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut found = BTreeSet::new();
    for package in packages {
        let from = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            if ours.contains(to) {
                found.insert((from, to));
            }
        }
    }
    let allowed: BTreeSet<(&str, &str)> = ALLOWED.iter().copied().collect();
    assert_eq!(found.difference(&allowed).collect::<Vec<_>>(), Vec::<&(&str, &str)>::new(), "new edges");
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// Source without its tests: what stands before the first `#[cfg(test)]`.
fn serving(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

#[test]
fn pingora_is_known_to_the_proxy_alone() {
    for crate_name in ["policies", "learner", "admin", "ledger-demo"] {
        let manifest = std::fs::read_to_string(root().join(crate_name).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("pingora"), "{crate_name} depends on pingora");
    }
}

#[test]
fn the_demo_bank_is_known_to_the_demo_command_alone() {
    for (path, text) in sources(&root().join("proxy/src")) {
        // A test may ask what the demo's customers would see.
        if !path.ends_with("cli/demo.rs") && !path.ends_with("habits/tests.rs") {
            assert!(!serving(&text).contains("ledger_demo"), "{} names the demo bank", path.display());
        }
    }
}

#[test]
fn no_path_of_the_bank_is_written_into_the_gateway() {
    let banks_own = ["/api/accounts", "/api/transfers", "/credit-score", "demo-web", "demo-bank"];
    for crate_name in ["policies", "learner", "admin", "proxy"] {
        for (path, text) in sources(&root().join(crate_name).join("src")) {
            let is_test = path.components().any(|c| c.as_os_str() == "tests")
                || path.ends_with("tests.rs")
                || path.ends_with("cli/demo.rs");
            // Examples in documentation may name what the demo's configuration names.
            let code: String = serving(&text)
                .lines()
                .filter(|l| !l.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            for name in banks_own {
                assert!(is_test || !code.contains(name), "{} names {name}", path.display());
            }
        }
    }
}

#[test]
fn policies_touch_nothing_outside() {
    let banned = ["std::fs", "std::net::Tcp", "tokio", "SystemTime::now", "Instant::now", "async fn"];
    for (path, text) in sources(&root().join("policies/src")) {
        for name in banned {
            assert!(!serving(&text).contains(name), "{} uses {name}", path.display());
        }
    }
}

#[test]
fn no_file_outgrows_its_purpose() {
    for crate_name in ["policies", "learner", "admin", "proxy", "ledger-demo"] {
        for (path, text) in sources(&root().join(crate_name).join("src")) {
            let lines = serving(&text).lines().count();
            let is_test = path.components().any(|c| c.as_os_str() == "tests") || path.ends_with("tests.rs");
            assert!(is_test || lines <= FILE_LINES_MAX, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimplemented", "!("), concat!("to", "do!(")];
    for crate_name in ["policies", "learner", "admin", "proxy", "ledger-demo", "tests"] {
        for (path, text) in sources(&root().join(crate_name)) {
            for mark in marks {
                assert!(!text.contains(mark), "{} contains {mark}", path.display());
            }
        }
    }
}
