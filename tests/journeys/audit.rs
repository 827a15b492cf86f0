//! The decision log, checked by the command that auditors use.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tests::demo::binary;

/// Runs `gatehouse audit verify`.
pub fn verify(log: &Path) -> Output {
    let mut command = Command::new(binary().unwrap());
    command.args(["audit", "verify", "--json", "--log"]).arg(log).output().unwrap()
}

/// The report on a log that must be sound.
pub fn sound(log: &Path) -> Value {
    let output = verify(log);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["sound"], true, "{report}");
    report
}

pub fn the_log_is_sound_until_touched(data: &Path) {
    let log = data.join("gateway").join("decisions");
    let report = sound(&log);
    assert!(report["decisions"].as_u64().unwrap() > 500, "{report}");
    assert_eq!((&report["lost"], &report["unfinished"]), (&0.into(), &0.into()), "{report}");

    let folder = tempfile::tempdir().unwrap();
    let copy = copied(&log, folder.path());
    sound(folder.path());
    let whole = std::fs::read(&copy).unwrap();
    for route in ["api-transfers", "api-cash", "api-loans", "web-cash"] {
        let intent = |line: &str| {
            line.contains("\"entry\":{\"intent\"") && line.contains(&format!("\"route\":\"{route}\""))
        };
        let text = String::from_utf8_lossy(&whole);
        assert!(text.lines().any(intent), "{route}: recorded before it was forwarded");
    }
    let lines: Vec<&[u8]> = whole.split_inclusive(|&b| b == b'\n').collect();
    let chosen = lines.len() / 2;
    let before: usize = lines[..chosen].iter().map(|line| line.len()).sum();

    let mut flipped = whole.clone();
    flipped[before + lines[chosen].len() / 2] ^= 1;
    let mut cut = whole.clone();
    cut.drain(before..before + lines[chosen].len());
    let swapped = [
        lines[..chosen].concat(),
        lines[chosen + 1].into(),
        lines[chosen].into(),
        lines[chosen + 2..].concat(),
    ]
    .concat();
    for (what, altered) in
        [("one bit flipped", flipped), ("an entry removed", cut), ("two entries swapped", swapped)]
    {
        std::fs::write(&copy, altered).unwrap();
        let output = verify(folder.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{what}: {output:?}");
        assert!(said.contains(&format!("line {}", chosen + 1)), "{what} in line {}: {said}", chosen + 1);
    }
}

/// Copies the log's files; answers the first segment.
fn copied(log: &Path, to: &Path) -> PathBuf {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(log).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        std::fs::copy(entry.path(), &copy).unwrap();
        segments.extend((copy.extension().is_some_and(|e| e == "log")).then_some(copy));
    }
    segments.into_iter().min().unwrap()
}
