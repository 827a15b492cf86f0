//! The fuzz targets' corpora, run as a test: what fuzzing found stays found, and what must be accepted is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "src/lib.rs"]
mod fuzz;

use std::fs;
use std::path::Path;

/// Each file of a target's corpus, and those that must be accepted.
fn corpus(target: &str, run: fn(&[u8]) -> bool, good: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut accepted = Vec::new();
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        count += 1;
        if run(&fs::read(&path).unwrap()) {
            accepted.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    accepted.retain(|name| good.contains(&name.as_str()) || !name.bytes().all(|b| b.is_ascii_hexdigit()));
    accepted.sort();
    assert_eq!(accepted, good, "{target}");
    assert!(count > good.len(), "{target}: {count}");
}

#[test]
fn authorization_fields() {
    corpus("authorization", fuzz::authorization::run, &["case", "good"]);
}

#[test]
fn access_tokens() {
    corpus("access_token", fuzz::access_token::run, &["audiences", "details", "good", "scopes"]);
}

#[test]
fn dpop_proofs() {
    corpus("dpop_proof", fuzz::dpop_proof::run, &["good", "old", "target1", "target2", "target3"]);
}

#[test]
fn cookies() {
    corpus("cookie", fuzz::cookie::run, &["bytes", "session", "spaces"]);
}

#[test]
fn log_out_tokens() {
    corpus("logout_token", fuzz::logout_token::run, &["audiences", "good", "session", "subject", "untyped"]);
}

#[test]
fn mappings() {
    corpus("mapping", fuzz::mapping::run, &["everything", "handbook", "nothing"]);
}

#[test]
fn tables() {
    corpus("table", fuzz::table::run, &["attacks", "gzip", "parquet", "tabs", "transfers"]);
}

#[test]
fn models() {
    fuzz::model::prepare();
    corpus("model", fuzz::model::run, &["anomaly", "boosted", "logistic", "svm", "tree"]);
}
