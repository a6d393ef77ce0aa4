//! The TLS configuration is read from files.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use leasehold_core::{Error, ErrorKind, Result};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};

/// A TLS configuration has a certificate chain and its key.
#[derive(Clone)]
pub struct Tls {
    pub(super) acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads a certificate chain, which starts with the server's own certificate, and its key, both
    /// as PEM.
    ///
    /// The files are read once: restart a server when its certificate is renewed.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Denied`] for a file that cannot be read, and with
    /// [`ErrorKind::Invalid`] for a file without a certificate or key, or a key that does not match
    /// the certificate.
    pub fn from_pem_files(certificates: &Path, key: &Path) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(certificates)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable(certificates, "certificate", error))?;
        if chain.is_empty() {
            return Err(Error::invalid(format!("{certificates:?} has no certificate")));
        }
        let secret = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| unreadable(key, "private key", error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|config| config.with_no_client_auth().with_single_cert(chain, secret))
            .and_then(|config| config)
            .map_err(|error| {
                Error::invalid(format!("{key:?} does not match {certificates:?}"))
                    .with_source(error)
            })?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

fn unreadable(file: &Path, what: &str, error: pem::Error) -> Error {
    match error {
        pem::Error::Io(error) => {
            Error::new(ErrorKind::Denied, format!("cannot read {file:?}")).with_source(error)
        }
        error => Error::invalid(format!("{file:?} does not contain a {what}")).with_source(error),
    }
}
