//! These cases cover servers that are reached over TLS. Each case starts its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::postgres::PostgresStore;
use leasehold::{OpenOptions, Schema, url};
use leasehold_conformance::expect::extended;
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{Error, ErrorKind, Hint};
use leasehold_test_servers::catalog::POSTGRES;
use leasehold_test_servers::{Server, until_ready};
use sqlx::AssertSqlSafe;
use tokio::time::sleep;

use super::support::{LONG, fresh, name};
use super::{Postgres, options, pool, ready};
use crate::files::Files;

/// This is a server with a certificate. Over the network it accepts only clients that have a
/// certificate too, or that are encrypted.
struct Secured {
    _server: Server,
    url: String,
    files: Files,
}

impl Secured {
    /// Starts a server. `clients` is the part of a line in `pg_hba.conf` that follows the user.
    async fn start(backend: &Postgres, clients: &str) -> CaseResult<Self> {
        backend.needs("postgres").await?;
        let files = Files::new()?;
        let signed = &files.certificates;
        let there = [
            ("/certificates/ca.pem", signed.authority.as_str()),
            ("/certificates/server.pem", signed.server.certificate.as_str()),
            ("/certificates/key.pem", signed.server.key.as_str()),
        ];
        let server = Server::start_with_files(&POSTGRES, &[], &there).await?;
        let url = POSTGRES.url_at(&server.address());
        ready(&url).await?;
        // The key must belong to the server's own user. New connections follow the new rules.
        let hba = format!("hostssl all all all scram-sha-256 {clients}");
        let command = format!(
            "install -o postgres -m 600 /certificates/key.pem $PGDATA/key.pem \
             && echo 'local all all trust\n{hba}' > $PGDATA/pg_hba.conf"
        );
        let admin = pool(&url)?;
        for setting in [
            "ssl_key_file = 'key.pem'",
            "ssl_cert_file = '/certificates/server.pem'",
            "ssl_ca_file = '/certificates/ca.pem'",
            "ssl = on",
        ] {
            let set = AssertSqlSafe(format!("ALTER SYSTEM SET {setting}"));
            sqlx::raw_sql(set).execute(&admin).await?;
        }
        server.run(&["sh", "-c", &command]).await?;
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&admin).await?;
        let secured = Self { _server: server, url, files };
        let own = secured.url_for("verify-full", "ca.pem") + &secured.own_certificate();
        until_ready(|| async { url::open(&own, &OpenOptions::default()).await }).await?;
        Ok(secured)
    }

    /// Returns the server's URL for a client that trusts that authority.
    fn url_for(&self, mode: &str, authority: &str) -> String {
        format!("{}?sslmode={mode}&sslrootcert={}", self.url, self.files.path(authority))
    }

    /// Returns the options of a URL that name the client's own certificate.
    fn own_certificate(&self) -> String {
        let [cert, key] = ["cert.pem", "key.pem"].map(|file| self.files.path(file));
        format!("&sslcert={cert}&sslkey={key}")
    }

    async fn refusal(&self, url: &str) -> Error {
        let opened = url::open(url, &OpenOptions::default()).await;
        let error = opened.expect_err("it cannot be opened");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        error
    }
}

/// Acquires a lock, gets the hint of its release, and returns whether all sessions are encrypted.
async fn use_lock(url: &str) -> CaseResult<bool> {
    let store = PostgresStore::connect(url, &options(&fresh(), Schema::Create)).await?;
    let client = Client::new(Arc::new(store.clone()));
    let mut hints = client.watch().await?;
    let job = name("job");
    // A hint is lost if the listener is still connecting at the release, which takes long on a busy
    // machine.
    let releases = async {
        loop {
            let taken = client.acquire_free(&job, LONG).await?;
            extended(client.renew(&job, taken.lease, LONG).await?);
            client.release_held(&taken).await?;
            sleep(Duration::from_millis(200)).await;
        }
    };
    let hinted = async {
        while hints.next().await.expect("the watch continues") != Hint::Name(job.clone()) {}
    };
    tokio::select! {
        failed = releases => return failed,
        () = hinted => {}
    }
    let query = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE backend_type = 'client backend' AND client_addr IS NOT NULL";
    Ok(sqlx::query_scalar(query).fetch_one(store.pool()).await?)
}

pub(super) async fn locks_work_over_tls(backend: Arc<Postgres>) -> CaseResult {
    let server = Secured::start(&backend, "").await?;
    let by_name = server.url_for("verify-full", "ca.pem").replace("127.0.0.1", "localhost");
    for url in [
        server.url_for("verify-full", "ca.pem"),
        by_name,
        server.url_for("verify-ca", "ca.pem"),
        format!("{}?sslmode=require", server.url),
        // Without a mode the connection is encrypted if the server offers that, and any server is
        // accepted.
        server.url.clone(),
    ] {
        assert!(use_lock(&url).await?, "{url}");
    }
    // The server refuses a connection that is not encrypted.
    let error = server.refusal(&format!("{}?sslmode=disable", server.url)).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.to_string().contains("pg_hba.conf"), "{error}");
    Ok(())
}

pub(super) async fn a_client_certificate_is_presented(backend: Arc<Postgres>) -> CaseResult {
    let server = Secured::start(&backend, "clientcert=verify-ca").await?;
    let url = server.url_for("verify-full", "ca.pem");
    assert!(use_lock(&(url.clone() + &server.own_certificate())).await?);
    let error = server.refusal(&url).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    Ok(())
}

pub(super) async fn an_untrusted_server_certificate_is_refused(
    backend: Arc<Postgres>,
) -> CaseResult {
    let server = Secured::start(&backend, "").await?;
    let plain = format!("{}?sslmode=require", backend.url());
    for url in [
        server.url_for("verify-full", "other.pem"),
        server.url_for("verify-ca", "other.pem"),
        // The machine's own authorities have not signed it either.
        format!("{}?sslmode=verify-ca", server.url),
        // This server does not support TLS.
        plain,
    ] {
        let error = server.refusal(&url).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{url}: {error:?}");
        assert!(error.to_string().contains("sslrootcert"), "{url}: {error}");
    }
    let missing = server.refusal(&server.url_for("verify-ca", "nowhere.pem")).await;
    assert_eq!(missing.kind(), ErrorKind::Invalid, "{missing:?}");
    assert!(missing.to_string().contains("sslrootcert"), "{missing}");
    Ok(())
}
