use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

use super::*;

struct Authority {
    folder: tempfile::TempDir,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, certificate, key }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn certify(&self, name: &str) -> Certificates {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.certificate, &self.key).unwrap();
        std::fs::write(self.file("p.pem"), certificate.pem()).unwrap();
        std::fs::write(self.file("p.key"), key.serialize_pem()).unwrap();
        Certificates::read(&self.file("p.pem"), &self.file("p.key"), &self.file("ca.pem")).unwrap()
    }
}

#[test]
fn a_signature_is_good_with_its_name_certificate_message_and_authority_only() {
    let (ours, other) = (Authority::new(), Authority::new());
    let [ada, bob, boss] = ["ada", "bob", "boss"].map(|name| ours.certify(name));
    let stranger = other.certify("ada");
    let ada = ada.notary("boss", None);
    let signed = ada.sign(b"message").unwrap();
    let verified =
        |verifier: &Certificates, name: &str, chain: &[Vec<u8>], message: &[u8], signature: &[u8]| {
            verifier.notary("boss", None).verify(name, chain, message, signature).map_err(|_| ())
        };
    let chain = ada.certificates();
    assert_eq!(verified(&bob, "ada", &chain, b"message", &signed), Ok(()));
    assert_eq!(verified(&bob, "bob", &chain, b"message", &signed), Err(()));
    assert_eq!(verified(&bob, "ada", &bob.notary("boss", None).certificates(), b"message", &signed), Err(()));
    assert_eq!(verified(&bob, "ada", &chain, b"another", &signed), Err(()));
    assert_eq!(verified(&bob, "ada", &[], b"message", &signed), Err(()));
    assert_eq!(verified(&bob, "ada", &[vec![0x30; 40]], b"message", &signed), Err(()));
    assert_eq!(verified(&stranger, "ada", &chain, b"message", &signed), Err(()));
    for cut in 0..signed.len() {
        assert_eq!(verified(&bob, "ada", &chain, b"message", &signed[..cut]), Err(()), "{cut} bytes");
    }

    // The coordinator has a certificate of the same authority, and is no party all the same.
    let boss = boss.notary("boss", None);
    let signed = boss.sign(b"message").unwrap();
    assert_eq!(verified(&bob, "boss", &boss.certificates(), b"message", &signed), Err(()));
    let peers = Some(BTreeSet::from(["cyd".to_owned()]));
    let signed = ada.sign(b"message").unwrap();
    assert!(bob.notary("boss", peers).verify("ada", &chain, b"message", &signed).is_err());
}

#[test]
fn names_are_plain() {
    let ours = Authority::new();
    assert_eq!(ours.certify("Bank-1.example").name(), "bank-1.example");
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    for name in ["bank one", long.as_str()] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &ours.certificate, &ours.key).unwrap();
        assert!(name_of(certificate.der()).is_err(), "{name}");
    }
    assert!(name_of(b"no certificate").is_err());
}

#[test]
fn files_that_do_not_fit_are_named() {
    let ours = Authority::new();
    ours.certify("ada");
    std::fs::write(ours.file("empty"), "").unwrap();
    let read = |chain: &str, key: &str, authority: &str| {
        let files = [chain, key, authority].map(|name| ours.file(name));
        Certificates::read(&files[0], &files[1], &files[2]).err().map(|e| format!("{e:#}")).unwrap()
    };
    for (files, named) in [
        (["empty", "p.key", "ca.pem"], "empty"),
        (["p.pem", "none", "ca.pem"], "none"),
        (["p.pem", "p.key", "empty"], "empty"),
    ] {
        assert!(read(files[0], files[1], files[2]).contains(named), "{files:?}");
    }
}
