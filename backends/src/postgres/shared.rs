//! What the clones of a store share, and its ways to run a statement.

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgRow, Postgres};
use sqlx::query::Query;
use tokio::time::sleep;

use super::error;
use super::notifications::Notifications;
use super::row;
use super::sql::Sql;
use crate::common::CorruptRecord;
use crate::common::pool_call::{CallError, Connections};
use crate::common::row::get;
use crate::common::server::Purpose;
use crate::common::timeout::CALL_LIMIT;
use crate::{Clock, Error, ErrorKind, LockName, LockRecord, Result, SystemClock};

/// A statement with its arguments.
pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// A statement that the server rolled back for the sake of another is repeated for this long.
const REPEAT_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct PostgresInner {
    pub(super) label: String,
    pub(super) pool: PgPool,
    pub(super) connections: Connections<Postgres>,
    pub(super) sql: Sql,
    /// The one listener that all watches of this store share.
    pub(super) notifications: Notifications,
}

impl PostgresInner {
    /// Runs a statement that writes, and gives its rows once it is committed.
    pub(super) async fn write<'q>(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<Vec<PgRow>> {
        let give_up = SystemClock.now() + REPEAT_LIMIT;
        let mut round = 1;
        loop {
            match self.call(purpose, &statement).await {
                Err(error) if error::is_conflict(&error) && SystemClock.now() < give_up => {
                    round += 1;
                    pause(round).await;
                }
                Err(error) => return Err(error::writing(error)),
                Ok(rows) => return Ok(rows),
            }
        }
    }

    /// Runs a statement that changes nothing.
    pub(super) async fn read<'q>(
        &self,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<Vec<PgRow>> {
        self.call(Purpose::Read, &statement).await.map_err(error::reading)
    }

    async fn call<'q>(
        &self,
        purpose: Purpose,
        statement: &impl Fn() -> Statement<'q>,
    ) -> Result<Vec<PgRow>, CallError> {
        let work = || {
            async move |connection: &mut PgConnection| match statement()
                .fetch_all(&mut *connection)
                .await
            {
                Err(error) if error::is_stale_statement(&error) => {
                    use sqlx::Connection;
                    connection.clear_cached_statements().await?;
                    statement().fetch_all(connection).await
                }
                done => done,
            }
        };
        self.connections.call(purpose, work).await
    }

    /// Runs a statement that either does its work or answers with the row that stood against it,
    /// until `answer` makes sense of what it says.
    ///
    /// It makes none when the row changed while the statement waited for it: the statement saw the
    /// row as it was before. That it did change means that somebody else got on.
    pub(super) async fn decide<'q, T>(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> Statement<'q>,
        answer: impl Fn(bool, LockRecord) -> Option<T>,
    ) -> Result<T> {
        let give_up = SystemClock.now() + CALL_LIMIT;
        for round in 1.. {
            let rows = self.write(purpose, &statement).await?;
            if let Some(row) = rows.first() {
                let done = get(row, "done").map_err(|corrupt| self.corrupt_row(corrupt))?;
                if let Some(answer) = answer(done, row::record(row, &self.sql.table)?) {
                    return Ok(answer);
                }
                if done {
                    return Err(
                        self.corrupt_row(CorruptRecord::new("its state contradicts itself"))
                    );
                }
            }
            if SystemClock.now() >= give_up {
                break;
            }
            pause(round).await;
        }
        Err(Error::new(ErrorKind::Unavailable, "the row changed whenever it was looked at")
            .with_fix("do too many clients want this lock at once?"))
    }

    pub(super) fn corrupt_row(&self, corrupt: CorruptRecord) -> Error {
        corrupt.into_error(&self.sql.table)
    }

    /// Completes an error with what it was about.
    pub(super) fn with_context(
        &self,
        operation: &'static str,
        name: Option<&LockName>,
    ) -> impl Fn(Error) -> Error {
        crate::common::with_context(operation, &self.label, name)
    }
}

/// Not at all at first; then longer, and never in step with others.
async fn pause(round: u32) {
    if round > 1 {
        let most = 1 << round.min(6);
        sleep(Duration::from_millis(fastrand::u64(0..=most))).await;
    }
}
