//! These cases cover a server that is reached over TLS.

use std::sync::Arc;

use leasehold::mongodb::MongoStore;
use leasehold_conformance::expect::extended;
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{ErrorKind, LockName, Result};
use leasehold_test_servers::catalog::MONGODB;
use leasehold_test_servers::{Image, Server, until_ready};

use super::support::{TTL, new_namespace};
use crate::files::Files;
use crate::mongodb::backend::{MongoDb, options};

/// A standalone server. A member of a replica set would need its configuration over TLS.
const SECURED: Image = Image {
    command: &["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", "/certificates/server.pem"],
    ..MONGODB
};

async fn open(url: &str) -> Result<Client> {
    Ok(Client::new(Arc::new(MongoStore::connect(url, &options(&new_namespace()?)).await?)))
}

pub(super) async fn locks_work_over_tls(_: Arc<MongoDb>) -> CaseResult {
    let files = Files::new()?;
    let signed = &files.certificates.server;
    let both = format!("{}{}", signed.certificate, signed.key);
    let there = [("/certificates/server.pem", both.as_str())];
    let server = Server::start_with_files(&SECURED, &[], &there).await?;
    let url = |options: &str| format!("{}{options}", SECURED.url_at(&server.address()));
    let trusting = |file| url(&format!("&tls=true&tlsCAFile={}", files.path(file)));
    let client = until_ready(|| async { open(&trusting("ca.pem")).await }).await?;
    let taken = client.acquire_free(&LockName::new("job")?, TTL).await?;
    extended(client.renew(&taken.name, taken.lease, TTL).await?);
    client.release_held(&taken).await?;
    for (url, kind) in [
        (trusting("other.pem"), ErrorKind::Unavailable),
        (url("&tls=true"), ErrorKind::Unavailable),
        (url(""), ErrorKind::Unavailable),
        (trusting("nowhere.pem"), ErrorKind::Invalid),
    ] {
        let error = open(&url).await.expect_err("it cannot be opened");
        assert_eq!(error.kind(), kind, "{url}: {error:?}");
        assert!(error.to_string().to_lowercase().contains("tls"), "{url}: {error}");
    }
    Ok(())
}
