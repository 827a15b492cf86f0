//! The attack lists, `tests/cases/identity/*.yaml`: what an attacker sends, and the reason it must meet. One module runs each
//! list; every refusal is looked at in the same way by [`code`].

mod dpop;
mod introspection;
mod login;
mod logout;
mod sessions;
mod token;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_saphyr::options::MergeKeyPolicy;

use super::*;

/// Every list that a module here runs.
const LISTS: [&str; 7] = ["dpop", "introspection", "login", "logout", "requests", "sessions", "tokens"];
/// Lists grow; nobody shortens them unnoticed.
const CASES_MIN: usize = 700;

/// Fields of a request in their order, each `- name: value`; one may stand twice.
type Fields = Vec<BTreeMap<String, String>>;

/// The application that is attacked, by its place in [`House`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum At {
    #[default]
    Bank = 0,
    Api = 1,
    Office = 3,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/identity")
}

/// The cases of one list. Unknown fields, fields that stand twice, and plain words that YAML reads as something else than a
/// text are faults of the list.
fn cases<C: DeserializeOwned>(list: &str) -> Vec<C> {
    let path = folder().join(format!("{list}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap();
    serde_saphyr::from_str_with_options(&text, strict())
        .unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

fn strict() -> serde_saphyr::Options {
    serde_saphyr::options! {
        merge_keys: MergeKeyPolicy::Error,
        leading_zero_numbers_as_strings: true,
        strict_booleans: true,
        no_schema: true,
        reject_unsupported_tags: true,
    }
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[test]
fn every_list_is_run_and_every_case_has_a_name_of_its_own() {
    let found: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, LISTS.map(|list| format!("{list}.yaml")).into(), "a list that nobody runs");
    let mut names = BTreeSet::new();
    for Named { name } in LISTS.iter().flat_map(|list| cases::<Named>(list)) {
        assert!(name.len() >= 10 && !name.contains('\n'), "{name:?} does not say what is hoped for");
        assert!(names.insert(name.clone()), "{name:?} stands twice");
    }
    assert!(names.len() >= CASES_MIN, "only {} cases", names.len());
}

#[test]
fn what_yaml_could_read_in_two_ways_is_refused() {
    let read = |text: &str| serde_saphyr::from_str_with_options::<BTreeMap<String, Value>>(text, strict());
    let texts = |text: &str| serde_saphyr::from_str_with_options::<BTreeMap<String, String>>(text, strict());
    assert!(read("a: 1\na: 2\n").is_err(), "a member twice");
    assert!(read("a: { b: 1, b: 2 }\n").is_err(), "a member twice, inside");
    assert!(read("a: &x { b: 1 }\nc: { <<: *x }\n").is_err(), "a member from elsewhere");
    assert_eq!(read("a: no\n").unwrap()["a"], json!("no"));
    assert_eq!(read("a: 010\n").unwrap()["a"], json!("010"));
    assert!(texts("a: 17\n").is_err() && texts("a: true\n").is_err(), "a text without its quotes");
}

/// The request that a case describes.
fn asked(method: &str, target: &str, fields: &Fields, filled: impl Fn(&str) -> String) -> Parts {
    let fields: Vec<(&str, String)> =
        fields.iter().flatten().map(|(name, value)| (name.as_str(), filled(value))).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    request(method, &filled(target), &fields)
}

/// The reason code of a refusal, which has a challenge where a credential was refused, and tells none of the `secrets`.
fn code(refusal: &Refusal, name: &str, secrets: &[&str]) -> String {
    let row = refusal.reason.row();
    let challenged = refusal.headers.iter().any(|(field, _)| field == "www-authenticate");
    let credential =
        row.code.starts_with("token.") || ["session.ended", "identity.step_up"].contains(&row.code);
    assert_eq!(challenged, credential, "{name}: {refusal:?}");
    let told = format!("{} {:?}", refusal.inside, refusal.headers);
    silent(&told, name, secrets);
    row.code.into()
}

/// Neither a secret nor a part of it is in a text. What is shorter than 20 characters is no secret.
fn silent(text: &str, name: &str, secrets: &[&str]) {
    for part in secrets.iter().flat_map(|secret| secret.split('.')).filter(|part| part.len() >= 20) {
        assert!(!text.contains(part), "{name}: a secret is told in {text:?}");
    }
}

/// What became of the cases of a list.
#[derive(Default)]
struct Tally {
    cases: usize,
    wrong: Vec<String>,
}

impl Tally {
    /// Compares every outcome of a case with what it must be.
    fn expect(&mut self, name: &str, wanted: &str, outcomes: &[&str]) {
        self.cases += 1;
        if outcomes.iter().any(|outcome| *outcome != wanted) {
            self.wrong.push(format!("{name}: {}, wanted {wanted}", outcomes.join(", then ")));
        }
    }

    /// Something went wrong on the way.
    fn fail(&mut self, name: &str, what: impl std::fmt::Display) {
        self.wrong.push(format!("{name}: {what}"));
    }

    /// Says which cases did not come to what they must.
    fn close(self) {
        assert!(self.wrong.is_empty(), "of {} cases:\n{}", self.cases, self.wrong.join("\n"));
    }
}
