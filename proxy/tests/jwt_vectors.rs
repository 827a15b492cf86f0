//! Published vectors of signed and encrypted tokens, each through the reader and the keys that judge bearer tokens: Project
//! Wycheproof's, and those of the IETF's JOSE cookbook (RFC 7520, RFC 7797, RFC 8037).
//!
//! Run with `GATEHOUSE_DATA=… cargo test -p proxy --test jwt_vectors -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use proxy::stages::identity::keys::KeySet;
use proxy::stages::identity::token::Algorithm;
use proxy::stages::identity::token::compact::parse_jws;
use serde_json::{Value, json};

/// Large enough for every vector, so that none is refused for its length.
const BYTES_MAX: usize = 1 << 20;

fn folder() -> PathBuf {
    let data =
        std::env::var_os("GATEHOUSE_DATA").expect("GATEHOUSE_DATA names the folder of the public corpora");
    PathBuf::from(data).join("jwt")
}

fn json_of(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "json"));
    files.sort();
    files
}

/// Whether `token` is signed by a key of `keys`: one JWK, or a set of them.
fn verifies(token: &str, keys: &Value) -> bool {
    let set = if keys.get("keys").is_some() { keys.clone() } else { json!({ "keys": [keys] }) };
    let Ok(set) = KeySet::parse(set.to_string().as_bytes(), &Algorithm::ALL, 0) else { return false };
    let Ok(jws) = parse_jws(token, BYTES_MAX) else { return false };
    let mut candidates = set.candidates(jws.header.kid.as_deref(), jws.header.algorithm);
    candidates.any(|key| key.verifies(jws.signed, &jws.signature))
}

/// The algorithm that a token names, whatever it is.
fn algorithm(token: &str) -> String {
    use base64::Engine as _;
    let header = token.split('.').next().unwrap_or_default();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let header: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    header["alg"].as_str().unwrap_or_default().to_owned()
}

#[derive(Default)]
struct Counts {
    accepted: usize,
    refused: usize,
    not_applicable: usize,
    wrong: Vec<String>,
}

impl Counts {
    /// A valid token of an algorithm that the gateway never accepts, or an encrypted one, has to be refused too.
    fn judge(&mut self, name: String, token: &str, keys: &Value, valid: bool) {
        let applies = token.split('.').count() == 3
            && Algorithm::from_name(&algorithm(token)).is_some_and(|_| !token.starts_with('{'));
        let accepted = verifies(token, keys);
        match (valid, applies) {
            (true, false) => self.not_applicable += 1,
            _ if accepted => self.accepted += 1,
            _ => self.refused += 1,
        }
        if accepted != (valid && applies) {
            self.wrong.push(format!("{name}: {}", if accepted { "accepted" } else { "refused" }));
        }
    }

    fn report(&self, of: &str) {
        println!(
            "{of}: {} accepted, {} refused, {} not applicable (and never accepted)",
            self.accepted, self.refused, self.not_applicable
        );
        assert!(self.wrong.is_empty(), "{of}:\n{}", self.wrong.join("\n"));
    }
}

#[test]
#[ignore = "needs the public corpora: set GATEHOUSE_DATA"]
fn wycheproof() {
    for file in files_in(&folder().join("wycheproof/testvectors_v1")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let mut counts = Counts::default();
        for group in json_of(&file)["testGroups"].as_array().unwrap() {
            let keys = [&group["public"], &group["private"]].into_iter().find(|keys| !keys.is_null());
            for test in group["tests"].as_array().unwrap() {
                // Key agreement has no token; there is nothing of it that could be presented.
                let Some(token) = [&test["jws"], &test["jwe"]].into_iter().find_map(Value::as_str) else {
                    counts.not_applicable += 1;
                    continue;
                };
                let what = format!("{name} {} {}", test["tcId"], test["comment"]);
                let valid = test["result"] == "valid";
                counts.judge(what, token, keys.unwrap_or(&Value::Null), valid);
            }
        }
        counts.report(&name);
    }
}

#[test]
#[ignore = "needs the public corpora: set GATEHOUSE_DATA"]
fn cookbook() {
    let mut counts = Counts::default();
    for part in ["jws", "jwe", "curve25519", "rfc7797"] {
        for file in files_in(&folder().join("ietf-jose-cookbook").join(part)) {
            let vector = json_of(&file);
            let output = &vector["output"];
            // The vectors carry whole key pairs; an issuer publishes the public half.
            let mut key = vector["input"]["key"].clone();
            if let Some(members) = key.as_object_mut() {
                members.retain(|name, _| !matches!(name.as_str(), "d" | "p" | "q" | "dp" | "dq" | "qi"));
            }
            let tokens = [&output["compact"], &output["json"], &output["json_flat"]];
            for token in tokens.into_iter().filter(|token| !token.is_null()) {
                let text = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
                counts.judge(file.display().to_string(), &text, &key, true);
                // The same with one character of its signature changed.
                if let Some((signed, signature)) = text.rsplit_once('.').filter(|_| token.is_string()) {
                    let first = if signature.starts_with('A') { "B" } else { "A" };
                    let changed = format!("{signed}.{first}{}", signature.get(1..).unwrap_or_default());
                    counts.judge(format!("{} changed", file.display()), &changed, &key, false);
                }
            }
        }
    }
    counts.report("JOSE cookbook");
}
