//! These cases cover TLS with a private certificate authority.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use leasehold_conformance::{CaseResult, Failure};
use leasehold_core::ErrorKind;
use leasehold_test_servers::{Certificates, Server, until_ready};
use tempfile::TempDir;

use super::Redis;
use super::support::{LONG, fresh, name, open, refusal};

struct Secured {
    server: Server,
    files: TempDir,
}

impl Secured {
    /// Starts a server. `clients` is `yes` if clients need a certificate, and `no` otherwise.
    async fn start(backend: &Arc<Redis>, clients: &str) -> CaseResult<Self> {
        backend.needs_containers()?;
        let (signed, other) = (Certificates::new()?, Certificates::new()?);
        let options = [
            "--port",
            "0",
            "--tls-port",
            "6379",
            "--tls-cert-file",
            "/tmp/cert",
            "--tls-key-file",
            "/tmp/key",
            "--tls-ca-cert-file",
            "/tmp/ca",
            "--tls-auth-clients",
            clients,
        ];
        let there = [
            ("/tmp/cert", signed.server.certificate.as_str()),
            ("/tmp/key", signed.server.key.as_str()),
            ("/tmp/ca", signed.authority.as_str()),
        ];
        let server = Server::start_with_files(backend.image, &options, &there).await?;
        let files = TempDir::new()?;
        for (file, text) in [
            ("ca", &signed.authority),
            ("other_ca", &other.authority),
            ("cert", &signed.client.certificate),
            ("key", &signed.client.key),
            ("other_cert", &other.client.certificate),
            ("other_key", &other.client.key),
        ] {
            fs::write(files.path().join(file), text)?;
        }
        Ok(Self { server, files })
    }

    /// Returns the URL with options whose values are files of this test.
    fn url(&self, scheme: &str, options: &[(&str, &str)]) -> String {
        let file = |file: &str| Path::join(self.files.path(), file).display().to_string();
        let options = options.iter().map(|(name, value)| format!("{name}={}", file(value)));
        let options = options.collect::<Vec<_>>().join("&");
        format!("{scheme}://{}?{options}", self.server.address())
    }
}

pub(super) async fn a_private_certificate_authority_can_be_trusted(
    backend: Arc<Redis>,
) -> CaseResult {
    let secured = Secured::start(&backend, "no").await?;
    let good = secured.url("rediss", &[("ca", "ca")]);
    let client = until_ready(|| async { open(&good, &fresh()).await }).await?;
    let _hints = client.watch().await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    client.release_held(&taken).await?;
    for (url, kind, part) in [
        (secured.url("rediss", &[]), ErrorKind::Denied, "certificate"),
        (secured.url("rediss", &[("ca", "other_ca")]), ErrorKind::Denied, "certificate"),
        (secured.url("redis", &[]), ErrorKind::Unavailable, "TLS"),
        (secured.url("redis", &[("ca", "ca")]), ErrorKind::Invalid, "rediss://"),
        (secured.url("rediss", &[("ca", "none")]), ErrorKind::Invalid, "cannot be read"),
        (secured.url("rediss", &[("ca", "key")]), ErrorKind::Invalid, "no certificate"),
    ] {
        let (error, details) = refusal(&url).await;
        assert_eq!(error.kind(), kind, "{url}: {details}");
        assert!(error.to_string().contains(part), "{url}: {details}");
    }
    Ok(())
}

pub(super) async fn a_client_certificate_is_presented(backend: Arc<Redis>) -> CaseResult {
    let secured = Secured::start(&backend, "yes").await?;
    let good = secured.url("rediss", &[("ca", "ca"), ("cert", "cert"), ("key", "key")]);
    let client = until_ready(|| async { open(&good, &fresh()).await }).await?;
    client.acquire_free(&name("job"), LONG).await?;
    let other =
        secured.url("rediss", &[("ca", "ca"), ("cert", "other_cert"), ("key", "other_key")]);
    for url in [secured.url("rediss", &[("ca", "ca")]), other] {
        let (error, details) = refusal(&url).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{url}: {details}");
        assert!(error.to_string().contains("cert"), "{url}: {details}");
    }
    let half = secured.url("rediss", &[("ca", "ca"), ("cert", "cert")]);
    let (error, details) = refusal(&half).await;
    if error.kind() != ErrorKind::Invalid {
        return Err(Failure::new(details));
    }
    Ok(())
}
