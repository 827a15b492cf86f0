//! A wrong configuration is told with line, column and a hint: the shipped files, wronged in every field.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Config;

/// A folder with everything that the shipped files name, and the text of one of them.
struct Shipped {
    folder: TempDir,
    text: String,
}

impl Shipped {
    fn new(name: &str) -> Self {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").canonicalize().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let here = |file: &str| folder.path().join(file);
        for linked in ["policies", "models"] {
            std::os::unix::fs::symlink(configs.join(linked), here(linked)).unwrap();
        }
        for empty in ["certificate.pem", "certificate.key", "history.jsonl", "not-a-key.pem"] {
            std::fs::write(here(empty), "").unwrap();
        }
        crate::keys::signing_key(&here("keys/demo-web.pem")).unwrap();
        let text = std::fs::read_to_string(configs.join(name)).unwrap();
        let text = text
            .replace("/etc/gatehouse/tls/bank.example.pem", "certificate.pem")
            .replace("/etc/gatehouse/tls/bank.example.key", "certificate.key")
            .replace("/etc/gatehouse/keys/gatehouse-web.pem", "keys/demo-web.pem");
        Self { folder, text }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("g.toml")
    }

    /// What is said of `text`; empty if it is fine.
    fn told(&self, text: &str) -> String {
        Config::parse(text, &self.file()).err().map_or_else(String::new, |problems| problems.to_string())
    }
}

/// `line:column` of the first `needle`.
fn place(text: &str, needle: &str) -> String {
    let before = &text[..text.find(needle).unwrap_or_else(|| panic!("{needle:?} is not in the text"))];
    let line = before.matches('\n').count() + 1;
    format!("{line}:{}", before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}

#[test]
fn the_shipped_files_are_fine() {
    for name in ["gatehouse.toml", "demo.toml"] {
        let shipped = Shipped::new(name);
        assert_eq!(shipped.told(&shipped.text), "", "{name}");
    }
}

/// Every `key = value` line of the shipped files: its key misspelt, and a value of another type.
#[test]
fn every_field_is_known_by_its_name_and_type() {
    let mut wronged = 0;
    let mut failed = Vec::new();
    for name in ["gatehouse.toml", "demo.toml"] {
        let shipped = Shipped::new(name);
        let lines: Vec<&str> = shipped.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let mut check = |changed: String, column: usize, hint: &str| {
                let mut text = lines.clone();
                text[number] = &changed;
                let told = shipped.told(&text.join("\n"));
                let wanted = format!("g.toml:{}:{column}: ", number + 1);
                if !told.contains(&wanted) || !told.contains(hint) {
                    failed.push(format!("{changed}\n    wanted {wanted} {hint}\n    told {told}"));
                }
                wronged += 1;
            };
            let misspelt = format!("{key}{}", key.chars().last().unwrap());
            check(format!("{misspelt} = {value}"), 1, &format!("did you mean `{key}`?"));
            let other = if value.starts_with('"') { "[7]" } else { "\"seven\"" };
            check(format!("{key} = {other}"), key.len() + 4, "hint:");
        }
    }
    assert!(failed.is_empty(), "{} of {wronged}:\n{}", failed.len(), failed.join("\n"));
    assert!(wronged > 200, "{wronged}");
}

