//! What every backend of a store must do; run against each of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use policies::ports::{HotStore, RecordStore, Space, StoreError};
use policies::record::Pseudonym;

use super::{
    Bounds, CaseError, CaseState, Cases, MemoryHot, MemoryRecords, NewCase, Release, RulingKind, SledHot,
    SledRecords,
};

const SMALL: Bounds = Bounds { entries_max: 3, value_bytes_max: 16 };

fn hot(folder: &Path, bounds: Bounds) -> Vec<(&'static str, Arc<dyn HotStore>)> {
    let sled = SledHot::open(&folder.join("hot"), bounds).unwrap();
    vec![("memory", Arc::new(MemoryHot::new(bounds))), ("sled", Arc::new(sled))]
}

fn records(folder: &Path, bounds: Bounds) -> Vec<(&'static str, Arc<dyn RecordStore>)> {
    let sled = SledRecords::open(&folder.join("records"), bounds).unwrap();
    vec![("memory", Arc::new(MemoryRecords::new(bounds))), ("sled", Arc::new(sled))]
}

/// Runs `attempt` on eight threads at once; answers how often it succeeded.
fn race(attempt: impl AsyncFn(usize) -> bool + Sync) -> usize {
    let won = AtomicUsize::new(0);
    let start = std::sync::Barrier::new(8);
    std::thread::scope(|threads| {
        for n in 0..8 {
            let (won, start, attempt) = (&won, &start, &attempt);
            threads.spawn(move || {
                start.wait();
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                won.fetch_add(usize::from(runtime.block_on(attempt(n))), Ordering::SeqCst);
            });
        }
    });
    won.into_inner()
}

#[tokio::test]
async fn hot_entries_live_until_they_expire() {
    let folder = tempfile::tempdir().unwrap();
    for (name, store) in hot(folder.path(), Bounds::default()) {
        let at = Space::Sessions;
        store.put(at, b"k", b"one", 100).await.unwrap();
        assert_eq!(store.get(at, b"k", 99).await.unwrap().as_deref(), Some(&b"one"[..]), "{name}");
        assert_eq!(store.get(at, b"k", 100).await.unwrap(), None, "{name}: over at its time");
        assert_eq!(store.get(Space::Logins, b"k", 0).await.unwrap(), None, "{name}: spaces are apart");
        store.put(at, b"k", b"two", 200).await.unwrap();
        assert_eq!(store.get(at, b"k", 150).await.unwrap().as_deref(), Some(&b"two"[..]), "{name}");

        assert!(!store.insert(at, b"k", b"three", 150, 300).await.unwrap(), "{name}: a live one stays");
        assert!(store.insert(at, b"k", b"three", 200, 300).await.unwrap(), "{name}: an expired one does not");
        assert_eq!(store.take(at, b"k", 250).await.unwrap().as_deref(), Some(&b"three"[..]), "{name}");
        assert_eq!(store.take(at, b"k", 250).await.unwrap(), None, "{name}: taken once");

        store.put(at, b"old", b"", 10).await.unwrap();
        store.put(at, b"new", b"", 20).await.unwrap();
        assert_eq!(store.take(at, b"old", 10).await.unwrap(), None, "{name}: expired is not handed out");
        store.put(at, b"old", b"", 10).await.unwrap();
        assert_eq!(store.sweep(15).await.unwrap(), 1, "{name}");
        store.remove(at, b"new").await.unwrap();
        store.remove(at, b"new").await.unwrap();
        assert_eq!(store.get(at, b"new", 0).await.unwrap(), None, "{name}");
    }
}

