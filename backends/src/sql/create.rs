//! Creates the tables of a server.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor};
use tokio::time::sleep;

use super::error::not_written;
use super::error_codes::ErrorCodes;
use crate::Result;

/// Creating is tried this often while others create the same.
const TRIES: u32 = 10;

/// Runs a script that creates a table if it is missing. What collides with others that create the
/// same, such as a migration, is tried again.
pub(crate) async fn create<DB>(connection: &mut DB::Connection, script: &str) -> Result<()>
where
    DB: ErrorCodes,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    for round in 1.. {
        let statements = sqlx::raw_sql(AssertSqlSafe(script.to_owned()));
        match (&mut *connection).execute(statements).await {
            Ok(_) => break,
            Err(error) if DB::is_creation_race(&error) && round < TRIES => {
                sleep(Duration::from_millis(fastrand::u64(5..50))).await;
            }
            Err(error) => return Err(not_written::<DB>(error)),
        }
    }
    Ok(())
}
