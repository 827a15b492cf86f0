use super::*;

const NOW_MS: i64 = 1_800_000_000_000;

fn open(folder: &std::path::Path) -> (sled::Db, Directory) {
    let db = sled::open(folder).unwrap();
    let directory = Directory::open(&db).unwrap();
    (db, directory)
}

fn new_person(username: &str, password: &str, full_name: &str) -> NewPerson {
    NewPerson {
        username: username.to_owned(),
        password: SecretString::from(password),
        full_name: full_name.to_owned(),
    }
}

#[test]
fn a_registered_person_authenticates_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (_db, directory) = open(folder.path());
        let id = directory.register(new_person("dora-1", "correct horse", " Dora Dean "), NOW_MS).unwrap();
        assert_eq!(id.as_str(), "dora-1");
    }
    let (db, directory) = open(folder.path());
    let dora = directory.authenticate("dora-1", &"correct horse".into()).unwrap();
    assert_eq!(dora, Person { username: "dora-1".into(), full_name: "Dora Dean".into(), roles: Vec::new() });
    assert!(!dora.is_staff());
    for (username, password) in [
        ("dora-1", "correct horsf"),
        ("dora-1", ""),
        ("dora-1", "correct horse "),
        ("dora-2", "correct horse"),
        ("DORA-1", "correct horse"),
        ("", "correct horse"),
    ] {
        assert_eq!(directory.authenticate(username, &password.into()), None, "{username} {password}");
    }
    let stored = db.open_tree("people").unwrap().get("dora-1").unwrap().unwrap();
    let stored = String::from_utf8(stored.to_vec()).unwrap();
    assert!(stored.contains("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(!stored.contains("correct horse"));
}

#[test]
fn a_username_is_never_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (_db, directory) = open(folder.path());
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = ["first password", "other password"]
            .into_iter()
            .map(|password| {
                let directory = directory.clone();
                scope.spawn(move || directory.register(new_person("racer", password, "R"), NOW_MS))
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Err(RegisterError::Taken))).count(), 1);
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_db, directory) = open(folder.path());
    let too_long = "a".repeat(33);
    for username in ["", "ab", "1ab", "-ab", "Alice", "al ice", "al:ice", "al\u{456}ce", "alice\n", &too_long]
    {
        let outcome = directory.register(new_person(username, "long enough", "A"), NOW_MS);
        assert!(matches!(outcome, Err(RegisterError::Username(_))), "{username:?}");
    }
    for password in ["", "seven77", &"p".repeat(129)] {
        let outcome = directory.register(new_person("fitting", password, "A"), NOW_MS);
        assert!(matches!(outcome, Err(RegisterError::Password)), "{password:?}");
    }
    for full_name in ["", "  ", "a\nb", &"n".repeat(81)] {
        let outcome = directory.register(new_person("fitting", "long enough", full_name), NOW_MS);
        assert!(matches!(outcome, Err(RegisterError::FullName)), "{full_name:?}");
    }
    assert_eq!(directory.get("fitting"), None);
}

#[test]
fn an_over_long_password_does_not_authenticate_by_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let (_db, directory) = open(folder.path());
    let longest = "p".repeat(PASSWORD_BYTES_MAX);
    directory.register(new_person("fitting", &longest, "A"), NOW_MS).unwrap();
    assert!(directory.authenticate("fitting", &longest.clone().into()).is_some());
    assert!(directory.authenticate("fitting", &format!("{longest}p").into()).is_none());
}

#[test]
fn the_demo_people_are_there_once_with_their_roles() {
    let folder = tempfile::tempdir().unwrap();
    let (_db, directory) = open(folder.path());
    directory.seed_demo(NOW_MS).unwrap();
    directory.seed_demo(NOW_MS + 1).unwrap();
    for (username, roles) in [
        ("alice", &[][..]),
        ("mallory", &[][..]),
        ("olivia", &["operator", "viewer"][..]),
        ("ana", &["analyst", "viewer"][..]),
        ("petra", &["approver", "viewer"][..]),
    ] {
        let person = directory.authenticate(username, &DEMO_PASSWORD.into()).unwrap();
        assert_eq!(person.roles, roles, "{username}");
        assert_eq!(person.is_staff(), !roles.is_empty());
    }
}