#[tokio::test]
async fn hot_stores_are_bounded_and_room_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    for (name, store) in hot(folder.path(), SMALL) {
        let at = Space::Proofs;
        assert_eq!(store.put(at, b"k", &[0; 17], 9).await, Err(StoreError::Full), "{name}: too long");
        assert_eq!(store.insert(at, b"k", &[0; 17], 0, 9).await, Err(StoreError::Full), "{name}");
        for key in [b"a", b"b", b"c"] {
            assert!(store.insert(at, key, b"", 0, 9).await.unwrap(), "{name}");
        }
        assert_eq!(store.insert(at, b"d", b"", 0, 9).await, Err(StoreError::Full), "{name}");
        assert_eq!(store.put(at, b"d", b"", 9).await, Err(StoreError::Full), "{name}");
        store.put(at, b"a", b"again", 9).await.unwrap();
        assert!(
            store.insert(Space::Logins, b"d", b"", 0, 9).await.unwrap(),
            "{name}: other spaces have room"
        );
        store.remove(at, b"b").await.unwrap();
        assert!(store.insert(at, b"d", b"", 0, 20).await.unwrap(), "{name}: room after a removal");
        store.sweep(9).await.unwrap();
        assert!(store.insert(at, b"e", b"", 9, 20).await.unwrap(), "{name}: room after a sweep");
    }
}

#[test]
fn one_of_many_gets_a_hot_entry() {
    let folder = tempfile::tempdir().unwrap();
    for (name, store) in hot(folder.path(), Bounds::default()) {
        for round in 0..20 {
            let key = format!("k{round}");
            let inserted =
                race(async |_| store.insert(Space::Proofs, key.as_bytes(), b"", 0, 9).await.unwrap());
            assert_eq!(inserted, 1, "{name}: a replayed proof is seen");
            let taken = race(async |_| store.take(Space::Proofs, key.as_bytes(), 0).await.unwrap().is_some());
            assert_eq!(taken, 1, "{name}: a code is used once");
        }
    }
}

#[tokio::test]
async fn records_change_from_what_was_seen_and_from_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for (name, store) in records(folder.path(), SMALL) {
        let at = Space::Policies;
        assert!(!store.compare_and_set(at, b"k", Some(b"x"), b"one").await.unwrap(), "{name}: nothing there");
        assert!(store.compare_and_set(at, b"k", None, b"one").await.unwrap(), "{name}");
        assert!(!store.compare_and_set(at, b"k", None, b"two").await.unwrap(), "{name}: there already");
        assert!(
            !store.compare_and_set(at, b"k", Some(b"x"), b"two").await.unwrap(),
            "{name}: seen otherwise"
        );
        assert!(store.compare_and_set(at, b"k", Some(b"one"), b"two").await.unwrap(), "{name}");
        assert_eq!(store.get(at, b"k").await.unwrap().as_deref(), Some(&b"two"[..]), "{name}");
        assert_eq!(store.get(Space::Cases, b"k").await.unwrap(), None, "{name}: spaces are apart");
        let long = store.compare_and_set(at, b"l", None, &[0; 17]).await;
        assert_eq!(long, Err(StoreError::Full), "{name}: too long");
        for key in [b"a", b"z"] {
            assert!(store.compare_and_set(at, key, None, b"").await.unwrap(), "{name}");
        }
        assert_eq!(store.compare_and_set(at, b"m", None, b"").await, Err(StoreError::Full), "{name}");
        assert!(!store.compare_and_set(at, b"a", None, b"").await.unwrap(), "{name}: full and there already");
        assert!(store.compare_and_set(at, b"k", Some(b"two"), b"three").await.unwrap(), "{name}: no growth");

        let keys = async |after: Option<&[u8]>, limit| -> Vec<Vec<u8>> {
            let entries = store.list(at, after, limit).await.unwrap();
            entries.into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(None, 9).await, [b"a", b"k", b"z"], "{name}: in the order of keys");
        assert_eq!(keys(Some(b"a"), 1).await, [b"k"], "{name}: strictly after");
        assert_eq!(keys(Some(b"kk"), 9).await, [b"z"], "{name}: after a key that is not there");
        assert_eq!(keys(Some(b"z"), 9).await, Vec::<Vec<u8>>::new(), "{name}");
        store.remove(at, b"k").await.unwrap();
        assert_eq!(keys(None, 9).await, [b"a", b"z"], "{name}");
    }
}