/// (what is replaced, by what, where it must be found, what must be said)
const WRONGS: &[(&str, &str, &str, &str)] = &[
    ("threads = 4", "threads = 0", "0\n# How long", "threads out of range"),
    ("grace_s = 20", "grace_s = -1", "-1", "invalid value"),
    ("grace_s = 20", "grace_s = 7200", "7200", "outside 0 to 3600"),
    ("utc_offset_hours = 1", "utc_offset_hours = 15", "15\n", "outside -12 to 14"),
    (
        "address = \"0.0.0.0:443\"",
        "address = \"bank.example:443\"",
        "\"bank.example:443\"",
        "invalid socket address",
    ),
    (
        "certificate = \"certificate.pem\"",
        "certificate = \"gone.pem\"",
        "\"gone.pem\"",
        "gone.pem: No such file",
    ),
    ("key = \"certificate.key\" }", "key = \"gone.key\" }", "\"gone.key\"", "gone.key: No such file"),
    ("tls = { certificate", "tls = { certificat", "certificat ", "did you mean `certificate`?"),
    (
        "issuer = \"https://login.bank.example\"\n# `aud`",
        "issuer = \"https://login.bank.example/\"\n# `aud`",
        "\"https://login.bank.example/\"",
        "not one of [[issuers]]",
    ),
    (
        "external_url = \"https://gatehouse-console",
        "external_url = \"gatehouse-console",
        "\"gatehouse-console.",
        "URL",
    ),
    (
        "per_second = 200, burst = 400 }\n# Addresses",
        "per_second = 0, burst = 400 }\n# Addresses",
        "{ per_second = 0",
        "1..1000000",
    ),
    ("burst = 60 }", "burst = 0 }", "{ per_second = 20, burst = 0", "burst of at least 1"),
    ("burst = 60 }", "bursts = 60 }", "bursts", "did you mean `burst`?"),
    ("burst = 60 }", "burst = 99999999999 }", "99999999999", "invalid value"),
    ("addresses_max = 1_000_000", "addresses_max = 10", "10\n", "outside 1000 to"),
    ("connections_max = 20_000", "connections_max = 0", "0\n# A request's header", "outside 1 to"),
    ("header_timeout_ms = 10_000", "header_timeout_ms = 5", "5\nbody", "outside 100 to 600000"),
    ("body_timeout_ms = 10_000", "body_timeout_ms = \"10s\"", "\"10s\"", "expected u64"),
    ("header_bytes_max = 32_768", "header_bytes_max = 0", "0\nheader_fields", "outside 1024 to"),
    ("header_fields_max = 100", "header_fields_max = 1000", "1000\n# Request target", "outside 10 to 256"),
    (
        "fraud = \"models/fraud\"",
        "fraud = \"models/fraught\"",
        "\"models/fraught\"",
        "models/fraught: No such file",
    ),
    (
        "file = \"policies/starter.toml\"",
        "file = \"policies/stator.toml\"",
        "\"policies/stator.toml\"",
        "No such file",
    ),
    (
        "[\"ES256\", \"PS256\"]",
        "[\"ES256\", \"HS256\"]",
        "[\"ES256\", \"HS256\"]",
        "\"HS256\" is not accepted",
    ),
    ("[\"ES256\", \"PS256\"]", "[\"none\"]", "[\"none\"]", "not accepted"),
    ("token_type = \"at+jwt\"", "token_type = \"jwt\"", "\"jwt\"", "unknown variant"),
    ("clock_skew_s = 10", "clock_skew_s = 61", "61", "outside 0 to 60"),
    ("jwks_stale_max_s = 86_400", "jwks_stale_max_s = 299", "299", "outside 300 to"),
    ("token_bytes_max = 16_384", "token_bytes_max = 16_385", "16_385", "outside 256 to 16384"),
    ("name = \"bank\"", "name = \"the bank\"", "\"the bank\"", "not a name"),
    ("hosts = [\"www", "hosts = [\"https://www", "[\"https://www", "not a list of host names"),
    (
        "external_url = \"https://www.bank.example\"",
        "external_url = \"http://www.bank.example\"",
        "\"http://www",
        "plain HTTP",
    ),
    (
        "external_url = \"https://www.bank.example\"",
        "external_url = \"https://www.bank.example/x\"",
        "\"https://www.bank.example/x",
        "has a path",
    ),
    ("peers = [\"10.0.10.11:8443\", \"10.0.10.12:8443\"]", "peers = []", "[]\n# TLS", "no peer"),
    ("\"10.0.10.12:8443\"]", "\"bank.internal:8443\"]", "\"bank.internal:8443\"", "invalid socket address"),
    ("tls_name = \"bank.internal.example\"", "tls_name = \"\"", "\"\"", "would verify nothing"),
    ("tls_name = \"bank.internal.example\"", "tls_name = \" \"", "\" \"", "would verify nothing"),
    ("health_path = \"/healthz\"", "health_path = \"healthz\"", "\"healthz\"", "not a path"),
    ("read_timeout_ms = 30_000", "read_timeout_ms = 0", "0\n\n# How much", "outside 1 to"),
    ("tick_ms = 200", "tick_ms = 0", "0\n# An answer", "outside 100 to 250"),
    ("limit = 64.0", "limit = nan", "nan", "not a limit"),
    ("floor = [0.10,", "floor = [0.50,", "[0.50,", "together at most 0.5"),
    ("limit_max = 2_048.0", "limit_max = 99_999.0", "99_999", "1 to 16384"),
    (
        "controller = \"q-learning\"",
        "controller = \"q-leaning\"",
        "\"q-leaning\"",
        "did you mean `q-learning`?",
    ),
    (
        "issuers = [\"https://login.bank.example\"]",
        "issuers = [\"https://login.bank.test\"]",
        "[\"https://login.bank.test\"]",
        "is not configured",
    ),
    (
        "client_key_file = \"keys/demo-web.pem\"",
        "client_key_file = \"gone.pem\"",
        "\"gone.pem\"",
        "cannot be read: No such file",
    ),
    (
        "client_key_file = \"keys/demo-web.pem\"",
        "client_key_file = \"not-a-key.pem\"",
        "\"not-a-key.pem\"",
        "hint: a private P-256 key",
    ),
    ("idle_s = 900", "idle_s = 5", "5\nabsolute", "outside 60 to"),
    (
        "post_logout_path = \"/\"",
        "post_logout_path = \"//evil.example\"",
        "\"//evil.example\"",
        "not a local path",
    ),
    ("paths = [\"/api/transfers\"]", "paths = [\"api/transfers\"]", "[\"api/transfers\"]", "starts with /"),
    (
        "paths = [\"/api/transfers\"]",
        "paths = [\"/.gatehouse/login\"]",
        "[\"/.gatehouse/login\"]",
        "gateway's own",
    ),
    (
        "paths = [\"/api/documents\"]",
        "paths = [\"/api/transfers/\"]",
        "[\"/api/transfers/\"]",
        "also taken by route api-transfers",
    ),
    ("paths = [\"/api/documents\"]", "paths = [\"/api/{*a}\", \"/api/{*b}\"]", "[\"/api/{*a}\"", "conflict"),
    (
        "name = \"api-uploads\"",
        "name = \"api-reads\"",
        "\"api-reads\"\npaths = [\"/api/documents\"]",
        "another route is called",
    ),
    (
        "methods = [\"POST\"]\n# \"required\"",
        "methods = [\"post\"]\n# \"required\"",
        "[\"post\"]",
        "not a list of methods",
    ),
    ("access = \"required\"", "access = \"requried\"", "\"requried\"", "did you mean `required`?"),
    ("access = \"required\"", "access = \"public\"", "\"public\"\n# Scopes", "checks no scopes"),
    ("class = \"money-moving\"\n# Rate", "class = \"money\"\n# Rate", "\"money\"", "unknown variant"),
    ("body_bytes_max = 65_536", "body_bytes_max = 65_537", "65_537", "over 65536 bytes"),
    (
        "body_bytes_max = 20_971_520",
        "body_bytes_max = 2_000_000_000",
        "2_000_000_000",
        "over 1073741824 bytes",
    ),
    (
        "step_up_return = \"/transfer\"\n\n# How",
        "step_up_return = \"https://x/\"\n\n# How",
        "\"https://x/\"",
        "not a path of the application",
    ),
    ("amount = \"/amount/value\"", "amount = \"amount\"", "\"amount\"", "JSON bodies take a pointer"),
    ("unit = \"minor\"", "unit = \"cents\"", "\"cents\"", "unknown variant"),
    ("[observe]", "[observer]", "observer", "did you mean `observe`?"),
    ("[observe]", "[observe", "[observe", "hint:"),
];

