//! Decides whether a name is granted or disabled.

use sqlx::sqlite::SqliteConnection;

use super::calls::{Commit, Sqlite};
use super::clock::Now;
use super::error_codes;
use crate::shell::Decision;
use crate::sql::purpose::Purpose;
use crate::sql::row::{get, token};
use crate::sql::statement::{Statement, Values};
use crate::{FencingToken, LockRecord, Result};

/// This is what was decided about an attempt, with the token if a name was granted.
type Decided = Decision<Option<FencingToken>>;

impl Sqlite {
    /// Decides by one statement that commits by itself; another one reads the record.
    ///
    /// Returns `None` if nothing was changed and there is no reason for it. A transaction then
    /// decides: the record changed in between, or the grant needs a clock that is read when the
    /// write lock is held.
    pub(super) async fn decide_at_once(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<Option<Decided>> {
        if self.write_connection.is_none() {
            return Ok(None);
        }
        let work = async |connection: &mut SqliteConnection, now: Now| -> Result<Option<Decided>> {
            if purpose == Purpose::Acquire {
                return self.acquire_at_once(connection, values, now).await;
            }
            let done = self.attempt(connection, purpose, statement, values, now).await?;
            if done.is_some() {
                return Ok(done);
            }
            // The attempt may have waited for the write lock.
            let record = self.stored_lock(connection, values, self.clock.now()).await?;
            let reason = record.filter(|record| refuses(record, purpose));
            Ok(reason.map(Decision::Refused))
        };
        self.write(purpose, Commit::EachStatement, work).await
    }

    /// Grants a name that is free and has a token. The record is read first: a refusal needs no
    /// write lock, unless this store itself released the name last, and the first grant of a name
    /// writes only in its transaction.
    async fn acquire_at_once(
        &self,
        connection: &mut SqliteConnection,
        values: &Values<'_>,
        now: Now,
    ) -> Result<Option<Decided>> {
        // A damaged record does not matter if its lease is over; the transaction finds that out.
        let Ok(Some(record)) = self.stored_lock(connection, values, now).await else {
            return Ok(None);
        };
        if refuses(&record, Purpose::Acquire) {
            return Ok(Some(Decision::Refused(record)));
        }
        if record.token.is_none() {
            return Ok(None);
        }
        let statement = &self.sql.statements.acquire_free;
        self.attempt(connection, Purpose::Acquire, statement, values, now).await
    }

    /// Decides in one transaction, in which the reason of a refusal is read too.
    pub(super) async fn decide_in_transaction(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<Decided> {
        let work = async |connection: &mut SqliteConnection, now: Now| -> Result<Decided> {
            if let Some(done) = self.attempt(connection, purpose, statement, values, now).await? {
                return Ok(done);
            }
            let record = self.stored_lock(connection, values, now).await?;
            let reason = record.filter(|record| refuses(record, purpose));
            reason.map(Decision::Refused).ok_or_else(|| self.contradiction())
        };
        self.write(purpose, Commit::Together, work).await
    }

    /// Returns `None` if the statement changed nothing.
    pub(super) async fn attempt(
        &self,
        connection: &mut SqliteConnection,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
        now: Now,
    ) -> Result<Option<Decided>> {
        // All rows are fetched, although there is one at most: SQLite commits after the last one,
        // and sqlx would ignore an error of that if it fetched only the first.
        let rows = self.bind(statement, values, now).fetch_all(connection).await;
        let rows = rows.map_err(error_codes::writing)?;
        let Some(row) = rows.first() else { return Ok(None) };
        if purpose != Purpose::Acquire {
            return Ok(Some(Decision::Done(None)));
        }
        let token = get(row, "token").and_then(token);
        let token = token.map_err(|corrupt| self.corrupt_row(corrupt))?;
        let token = token.ok_or_else(|| self.contradiction())?;
        Ok(Some(Decision::Done(Some(token))))
    }

    async fn stored_lock(
        &self,
        connection: &mut SqliteConnection,
        values: &Values<'_>,
        now: Now,
    ) -> Result<Option<LockRecord>> {
        let find = self.bind(&self.sql.statements.find, values, now).fetch_optional(connection);
        let row = find.await.map_err(error_codes::not_written)?;
        row.map(|row| self.record_at(&row, now)).transpose()
    }
}

/// Returns whether an attempt with that purpose is refused because of the record.
fn refuses(record: &LockRecord, purpose: Purpose) -> bool {
    record.disabled.is_some() || (purpose == Purpose::Acquire && record.is_in_use())
}
