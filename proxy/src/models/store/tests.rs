use std::collections::BTreeMap;

use super::*;

const SHIPPED: &[u8] = include_bytes!("../../../../configs/models/fraud/model.artifact");

fn card(digest: &str) -> Card {
    Card {
        digest: digest.to_owned(),
        origin: Origin::Configured,
        made_ms: 5,
        challenger: None,
        training: None,
        reference: None,
    }
}

fn opened(folder: &Path) -> (Store, Option<Fault>) {
    let key = crate::keys::signing_key(&folder.join("models.pem")).map_err(|error| error.to_string());
    Store::open(&folder.join("fraud"), key).unwrap()
}

fn furnished(folder: &Path) -> (Store, String) {
    let (store, refused) = opened(folder);
    assert!(refused.is_none(), "{refused:?}");
    let digest = artifact::digest(SHIPPED);
    store.keep(SHIPPED, &card(&digest)).unwrap();
    (store, digest)
}

#[test]
fn what_is_whole_and_signed_comes_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (store, digest) = furnished(folder.path());
    let state = store
        .change::<()>(|state| {
            state.enthrone(digest.clone());
            Ok(())
        })
        .unwrap();
    assert_eq!((state.revision, &state.champion), (1, &Some(digest.clone())));
    drop(store);
    let (store, _) = furnished(folder.path());
    assert_eq!(store.state(), state);
    assert_eq!(store.load(&digest).unwrap().model.digest(), digest);
}

#[test]
fn altered_cut_and_foreign_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (store, digest) = furnished(folder.path());
    let file = |name: &str| folder.path().join("fraud").join(name);
    let (artifact, card_file) = (format!("{digest}.artifact"), format!("{digest}.card"));
    let refused = |name: &str, bytes: &[u8]| {
        let before = fs::read(file(name)).unwrap();
        fs::write(file(name), bytes).unwrap();
        let fault = store.load(&digest).unwrap_err().to_string();
        fs::write(file(name), before).unwrap();
        assert!(fault.contains(name), "{fault}");
        fault
    };
    let good = fs::read(file(&artifact)).unwrap();
    let mut altered = good.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert!(refused(&artifact, &altered).contains("altered"));
    refused(&artifact, &good[..good.len() / 2]);
    refused(&artifact, b"");
    let signed = fs::read(file(&card_file)).unwrap();
    for at in (0..signed.len()).step_by(7) {
        let mut forged = signed.clone();
        forged[at] ^= 1;
        assert!(refused(&card_file, &forged).contains("signed"), "byte {at}");
    }
    // A card that is good under another name, and one of another installation.
    store.write_card(&card(&"0".repeat(64))).unwrap();
    let others = fs::read(file(&format!("{}.card", "0".repeat(64)))).unwrap();
    refused(&card_file, &others);
    let elsewhere = tempfile::tempdir().unwrap();
    furnished(elsewhere.path());
    let foreign = fs::read(elsewhere.path().join("fraud").join(&card_file)).unwrap();
    refused(&card_file, &foreign);
    assert!(store.load(&digest).is_ok(), "whole again");
    assert!(store.load("../../keys/gateway").is_err());
}

#[test]
fn a_broken_state_is_refused_and_the_store_opens_empty() {
    let folder = tempfile::tempdir().unwrap();
    let (store, digest) = furnished(folder.path());
    store
        .change::<()>(|state| {
            state.enthrone(digest);
            Ok(())
        })
        .unwrap();
    let path = folder.path().join("fraud").join(STATE);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"revision\":1", "\"revision\":2")).unwrap();
    let (store, refused) = opened(folder.path());
    assert!(matches!(refused, Some(Fault::Unsigned(_))), "{refused:?}");
    assert_eq!(store.state(), State::default());
    store
        .change::<()>(|state| {
            state.champion = Some("f".repeat(64));
            Ok(())
        })
        .unwrap();
    assert!(store.load(&artifact::digest(SHIPPED)).is_ok(), "what it named is kept");
    for (said, aside) in [("worse", "state.refused.2"), ("worst", "state.refused.3")] {
        fs::write(&path, said).unwrap();
        assert!(opened(folder.path()).1.is_some());
        assert_eq!(fs::read_to_string(path.with_file_name(aside)).unwrap(), said);
    }
    let first = fs::read_to_string(path.with_file_name("state.refused")).unwrap();
    assert!(first.contains("\"revision\":2"), "never written over: {first}");
}

/// Everything in a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).ok())).collect()
}