#[test]
fn one_of_many_changes_a_record() {
    let folder = tempfile::tempdir().unwrap();
    for (name, store) in records(folder.path(), Bounds::default()) {
        for round in 0..10 {
            let key = format!("k{round}");
            let made = race(async |n| {
                store.compare_and_set(Space::Cases, key.as_bytes(), None, &[n as u8]).await.unwrap()
            });
            assert_eq!(made, 1, "{name}");
        }
    }
}

#[tokio::test]
async fn what_is_on_sled_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    {
        let hot = SledHot::open(&folder.path().join("h"), Bounds::default()).unwrap();
        hot.put(Space::Sessions, b"k", b"v", 100).await.unwrap();
        let records = SledRecords::open(&folder.path().join("r"), SMALL).unwrap();
        for key in [b"a", b"b", b"c"] {
            assert!(records.compare_and_set(Space::Cases, key, None, b"v").await.unwrap());
        }
    }
    let hot = SledHot::open(&folder.path().join("h"), Bounds::default()).unwrap();
    assert_eq!(hot.get(Space::Sessions, b"k", 99).await.unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(hot.get(Space::Sessions, b"k", 100).await.unwrap(), None, "its end is kept too");
    let records = SledRecords::open(&folder.path().join("r"), SMALL).unwrap();
    assert_eq!(records.list(Space::Cases, None, 9).await.unwrap().len(), 3);
    assert_eq!(
        records.compare_and_set(Space::Cases, b"d", None, b"").await,
        Err(StoreError::Full),
        "counted again"
    );
}

const DAY_MS: i64 = 86_400_000;

fn held(decision: &str, amount_minor: i64, key: Option<&str>) -> NewCase {
    NewCase {
        decision: decision.into(),
        customer: Pseudonym("c".into()),
        payee: Pseudonym("p".into()),
        amount_minor,
        currency: "EUR".into(),
        key: key.map(|k| Pseudonym(k.into())),
        reasons: Vec::new(),
        from: None,
        route: None,
        fraud: Some(0.25),
        sentences: Vec::new(),
    }
}

fn wanted(case: &NewCase) -> Release<'_> {
    case.as_release()
}

/// Case books over each backend.
fn books(folder: &Path) -> Vec<(&'static str, Cases)> {
    let stores = records(folder, Bounds::default());
    stores.into_iter().map(|(name, store)| (name, Cases::new(store, DAY_MS))).collect()
}

#[tokio::test]
async fn a_release_is_for_one_transfer_for_a_day() {
    let folder = tempfile::tempdir().unwrap();
    for (name, cases) in books(folder.path()) {
        let new = held("d1", 900, Some("key"));
        let case = cases.open(new.clone(), 1_000).await.unwrap();
        assert_eq!(cases.open(new.clone(), 1_000).await.unwrap(), case, "{name}: opened once");
        assert_eq!(cases.find_release(&wanted(&new), 2_000).await.unwrap(), None, "{name}: not released yet");
        assert!(!cases.spend(&case.id, "d2", 2_000).await.unwrap(), "{name}: nor to be spent");
        cases.verdict(&case.id, RulingKind::Release, "ana", "fine", 2_000).await.unwrap();
        let other = |change: fn(&mut NewCase)| {
            let mut other = new.clone();
            change(&mut other);
            other
        };
        for (what, other) in [
            ("another customer", other(|c| c.customer = Pseudonym("x".into()))),
            ("another payee", other(|c| c.payee = Pseudonym("x".into()))),
            ("one minor unit more", other(|c| c.amount_minor += 1)),
            ("another currency", other(|c| c.currency = "USD".into())),
            ("another idempotency key", other(|c| c.key = Some(Pseudonym("x".into())))),
            ("no idempotency key", other(|c| c.key = None)),
        ] {
            assert_eq!(cases.find_release(&wanted(&other), 3_000).await.unwrap(), None, "{name}: {what}");
        }
        let end = 2_000 + DAY_MS;
        assert_eq!(cases.find_release(&wanted(&new), end).await.unwrap(), None, "{name}: over after a day");
        assert!(!cases.spend(&case.id, "d2", end).await.unwrap(), "{name}");
        let found = cases.find_release(&wanted(&new), end - 1).await.unwrap();
        assert_eq!(found.as_deref(), Some(&*case.id), "{name}");
        assert!(cases.spend(&case.id, "d2", 3_000).await.unwrap(), "{name}");
        assert!(!cases.spend(&case.id, "d3", 3_000).await.unwrap(), "{name}: once");
        assert_eq!(cases.find_release(&wanted(&new), 3_000).await.unwrap(), None, "{name}");
        let spent = cases.get(&case.id).await.unwrap().unwrap();
        assert_eq!((spent.state, spent.spent), (CaseState::Spent, Some(("d2".into(), 3_000))), "{name}");
    }
}

