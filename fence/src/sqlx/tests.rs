//! The pool of a fence, on SQLite.

use leasehold_core::{FencingToken, LockName};
use sqlx::sqlite::SqlitePoolOptions;

use super::*;

#[tokio::test]
async fn raise_waits_for_a_connection_of_the_pool_up_to_its_limit() {
    // The pool's own limit, of 30 seconds, has another message.
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await;
    let pool = pool.unwrap();
    let table = SqliteFenceTable::open(&pool, &Namespace::default(), Schema::Create).await;
    let name = LockName::new("ledger").unwrap();
    let fence = table.unwrap().fence(&Term::new(&name, FencingToken::new(7).unwrap()));
    let only = pool.acquire().await.unwrap();
    let error = fence.raise(&pool, Duration::from_millis(10)).await.unwrap_err();
    assert!(error.to_string().contains("no free connection"), "{error}");
    assert!(error.is_transient() && !error.is_blocked(), "{error}");
    drop(only);
    fence.raise(&pool, Duration::from_secs(60)).await.unwrap();
}
