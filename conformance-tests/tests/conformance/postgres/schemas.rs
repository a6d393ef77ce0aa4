//! These cases cover the schema in which the tables are, and the version that the tables state.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::{granted, held};
use leasehold_conformance::{Backend, CaseResult, Client};
use leasehold_core::{ErrorKind, LeaseId, Namespace};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor};

use super::support::{LONG, fresh, name};
use super::{Postgres, options};

pub(super) async fn connections_with_different_search_paths_grant_a_name_once(
    backend: Arc<Postgres>,
) -> CaseResult {
    let (first, namespace) = (fresh(), fresh());
    // This schema's name must be quoted.
    let second = format!("\"Locks '{first}'\"");
    backend.execute(format!("CREATE SCHEMA {first}; CREATE SCHEMA {second}")).await?;
    for schema in [&*second, first.as_str()] {
        let url = backend.url_with("application_name=both");
        let pool = PgPoolOptions::new().max_connections(1).after_connect({
            let set = format!("SET search_path = {schema}");
            move |connection, _| {
                let set = set.clone();
                Box::pin(async move {
                    connection.execute(sqlx::raw_sql(AssertSqlSafe(set))).await?;
                    Ok(())
                })
            }
        });
        let pool = pool.connect(&url).await?;
        // Both schemas have the tables.
        PostgresStore::from_pool(pool, &options(&namespace, Schema::Create)).await?;
    }
    let opened = Arc::new(AtomicUsize::new(0));
    let pool = PgPoolOptions::new().max_connections(2).after_connect({
        let paths = [second.clone(), first.to_string()];
        move |connection, _| {
            let path = &paths[opened.fetch_add(1, Ordering::Relaxed) % 2];
            let set = format!("SET search_path = {path}");
            Box::pin(async move {
                connection.execute(sqlx::raw_sql(AssertSqlSafe(set))).await?;
                Ok(())
            })
        }
    });
    let pool = pool.connect(backend.url()).await?;
    let store =
        PostgresStore::from_pool(pool.clone(), &options(&namespace, Schema::Create)).await?;
    assert_eq!(store.table(), format!("{second}.{namespace}_locks"));
    let table = store.table().to_owned();
    let client = Client::new(Arc::new(store));
    let (one, other) = (pool.acquire().await?, pool.acquire().await?);
    drop(one);
    granted(client.acquire(&name("job"), LeaseId::new(), LONG).await?);
    let one = pool.acquire().await?;
    drop(other);
    held(client.acquire(&name("job"), LeaseId::new(), LONG).await?);
    drop(one);
    let count = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")));
    let rows: i64 = count.fetch_one(backend.admin()).await?;
    assert_eq!(rows, 1);
    backend.execute(format!("DROP SCHEMA {first} CASCADE; DROP SCHEMA {second} CASCADE")).await?;
    Ok(())
}

/// Returns the comments on both tables.
async fn comments(backend: &Postgres, namespace: &Namespace) -> CaseResult<[Option<String>; 2]> {
    let query = "SELECT obj_description(to_regclass($1 || '_locks'), 'pg_class'), \
                 obj_description(to_regclass($1 || '_instances'), 'pg_class')";
    let query = sqlx::query_as(query).bind(namespace.as_str());
    let (locks, instances) = query.fetch_one(backend.admin()).await?;
    Ok([locks, instances])
}

pub(super) async fn tables_have_their_schema_version_as_a_comment(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let version_1 = [Some("leasehold schema 1".to_owned()), Some("leasehold schema 1".to_owned())];
    backend.connect(backend.url(), &namespace).await?;
    assert_eq!(comments(&backend, &namespace).await?, version_1);
    // Tables from before the first version are used as they are, and nothing is written.
    let unversioned = format!(
        "COMMENT ON TABLE {namespace}_locks IS NULL; COMMENT ON TABLE {namespace}_instances IS NULL"
    );
    backend.execute(unversioned).await?;
    let client = backend.connect(backend.url(), &namespace).await?;
    client.release_held(&client.acquire_free(&name("job"), LONG).await?).await?;
    assert_eq!(comments(&backend, &namespace).await?, [None, None]);
    // The printed statements add the version.
    backend.execute(PostgresStore::schema(&namespace)?).await?;
    assert_eq!(comments(&backend, &namespace).await?, version_1);
    assert!(client.get(&name("job")).await?.is_some(), "nothing is lost");
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_later_schema_is_refused(backend: Arc<Postgres>) -> CaseResult {
    for table in ["locks", "instances"] {
        let namespace = fresh();
        backend.connect(backend.url(), &namespace).await?;
        let newer = format!("COMMENT ON TABLE {namespace}_{table} IS 'leasehold schema 2'");
        backend.execute(newer).await?;
        for schema in [Schema::Create, Schema::Require] {
            let opened = PostgresStore::connect(backend.url(), &options(&namespace, schema)).await;
            let error = opened.expect_err("it is newer");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
            assert!(error.to_string().contains("use a newer version"), "{error}");
        }
        backend.clean(&namespace).await?;
    }
    Ok(())
}
