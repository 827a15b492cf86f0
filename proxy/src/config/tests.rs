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
            .replace("/etc/gatehouse/keys/gatehouse-web.pem", "keys/demo-web.pem")
            .replace("/etc/gatehouse/keys/gatehouse-introspection.pem", "./keys/demo-web.pem");
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

/// `line:column` of the byte `at`.
fn place(text: &str, at: usize) -> String {
    let before = &text[..at];
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

/// (a line of the shipped file, the value it gets instead, what must be said of that value)
const WRONG_VALUES: &[(&str, &str, &str)] = &[
    ("threads = 4", "0", "threads out of range"),
    ("grace_s = 20", "-1", "invalid value"),
    ("grace_s = 20", "7200", "outside 0 to 3600"),
    ("utc_offset_hours = 1", "15", "outside -12 to 14"),
    (r#"address = "0.0.0.0:443""#, r#""bank.example:443""#, "invalid socket address"),
    (r#"certificate = "certificate.pem""#, r#""gone.pem""#, "gone.pem: No such file"),
    (r#"key = "certificate.key" }"#, r#""gone.key" }"#, "gone.key: No such file"),
    ("proxy_protocol = false", "true", "nobody is trusted to speak for others"),
    (
        "issuer = \"https://login.bank.example\"\n# `aud`",
        r#""https://login.bank.example/""#,
        "not one of [[issuers]]",
    ),
    (r#"external_url = "https://gatehouse-console"#, r#""gatehouse-console"#, "URL"),
    ("burst = 60 }", "99999999999 }", "invalid value"),
    ("addresses_max = 1_000_000", "10", "outside 1000 to"),
    ("connections_max = 20_000", "0", "outside 1 to"),
    ("header_timeout_ms = 10_000", "5", "outside 100 to 600000"),
    ("body_timeout_ms = 10_000", r#""10s""#, "expected u64"),
    ("header_bytes_max = 32_768", "0", "outside 1024 to"),
    ("header_fields_max = 100", "1000", "outside 10 to 256"),
    (r#"fraud = "models/fraud""#, r#""models/fraught""#, "models/fraught: No such file"),
    (r#"file = "policies/starter.toml""#, r#""policies/stator.toml""#, "No such file"),
    (r#"token_type = "at+jwt""#, r#""jwt""#, "unknown variant"),
    ("clock_skew_s = 10", "61", "outside 0 to 60"),
    ("jwks_stale_max_s = 86_400", "299", "outside 300 to"),
    ("token_bytes_max = 16_384", "16_385", "outside 256 to 16384"),
    (r#"client_id = "gatehouse-introspection""#, r#""""#, "is empty"),
    (r#"client_key_file = "./keys/demo-web.pem""#, r#""gone.pem""#, "cannot be read: No such file"),
    ("cache_s = 30", "0", "outside 1 to 300"),
    ("cache_s = 30", "301", "outside 1 to 300"),
    ("entries_max = 20_000", "99", "outside 100 to 1000000"),
    ("calls_per_s = 200", "0", "outside 1 to 10000"),
    ("parallel_max = 16", "257", "outside 1 to 256"),
    (r#"name = "bank""#, r#""the bank""#, "not a name"),
    (r#"hosts = ["www"#, r#"["https://www"#, "not a list of host names"),
    (r#"external_url = "https://www.bank.example""#, r#""http://www.bank.example""#, "plain HTTP"),
    (r#"external_url = "https://www.bank.example""#, r#""https://www.bank.example/x""#, "has a path"),
    (r#"peers = ["10.0.10.11:8443", "10.0.10.12:8443"]"#, "[]", "no peer"),
    (r#"tls_name = "bank.internal.example""#, r#""""#, "would verify nothing"),
    (r#"tls_name = "bank.internal.example""#, r#"" ""#, "would verify nothing"),
    (r#"health_path = "/healthz""#, r#""healthz""#, "not a path"),
    ("read_timeout_ms = 30_000", "0", "outside 1 to"),
    ("tick_ms = 200", "0", "outside 100 to 250"),
    ("limit = 64.0", "nan", "not a limit"),
    ("floor = [0.10,", "[0.50,", "together at most 0.5"),
    ("limit_max = 2_048.0", "99_999.0", "1 to 16384"),
    (r#"controller = "q-learning""#, r#""q-leaning""#, "did you mean `q-learning`?"),
    (r#"issuers = ["https://login.bank.example"]"#, r#"["https://login.bank.test"]"#, "is not configured"),
    (r#"client_key_file = "keys/demo-web.pem""#, r#""gone.pem""#, "cannot be read: No such file"),
    (r#"client_key_file = "keys/demo-web.pem""#, r#""not-a-key.pem""#, "hint: a private P-256 key"),
    ("idle_s = 900", "5", "outside 60 to"),
    (r#"post_logout_path = "/""#, r#""//evil.example""#, "not a local path"),
    (r#"paths = ["/api/transfers"]"#, r#"["api/transfers"]"#, "starts with /"),
    (r#"paths = ["/api/transfers"]"#, r#"["/.gatehouse/login"]"#, "gateway's own"),
    (r#"paths = ["/api/documents"]"#, r#"["/api/transfers/"]"#, "also taken by route api-transfers"),
    (r#"paths = ["/api/documents"]"#, r#"["/api/{*a}", "/api/{*b}"]"#, "conflict"),
    (r#"name = "api-uploads""#, r#""api-reads""#, "another route is called"),
    ("methods = [\"POST\"]\n# \"required\"", r#"["post"]"#, "not a list of methods"),
    (r#"access = "required""#, r#""requried""#, "did you mean `required`?"),
    (r#"access = "required""#, r#""public""#, "checks no scopes"),
    ("class = \"money-moving\"\n# Rate", r#""money""#, "unknown variant"),
    ("body_bytes_max = 65_536", "65_537", "over 65536 bytes"),
    ("body_bytes_max = 20_971_520", "2_000_000_000", "over 1073741824 bytes"),
    ("step_up_return = \"/transfer\"\n\n# How", r#""https://x/""#, "not a path of the application"),
    (r#"amount = "/amount/value""#, r#""amount""#, "JSON bodies take a pointer"),
    (r#"unit = "minor""#, r#""cents""#, "unknown variant"),
    ("proof_age_s = 60", "4", "outside 5 to 600"),
    (r#"type = "payment_initiation""#, r#""""#, "is empty"),
    (r#"to = "/creditorAccount/iban""#, r#""iban""#, "not a JSON pointer"),
];

/// (what is replaced, by what, where it must be found, what must be said)
const WRONGS: &[(&str, &str, &str, &str)] = &[
    ("tls = { certificate", "tls = { certificat", "certificat ", "did you mean `certificate`?"),
    (
        "per_second = 200, burst = 400 }\n# Log-ins",
        "per_second = 0, burst = 400 }\n# Log-ins",
        "{ per_second = 0",
        "1..1000000",
    ),
    ("burst = 60 }", "burst = 0 }", "{ per_second = 20, burst = 0", "burst of at least 1"),
    ("burst = 60 }", "bursts = 60 }", "bursts", "did you mean `burst`?"),
    (r#"["ES256", "PS256"]"#, r#"["ES256", "HS256"]"#, r#"["ES256", "HS256"]"#, r#""HS256" is not accepted"#),
    (r#"["ES256", "PS256"]"#, r#"["none"]"#, r#"["none"]"#, "not accepted"),
    (
        r#""10.0.10.12:8443"]"#,
        r#""bank.internal:8443"]"#,
        r#""bank.internal:8443""#,
        "invalid socket address",
    ),
    (
        "# endpoint = \"https://login",
        "endpoint = \"http://login",
        "\"http://login.bank.example/introspect",
        "plain HTTP over the network",
    ),
    (
        "\"certificate.key\" }",
        "\"certificate.key\", client_authorities = \"certificate.pem\" }",
        "\"certificate.pem\" }",
        "clients are not asked for certificates",
    ),
    (
        "\"certificate.key\" }",
        "\"certificate.key\", client_certificates = \"yes\" }",
        "\"yes\"",
        "`optional` or `required`",
    ),
    ("# [trusted_peers]", "[trusted_peers]\naddresses = []", "[]", "nobody is named"),
    (
        "# [trusted_peers]",
        "[trusted_peers]\naddresses = [\"10.1.2.3\", \"10.1.2.0/33\"]",
        "\"10.1.2.0/33\"",
        "neither an address nor a network",
    ),
    ("# [trusted_peers]", "[trusted_peers]\naddresses = [\"::/0\"]", "\"::/0\"", "is too many"),
    (
        "# [trusted_peers]",
        "[trusted_peers]\naddresses = [\"::ffff:0.0.0.0/97\"]",
        "\"::ffff:0.0.0.0/97\"",
        "is too many",
    ),
    (
        "# [trusted_peers]",
        "[trusted_peers]\naddresses = [\"10.1.2.3\"]\nclient_certificate = { field = \"Cookie\", format = \"der\" }",
        "\"Cookie\"",
        "not a header field for certificates",
    ),
    (
        "# [trusted_peers]",
        "[trusted_peers]\naddresses = [\"10.1.2.3\"]\nforwarding = \"x-real-ip\"",
        "\"x-real-ip\"",
        "unknown variant",
    ),
    ("[issuers.introspection]", "[issuers.introspecting]", "introspecting", "did you mean `introspection`?"),
    ("[observe]", "[observer]", "observer", "did you mean `observe`?"),
    ("[observe]", "[observe", "[observe", "hint:"),
];

#[test]
fn every_wrong_is_told_with_its_place_and_a_hint() {
    let shipped = Shipped::new("gatehouse.toml");
    let mut failed = Vec::new();
    // `found`: where in the wronged text, given where it was changed; not looked at in a file that does not parse.
    let mut check = |from: &str, to: &str, said: &str, found: &dyn Fn(&str, usize) -> Option<usize>| {
        let changed =
            shipped.text.find(from).unwrap_or_else(|| panic!("{from:?} is not in the shipped file"));
        let text = shipped.text.replacen(from, to, 1);
        let place = |at| format!("g.toml:{}: ", place(&text, at));
        let (told, wanted) = (shipped.told(&text), found(&text, changed).map_or_else(String::new, place));
        if !told.contains(&wanted) || !told.contains(said) || !told.contains("hint: ") {
            failed.push(format!("{to}\n    wanted {wanted}{said}\n    told {told}"));
        }
    };
    for (from, value, said) in WRONG_VALUES {
        let (key, right) = from.split_once(" = ").unwrap();
        let after = right.find('\n').map_or("", |end| &right[end..]);
        let to = format!("{key} = {value}{after}");
        check(from, &to, said, &|_, changed| Some(changed + key.len() + " = ".len()));
    }
    for (from, to, at, said) in WRONGS {
        check(from, to, said, &|text, _| (*at != "[observe").then(|| text.find(at).unwrap()));
    }
    let tried = WRONG_VALUES.len() + WRONGS.len();
    assert!(failed.is_empty(), "{} of {tried}:\n{}", failed.len(), failed.join("\n"));
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
fn a_transfer_beside_a_linked_one_is_linked_too() {
    let shipped = Shipped::new("gatehouse.toml");
    let (before, rest) = shipped.text.rsplit_once("[applications.routes.transfer.linking]").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let told = shipped.told(&format!("{before}\n{after}"));
    assert!(told.contains("api-transfers has transfer.linking and route web-transfer has none"), "{told}");
    let scored = shipped.text.replacen("score_only = false", "score_only = true", 1);
    let told = shipped.told(&scored);
    assert!(told.contains("nothing is authorised where nothing is carried out"), "{told}");
}

#[test]
fn every_problem_is_told_not_only_the_first() {
    let shipped = Shipped::new("gatehouse.toml");
    let text = shipped.text.replace("threads = 4", "threads = 0").replace("idle_s = 900", "idle_s = 1");
    let text = text.replace("tls_name = \"bank.internal.example\"", "tls_name = \"\"");
    assert_eq!(shipped.told(&text).matches("hint: ").count(), 3, "{}", shipped.told(&text));
}