#[tokio::test]
async fn a_case_is_decided_once_and_a_rejected_one_releases_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (name, cases) in books(folder.path()) {
        let new = held("d1", 900, None);
        let case = cases.open(new.clone(), 1_000).await.unwrap();
        let long = "n".repeat(super::cases::NOTE_BYTES_MAX + 1);
        let refused = cases.verdict(&case.id, RulingKind::Release, "ana", &long, 2_000).await;
        assert_eq!(refused, Err(CaseError::NoteTooLong), "{name}");
        cases.verdict(&case.id, RulingKind::Reject, "ana", "no", 2_000).await.unwrap();
        let again = cases.verdict(&case.id, RulingKind::Release, "bea", "yes", 2_001).await;
        assert_eq!(again, Err(CaseError::Decided(CaseState::Rejected)), "{name}");
        assert_eq!(cases.find_release(&wanted(&new), 3_000).await.unwrap(), None, "{name}");
        assert!(!cases.spend(&case.id, "d2", 3_000).await.unwrap(), "{name}");
        assert!(!cases.spend("no-such-case", "d2", 3_000).await.unwrap(), "{name}");
        let unknown = cases.verdict("no-such-case", RulingKind::Reject, "ana", "", 3_000).await;
        assert_eq!(unknown, Err(CaseError::Unknown), "{name}");
    }
}

#[test]
fn of_many_requests_one_spends_a_release_and_of_many_reviewers_one_decides() {
    let folder = tempfile::tempdir().unwrap();
    for (name, cases) in books(folder.path()) {
        for round in 0..10 {
            let new = held(&format!("d{round}"), 100 + round, None);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let case = runtime.block_on(cases.open(new.clone(), 1_000)).unwrap();
            let decided = race(async |n| {
                let kind = RulingKind::Release;
                cases.verdict(&case.id, kind, &format!("reviewer {n}"), "", 2_000).await.is_ok()
            });
            assert_eq!(decided, 1, "{name}");
            let spent = race(async |n| cases.spend(&case.id, &format!("r{n}"), 3_000).await.unwrap());
            assert_eq!(spent, 1, "{name}: one transfer for one release");
            let left = runtime.block_on(cases.spend_release(&wanted(&new), "late", 3_000)).unwrap();
            assert_eq!(left, None, "{name}");
        }
    }
}

#[tokio::test]
async fn cases_are_listed_newest_first_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    for (name, cases) in books(folder.path()) {
        for n in 0..25 {
            let case = cases.open(held(&format!("d{n}"), n + 1, None), n * 1_000).await.unwrap();
            if n % 2 == 0 {
                cases.verdict(&case.id, RulingKind::Release, "ana", "", 30_000).await.unwrap();
            }
        }
        for (state, expected) in [(None, 25), (Some(CaseState::Open), 12), (Some(CaseState::Released), 13)] {
            let (mut seen, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = cases.list(state, after.as_deref(), 4).await.unwrap();
                assert!(page.cases.len() <= 4, "{name}");
                seen.extend(page.cases.iter().map(|case| case.opened_ms));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen.len(), expected, "{name}: {state:?}");
            assert!(seen.is_sorted_by(|newer, older| newer > older), "{name}: {seen:?}");
        }
    }
}
