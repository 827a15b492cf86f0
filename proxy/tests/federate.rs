//! A training between banks, as they would run it: one process each, over mutual TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use learner::federate::state::State;
use learner::federate::{Bank, Comparison, Limits, Purpose, Schema, Table, Terms, Work};
use proxy::federate::{Certificates, Joining, take_part};
use rand::{Rng, SeedableRng};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;

const LONGEST: Duration = Duration::from_secs(120);

struct Authority {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new(file: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(file, certificate.pem()).unwrap();
        Self { certificate, key }
    }

    fn certify(&self, folder: &Path, name: &str, file: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.certificate, &self.key).unwrap();
        std::fs::write(folder.join(format!("{file}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}

/// Rows of a known model; customers of one bank are not like another's.
fn rows(bank: u64, customers: u64) -> String {
    let mut random = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(bank);
    let mut normal = move || (0..12).map(|_| random.r#gen::<f64>()).sum::<f64>() - 6.0;
    let mut text = "customer,amount,newness,fraud\n".to_owned();
    for customer in 0..customers {
        for _ in 0..4 {
            let (amount, newness) = (normal() + 0.3 * bank as f64, normal());
            let fraud = -2.5 + 1.5 * amount + newness + 0.5 * normal() > 0.0;
            let line = format!("{bank}-{customer},{amount:.4},{newness:.4},{}\n", u8::from(fraud));
            text.push_str(&line);
        }
    }
    text
}

const SCHEMA: &str = "label = \"fraud\"\nunit = \"customer\"\n\
    [[features]]\nname = \"amount\"\nlow = -3\nhigh = 5\n[[features]]\nname = \"newness\"\nlow = -3\nhigh = 3\n";

struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        let house = Self(tempfile::tempdir().unwrap());
        let authority = Authority::new(&house.file("ca.pem"));
        authority.certify(house.0.path(), "coordinator.test", "coordinator");
        for bank in 1..=5 {
            authority.certify(house.0.path(), &format!("bank-{bank}"), &format!("bank-{bank}"));
            std::fs::write(house.file(&format!("bank-{bank}.csv")), rows(bank, 250)).unwrap();
        }
        std::fs::write(house.file("test.csv"), rows(2, 500)).unwrap();
        std::fs::write(house.file("schema.toml"), SCHEMA).unwrap();
        std::fs::write(house.file("other.toml"), SCHEMA.replace("high = 5", "high = 6")).unwrap();
        let others = Authority::new(&house.file("other-ca.pem"));
        others.certify(house.0.path(), "bank-1", "stranger");
        house
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, what: &str, who: &str, schema: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
        command.args(["--log-filter", "warn", "federate", what]);
        for (option, file) in [
            ("--schema", schema.to_owned()),
            ("--certificate", format!("{who}.pem")),
            ("--key", format!("{who}.key")),
            ("--authority", "ca.pem".to_owned()),
        ] {
            command.arg(option).arg(self.file(&file));
        }
        command
    }

    fn party(&self, who: &str, data: &str, schema: &str, address: &str) -> Command {
        let mut command = self.command("party", who, schema);
        command.args(["--coordinator", address, "--coordinator-name", "coordinator.test", "--json"]);
        command.args(["--epsilon-max", "8.1", "--patience", "60", "--data"]).arg(self.file(data));
        command.arg("--test").arg(self.file("test.csv")).arg("--out").arg(self.file(&format!("{who}-model")));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The coordinator's process, with what it says.
struct Coordinator {
    child: Child,
    lines: Receiver<String>,
    address: String,
}

impl Coordinator {
    fn start(house: &House) -> Self {
        let mut command = house.command("coordinator", "coordinator", "schema.toml");
        command.args(["--listen", "127.0.0.1:0", "--parties", "5", "--min-parties", "3"]);
        command.args([
            "--rounds",
            "14",
            "--epsilon",
            "8",
            "--delta",
            "1e-5",
            "--deadline",
            "30",
            "--enrol",
            "90",
        ]);
        Self::of(house, command)
    }

    fn of(house: &House, mut command: Command) -> Self {
        command.arg("--log").arg(house.file("log")).arg("--out").arg(house.file("model"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let (said, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        let mut coordinator = Self { child, lines, address: String::new() };
        let line = coordinator.wait_for("listens on");
        coordinator.address = line.split(' ').find(|word| word.starts_with("127.")).unwrap().to_owned();
        coordinator
    }

    /// The next line with these words.
    fn wait_for(&mut self, words: &str) -> String {
        let until = Instant::now() + LONGEST;
        loop {
            let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("it did not say {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// A bank whose updates are turned round and a hundred times too large.
struct Poison(Bank);

impl Work for Poison {
    fn contribution(&mut self, terms: &Terms, schema: &Schema, state: &State, purpose: Purpose) -> Vec<f64> {
        let honest = self.0.contribution(terms, schema, state, purpose);
        let factor = if purpose == Purpose::Statistics { 1.0 } else { -100.0 };
        honest.into_iter().map(|value| value * factor).collect()
    }

    fn compare(&mut self, _: &Terms, _: &Schema, _: &State, _: &State) -> Comparison {
        Comparison { before: 1.0, rise: -100.0, units: 50 }
    }
}

fn poisoned(house: &House, address: String) -> std::thread::JoinHandle<String> {
    let files = ["bank-4.pem", "bank-4.key", "ca.pem"].map(|name| house.file(name));
    let certificates = Certificates::read(&files[0], &files[1], &files[2]).unwrap();
    let schema = Schema::from_toml(SCHEMA).unwrap();
    let work = Poison(Bank::new(Table::read(&house.file("bank-4.csv"), &schema).unwrap()));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let joining = Joining {
            coordinator: address,
            coordinator_name: Some("coordinator.test".into()),
            peers: None,
            limits: Limits::default(),
            patience: LONGEST,
        };
        let part = take_part(joining, &certificates, schema, Box::new(work), |_| ());
        format!("{:#}", runtime.block_on(part).unwrap_err())
    })
}

fn failed(output: Output, because: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(because), "{said}");
}

/// A TLS connection with this certificate, or none.
fn connected(
    house: &House,
    address: &str,
    certificate: Option<&str>,
) -> std::io::Result<(rustls::ClientConnection, TcpStream)> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(house.file("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match certificate {
        None => config.with_no_client_auth(),
        Some(name) => {
            let chain = CertificateDer::from_pem_file(house.file(&format!("{name}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(house.file(&format!("{name}.key"))).unwrap();
            config.with_client_auth_cert(vec![chain], key).unwrap()
        }
    };
    let server = ServerName::try_from("coordinator.test").unwrap();
    let tls = rustls::ClientConnection::new(Arc::new(config), server).unwrap();
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(LONGEST))?;
    Ok((tls, socket))
}

/// Bytes on such a connection; answers what comes back.
fn says(house: &House, address: &str, certificate: Option<&str>, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let (mut tls, mut socket) = connected(house, address, certificate)?;
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// A party that was let in and speaks before it is asked is let go with its connection, though it goes on speaking.
fn who_is_dismissed_is_not_listened_to(house: &House, address: &str) {
    let framed = |text: String| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    let digest = Schema::from_toml(SCHEMA).unwrap().digest();
    let hello = framed(format!(r#"{{"hello":{{"protocol":1,"schema":"{digest}","features":[]}}}}"#));
    let (mut tls, mut socket) = connected(house, address, Some("bank-3")).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    stream.write_all(&hello).unwrap();
    let unasked = framed(r#"{"refuse":{"reason":"unasked"}}"#.to_owned());
    let until = Instant::now() + LONGEST;
    while stream.write_all(&unasked).and_then(|()| stream.flush()).is_ok() {
        assert!(Instant::now() < until, "the coordinator still reads");
    }
}

fn strangers_do_not_come_in(house: &House, address: &str) {
    let hello = br#"{"hello":{"protocol":1,"schema":"","features":[]}}"#;
    let error = says(house, address, None, hello).unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    assert!(says(house, address, Some("stranger"), hello).is_err());
    // A certificate alone is not enough: what is no first word ends the connection.
    for bytes in [&b"\xff\xff\xff\xff"[..], b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x02{}"] {
        let answer = says(house, address, Some("bank-3"), bytes).unwrap_or_default();
        assert!(answer.is_empty(), "{answer:?}");
    }
    failed(house.party("bank-3", "bank-3.csv", "other.toml", address).output().unwrap(), "agreed is");
    let mut elsewhere = house.party("bank-3", "bank-3.csv", "schema.toml", address);
    elsewhere.args(["--coordinator-name", "other.test"]);
    assert_eq!(elsewhere.output().unwrap().status.code(), Some(2), "an option is given once");
}

#[test]
fn banks_train_one_model_though_one_dies_one_poisons_and_strangers_knock() {
    let house = House::new();
    let mut coordinator = Coordinator::start(&house);
    let address = coordinator.address.clone();
    strangers_do_not_come_in(&house, &address);
    who_is_dismissed_is_not_listened_to(&house, &address);
    let honest: Vec<Child> = [1, 2, 3]
        .map(|bank| {
            let (who, data) = (format!("bank-{bank}"), format!("bank-{bank}.csv"));
            house.party(&who, &data, "schema.toml", &address).spawn().unwrap()
        })
        .into();
    // Whichever of the two comes second is turned away; the training goes on with the other.
    let poisoner = poisoned(&house, address.clone());
    let twin = poisoned(&house, address.clone());
    let mut dies = house.party("bank-5", "bank-5.csv", "schema.toml", &address).spawn().unwrap();

    let line = coordinator.wait_for("is left out from now on");
    assert!(line.starts_with("bank-4 "), "{line}");
    coordinator.wait_for("accepted");
    dies.kill().unwrap();
    dies.wait().unwrap();
    coordinator.wait_for("bank-5 is gone");
    coordinator.wait_for("14 rounds accepted");
    assert!(coordinator.child.wait().unwrap().success());
    let told = [poisoner.join().unwrap(), twin.join().unwrap()];
    assert!(told.iter().any(|why| why.contains("sums go wrong with this party")), "{told:?}");
    assert!(told.iter().any(|why| why.contains("is connected already")), "{told:?}");

    let model = std::fs::read(house.file("model/federated.json")).unwrap();
    let mut commitments = Vec::new();
    for (bank, child) in (1..).zip(honest) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "bank {bank}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let said: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert!(said["test"]["auprc"].as_f64().unwrap() > 0.8, "{said}");
        assert!(said["epsilon"].as_f64().unwrap() <= 8.0, "{said}");
        assert_eq!(said["outcome"]["suspended"][0], "bank-4");
        commitments.push(said["commitment"].clone());
        assert_eq!(std::fs::read(house.file(&format!("bank-{bank}-model/federated.json"))).unwrap(), model);
    }
    the_log_proves_it(&house, &commitments);
}

fn the_log_proves_it(house: &House, commitments: &[Value]) {
    let verify = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
        command.args(["audit", "verify", "--json", "--log"]).arg(house.file("log")).output().unwrap()
    };
    let output = verify();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["federated"].as_u64().unwrap() > 30, "{report}");
    let segment = std::fs::read_dir(house.file("log")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|e| e == "log")).min().unwrap();
    let text = std::fs::read_to_string(&segment).unwrap();
    for commitment in commitments {
        assert_eq!(commitment, &commitments[0]);
        assert!(text.contains(commitment.as_str().unwrap()), "the parties saw what is on record");
    }
    std::fs::write(&segment, text.replacen("bank-4", "bank-3", 1)).unwrap();
    assert!(!verify().status.success());
}

const MAPPING: &str = "[columns]\ntime = \"time\"\ncustomer = \"customer\"\namount = \"amount\"\nlabel = \"fraud\"\n\
    numeric = [\"newness\"]\n[label]\ndelay_days = 1\n";

/// The bank's rows over some months.
fn payments(bank: u64) -> String {
    let lines = rows(bank, 500);
    let mut text = String::new();
    for (at, line) in lines.lines().enumerate() {
        let (day, minute) = (at / 20, at % 20);
        let time = format!("2025-{:02}-{:02}T10:{minute:02}:00Z", 1 + day / 28, 1 + day % 28);
        let cells: Vec<&str> = line.split(',').collect();
        if at == 0 {
            text.push_str(&format!("time,{line}\n"));
        } else {
            let amount = 100.0 + 20.0 * cells[1].parse::<f64>().unwrap();
            text.push_str(&format!("{time},{},{amount:.2},{},{}\n", cells[0], cells[2], cells[3]));
        }
    }
    text
}

#[test]
fn a_bank_gets_a_model_that_serves_and_is_evaluated_like_its_own() {
    let house = House::new();
    std::fs::write(house.file("m.toml"), MAPPING).unwrap();
    for bank in 1..=3 {
        std::fs::write(house.file(&format!("payments-{bank}.csv")), payments(bank)).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
        let output = command.current_dir(house.0.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["federate", "schema", "--data", "payments-1.csv", "--mapping", "m.toml", "--out", "agreed.toml"]);
    let mut command = house.command("coordinator", "coordinator", "agreed.toml");
    command.args(["--listen", "127.0.0.1:0", "--parties", "3", "--rounds", "5", "--deadline", "30"]);
    let mut coordinator = Coordinator::of(&house, command);
    let parties: Vec<Child> = (1..=3)
        .map(|bank| {
            let (who, data) = (format!("bank-{bank}"), format!("payments-{bank}.csv"));
            let mut command = house.command("party", &who, "agreed.toml");
            command.args(["--coordinator", &coordinator.address, "--coordinator-name", "coordinator.test"]);
            command.args(["--json", "--patience", "60", "--data"]).arg(house.file(&data));
            command.arg("--mapping").arg(house.file("m.toml"));
            command.arg("--out").arg(house.file(&format!("{who}-model")));
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    coordinator.wait_for("5 rounds accepted");
    for (bank, child) in (1..).zip(parties) {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "bank {bank}: {}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        let artifact = said["artifact"].as_str().unwrap_or_else(|| panic!("{said}"));
        assert!(
            Path::new(artifact).exists() && house.file(&format!("bank-{bank}-model/report.html")).exists()
        );
        let (model, data) = (format!("bank-{bank}-model"), format!("payments-{bank}.csv"));
        let measured =
            run(&["evaluate", "--model", &model, "--data", &data, "--mapping", "m.toml", "--json"]);
        let measured: Value = serde_json::from_str(measured.lines().last().unwrap()).unwrap();
        let (found, expected) = (&measured["auprc"], &said["test"]["auprc"]);
        let difference = found.as_f64().unwrap() - expected.as_f64().unwrap();
        assert!(difference.abs() < 1e-3, "bank {bank}: {found} for {expected}");
    }
}

#[test]
fn a_training_has_as_many_parties_as_a_sum_can() {
    let house = House::new();
    for (option, count) in [("--parties", "2"), ("--parties", "65"), ("--min-parties", "2")] {
        let mut command = house.command("coordinator", "coordinator", "schema.toml");
        command.args(["--listen", "127.0.0.1:0", "--log", "log", "--out", "model", option, count]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("{count} is not in 3..=64")), "{said}");
    }
}
