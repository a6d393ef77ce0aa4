//! This module has the certificate files that a client's URL names.

use std::fs;

use leasehold_conformance::CaseResult;
use leasehold_test_servers::Certificates;
use tempfile::TempDir;

/// These are certificates of two authorities, in a temporary folder.
pub(crate) struct Files {
    pub(crate) certificates: Certificates,
    folder: TempDir,
}

impl Files {
    /// Writes `ca.pem`, which signed `cert.pem` with `key.pem`, and `other.pem`, which signed
    /// neither.
    pub(crate) fn new() -> CaseResult<Self> {
        let (certificates, folder) = (Certificates::new()?, TempDir::new()?);
        for (name, text) in [
            ("ca.pem", &certificates.authority),
            ("cert.pem", &certificates.client.certificate),
            ("key.pem", &certificates.client.key),
            ("other.pem", &Certificates::new()?.authority),
        ] {
            fs::write(folder.path().join(name), text)?;
        }
        Ok(Self { certificates, folder })
    }

    /// Returns the path of that file.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}
