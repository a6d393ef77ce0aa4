//! These cases cover the write in the example, which is conditional on the lock's token.

use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::expect::granted;
use leasehold_conformance::{Backend, CaseResult, Failure, spawn};
use leasehold_core::LeaseId;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::time::{sleep, timeout};

use super::MySql;
use super::support::{LONG, fresh, name};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/mysql.rs");

/// Returns the example's statement for the tables of this case.
fn statement(namespace: &str) -> CaseResult<String> {
    let example = std::fs::read_to_string(EXAMPLE)?;
    let begin = example.find("UPDATE report").expect("the example has it");
    let end = begin + example[begin..].find('"').expect("it ends");
    let words: Vec<_> = example[begin..end].split_whitespace().filter(|w| *w != "\\").collect();
    let statement = words.join(" ").replace("report", &format!("{namespace}_report"));
    Ok(statement.replace("leasehold_locks", &format!("{namespace}_locks")))
}

/// The holder's write waits for another session's write while its lease expires. Either the lock is
/// not granted again before the write is done, or the write does not take place.
pub(super) async fn the_fenced_write_of_an_overtaken_holder_has_no_effect(
    backend: Arc<MySql>,
) -> CaseResult {
    for isolation in ["READ COMMITTED", "REPEATABLE READ"] {
        let namespace = fresh();
        let (client, next) = (
            backend.connect(backend.url(), &namespace).await?,
            backend.connect(backend.url(), &namespace).await?,
        );
        backend
            .execute(format!(
                "CREATE TABLE {namespace}_report (id int PRIMARY KEY, runs int NOT NULL); \
                 INSERT INTO {namespace}_report VALUES (1, 0)"
            ))
            .await?;
        let job = name("daily-report");
        let taken = client.acquire_free(&job, Duration::from_millis(500)).await?;

        let mut blocking = backend.admin().begin().await?;
        let block = format!("UPDATE {namespace}_report SET runs = runs WHERE id = 1");
        blocking.execute(sqlx::raw_sql(AssertSqlSafe(block))).await?;
        let mut session = MySqlConnection::connect(backend.url()).await?;
        let set = format!("SET SESSION TRANSACTION ISOLATION LEVEL {isolation}");
        session.execute(sqlx::raw_sql(AssertSqlSafe(set))).await?;
        let write = statement(namespace.as_str())?;
        let writing = spawn({
            let (job, token) = (job.clone(), i64::from(taken.token));
            async move {
                let done = sqlx::query(AssertSqlSafe(write)).bind(job.as_str()).bind(token);
                Ok(done.execute(&mut session).await?.rows_affected())
            }
        });
        let waits = async {
            let query = format!(
                "SELECT COUNT(*) FROM {} \
                 WHERE info LIKE 'UPDATE {namespace}_report SET runs = runs + 1%'",
                backend.process_list()
            );
            loop {
                let query = sqlx::query_scalar(AssertSqlSafe(query.clone()));
                let waiting: i64 = query.fetch_one(backend.admin()).await?;
                if waiting > 0 {
                    return Ok::<_, sqlx::Error>(());
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, waits).await.map_err(|_| Failure::new("the write does not begin"))??;
        // The statement has evaluated its condition, and now the lease expires.
        sleep(Duration::from_millis(700)).await;
        let granting = spawn({
            let (next, job) = (next.clone(), job.clone());
            async move { Ok(granted(next.acquire(&job, LeaseId::new(), LONG).await?)) }
        });
        sleep(Duration::from_millis(700)).await;
        let query = format!("SELECT token FROM {namespace}_locks WHERE name = 'daily-report'");
        let token: i64 =
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(backend.admin()).await?;
        let overtaken = token != i64::from(taken.token);
        blocking.rollback().await?;
        let written = writing.join().await?;
        assert!(!overtaken || written == 0, "{isolation}: an overtaken holder wrote");
        granting.join().await?;
        backend.execute(format!("DROP TABLE {namespace}_report")).await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}
