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

/// A table in which large amounts are fraud, more or less, and its mapping.
fn payments(folder: &std::path::Path) -> [String; 2] {
    let mut csv = "at,amount,label\n".to_owned();
    for row in 0..1_200u64 {
        // A walk that visits every residue: no two neighbours alike.
        let mixed = row * 7_919 % 1_201;
        let (fraud, amount) = (mixed % 11 == 0, 20 + mixed % 50 + if mixed % 22 == 0 { 60 } else { 0 });
        csv += &format!("{},{amount},{}\n", 1_700_000_000 + row * 3_600, u8::from(fraud));
    }
    let mapping = "[columns]\ntime = 'at'\namount = 'amount'\nlabel = 'label'\n[label]\ndelay_days = 1\n";
    [("payments.csv", csv.as_str()), ("payments.toml", mapping)].map(|(name, text)| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

#[test]
fn a_search_goes_on_from_the_trials_that_are_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let [data, mapping] = payments(folder.path());
    let train = |out: &str, more: &[&str]| {
        let out = folder.path().join(out);
        let fixed = ["train", "fraud", "--data", &data, "--mapping", &mapping, "--model", "tree", "--json"];
        let output = gatehouse(&[fixed.as_slice(), &["--out", out.to_str().unwrap()], more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (figures, said, std::fs::read(out.join("model.artifact")).unwrap(), out.join("trials.jsonl"))
    };
    let wanted = ["--search", "3", "--folds", "2", "--budget", "0.05"];
    let (figures, _, model, log) = train("model", &wanted);
    assert_eq!(figures["trials"], 5);
    assert_eq!(figures["step_up"]["by"]["budget"], 0.05);
    // As a kill would leave it: two trials done, the third half written.
    let trials = std::fs::read_to_string(&log).unwrap();
    let ends: Vec<usize> = trials.match_indices('\n').map(|(at, _)| at).collect();
    std::fs::write(&log, &trials[..ends[1] + 20]).unwrap();
    let (_, said, again, _) = train("model", &wanted);
    assert!(said.contains("2 trials are known from an earlier run"), "{said}");
    assert!(again == model, "the resumed search ends with another model");
    let (plain, ..) = train("plain", &[]);
    assert_eq!((&plain["trials"], &plain["step_up"]["by"]), (&2.into(), &"cost".into()));
    let refused = gatehouse(&["train", "fraud", "--data", &data, "--out", "x", "--budget", "1.5"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn inputs_made_of_others_go_into_the_model_and_come_out_alike() {
    let folder = tempfile::tempdir().unwrap();
    let [data, mapping] = payments(folder.path());
    let out = folder.path().join("model");
    let table = ["--data", &data, "--mapping", &mapping];
    let said = |arguments: &[&str]| -> serde_json::Value {
        let output = gatehouse(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let out = out.to_str().unwrap();
    let wanted = ["--model", "tree", "--inputs", "clusters=4,autoencoder", "--out", out, "--json"];
    let trained = said(&[["train", "fraud"].as_slice(), &table, &wanted].concat());
    let measured = said(&[["evaluate", "--model", out].as_slice(), &table].concat());
    assert_eq!(trained["auprc"], measured["auprc"]);
    let artifact = std::fs::read_to_string(folder.path().join("model/model.artifact")).unwrap();
    assert!(artifact.contains("--inputs clusters=4,autoencoder") && artifact.contains("\"centres\""));
    for (inputs, wanted) in [("clusters=99", "clusters are 2 to 32"), ("pca", "`pca` is none of")] {
        let output =
            gatehouse(&[["train", "fraud"].as_slice(), &table, &["--inputs", inputs, "--out", out]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted), "{said}");
    }
}
