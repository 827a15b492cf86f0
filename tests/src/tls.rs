//! TLS in front of the gateway: a certificate of the test's own, and clients that trust no other.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use h2::client::SendRequest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::program::Answer;
use crate::raw;

/// A certificate for loopback addresses, in files as the gateway reads them.
pub struct Certificate {
    /// The chain, PEM.
    pub chain: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    der: CertificateDer<'static>,
}

impl Certificate {
    /// Makes one in `folder`.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn make(folder: &Path) -> anyhow::Result<Self> {
        Self::named(folder, "tls")
    }

    /// Makes one in files of this name in `folder`.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn named(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        let (chain, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&chain, made.cert.pem())?;
        std::fs::write(&key, made.key_pair.serialize_pem())?;
        Ok(Self { chain, key, der: made.cert.der().clone() })
    }

    /// The certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// `x5t#S256` (RFC 8705 3.1).
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.der))
    }

    /// A listener's table in the gateway's configuration.
    pub fn listener(&self, address: SocketAddr) -> String {
        let (chain, key) = (self.chain.display(), self.key.display());
        format!(
            "\n[[listeners]]\naddress = \"{address}\"\ntls = {{ certificate = \"{chain}\", key = \"{key}\" }}\n"
        )
    }

    /// A connection to `to` that offers `protocol` by ALPN, which the server must choose.
    ///
    /// # Errors
    /// No connection, another certificate, or another protocol.
    pub async fn connect(&self, to: SocketAddr, protocol: &[u8]) -> anyhow::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(to).await?, protocol, None).await
    }

    /// TLS over a connection that is there, of somebody who holds the certificate `of` and shows it when asked.
    ///
    /// # Errors
    /// As [`Certificate::connect`].
    pub async fn over(
        &self,
        stream: TcpStream,
        protocol: &[u8],
        of: Option<&Self>,
    ) -> anyhow::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match of {
            None => config.with_no_client_auth(),
            Some(client) => {
                let key = PrivateKeyDer::from_pem_file(&client.key)?;
                config.with_client_auth_cert(vec![client.der.clone()], key)?
            }
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        stream.set_nodelay(true)?;
        let name = ServerName::from(stream.peer_addr()?.ip());
        let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        anyhow::ensure!(
            tls.get_ref().1.alpn_protocol() == Some(protocol),
            "the server chose another protocol"
        );
        Ok(tls)
    }
}

/// One HTTP/2 connection; its clones share it.
#[derive(Clone)]
pub struct Http2(SendRequest<Bytes>);

impl Http2 {
    /// Connects to `to`.
    ///
    /// # Errors
    /// No connection, or not HTTP/2.
    pub async fn connect(certificate: &Certificate, to: SocketAddr) -> anyhow::Result<Self> {
        Self::connect_from(IpAddr::from([127, 0, 0, 1]), certificate, to).await
    }

    /// Connects to `to` from another address of this machine.
    ///
    /// # Errors
    /// As [`Http2::connect`].
    pub async fn connect_from(
        from: IpAddr,
        certificate: &Certificate,
        to: SocketAddr,
    ) -> anyhow::Result<Self> {
        let stream = certificate.over(raw::connect_from(from, to).await?, b"h2", None).await?;
        Self::over(stream).await
    }

    /// Over a connection that is there.
    ///
    /// # Errors
    /// The other end does not speak HTTP/2.
    pub async fn over(stream: TlsStream<TcpStream>) -> anyhow::Result<Self> {
        let (requests, connection) = h2::client::handshake(stream).await?;
        // It ends with the last clone.
        tokio::spawn(connection);
        Ok(Self(requests))
    }

    /// Sends a request, and reads its answer whole.
    ///
    /// # Errors
    /// The stream or the connection was ended.
    pub async fn send(&self, request: http::Request<Bytes>) -> anyhow::Result<Answer> {
        let (head, body) = request.into_parts();
        let mut requests = self.0.clone().ready().await?;
        let request = http::Request::from_parts(head, ());
        let (response, mut sending) = requests.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            sending.send_data(body, true)?;
        }
        let (head, mut body) = response.await?.into_parts();
        let mut bytes = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(bytes).context("the answer is not text")?;
        Ok(Answer { status: head.status, headers: head.headers, text })
    }
}