#[test]
fn without_the_key_or_a_readable_state_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (store, digest) = furnished(folder.path());
    let enthrone = |store: &Store| {
        store.change::<()>(|state| {
            state.enthrone("f".repeat(64));
            Ok(())
        })
    };
    enthrone(&store).unwrap();
    store.keep(SHIPPED, &card(&digest)).unwrap();
    drop(store);
    let files = folder.path().join("fraud");
    let untouched = |wanted: &str| {
        let before = contents(&files);
        let (store, refused) = opened(folder.path());
        let said = refused.map(|fault| fault.to_string()).unwrap_or_default();
        assert!(said.contains(wanted), "{said}");
        assert_eq!(store.state(), State::default());
        for changed in [
            enthrone(&store).map(drop).map_err(|error| error.to_string()),
            store.keep(SHIPPED, &card(&digest)).map_err(|fault| fault.to_string()),
            store.write_card(&card(&digest)).map_err(|fault| fault.to_string()),
        ] {
            assert!(changed.unwrap_err().contains("left as it is"));
        }
        assert_eq!(contents(&files), before);
    };
    let pem = folder.path().join("models.pem");
    let key = fs::read(&pem).unwrap();
    fs::write(&pem, "no key").unwrap();
    untouched("not a key");
    fs::write(&pem, key).unwrap();
    let (store, refused) = opened(folder.path());
    assert!(refused.is_none() && store.state().revision == 1, "back with its key");
    // A folder in its place is there, and cannot be read.
    let state = files.join(STATE);
    let signed = fs::read(&state).unwrap();
    fs::remove_file(&state).unwrap();
    fs::create_dir(&state).unwrap();
    untouched(STATE);
    fs::remove_dir(&state).unwrap();
    fs::write(&state, signed).unwrap();
    assert_eq!(opened(folder.path()).0.state().revision, 1);
}

#[test]
fn what_is_rolled_back_from_is_displaced_and_kept() {
    let all = ["a", "b", "c", "d"].map(str::to_owned);
    let [a, b, c, d] = all.clone();
    let mut state = State::default();
    all.into_iter().for_each(|digest| state.enthrone(digest));
    state.roll_back(b.clone());
    assert_eq!((state.champion.clone(), state.challenger.clone()), (Some(b.clone()), Some(d.clone())));
    assert_eq!((&*state.previous, &*state.displaced), (&[a.clone()][..], &[c.clone(), d.clone()][..]));
    state.roll_back(a.clone());
    assert_eq!((&state.champion, &state.challenger), (&Some(a.clone()), &Some(b.clone())));
    assert_eq!((&*state.previous, &*state.displaced), (&[][..], &[c, d.clone(), b][..]));
    assert!(state.names(&d), "its file is kept");
    state.enthrone(d.clone());
    assert_eq!((&*state.previous, state.displaced.contains(&d)), (&[a][..], false));
    for n in 0..20 {
        state.enthrone(format!("x{n}"));
        state.roll_back(state.previous[state.previous.len() - 1].clone());
    }
    assert_eq!(state.displaced.len(), PREVIOUS_MAX);
}

#[test]
fn thrones_are_left_in_order_and_what_nobody_names_is_forgotten() {
    let mut state = State::default();
    for digest in ["a", "b", "c", "b"] {
        state.challenger = Some(digest.to_owned());
        state.enthrone(digest.to_owned());
    }
    assert_eq!((state.champion.as_deref(), &*state.previous), (Some("b"), &["a".into(), "c".into()][..]));
    assert_eq!((state.challenger, state.proposal), (None, None));
    for n in 0..20 {
        state.champion = Some(format!("x{n}"));
        let mut next =
            State { champion: state.champion.clone(), previous: state.previous, ..State::default() };
        next.enthrone(format!("y{n}"));
        state = next;
    }
    assert_eq!(state.previous.len(), PREVIOUS_MAX);

    let folder = tempfile::tempdir().unwrap();
    let (store, digest) = furnished(folder.path());
    store
        .change::<()>(|state| {
            state.champion = Some("f".repeat(64));
            Ok(())
        })
        .unwrap();
    assert!(!store.artifact(&digest).exists());
}

#[test]
fn a_refused_change_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, digest) = furnished(folder.path());
    let refused = store.change(|state| {
        state.enthrone(digest);
        Err("no")
    });
    assert!(matches!(refused, Err(NotChanged::Refused("no"))));
    assert_eq!(store.state(), State::default());
}
