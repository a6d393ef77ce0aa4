//! These cases cover the database in which the tables are.

use std::sync::Arc;

use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::expect::{extended, granted, held};
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{LeaseId, LockStoreExt};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, Executor};

use super::support::{LONG, fresh, name};
use super::{MySql, options};

/// An application may choose another database on a connection of its pool, such as that of a
/// tenant.
pub(super) async fn connections_to_different_databases_grant_a_name_once(
    backend: Arc<MySql>,
) -> CaseResult {
    let (first, namespace) = (fresh(), fresh());
    // This database's name must be quoted.
    let second = format!("Locks `{first}`");
    let quoted = format!("`{}`", second.replace('`', "``"));
    backend.execute(format!("CREATE DATABASE {first}; CREATE DATABASE {quoted}")).await?;
    let mut tables = Vec::new();
    for database in [first.as_str(), &quoted] {
        let set = format!("USE {database}");
        let pool = MySqlPoolOptions::new().max_connections(1).after_connect(move |session, _| {
            let set = set.clone();
            Box::pin(
                async move { session.execute(sqlx::raw_sql(AssertSqlSafe(set))).await.map(drop) },
            )
        });
        let pool = pool.connect(backend.url()).await?;
        // Both databases have the tables.
        let store = MySqlStore::from_pool(pool, &options(&namespace, Schema::Create)).await?;
        tables.push(store.table().to_owned());
    }
    assert_eq!(tables[1], format!("{quoted}.`{namespace}_locks`"));
    let pool = MySqlPoolOptions::new().max_connections(2).connect(backend.url()).await?;
    let (mut one, mut other) = (pool.acquire().await?, pool.acquire().await?);
    one.execute(sqlx::raw_sql(AssertSqlSafe(format!("USE {quoted}")))).await?;
    other.execute(sqlx::raw_sql(AssertSqlSafe(format!("USE {quoted}")))).await?;
    drop(one);
    let store = MySqlStore::from_pool(pool.clone(), &options(&namespace, Schema::Require)).await?;
    assert_eq!(store.table(), tables[1]);
    let client = Client::new(Arc::new(store));
    other.execute(sqlx::raw_sql(AssertSqlSafe(format!("USE {first}")))).await?;
    let one = pool.acquire().await?;
    drop(other);
    let lease = LeaseId::new();
    granted(client.acquire(&name("job"), lease, LONG).await?);
    let other = pool.acquire().await?;
    drop(one);
    held(client.acquire(&name("job"), LeaseId::new(), LONG).await?);
    // Heartbeats have their own connection.
    extended(client.store().renew_one(&name("job"), lease, LONG).await?);
    drop(other);
    for (table, rows) in tables.iter().zip([0_i64, 1]) {
        let count = sqlx::query_scalar(AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")));
        assert_eq!(count.fetch_one(backend.admin()).await.unwrap_or(-1), rows, "{table}");
    }
    backend.execute(format!("DROP DATABASE {first}; DROP DATABASE {quoted}")).await?;
    Ok(())
}
