//! What an auditor's `verify` sees: every single change, with file and line.

use std::fs;
use std::path::{Path, PathBuf};

use policies::chain::{Checkpoint, Link};

use super::super::entry::{read_payload, split_line, write_line};
use super::super::{AuditLog, Settings, VerifyError, verify};
use super::{clock, decision, durably, quiet};

/// The lines of each segment.
type Segments = Vec<(PathBuf, Vec<Vec<u8>>)>;

fn written(dir: &Path) -> Segments {
    let log = AuditLog::open(Settings { segment_bytes_max: 1_200, ..quiet(dir) }, clock()).unwrap();
    for n in 0..5 {
        log.submit(decision(&format!("d{n}")));
        durably(&log, &format!("t{n}")).unwrap();
    }
    log.close();
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "log"));
    files.sort();
    let lines = |path: &PathBuf| -> Vec<Vec<u8>> {
        fs::read(path).unwrap().split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect()
    };
    let segments: Segments = files.iter().map(|path| (path.clone(), lines(path))).collect();
    assert!(segments.len() > 2, "several files");
    segments
}

/// Writes `altered` in the place of the segments and says what `verify` finds: file name and line, and its words.
fn found(dir: &Path, altered: &Segments) -> Option<(String, u64, String)> {
    for (path, lines) in altered {
        fs::write(path, lines.concat()).unwrap();
    }
    let error = verify(dir, None, |_| {}).err()?;
    let words = error.to_string();
    match error {
        VerifyError::Line { path, line, .. }
        | VerifyError::Chain { path, line, .. }
        | VerifyError::Training { path, line, .. } => {
            Some((path.file_name().unwrap().to_str().unwrap().to_owned(), line, words))
        }
        VerifyError::Io { .. } => panic!("{words}"),
    }
}

fn name(segments: &Segments, segment: usize) -> String {
    segments[segment].0.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Every line's segment and place in it.
fn places(segments: &Segments) -> Vec<(usize, usize)> {
    let of =
        |(s, (_, lines)): (usize, &(PathBuf, Vec<Vec<u8>>))| (0..lines.len()).map(move |l| (s, l)).collect();
    segments.iter().enumerate().flat_map(|numbered| -> Vec<_> { of(numbered) }).collect()
}

#[test]
fn a_byte_of_any_kind_in_any_entry_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let whole = written(dir.path());
    assert_eq!(found(dir.path(), &whole), None);
    let kinds: [fn(u8) -> bool; 9] = [
        |b| b.is_ascii_digit(),
        |b| b.is_ascii_lowercase(),
        |b| b == b' ',
        |b| b == b'{',
        |b| b == b'"',
        |b| b == b':',
        |b| b == b',',
        |b| b == b'}',
        |b| b == b'\n',
    ];
    let last_place = *places(&whole).last().unwrap();
    for (segment, line) in places(&whole) {
        let bytes = &whole[segment].1[line];
        let of_kinds = kinds.iter().flat_map(|is| {
            let first = bytes.iter().position(|&b| is(b));
            let last = bytes.iter().rposition(|&b| is(b));
            [first, last]
        });
        for at in of_kinds.flatten() {
            for change in [1_u8, 0x20, 0x80] {
                let mut altered = whole.clone();
                altered[segment].1[line][at] ^= change;
                let what = format!("byte {at} of line {} of {}", line + 1, name(&whole, segment));
                let (file, said, words) = found(dir.path(), &altered).expect(&what);
                let ends_the_log = (segment, line) == last_place && at + 1 == bytes.len();
                assert_eq!((file, said), (name(&whole, segment), line as u64 + 1), "{what}: {words}");
                assert!(!ends_the_log || words.contains("cut off"), "{what}: {words}");
            }
        }
    }
}

