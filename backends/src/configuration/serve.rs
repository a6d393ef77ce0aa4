//! The settings of `leasehold serve`.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use super::layer::MergedValues;
use crate::Result;

/// How the command line serves the HTTP control API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Serve {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The file with the token that callers must present.
    pub token_file: Option<PathBuf>,
    /// The server's certificate and those above it.
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key.
    pub tls_key: Option<PathBuf>,
    /// Maximum reads per second, for all callers together.
    pub max_reads: u32,
    /// Maximum writes per second, for all callers together.
    pub max_writes: u32,
    /// Maximum number of connections.
    pub max_connections: u32,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7475)),
            token_file: None,
            tls_cert: None,
            tls_key: None,
            max_reads: 200,
            max_writes: 20,
            max_connections: 512,
        }
    }
}

impl Serve {
    pub(super) fn new(merged: &MergedValues) -> Result<Self> {
        let default = Self::default();
        Ok(Self {
            listen: merged.address("listen")?.unwrap_or(default.listen),
            token_file: merged.path("admin_token_file")?,
            tls_cert: merged.path("tls_cert")?,
            tls_key: merged.path("tls_key")?,
            max_reads: merged.count("max_reads")?.unwrap_or(default.max_reads),
            max_writes: merged.count("max_writes")?.unwrap_or(default.max_writes),
            max_connections: merged
                .positive("max_connections")?
                .map_or(default.max_connections, NonZeroU32::get),
        })
    }

    /// The value of a setting that is one of these, to be shown.
    pub(super) fn shown(&self, name: &str) -> Option<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        match name {
            "listen" => Some(self.listen.to_string()),
            "admin_token_file" => path(&self.token_file),
            "tls_cert" => path(&self.tls_cert),
            "tls_key" => path(&self.tls_key),
            "max_reads" => Some(self.max_reads.to_string()),
            "max_writes" => Some(self.max_writes.to_string()),
            "max_connections" => Some(self.max_connections.to_string()),
            _ => None,
        }
    }
}
