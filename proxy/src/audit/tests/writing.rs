//! The writer and its queue over a disk that fails, fills up, tears and stalls.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use policies::chain::{Checkpoint, Link, Verifier};

use super::super::entry::{Payload, read_payload, split_line};
use super::super::recovery::End;
use super::super::storage::Storage;
use super::super::{AuditLog, Entry, Gap, NotRecorded, Settings};
use super::{clock, decision, durably, quiet};

/// What the test does with the disk, and what is on it.
#[derive(Default)]
struct Platter {
    written: Vec<u8>,
    synced: usize,
    syncs: usize,
    checkpoints: Vec<(Checkpoint, usize)>,
    /// Appending fails after so many bytes of what is to be appended.
    tears_at: Option<usize>,
    sync_fails: bool,
    stalls: bool,
    stalled: bool,
}

#[derive(Clone, Default)]
struct Disk(Arc<(Mutex<Platter>, Condvar)>);

impl Disk {
    fn set(&self, change: impl FnOnce(&mut Platter)) {
        change(&mut self.0.0.lock());
        self.0.1.notify_all();
    }

    fn see<T>(&self, what: impl FnOnce(&Platter) -> T) -> T {
        what(&self.0.0.lock())
    }

    /// Waits until the writer stands before the stalled disk.
    fn stalled(&self) {
        let mut platter = self.0.0.lock();
        while !platter.stalled {
            self.0.1.wait(&mut platter);
        }
    }

    /// What is surely on the disk, checked link by link.
    fn entries(&self) -> Vec<Entry> {
        let bytes = self.see(|p| p.written.get(..p.synced).unwrap().to_vec());
        let mut verifier = Verifier::new(None);
        let mut entries = Vec::new();
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            let (link, text) = split_line(line.strip_suffix(b"\n").unwrap()).unwrap();
            let Payload { position, entry, .. } = read_payload(text).unwrap();
            verifier.follow(position, link, text).unwrap();
            entries.push(entry);
        }
        entries
    }

    fn gaps(&self) -> Vec<Gap> {
        self.entries()
            .iter()
            .filter_map(|e| if let Entry::Gap(gap) = e { Some(*gap) } else { None })
            .collect()
    }

    fn ids(&self) -> Vec<String> {
        let id = |entry: &Entry| match entry {
            Entry::Intent(record) | Entry::Decision(record) => Some(record.id.clone()),
            _ => None,
        };
        self.entries().iter().filter_map(id).collect()
    }
}

impl Storage for Disk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut platter = self.0.0.lock();
        while platter.stalls {
            platter.stalled = true;
            self.0.1.notify_all();
            self.0.1.wait(&mut platter);
        }
        let whole = platter.tears_at.is_none_or(|at| bytes.len() <= at);
        let part = if whole { bytes.len() } else { platter.tears_at.unwrap_or_default() };
        platter.written.extend_from_slice(&bytes[..part]);
        if whole { Ok(()) } else { Err(io::Error::from(io::ErrorKind::StorageFull)) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut platter = self.0.0.lock();
        if platter.sync_fails {
            return Err(io::Error::other("not on disk"));
        }
        platter.synced = platter.written.len();
        platter.syncs += 1;
        Ok(())
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.set(|p| p.written.truncate(p.synced));
        Ok(())
    }

    fn segment_bytes(&self) -> u64 {
        0
    }

    fn rotate(&mut self, _position: u64) -> io::Result<()> {
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        let lines = self.see(|p| p.written.get(..p.synced).unwrap().iter().filter(|&&b| b == b'\n').count());
        self.set(|p| p.checkpoints.push((*checkpoint, lines)));
        Ok(())
    }
}

fn settings() -> Settings {
    quiet(Path::new("unused"))
}

fn begun(settings: Settings, disk: &Disk) -> AuditLog {
    let end = End {
        position: 0,
        head: Link::GENESIS,
        last: None,
        cut_bytes: 0,
        checkpoint: None,
        floor: 0,
        decisions: Vec::new(),
        completions: Vec::new(),
    };
    AuditLog::begin(settings, clock(), disk.clone(), end).unwrap()
}

#[test]
fn what_is_acknowledged_is_on_the_disk() {
    let disk = Disk::default();
    let log = begun(settings(), &disk);
    for n in 0..20 {
        let id = format!("t{n}");
        assert_eq!(durably(&log, &id), Ok(n + 1), "positions count the start entry");
        assert_eq!(disk.ids().last(), Some(&id));
    }
    log.submit(decision("r"));
    log.close();
    assert_eq!(disk.ids().len(), 21);
    assert!(matches!(disk.entries().as_slice(), [Entry::Start(_), .., Entry::Stop]));
    assert_eq!(durably(&log, "late"), Err(NotRecorded::Closed));
}

#[test]
fn those_who_wait_together_share_a_flush() {
    let disk = Disk::default();
    let log = begun(settings(), &disk);
    durably(&log, "first").unwrap();
    disk.set(|p| p.stalls = true);
    let held = log.submit_durable(super::intent("held"));
    disk.stalled();
    let waiting: Vec<_> = (0..50).map(|n| log.submit_durable(super::intent(&format!("t{n}")))).collect();
    let before = disk.see(|p| p.syncs);
    disk.set(|p| p.stalls = false);
    super::wait(held).unwrap();
    for answer in waiting {
        super::wait(answer).unwrap();
    }
    assert_eq!(disk.see(|p| p.syncs) - before, 2, "one for the held entry, one for the other fifty");
}