#[test]
fn an_entry_removed_inserted_or_moved_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let whole = written(dir.path());
    let all = places(&whole);
    for (number, &(segment, line)) in all.iter().enumerate() {
        let what = format!("line {} of {}", line + 1, name(&whole, segment));
        let mut removed = whole.clone();
        removed[segment].1.remove(line);
        // The gap shows where the next entry stands.
        let next = match all.get(number + 1) {
            Some(&(s, _)) if s == segment => (name(&whole, segment), line as u64 + 1),
            Some(&(s, l)) => (name(&whole, s), l as u64 + 1),
            None => (name(&whole, segment), line as u64),
        };
        let (file, said, words) = found(dir.path(), &removed).expect(&what);
        assert_eq!((file, said), next, "removed {what}: {words}");

        let mut repeated = whole.clone();
        repeated[segment].1.insert(line, whole[segment].1[line].clone());
        let (file, said, words) = found(dir.path(), &repeated).expect(&what);
        assert_eq!((file, said), (name(&whole, segment), line as u64 + 2), "repeated {what}: {words}");

        if let Some(&(other, place)) = all.get(number + 1) {
            let mut swapped = whole.clone();
            swapped[segment].1[line] = whole[other].1[place].clone();
            swapped[other].1[place] = whole[segment].1[line].clone();
            let (file, said, words) = found(dir.path(), &swapped).expect(&what);
            assert_eq!((file, said), (name(&whole, segment), line as u64 + 1), "swapped {what}: {words}");
        }
    }
}

#[test]
fn an_end_cut_off_anywhere_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let whole = written(dir.path());
    let (last, lines) = (whole.len() - 1, &whole[whole.len() - 1].1);
    let text = lines.concat();
    for length in 0..text.len() {
        let mut cut = whole.clone();
        cut[last].1 = vec![text[..length].to_vec()];
        let (file, _, words) = found(dir.path(), &cut).unwrap_or_else(|| panic!("cut at byte {length}"));
        assert!(words.contains("cut off") && file == name(&whole, last), "cut at {length}: {words}");
    }
    fs::write(&whole[last].0, &text).unwrap();
    fs::remove_file(&whole[last].0).unwrap();
    let words = verify(dir.path(), None, |_| {}).unwrap_err().to_string();
    assert!(words.contains("cut off"), "a whole file: {words}");
}

#[test]
fn a_file_taken_out_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let whole = written(dir.path());
    for missing in 0..whole.len() - 1 {
        found(dir.path(), &whole);
        fs::remove_file(&whole[missing].0).unwrap();
        let words = verify(dir.path(), None, |_| {}).unwrap_err().to_string();
        let expected = format!("{}: line 1", name(&whole, missing + 1));
        assert!(words.contains(&expected) && words.contains("missing"), "{words}");
    }
}

/// Whoever has the disk can forge links; a checkpoint kept elsewhere still knows.
#[test]
fn a_history_written_anew_is_seen_by_a_kept_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let whole = written(dir.path());
    let kept: Checkpoint =
        serde_json::from_slice(&fs::read(dir.path().join("checkpoint.json")).unwrap()).unwrap();
    let total = places(&whole).len();
    for forged in 0..total {
        let (mut head, mut number) = (Link::GENESIS, 0);
        let mut rewritten = whole.clone();
        for line in rewritten.iter_mut().flat_map(|(_, lines)| lines) {
            let (_, text) = split_line(line.strip_suffix(b"\n").unwrap()).unwrap();
            let mut payload = read_payload(text).unwrap();
            payload.at_ms += i64::from(number == forged);
            let mut anew = Vec::new();
            head = {
                let json = serde_json::to_vec(&payload.entry).unwrap();
                write_line(&mut anew, head, payload.position, payload.at_ms, &json).unwrap()
            };
            *line = anew;
            number += 1;
        }
        for (path, lines) in &rewritten {
            fs::write(path, lines.concat()).unwrap();
        }
        let words = verify(dir.path(), Some(kept), |_| {}).unwrap_err().to_string();
        assert!(words.contains("rewritten"), "entry {forged}: {words}");
        fs::remove_file(dir.path().join("checkpoint.json")).unwrap_or_default();
        assert!(verify(dir.path(), None, |_| {}).is_ok(), "entry {forged}: the chain alone cannot tell");
    }
}
