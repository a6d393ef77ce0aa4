//! This module makes certificates for servers that are reached over TLS. Each run makes new ones.

use leasehold_core::{Error, ErrorKind, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// This is a certificate authority with the certificates that it signed, all as PEM.
#[derive(Debug)]
pub struct Certificates {
    /// This certificate of the authority makes a client or a server trust the other two.
    pub authority: String,
    /// This is the certificate of a server at the loopback interface.
    pub server: Signed,
    /// This is the certificate of a client, whose common name is `leasehold`.
    pub client: Signed,
}

/// This is a certificate with its private key.
#[derive(Debug)]
pub struct Signed {
    /// This is the certificate as PEM.
    pub certificate: String,
    /// This is the private key in PKCS #8.
    pub key: String,
}

impl Certificates {
    /// Makes all certificates.
    ///
    /// # Errors
    /// Returns an error if the machine has no source of randomness.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "leasehold test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(broken)?;
        let authority = CertifiedIssuer::self_signed(params, key).map_err(broken)?;
        Ok(Self {
            server: signed(&authority, "localhost", &["localhost", "127.0.0.1"])?,
            client: signed(&authority, "leasehold", &[])?,
            authority: authority.pem(),
        })
    }
}

fn signed(
    authority: &CertifiedIssuer<'_, KeyPair>,
    common_name: &str,
    names: &[&str],
) -> Result<Signed> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(broken)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate().map_err(broken)?;
    let certificate = params.signed_by(&key, authority).map_err(broken)?;
    Ok(Signed { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn broken(source: rcgen::Error) -> Error {
    Error::new(ErrorKind::Unsupported, "no certificate can be made").with_source(source)
}
