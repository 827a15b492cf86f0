//! TLS of a listener: its own certificate, and the clients' where it asks for them (RFC 8705 2).

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};

use crate::config::{AskedFor, Tls};

/// What the listener needs to speak TLS 1.2 and 1.3, and over it HTTP/2 and HTTP/1.1.
///
/// # Errors
/// Which file cannot be used, and why.
pub fn server_config(tls: &Tls) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(&tls.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|e| anyhow::anyhow!("key {}: {e}", tls.key.display()))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("TLS versions")?;
    let builder = match &tls.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let authorities = clients.authorities.as_deref();
            let authorities = authorities.map(|file| authorities_of(file, &provider)).transpose()?;
            let required = clients.asked_for == AskedFor::Required;
            builder.with_client_cert_verifier(Arc::new(ClientCertificates {
                provider,
                authorities,
                required,
            }))
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|e| {
        anyhow::anyhow!("certificate {} with key {}: {e}", tls.certificate.display(), tls.key.display())
    })?;
    if tls.clients.is_some() {
        // A resumed session has the certificate of its first handshake, which is not verified again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|e| anyhow::anyhow!("certificate {}: {e}", file.display()))?;
    anyhow::ensure!(!found.is_empty(), "certificate {}: holds no PEM certificate", file.display());
    Ok(found)
}

fn authorities_of(
    file: &Path,
    provider: &Arc<CryptoProvider>,
) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|e| anyhow::anyhow!("certificate {}: {e}", file.display()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|e| anyhow::anyhow!("certificate {}: {e}", file.display()))
}

/// Who may connect with which certificate. That the client holds its key is always verified. Without authorities that is
/// all: which certificate a token is bound to, its issuer has decided (RFC 8705 3).
#[derive(Debug)]
struct ClientCertificates {
    provider: Arc<CryptoProvider>,
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    required: bool,
}

impl ClientCertVerifier for ClientCertificates {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.as_ref().map_or(&[], |authorities| authorities.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // Pingora reads names out of every client's certificate in this way, and panics where it cannot.
        if x509_parser::parse_x509_certificate(end_entity).is_err() {
            return Err(CertificateError::BadEncoding.into());
        }
        match &self.authorities {
            Some(authorities) => authorities.verify_client_cert(end_entity, intermediates, now),
            None => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_pingora_could_not_read_ends_the_handshake() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let any = ClientCertificates { provider, authorities: None, required: false };
        for der in
            [&b""[..], b"\x30", b"\x30\x00", b"\x30\x84\xff\xff\xff\xff", &[0x30; 64], b"no certificate"]
        {
            let certificate = CertificateDer::from(der);
            let verified = any.verify_client_cert(&certificate, &[], UnixTime::now());
            assert_eq!(verified.err(), Some(CertificateError::BadEncoding.into()), "{der:?}");
        }
    }
}
