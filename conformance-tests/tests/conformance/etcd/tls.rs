//! These cases cover servers that are reached over TLS. Each case starts its own.

use std::sync::Arc;

use futures_util::StreamExt;
use leasehold_conformance::CaseResult;
use leasehold_conformance::expect::extended;
use leasehold_core::{Error, ErrorKind, Hint};
use leasehold_test_servers::catalog::ETCD;
use leasehold_test_servers::{Image, Server, until_ready};
use tokio::time::timeout;

use super::Etcd;
use super::support::{LIMIT, TTL, connect, name, namespace};
use crate::files::Files;

const SECURED: Image = Image {
    command: &[
        "etcd",
        "--listen-client-urls=https://0.0.0.0:2379",
        "--advertise-client-urls=https://127.0.0.1:2379",
        "--cert-file=/certificates/server.pem",
        "--key-file=/certificates/key.pem",
    ],
    ..ETCD
};

struct Secured {
    server: Server,
    files: Files,
}

impl Secured {
    async fn start(more: &[&str]) -> CaseResult<Self> {
        let files = Files::new()?;
        let signed = &files.certificates;
        let there = [
            ("/certificates/ca.pem", signed.authority.as_str()),
            ("/certificates/server.pem", signed.server.certificate.as_str()),
            ("/certificates/key.pem", signed.server.key.as_str()),
        ];
        let server = Server::start_with_files(&SECURED, more, &there).await?;
        let secured = Self { server, files };
        let namespace = namespace()?;
        let own =
            secured.url("etcds", &[("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")]);
        until_ready(|| connect(&own, &namespace)).await?;
        Ok(secured)
    }

    /// Returns the URL with options whose values are files.
    fn url(&self, scheme: &str, options: &[(&str, &str)]) -> String {
        let options: Vec<_> = options
            .iter()
            .map(|(option, file)| format!("{option}={}", self.files.path(file)))
            .collect();
        format!("{scheme}://{}?{}", self.server.address(), options.join("&"))
    }
}

async fn use_lock(url: &str) -> CaseResult {
    let client = connect(url, &namespace()?).await?;
    let mut hints = client.watch().await?;
    let taken = client.acquire_free(&name("job"), TTL).await?;
    extended(client.renew(&taken.name, taken.lease, TTL).await?);
    client.release_held(&taken).await?;
    assert_eq!(timeout(LIMIT, hints.next()).await?, Some(Hint::Name(taken.name)));
    Ok(())
}

async fn refusal(url: &str) -> CaseResult<Error> {
    let opened = timeout(LIMIT, connect(url, &namespace()?)).await?;
    Ok(opened.expect_err("it cannot be opened"))
}

pub(super) async fn locks_work_over_tls(_: Arc<Etcd>) -> CaseResult {
    let server = Secured::start(&[]).await?;
    use_lock(&server.url("etcds", &[("ca", "ca.pem")])).await?;
    // An option that names the authority turns TLS on.
    use_lock(&server.url("etcd", &[("ca", "ca.pem")])).await?;
    for (url, kind, part) in [
        (server.url("etcds", &[("ca", "other.pem")]), ErrorKind::Denied, "certificate"),
        // The machine's own authorities have not signed this certificate.
        (server.url("etcds", &[]), ErrorKind::Denied, "certificate"),
        (server.url("etcd", &[]), ErrorKind::Unavailable, "URL"),
        (server.url("etcds", &[("ca", "nowhere.pem")]), ErrorKind::Invalid, "nowhere.pem"),
    ] {
        let error = refusal(&url).await?;
        assert_eq!(error.kind(), kind, "{url}: {error:?}");
        assert!(error.to_string().contains(part), "{url}: {error}");
    }
    Ok(())
}

pub(super) async fn a_client_certificate_is_presented(_: Arc<Etcd>) -> CaseResult {
    let server =
        Secured::start(&["--client-cert-auth", "--trusted-ca-file=/certificates/ca.pem"]).await?;
    use_lock(&server.url("etcds", &[("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")]))
        .await?;
    let error = refusal(&server.url("etcds", &[("ca", "ca.pem")])).await?;
    assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unavailable), "{error:?}");
    Ok(())
}
