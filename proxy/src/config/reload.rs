//! What of a changed file a process that serves can take up, and what waits for a new one.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::At;

/// What a reload takes up, with all that is under it. Everything else is built once, when the process starts.
const TAKEN_UP: [&str; 13] = [
    "policy",
    "trusted_peers",
    "models.fraud",
    "models.anomaly",
    "limits.body_timeout_ms",
    "limits.header_bytes_max",
    "limits.header_fields_max",
    "limits.target_bytes_max",
    "limits.query_parameters_max",
    "applications.hosts",
    "applications.customer",
    "applications.client",
    "applications.routes",
];

/// The document to put into force where `old` is in force and `new` was read, and the dotted names of what only a new
/// process can take up; it stays as it is in `old`. Applications are the same where their names are, wherever they stand.
pub fn settle(old: &Table, new: &Table) -> (Table, Vec<String>) {
    let mut waits = Vec::new();
    let (old_rest, new_rest) = (without_applications(old), without_applications(new));
    let mut settled = table(&At::root(), &old_rest, &new_rest, &mut waits);
    settled.insert("applications".to_owned(), Value::Array(applications(old, new, &mut waits)));
    (settled, waits)
}

fn without_applications(document: &Table) -> Table {
    document.iter().filter(|(key, _)| *key != "applications").map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn applications(old: &Table, new: &Table, waits: &mut Vec<String>) -> Vec<Value> {
    let listed = |document: &Table| -> Vec<Table> {
        let all = document.get("applications").and_then(Value::as_array).cloned().unwrap_or_default();
        all.into_iter().filter_map(|one| one.as_table().cloned()).collect()
    };
    let at = At::root().key("applications");
    let (before, after) = (listed(old), listed(new));
    let known =
        |one: &Table, list: &[Table]| list.iter().position(|other| other.get("name") == one.get("name"));
    for (position, _) in after.iter().enumerate().filter(|(_, one)| known(one, &before).is_none()) {
        waits.push(at.index(position).to_string());
    }
    let settled = before.iter().map(|one| {
        let found = known(one, &after).and_then(|position| Some((position, after.get(position)?)));
        match found {
            Some((position, changed)) => table(&at.index(position), one, changed, waits),
            None => {
                let name = one.get("name").and_then(Value::as_str).unwrap_or_default();
                waits.push(format!("applications ({name} is gone)"));
                one.clone()
            }
        }
    });
    settled.map(Value::Table).collect()
}

fn table(at: &At, old: &Table, new: &Table, waits: &mut Vec<String>) -> Table {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let settled = keys
        .into_iter()
        .filter_map(|key| Some((key.clone(), value(&at.key(key), old.get(key), new.get(key), waits)?)));
    settled.collect()
}

fn value(at: &At, old: Option<&Value>, new: Option<&Value>, waits: &mut Vec<String>) -> Option<Value> {
    if TAKEN_UP.contains(&without_positions(at).as_str()) {
        return new.cloned();
    }
    match (old, new) {
        (Some(Value::Table(old)), Some(Value::Table(new))) => Some(Value::Table(table(at, old, new, waits))),
        (Some(Value::Table(old)), None) => Some(Value::Table(table(at, old, &Table::new(), waits))),
        (None, Some(Value::Table(new))) => {
            let settled = table(at, &Table::new(), new, waits);
            (!settled.is_empty()).then_some(Value::Table(settled))
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.len() == new.len() && old != new => {
            let each = old.iter().zip(new).enumerate();
            let settled = each
                .filter_map(|(position, (old, new))| value(&at.index(position), Some(old), Some(new), waits));
            Some(Value::Array(settled.collect()))
        }
        _ => {
            if old != new {
                waits.push(at.to_string());
            }
            old.cloned()
        }
    }
}

/// `applications[1].routes` as `applications.routes`.
fn without_positions(at: &At) -> String {
    let text = at.to_string();
    text.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"
        [server]
        data_dir = "data"
        threads = 2
        [[listeners]]
        address = "127.0.0.1:80"
        [limits]
        address = { per_second = 5, burst = 10 }
        header_fields_max = 50
        [policy]
        file = "a.toml"
        [[issuers]]
        issuer = "https://one"
        algorithms = ["ES256"]
        [[applications]]
        name = "shop"
        hosts = ["shop"]
        upstream = { peers = ["127.0.0.1:1"] }
        [[applications]]
        name = "bank"
        hosts = ["bank"]
        upstream = { peers = ["127.0.0.1:2"] }
        routes = [{ name = "all", paths = ["/"] }]
    "#;

    #[track_caller]
    fn check(changes: &[(&str, &str)], waits: &[&str], taken_up: &[&str]) {
        let new = changes.iter().fold(OLD.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let (settled, told) = settle(&OLD.parse().unwrap(), &new.parse().unwrap());
        assert_eq!(told, waits);
        let text = settled.to_string();
        for part in taken_up {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let kept = settle(&OLD.parse().unwrap(), &settled).1;
        assert!(kept.is_empty(), "what waits is as it was: {kept:?}");
    }

    #[test]
    fn what_waits_is_named_and_the_rest_taken_up() {
        check(&[], &[], &[]);
        check(&[("\"a.toml\"", "\"b.toml\"")], &[], &["b.toml"]);
        check(
            &[
                ("threads = 2", "threads = 4"),
                ("per_second = 5", "per_second = 6"),
                ("header_fields_max = 50", "header_fields_max = 60"),
                ("127.0.0.1:80", "127.0.0.1:81"),
                ("ES256", "RS256"),
                ("127.0.0.1:2", "127.0.0.1:3"),
                ("\"/\"", "\"/new\""),
            ],
            &[
                "issuers[0].algorithms[0]",
                "limits.address.per_second",
                "listeners[0].address",
                "server.threads",
                "applications[1].upstream.peers[0]",
            ],
            &["header_fields_max = 60", "/new", "threads = 2"],
        );
    }

    #[test]
    fn sections_and_applications_that_come_or_go_wait_too() {
        let more = "[policy]\n[observe]\naddress = \"127.0.0.1:9\"\n[models]\nfraud = \"f\"\ncapacity = \"c\"\n[policy]";
        check(&[("[policy]", &more[9..])], &["models.capacity", "observe.address"], &["fraud = \"f\""]);
        check(
            &[("name = \"shop\"", "name = \"store\"")],
            &["applications[0]", "applications (shop is gone)"],
            &["\"shop\""],
        );
    }
}
