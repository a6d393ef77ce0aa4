//! The connections of sqlx run a fence's statements.

#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
use std::borrow::Cow;
use std::time::Duration;

#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use crate::sql::failure::Failure;
use crate::sql::session::Session;
use crate::sql::{Database, Statement, Value, Values};

/// A connection of sqlx also describes the errors of its driver, such as that of a refused login.
pub(crate) trait SqlxSession: Session {
    /// Describes an error of the driver.
    fn failure(error: sqlx::Error) -> Failure;
}

/// Returns the query for a statement with its values. The names are bound in the given form.
macro_rules! query {
    ($driver:ty, $statement:expr, $values:expr, |$name:ident| $bind:expr) => {{
        let mut query = sqlx::query::<$driver>(AssertSqlSafe($statement.shared_sql()));
        for value in $statement.values($values) {
            query = match value {
                Value::Name($name) => query.bind($bind),
                Value::Number(number) => query.bind(number),
            };
        }
        query
    }};
}

/// Implements [`Session`] for a connection: its driver and database, how it binds a name and reads
/// the first column of a row as text, and the function that describes its errors.
macro_rules! session {
    (
        $connection:ty,
        $driver:ty,
        $database:expr,
        |$name:ident| $bind:expr,
        |$row:ident| $text:expr,
        $failure:path
    ) => {
        impl Session for $connection {
            const DATABASE: Database = $database;

            async fn finish_rollback(&mut self) -> Result<(), Failure> {
                // The worker thread of SQLite rolls a dropped transaction back before it responds.
                // The other drivers do so before their next statement, and count it as ended.
                if Self::DATABASE == Database::Sqlite {
                    Connection::ping(&mut *self).await.map_err($failure)?;
                }
                Ok(())
            }

            fn in_transaction(&mut self) -> bool {
                Connection::is_in_transaction(&*self)
            }

            async fn run_script(&mut self, script: &str) -> Result<(), Failure> {
                let script = sqlx::raw_sql(AssertSqlSafe(script.to_owned()));
                Executor::execute(&mut *self, script).await.map_err($failure)?;
                Ok(())
            }

            async fn number(
                &mut self,
                statement: &Statement,
                values: Values<'_>,
            ) -> Result<Option<i64>, Failure> {
                let query = query!($driver, statement, values, |$name| $bind);
                match query.fetch_optional(&mut *self).await.map_err($failure)? {
                    Some(row) => row.try_get::<Option<i64>, _>(0).map_err(Failure::corrupt),
                    None => Ok(None),
                }
            }

            async fn texts(
                &mut self,
                statement: &Statement,
                values: Values<'_>,
            ) -> Result<Vec<String>, Failure> {
                let query = query!($driver, statement, values, |$name| $bind);
                let rows = query.fetch_all(&mut *self).await.map_err($failure)?;
                rows.iter().map(|$row| $text.map_err(Failure::corrupt)).collect()
            }

            async fn transact(
                &mut self,
                first: Option<&str>,
                statements: &[Statement],
                values: Values<'_>,
                last: Option<&str>,
            ) -> Result<Option<i64>, Failure> {
                let mut transaction = Connection::begin(&mut *self).await.map_err($failure)?;
                if let Some(script) = first {
                    Session::run_script(&mut *transaction, script).await?;
                }
                let mut number = None;
                for statement in statements {
                    number = Session::number(&mut *transaction, statement, values).await?;
                }
                if let Some(script) = last {
                    Session::run_script(&mut *transaction, script).await?;
                }
                transaction.commit().await.map_err($failure)?;
                Ok(number)
            }

            async fn pause(&mut self, time: Duration) {
                tokio::time::sleep(time).await;
            }
        }

        impl SqlxSession for $connection {
            fn failure(error: sqlx::Error) -> Failure {
                $failure(error)
            }
        }
    };
}

#[cfg(feature = "sqlx-postgres")]
session!(
    sqlx::PgConnection,
    sqlx::Postgres,
    Database::Postgres,
    |name| name,
    |row| row.try_get::<String, _>(0),
    postgres
);

#[cfg(feature = "sqlx-mysql")]
session!(
    sqlx::MySqlConnection,
    sqlx::MySql,
    Database::MySql,
    |name| name.as_bytes(),
    |row| row.try_get::<Vec<u8>, _>(0).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    mysql
);

#[cfg(feature = "sqlx-sqlite")]
session!(
    sqlx::SqliteConnection,
    sqlx::Sqlite,
    Database::Sqlite,
    |name| name,
    |row| row.try_get::<String, _>(0),
    sqlite
);

#[cfg(feature = "sqlx-postgres")]
fn postgres(error: sqlx::Error) -> Failure {
    let code = error.as_database_error().and_then(DatabaseError::code).map(Cow::into_owned);
    Failure::new(Database::Postgres, code.as_deref(), error)
}

#[cfg(feature = "sqlx-mysql")]
fn mysql(error: sqlx::Error) -> Failure {
    let number = |error: &sqlx::Error| {
        let error = error.as_database_error()?;
        let error = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?;
        Some(error.number().to_string())
    };
    let code = number(&error);
    Failure::new(Database::MySql, code.as_deref(), error)
}

#[cfg(feature = "sqlx-sqlite")]
fn sqlite(error: sqlx::Error) -> Failure {
    let code = error.as_database_error().and_then(DatabaseError::code).map(Cow::into_owned);
    Failure::new(Database::Sqlite, code.as_deref(), error)
}
