//! These cases cover servers that are reached over TLS. Each case starts its own.

use std::sync::Arc;

use leasehold::mysql::MySqlStore;
use leasehold::{OpenOptions, Schema, url};
use leasehold_conformance::expect::extended;
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{Error, ErrorKind};
use leasehold_test_servers::{Certificates, Server};
use tempfile::TempDir;

use super::support::{LONG, fresh, name};
use super::{MySql, options, ready};
use crate::broken::broken;

/// This is a server with a certificate, and the files that a client's URL names.
struct Secured {
    _server: Server,
    url: String,
    files: TempDir,
}

impl Secured {
    async fn start(backend: &MySql, more: &[&str]) -> CaseResult<Self> {
        backend.may_start_servers()?;
        let certificates = Certificates::new()?;
        let folder = |file: &str| format!("/certificates/{file}.pem");
        let (ca, certificate, key) = (folder("ca"), folder("server"), folder("key"));
        let arguments = [
            format!("--ssl-ca={ca}"),
            format!("--ssl-cert={certificate}"),
            format!("--ssl-key={key}"),
        ];
        let mut all: Vec<_> = arguments.iter().map(String::as_str).collect();
        all.extend(more);
        let contents = [
            (ca.as_str(), certificates.authority.as_str()),
            (certificate.as_str(), certificates.server.certificate.as_str()),
            (key.as_str(), certificates.server.key.as_str()),
        ];
        let server = Server::start_with_files(backend.image, &all, &contents).await?;
        let url = backend.image.url_at(&server.address());
        ready(&url).await?;
        let files = TempDir::new()?;
        std::fs::write(files.path().join("ca.pem"), &certificates.authority)?;
        std::fs::write(files.path().join("other.pem"), Certificates::new()?.authority)?;
        Ok(Self { _server: server, url, files })
    }

    /// Returns the server's URL for a client that trusts that authority.
    fn url_for(&self, mode: &str, authority: &str) -> String {
        let file = self.files.path().join(authority);
        format!("{}?ssl-mode={mode}&ssl-ca={}", self.url, file.display())
    }

    async fn refusal(&self, url: &str) -> Error {
        let opened = url::open(url, &OpenOptions::default()).await;
        opened.expect_err("it cannot be opened")
    }
}

/// Returns the cipher of the sessions of a store's pool, or nothing if they are not encrypted.
async fn cipher(store: &MySqlStore) -> CaseResult<String> {
    let query = "SHOW SESSION STATUS LIKE 'Ssl_cipher'";
    let (_, cipher): (String, String) = sqlx::query_as(query).fetch_one(store.pool()).await?;
    Ok(cipher)
}

pub(super) async fn locks_work_over_tls(backend: Arc<MySql>) -> CaseResult {
    let server = Secured::start(&backend, &["--require-secure-transport=ON"]).await?;
    let by_name = server.url_for("VERIFY_IDENTITY", "ca.pem").replace("127.0.0.1", "localhost");
    for url in [
        server.url_for("VERIFY_IDENTITY", "ca.pem"),
        by_name,
        server.url_for("VERIFY_CA", "ca.pem"),
        // Without a mode the connection is encrypted if the server offers that, and any server is
        // accepted.
        server.url.clone(),
    ] {
        let store = MySqlStore::connect(&url, &options(&fresh(), Schema::Create)).await?;
        let client = Client::new(Arc::new(store.clone()));
        let taken = client.acquire_free(&name("job"), LONG).await?;
        extended(client.renew(&taken.name, taken.lease, LONG).await?);
        client.release_held(&taken).await?;
        assert!(!cipher(&store).await?.is_empty(), "{url}");
    }
    // The server refuses a connection that is not encrypted.
    let error = server.refusal(&format!("{}?ssl-mode=DISABLED", server.url)).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.to_string().contains("ssl-mode"), "{error}");
    Ok(())
}

pub(super) async fn an_untrusted_server_certificate_is_refused(backend: Arc<MySql>) -> CaseResult {
    let server = Secured::start(&backend, &[]).await?;
    let wrong_name = server.url_for("VERIFY_IDENTITY", "ca.pem").replace("127.0.0.1", "127.0.0.2");
    let right_authority = wrong_name.replace("VERIFY_IDENTITY", "VERIFY_CA");
    for url in [
        server.url_for("VERIFY_IDENTITY", "other.pem"),
        server.url_for("VERIFY_CA", "other.pem"),
        // The machine's own authorities have not signed it either.
        format!("{}?ssl-mode=VERIFY_CA", server.url),
        wrong_name,
    ] {
        let error = server.refusal(&url).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{url}: {error:?}");
        assert!(error.to_string().contains("ssl-ca"), "{url}: {error}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    let missing = server.refusal(&server.url_for("VERIFY_CA", "nowhere.pem")).await;
    assert_eq!(missing.kind(), ErrorKind::Invalid, "{missing:?}");
    assert!(missing.to_string().contains("ssl-ca"), "{missing}");
    // A wrong host name does no harm if it is not checked. On some machines the container's port is
    // open only at one address of the loopback interface.
    if let Err(error) = url::open(&right_authority, &OpenOptions::default()).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
    let plain = MySqlStore::connect(&server.url, &OpenOptions::default()).await.map_err(broken)?;
    assert!(!cipher(&plain).await?.is_empty());
    Ok(())
}