#[test]
fn every_wrong_is_told_with_its_place_and_a_hint() {
    let shipped = Shipped::new("gatehouse.toml");
    let mut failed = Vec::new();
    for (from, to, at, said) in WRONGS {
        assert!(shipped.text.contains(from), "{from:?} is not in the shipped file");
        let text = shipped.text.replacen(from, to, 1);
        let (told, wanted) = (shipped.told(&text), format!("g.toml:{}: ", place(&text, at)));
        let syntax = *at == "[observe";
        if !(syntax || told.contains(&wanted)) || !told.contains(said) || !told.contains("hint: ") {
            failed.push(format!("{to}\n    wanted {wanted}{said}\n    told {told}"));
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), WRONGS.len(), failed.join("\n"));
}

#[test]
fn two_of_a_kind_are_told_apart_or_refused() {
    let shipped = Shipped::new("gatehouse.toml");
    let (head, application) = shipped.text.split_once("\n[[applications]]\n").unwrap();
    let (_, issuer) = head.split_once("\n[[issuers]]\n").unwrap();
    let twice = format!("{}\n[[applications]]\n{application}", shipped.text);
    let told = shipped.told(&twice);
    assert!(told.contains("another application is called bank"), "{told}");
    assert!(told.contains("host www.bank.example also belongs to bank"), "{told}");
    let issuer = issuer.split("# --- Applications").next().unwrap();
    let told = shipped.told(&format!("{head}\n[[issuers]]\n{issuer}\n[[applications]]\n{application}"));
    assert!(told.contains("the issuer stands twice"), "{told}");
}

#[test]
fn every_problem_is_told_not_only_the_first() {
    let shipped = Shipped::new("gatehouse.toml");
    let text = shipped.text.replace("threads = 4", "threads = 0").replace("idle_s = 900", "idle_s = 1");
    let text = text.replace("tls_name = \"bank.internal.example\"", "tls_name = \"\"");
    assert_eq!(shipped.told(&text).matches("hint: ").count(), 3, "{}", shipped.told(&text));
}
