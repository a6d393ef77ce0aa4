//! These cases cover an asynchronous standby, and the writes that a failover to it loses.

use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::CaseResult;
use leasehold_conformance::expect::{granted, lost};
use leasehold_core::{ErrorKind, LeaseId};
use leasehold_test_servers::catalog::POSTGRES;
use leasehold_test_servers::{Image, Server, until_ready};
use sqlx::AssertSqlSafe;

use super::support::{LONG, fresh, name};
use super::{Postgres, options, pool, ready, start};

/// This is a copy of the server whose address follows the command. Streaming keeps it up to date. A
/// standby must allow as many connections as its primary.
const STANDBY: Image = Image {
    command: &[
        "sh",
        "-c",
        "export PGPASSWORD=secret; \
         install -d -o postgres -g postgres -m 700 /tmp/data; \
         exec runuser -u postgres -- sh -c \"pg_basebackup -h $0 -U postgres -D /tmp/data -R \
         && exec postgres -D /tmp/data -k /tmp -c listen_addresses='*' -c max_connections=300\"",
    ],
    ..POSTGRES
};

struct Pair {
    primary: (Server, String),
    standby: (Server, String),
}

impl Pair {
    async fn start() -> CaseResult<Self> {
        let primary = start(&[]).await?;
        let address = primary.0.run(&["hostname", "-i"]).await?;
        let server = Server::start_with(&STANDBY, &[address.trim()]).await?;
        let url = STANDBY.url_at(&server.address());
        ready(&url).await?;
        Ok(Self { primary, standby: (server, url) })
    }

    /// Runs SQL on the standby.
    async fn on_standby(&self, sql: &str) -> CaseResult {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool(&self.standby.1)?).await?;
        Ok(())
    }

    /// Waits until the standby has everything that the primary has.
    async fn caught_up(&self) -> CaseResult {
        let here = sqlx::query_scalar::<_, String>("SELECT pg_current_wal_lsn()::text");
        let here = here.fetch_one(&pool(&self.primary.1)?).await?;
        let sql = format!("SELECT 1 / (pg_last_wal_replay_lsn() >= '{here}')::int");
        until_ready(|| self.on_standby(&sql)).await?;
        Ok(())
    }
}

pub(super) async fn tokens_increase_after_a_failover_that_lost_the_last_grant(
    backend: Arc<Postgres>,
) -> CaseResult {
    backend.needs("pg_basebackup").await?;
    let pair = Pair::start().await?;
    let (namespace, job) = (fresh(), name("job"));
    let primary = backend.connect(&pair.primary.1, &namespace).await?;
    let first = primary.acquire_free(&job, LONG).await?;
    pair.caught_up().await?;
    // From here on nothing reaches the standby.
    pair.on_standby("ALTER SYSTEM SET primary_conninfo = ''").await?;
    pair.on_standby("SELECT pg_reload_conf()").await?;
    let no_receiver = "SELECT 1 / (count(*) = 0)::int FROM pg_stat_wal_receiver";
    until_ready(|| pair.on_standby(no_receiver)).await?;
    primary.release_held(&first).await?;
    let last = primary.acquire_free(&job, LONG).await?;
    pair.primary.0.stop().await?;
    pair.on_standby("SELECT pg_promote()").await?;
    let standby = backend.connect(&pair.standby.1, &namespace).await?;
    // The last grant is lost, and its holder learns that. The earlier lease is in force again.
    lost(standby.renew(&job, last.lease, LONG).await?);
    standby.release_held(&first).await?;
    let next = granted(standby.acquire(&job, LeaseId::new(), Duration::from_secs(5)).await?);
    assert!(next.token > last.token, "{next:?} after {last:?}");
    Ok(())
}

pub(super) async fn a_standby_is_refused(backend: Arc<Postgres>) -> CaseResult {
    backend.needs("pg_basebackup").await?;
    let pair = Pair::start().await?;
    let namespace = fresh();
    let primary = backend.connect(&pair.primary.1, &namespace).await?;
    primary.acquire_free(&name("job"), LONG).await?;
    pair.caught_up().await?;
    for schema in [Schema::Create, Schema::Require] {
        let opened = PostgresStore::connect(&pair.standby.1, &options(&namespace, schema)).await;
        let error = opened.expect_err("it accepts no writes");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(error.to_string().contains("primary"), "{error}");
    }
    Ok(())
}
