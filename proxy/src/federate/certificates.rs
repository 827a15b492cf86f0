//! Who is who: TLS 1.3 with certificates on both sides, and signatures by the same keys.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ::aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use anyhow::Context;
use learner::federate::{CHAIN_MAX, NAME_BYTES_MAX, Notary};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SigningKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use x509_parser::extensions::GeneralName;

/// A certificate with its key, and the authority whose certificates are believed.
#[derive(Clone)]
pub struct Certificates {
    name: String,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    signing: Arc<dyn SigningKey>,
    roots: Arc<RootCertStore>,
    parties: Arc<dyn ClientCertVerifier>,
}

/// Signatures that parties make and believe, best first.
const SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
];

impl Certificates {
    /// Reads PEM files: the chain, its key, and the authority's certificates.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn read(chain: &Path, key: &Path, authority: &Path) -> anyhow::Result<Self> {
        let certificates = pem(chain)?;
        let bytes: usize = certificates.iter().map(|certificate| certificate.len()).sum();
        let (most, bytes_most) = CHAIN_MAX;
        anyhow::ensure!(
            certificates.len() <= most && bytes <= bytes_most,
            "certificate {}: at most {most} certificates of {bytes_most} bytes in all",
            chain.display()
        );
        let end_entity = certificates.first().context("no certificate")?;
        let name = name_of(end_entity).with_context(|| format!("certificate {}", chain.display()))?;
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|e| anyhow::anyhow!("key {}: {e}", key.display()))?;
        let signing = aws_lc_rs::sign::any_supported_type(&private)
            .map_err(|e| anyhow::anyhow!("key {}: {e}", key.display()))?;
        anyhow::ensure!(
            signing.choose_scheme(&SCHEMES).is_some(),
            "key {}: not Ed25519, ECDSA on P-256 or P-384, or RSA",
            key.display()
        );
        let mut roots = RootCertStore::empty();
        for root in pem(authority)? {
            roots.add(root).map_err(|e| anyhow::anyhow!("authority {}: {e}", authority.display()))?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let parties = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider)
            .build()
            .map_err(|e| anyhow::anyhow!("authority {}: {e}", authority.display()))?;
        Ok(Self { name, chain: certificates, key: Arc::new(private), signing, roots, parties })
    }

    /// The name in the certificate: its first DNS name, else its common name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// TLS of the coordinator. A client without a certificate of the authority does not come through the handshake.
    ///
    /// # Errors
    /// Certificate and key do not fit.
    pub fn server(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::clone(&self.parties))
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        // A resumed session would have a certificate that is not looked at again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// TLS of a party.
    ///
    /// # Errors
    /// Certificate and key do not fit.
    pub fn client(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// Signs and verifies for a training. `coordinator` is no party, whatever its certificate; with `peers` nobody else is.
    pub fn notary(&self, coordinator: &str, peers: Option<BTreeSet<String>>) -> Box<dyn Notary> {
        Box::new(CertificateNotary { of: self.clone(), coordinator: coordinator.to_owned(), peers })
    }
}

fn pem(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|e| anyhow::anyhow!("certificate {}: {e}", file.display()))?;
    anyhow::ensure!(!found.is_empty(), "certificate {}: holds no PEM certificate", file.display());
    Ok(found)
}

/// The first DNS name of a certificate, else its common name.
///
/// # Errors
/// It has none, or one that is no short plain name.
pub(super) fn name_of(certificate: &[u8]) -> anyhow::Result<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).context("not a certificate")?;
    let alternative = parsed.subject_alternative_name().context("alternative names")?;
    let dns = alternative.and_then(|names| {
        names.value.general_names.iter().find_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
    });
    let common = || parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let name = dns.or_else(|| common().map(str::to_owned)).context("it has no name")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_plain = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain);
    anyhow::ensure!(is_plain, "its name {name:?} is not letters, digits, dots and dashes");
    Ok(name.to_ascii_lowercase())
}

struct CertificateNotary {
    of: Certificates,
    coordinator: String,
    peers: Option<BTreeSet<String>>,
}

impl Notary for CertificateNotary {
    fn name(&self) -> &str {
        &self.of.name
    }

    fn certificates(&self) -> Vec<Vec<u8>> {
        self.of.chain.iter().map(|certificate| certificate.to_vec()).collect()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let signer = self.of.signing.choose_scheme(&SCHEMES).ok_or("the key signs in no known way")?;
        let mut signature = u16::from(signer.scheme()).to_be_bytes().to_vec();
        signature.extend(signer.sign(message).map_err(|error| error.to_string())?);
        Ok(signature)
    }

    fn verify(
        &self,
        name: &str,
        certificates: &[Vec<u8>],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        if name == self.coordinator {
            return Err("the coordinator is no party".to_owned());
        }
        if self.peers.as_ref().is_some_and(|peers| !peers.contains(name)) {
            return Err("not among the agreed parties".to_owned());
        }
        let (end_entity, others) = certificates.split_first().ok_or("no certificate")?;
        let others: Vec<CertificateDer<'_>> =
            others.iter().map(|der| CertificateDer::from(&der[..])).collect();
        self.of
            .parties
            .verify_client_cert(&CertificateDer::from(&end_entity[..]), &others, UnixTime::now())
            .map_err(|error| error.to_string())?;
        if name_of(end_entity).map_err(|error| format!("{error:#}"))? != name {
            return Err("the certificate is of another name".to_owned());
        }
        let (scheme, signature) = signature.split_first_chunk::<2>().ok_or("no signature")?;
        let algorithm: &'static dyn VerificationAlgorithm =
            match SignatureScheme::from(u16::from_be_bytes(*scheme)) {
                SignatureScheme::ED25519 => &ED25519,
                SignatureScheme::ECDSA_NISTP256_SHA256 => &ECDSA_P256_SHA256_ASN1,
                SignatureScheme::ECDSA_NISTP384_SHA384 => &ECDSA_P384_SHA384_ASN1,
                SignatureScheme::RSA_PSS_SHA256 => &RSA_PSS_2048_8192_SHA256,
                other => return Err(format!("signature scheme {other:?}")),
            };
        let (_, parsed) =
            x509_parser::parse_x509_certificate(end_entity).map_err(|error| error.to_string())?;
        let key = UnparsedPublicKey::new(algorithm, parsed.public_key().subject_public_key.data.as_ref());
        key.verify(message, signature).map_err(|_| "wrong signature".to_owned())
    }
}

#[cfg(test)]
mod tests;
