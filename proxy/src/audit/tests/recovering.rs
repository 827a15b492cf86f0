//! Opening what another run left behind.

use std::fs;
use std::path::{Path, PathBuf};

use policies::ports::DecisionReader;

use super::super::{AuditLog, OpenError, Settings, verify};
use super::{clock, decision, durably, quiet, wait};

fn first_segment(dir: &Path) -> PathBuf {
    dir.join(format!("{:020}.log", 0))
}

/// A log with a start, five transfers and a stop, or what a kill leaves of it: no stop, no checkpoint.
fn written(dir: &Path, killed: bool) -> PathBuf {
    let log = AuditLog::open(quiet(dir), clock()).unwrap();
    for n in 0..5 {
        durably(&log, &format!("t{n}")).unwrap();
        log.submit(decision(&format!("t{n}")));
    }
    log.close();
    drop(log);
    let path = first_segment(dir);
    if killed {
        let text = fs::read_to_string(&path).unwrap();
        let kept: Vec<&str> =
            text.split_inclusive('\n').filter(|l| !l.contains("\"entry\":\"stop\"")).collect();
        fs::write(&path, kept.concat()).unwrap();
        fs::remove_file(dir.join("checkpoint.json")).unwrap();
    }
    path
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), false);
    let log = AuditLog::open(quiet(dir.path()), clock()).unwrap();
    let found = wait(log.get("t3")).unwrap();
    assert_eq!(found.map(|(_, record)| record.id), Some("t3".to_owned()), "decisions are read back");
    assert_eq!(durably(&log, "next").unwrap(), 13, "12 entries and the new start before it");
    log.close();
    let report = verify(dir.path(), None, |_| {}).unwrap();
    assert_eq!((report.starts, report.abrupt, report.unfinished), (2, 0, 1), "{report:?}");
}

#[test]
fn a_line_torn_by_a_kill_is_cut_off_and_said() {
    let whole = tempfile::tempdir().unwrap();
    let line = fs::read(written(whole.path(), false)).unwrap();
    let line = line.split_inclusive(|&b| b == b'\n').nth(3).unwrap();
    for torn in [1, 64, 65, 66, line.len() / 2, line.len() - 1] {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), true);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(&line[..torn]);
        fs::write(&path, bytes).unwrap();
        let report = verify(dir.path(), None, |_| {}).unwrap();
        assert_eq!(report.torn_bytes, torn as u64, "an auditor is told before the restart too");

        let log = AuditLog::open(quiet(dir.path()), clock()).unwrap();
        durably(&log, "next").unwrap();
        log.close();
        let report = verify(dir.path(), None, |_| {}).unwrap();
        assert_eq!((report.starts, report.abrupt, report.torn_bytes), (2, 1, 0), "{torn}: {report:?}");
        assert_eq!(report.intents, 6, "{torn}: nothing acknowledged is gone");
    }
}

#[test]
fn a_log_that_was_tampered_with_is_not_opened() {
    type Damage = fn(&mut Vec<Vec<u8>>);
    let cases: [(&str, Damage, &str); 6] = [
        ("a changed amount", |lines| lines[3][300] ^= 1, "altered"),
        ("an unreadable line in the middle", |lines| lines[3][80] = 0, "line 4"),
        ("a line taken out", |lines| drop(lines.remove(4)), "missing"),
        ("two lines swapped", |lines| lines.swap(4, 5), "missing"),
        ("a line repeated", |lines| lines.insert(5, lines[4].clone()), "moved or repeated"),
        ("the end cut off at a line", |lines| lines.truncate(7), "cut off"),
    ];
    for (what, damage, said) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), false);
        let text = fs::read(&path).unwrap();
        let mut lines: Vec<Vec<u8>> = text.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
        damage(&mut lines);
        let altered = lines.concat();
        fs::write(&path, &altered).unwrap();
        let refused = AuditLog::open(quiet(dir.path()), clock()).map(drop).unwrap_err().to_string();
        assert!(refused.contains(said) && refused.contains("000.log"), "{what}: {refused}");
        assert_eq!(fs::read(&path).unwrap(), altered, "{what}: evidence is left as it is");
    }
}

#[test]
fn a_torn_end_that_takes_back_what_a_checkpoint_saw_is_no_crash() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), false);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 200]).unwrap();
    let refused = AuditLog::open(quiet(dir.path()), clock()).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Chain { .. }), "{refused}");
}

#[test]
fn one_process_writes_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open(quiet(dir.path()), clock()).unwrap();
    let second = AuditLog::open(quiet(dir.path()), clock()).map(drop).unwrap_err();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    drop(log);
    AuditLog::open(quiet(dir.path()), clock()).unwrap();
}

#[test]
fn segments_follow_each_other_and_decisions_in_all_of_them_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let small = Settings { segment_bytes_max: 2_000, recent_max: 2, ..quiet(dir.path()) };
    let log = AuditLog::open(small.clone(), clock()).unwrap();
    for n in 0..30 {
        log.submit(decision(&format!("d{n}")));
        durably(&log, &format!("d{n}")).unwrap();
    }
    for n in [0, 15, 29] {
        let found = wait_io(log.get(&format!("d{n}")));
        assert!(found.is_some(), "d{n}");
    }
    log.close();
    let report = verify(dir.path(), None, |_| {}).unwrap();
    assert!(report.segments > 5, "{report:?}");
    let log = AuditLog::open(small, clock()).unwrap();
    assert!(wait_io(log.get("d0")).is_some(), "after a restart too");
}

fn wait_io<T>(answer: policies::ports::Answer<'_, T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer).unwrap()
}
