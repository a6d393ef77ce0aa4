//! Calls that send one statement.

use sqlx::query::Query;
use sqlx::{Database, Executor, IntoArguments};

use super::call::Connections;
use super::server::Server;
use crate::Result;
use crate::sql::purpose::Purpose;

/// This is a statement with its arguments.
pub(crate) type BoundStatement<DB> = Query<'static, DB, <DB as Database>::Arguments>;

impl<DB> Connections<DB>
where
    DB: Server,
    DB::Arguments: IntoArguments<DB> + 'static,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// Runs a statement that changes nothing, and returns its rows.
    pub(crate) async fn read_rows(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> BoundStatement<DB>,
    ) -> Result<Vec<DB::Row>> {
        let statement = &statement;
        let work =
            || async move |connection: &mut DB::Connection| statement().fetch_all(connection).await;
        self.read(purpose, work).await
    }

    /// Runs a statement that writes, and returns its rows once it is committed.
    pub(crate) async fn write_rows(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> BoundStatement<DB>,
    ) -> Result<Vec<DB::Row>> {
        let statement = &statement;
        let work =
            || async move |connection: &mut DB::Connection| statement().fetch_all(connection).await;
        self.write(purpose, work, |rows: &Vec<DB::Row>| !rows.is_empty()).await
    }

    /// Runs a statement that writes, and returns the server's result once it is committed.
    pub(crate) async fn execute(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> BoundStatement<DB>,
    ) -> Result<DB::QueryResult> {
        let statement = &statement;
        let work =
            || async move |connection: &mut DB::Connection| statement().execute(connection).await;
        self.write(purpose, work, DB::did_work).await
    }
}