#[test]
fn a_full_disk_refuses_money_and_keeps_reads_until_there_is_room() {
    for (what, fails) in [
        ("no room", (|p| p.tears_at = Some(0)) as fn(&mut Platter)),
        ("room for half a line", |p| p.tears_at = Some(100)),
        ("the flush fails", |p| p.sync_fails = true),
    ] {
        let disk = Disk::default();
        let log = begun(settings(), &disk);
        durably(&log, "before").unwrap();
        disk.set(fails);
        assert!(matches!(durably(&log, "money"), Err(NotRecorded::Disk(_))), "{what}");
        let counters = log.counters();
        assert_eq!((counters.failing.get(), counters.refused.get()), (1, 1), "{what}");
        for n in 0..10 {
            log.submit(decision(&format!("r{n}")));
        }
        assert!(durably(&log, "money again").is_err(), "{what}");
        assert_eq!(disk.ids(), ["before"], "{what}: nothing half-written counts");
        assert!(log.counters().lag_ms(1_700_000_060_000) >= 60_000, "{what}: the lag shows it");

        disk.set(|p| (p.tears_at, p.sync_fails) = (None, false));
        durably(&log, "after").unwrap();
        log.close();
        let kept = disk.ids();
        for n in 0..10 {
            assert!(kept.contains(&format!("r{n}")), "{what}: {kept:?}");
        }
        assert_eq!((log.counters().failing.get(), log.counters().dropped.get()), (0, 0), "{what}");
        assert!(disk.gaps().is_empty(), "{what}: nothing was lost");
        assert_eq!(log.counters().lag_ms(1_700_000_060_000), 0, "{what}");
    }
}

#[test]
fn what_the_buffer_cannot_keep_is_said_in_a_gap() {
    let disk = Disk::default();
    let log = begun(Settings { backlog_bytes_max: 4_000, ..settings() }, &disk);
    durably(&log, "before").unwrap();
    disk.set(|p| p.tears_at = Some(0));
    for n in 0..60 {
        log.submit(decision(&format!("r{n}")));
    }
    // Refused, either way, and by then the writer has taken the sixty.
    assert!(durably(&log, "money").is_err());
    let dropped = log.counters().dropped.get();
    assert!(dropped > 20, "{dropped}");
    disk.set(|p| p.tears_at = None);
    // The first after the repair makes room, the second finds it.
    let _full = durably(&log, "after");
    durably(&log, "after all").unwrap();
    let gaps = disk.gaps();
    assert_eq!(gaps.iter().map(|g| g.lost).sum::<u64>(), dropped, "{gaps:?}");
    let reads = disk.ids().iter().filter(|id| id.starts_with('r')).count() as u64;
    assert_eq!(reads + dropped, 60, "every entry is kept or counted");
}

#[test]
fn a_writer_that_falls_behind_does_not_hold_requests_up() {
    let disk = Disk::default();
    let log = begun(Settings { queue_entries_max: 8, ..settings() }, &disk);
    durably(&log, "before").unwrap();
    disk.set(|p| p.stalls = true);
    let held = log.submit_durable(super::intent("held"));
    disk.stalled();
    for n in 0..20 {
        log.submit(decision(&format!("r{n}")));
    }
    assert_eq!(
        durably(&log, "money"),
        Err(NotRecorded::Full),
        "answered at once, though the disk stands still"
    );
    assert_eq!((log.counters().dropped.get(), log.counters().refused.get()), (12, 1));
    disk.set(|p| p.stalls = false);
    super::wait(held).unwrap();
    log.close();
    assert_eq!(disk.gaps().iter().map(|g| g.lost).sum::<u64>(), 12);
    assert_eq!(disk.ids().iter().filter(|id| id.starts_with('r')).count(), 8);
}

#[test]
fn an_entry_over_its_bound_is_refused_and_counted() {
    let disk = Disk::default();
    let log = begun(settings(), &disk);
    let large = "x".repeat(super::super::entry::PAYLOAD_BYTES_MAX);
    assert_eq!(durably(&log, &large), Err(NotRecorded::TooLarge));
    durably(&log, "next").unwrap();
    assert_eq!(disk.gaps().iter().map(|g| g.lost).sum::<u64>(), 1);
    assert_eq!(disk.ids(), ["next"]);
}

#[test]
fn a_checkpoint_promises_only_what_is_on_the_disk() {
    let disk = Disk::default();
    let log = begun(Settings { checkpoint_every: std::time::Duration::ZERO, ..settings() }, &disk);
    for n in 0..5 {
        durably(&log, &format!("t{n}")).unwrap();
    }
    disk.set(|p| p.sync_fails = true);
    assert!(durably(&log, "lost").is_err());
    log.close();
    let checkpoints = disk.see(|p| p.checkpoints.clone());
    assert!(checkpoints.len() >= 5);
    for (checkpoint, lines) in checkpoints {
        assert!(checkpoint.size <= lines as u64, "{checkpoint:?} with {lines} lines on disk");
    }
}
