//! Detects whether a connection has a session of its own, or goes through a pooler to sessions that
//! other clients use too.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row, SqlSafeStr};

use super::error_codes;
use crate::sql::error::connecting;
use crate::{Error, ErrorKind, LeaseId, Result};

/// This is what one connection reveals about what is behind it.
pub(super) struct PoolerProbe {
    /// The server knows a prepared statement under another name than the driver gave it. PgBouncer
    /// and similar poolers do this to separate prepared statements on sessions that clients share.
    pub(super) renamed: bool,
    /// The session's settings came with a startup message, which is probably the driver's own and
    /// not a pooler's.
    greeted: bool,
    /// The driver keeps prepared statements.
    keeps: bool,
}

/// Refuses a pooler that would run one client's statement for another.
pub(super) async fn check(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<()> {
    let probe = probe(connection).await.map_err(error_codes::not_written)?;
    let shared = probe.renamed || shares_sessions(connection, options, &probe).await?;
    if shared && !probe.renamed {
        let message = "a pooler shares the server's sessions between clients and does not keep \
                       their prepared statements apart";
        return Err(Error::new(ErrorKind::Unsupported, message).with_fix(
            "PgBouncer in transaction mode needs version 1.21 and max_prepared_statements above 0; \
             otherwise use its session mode, or connect to the server itself",
        ));
    }
    if shared && !probe.keeps {
        let message = "the pool keeps no prepared statements, and a pooler shares the server's \
                       sessions between clients";
        return Err(Error::invalid(message)
            .with_fix("leave statement_cache_capacity at its default, or set at least 10"));
    }
    if !probe.keeps {
        tracing::warn!(
            "the pool keeps no prepared statements: the server prepares a new one on every call; \
             set statement_cache_capacity to at least 10"
        );
    }
    Ok(())
}

/// Opens a second connection, and returns whether both share sessions.
async fn shares_sessions(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
    probe: &PoolerProbe,
) -> Result<bool> {
    let mut other = match options.connect().await {
        Ok(other) => other,
        // The server may accept no more connections. Few poolers set such settings.
        Err(error) if probe.greeted => {
            tracing::debug!(%error, "cannot check whether a pooler shares sessions");
            return Ok(false);
        }
        Err(error) => return Err(connecting::<sqlx::Postgres>(error)),
    };
    let shared = share_session(connection, &mut other).await.map_err(error_codes::not_written)?;
    _ = other.close().await;
    Ok(shared)
}

/// Prepares a statement that is never run, and reads how the server stored it. All of this is one
/// transaction, which keeps its session even behind a pooler.
pub(super) async fn probe(connection: &mut PgConnection) -> sqlx::Result<PoolerProbe> {
    let marker = LeaseId::new();
    let mut transaction = connection.begin().await?;
    let text = format!("SELECT '{marker}'");
    transaction.prepare(AssertSqlSafe(text).into_sql_str()).await?;
    let keeps = transaction.cached_statements_size() > 0;
    let query = format!(
        "SELECT quote_ident(name) AS name, name LIKE 'sqlx\\_s\\_%' AS own_name, \
             (SELECT coalesce(bool_and(source = 'client'), false) FROM pg_settings \
              WHERE name IN ('DateStyle', 'TimeZone', 'client_encoding')) AS greeted \
         FROM pg_prepared_statements WHERE statement = 'SELECT ''{marker}'''"
    );
    let rows = simple(&mut transaction, query).await?;
    let Some(row) = rows.first() else {
        // Something between the driver and the server keeps the statement, and prepares it on a
        // session when it is run.
        transaction.rollback().await?;
        return Ok(PoolerProbe { renamed: true, greeted: false, keeps });
    };
    let renamed = !row.try_get::<bool, _>("own_name")?;
    let probe = PoolerProbe { renamed, greeted: row.try_get("greeted")?, keeps };
    if !renamed {
        // The statement must not remain on a session that is shared.
        let name: &str = row.try_get("name")?;
        simple(&mut transaction, format!("DEALLOCATE {name}")).await?;
    }
    transaction.rollback().await?;
    Ok(probe)
}

/// Returns whether two connections that are open at the same time share sessions of the server.
///
/// Without a pooler, or with one in session mode, each has one session for as long as it is open.
/// With one in transaction mode, an idle pooler gives both the same session, and under load the
/// sessions change. Other clients can make each connection get its own session every time only by
/// chance. If the pooler renames statements, this check is skipped.
pub(super) async fn share_session(
    one: &mut PgConnection,
    other: &mut PgConnection,
) -> sqlx::Result<bool> {
    let (first, second) = (session(one).await?, session(other).await?);
    // The order repeats and changes, so that no fixed rotation of sessions can match it.
    for turn in [1, 1, 2, 2, 1, 2, 1, 1, 2, 2, 2, 1] {
        if first == second {
            return Ok(true);
        }
        let changed = match turn {
            1 => session(one).await? != first,
            _ => session(other).await? != second,
        };
        if changed {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn session(connection: &mut PgConnection) -> sqlx::Result<i32> {
    let rows = simple(connection, "SELECT pg_backend_pid() AS pid".to_owned()).await?;
    rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get("pid")
}

/// Runs statements in one message without bound values.
async fn simple(connection: &mut PgConnection, query: String) -> sqlx::Result<Vec<PgRow>> {
    sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(connection).await
}
