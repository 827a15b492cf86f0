//! `gatehouse check` and the models of a configuration: whole ones pass, all others are refused by file and name.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models");
const KINDS: [(&str, &str); 3] =
    [("fraud", "model.artifact"), ("anomaly", "model.artifact"), ("capacity", "q-learning.json")];

const CONFIG: &str = r#"
[server]
data_dir = "data"

[[listeners]]
address = "127.0.0.1:1"

[models]
fraud = "models/fraud"
anomaly = "models/anomaly"
capacity = "models/capacity"

[policy]
file = "starter.toml"

[[issuers]]
issuer = "https://login.bank.example"
algorithms = ["ES256"]

[[applications]]
name = "bank"
hosts = ["api.bank.example"]
external_url = "https://api.bank.example"
upstream = { peers = ["127.0.0.1:2"], health_path = "/healthz" }
identity = { issuers = ["https://login.bank.example"], audience = "https://api.bank.example" }

[[applications.routes]]
name = "api-reads"
paths = ["/api/accounts"]
methods = ["GET"]
scopes = ["accounts:read"]
"#;

/// A folder with a configuration that is fine, and the models that ship.
struct Installation(tempfile::TempDir);

impl Installation {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("gateway.toml"), CONFIG).unwrap();
        let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/policies/starter.toml");
        fs::copy(policy, folder.path().join("starter.toml")).unwrap();
        let installation = Self(folder);
        for (kind, file) in KINDS {
            fs::create_dir_all(installation.model(kind, file).parent().unwrap()).unwrap();
            fs::write(installation.model(kind, file), shipped(kind, file)).unwrap();
        }
        installation
    }

    fn model(&self, kind: &str, file: &str) -> PathBuf {
        self.0.path().join("models").join(kind).join(file)
    }

    fn check(&self) -> Output {
        let config = self.0.path().join("gateway.toml");
        Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .arg("check")
            .arg("--config")
            .arg(config)
            .output()
            .unwrap()
    }

    /// Checks with other bytes in a model's place, and puts the shipped ones back.
    #[track_caller]
    fn refuses(&self, (kind, file): (&str, &str), bytes: &[u8], why: &[&str]) {
        fs::write(self.model(kind, file), bytes).unwrap();
        let output = self.check();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{kind} passes: {said}");
        assert!(said.contains(&format!("models/{kind}")), "names no file: {said}");
        assert!(why.iter().any(|why| said.contains(why)), "{kind}, none of {why:?}: {said}");
        fs::write(self.model(kind, file), shipped(kind, file)).unwrap();
    }
}

fn shipped(kind: &str, file: &str) -> Vec<u8> {
    fs::read(Path::new(SHIPPED).join(kind).join(file)).unwrap()
}

#[test]
fn whole_models_pass_and_a_missing_one_is_named() {
    let installation = Installation::new();
    let output = installation.check();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (kind, file) in KINDS {
        fs::remove_file(installation.model(kind, file)).unwrap();
        let output = installation.check();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(&format!("models/{kind}")), "{kind}: {said}");
        fs::write(installation.model(kind, file), shipped(kind, file)).unwrap();
    }
}

#[test]
fn models_cut_short_or_altered_are_refused_by_name() {
    let installation = Installation::new();
    let cut = ["cut short", "not a gatehouse model", "cannot be read"];
    let altered = ["checksum", "cannot be read"];
    for kind in KINDS {
        let bytes = shipped(kind.0, kind.1);
        for length in [0, 40, bytes.len() / 2, bytes.len() - 2] {
            installation.refuses(kind, &bytes[..length], &cut);
        }
        // Bytes of the body that are digits: another digit is as well formed as the right one.
        let digits: Vec<usize> =
            (bytes.len() / 3..bytes.len()).filter(|&at| bytes[at].is_ascii_digit()).collect();
        for at in [digits[0], digits[digits.len() / 2], digits[digits.len() - 1]] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            installation.refuses(kind, &other, &altered);
        }
    }
}

#[test]
fn models_of_another_kind_or_version_are_refused_by_name() {
    let installation = Installation::new();
    let [fraud, anomaly, capacity] = KINDS;
    installation.refuses(
        fraud,
        &shipped(anomaly.0, anomaly.1),
        &["a model of kind anomaly where fraud is needed"],
    );
    installation.refuses(
        anomaly,
        &shipped(fraud.0, fraud.1),
        &["a model of kind fraud where anomaly is needed"],
    );
    installation.refuses(capacity, &shipped(fraud.0, fraud.1), &["cannot be read"]);
    let other = |kind: (&str, &str), from: &str, to: &str| {
        String::from_utf8(shipped(kind.0, kind.1)).unwrap().replacen(from, to, 1).into_bytes()
    };
    for kind in [fraud, anomaly] {
        installation.refuses(
            kind,
            &other(kind, "gatehouse-model 1 ", "gatehouse-model 9 "),
            &["artifact format 9"],
        );
    }
    installation.refuses(capacity, &other(capacity, "\"version\": 1", "\"version\": 9"), &["version 9"]);
}

#[test]
fn models_of_another_schema_are_refused_by_name() {
    use learner::artifact::{Artifact, Kind, Manifest, to_bytes};
    let installation = Installation::new();
    for (kind, place) in [(Kind::Fraud, KINDS[0]), (Kind::Anomaly, KINDS[1])] {
        let manifest = Manifest {
            schema_hash: "0".repeat(64),
            data: "elsewhere".into(),
            data_fingerprint: String::new(),
            seed: 1,
            command: String::new(),
            metrics: serde_json::Value::Null,
            baseline: None,
        };
        let bytes = to_bytes(kind, &Artifact { manifest, model: serde_json::json!({}) }).unwrap();
        installation.refuses(place, &bytes, &["model made for feature schema 0000"]);
    }
    let text = String::from_utf8(shipped(KINDS[2].0, KINDS[2].1)).unwrap();
    let schema = text.split("\"schema\": \"").nth(1).and_then(|rest| rest.get(..64)).unwrap();
    let other = text.replace(schema, &"0".repeat(64));
    installation.refuses(KINDS[2], other.as_bytes(), &["other states or actions"]);
}
