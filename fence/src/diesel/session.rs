//! The connections of diesel run a fence's statements.

use std::future::ready;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::time::Duration;

use diesel::RunQueryDsl;
use diesel::connection::{LoadConnection, TransactionManager};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::error_text::failure;
use super::query::FenceQuery;
use crate::sql::failure::Failure;
use crate::sql::session::Session;
use crate::sql::{Database, Statement, Values};

/// A connection of a backend runs a fence's statements.
pub(super) struct DieselSession<'a, DB, C> {
    connection: &'a mut C,
    backend: PhantomData<fn() -> DB>,
}

impl<'a, DB, C> DieselSession<'a, DB, C> {
    pub(super) fn new(connection: &'a mut C) -> Self {
        Self { connection, backend: PhantomData }
    }
}

/// Returns how many transactions are open within each other; the inner ones are savepoints.
fn depth<C: LoadConnection>(connection: &mut C) -> u32 {
    let status = <C::TransactionManager as TransactionManager<C>>::transaction_manager_status_mut(
        connection,
    );
    status.transaction_depth().ok().flatten().map_or(0, NonZeroU32::get)
}

/// Implements [`Session`] for the connections of a backend.
macro_rules! session {
    ($backend:ty, $database:expr) => {
        impl<C: LoadConnection<Backend = $backend>> DieselSession<'_, $backend, C> {
            fn query_number(
                connection: &mut C,
                statement: &Statement,
                values: Values<'_>,
            ) -> QueryResult<Option<i64>> {
                if !statement.returns_rows() {
                    let command = FenceQuery::<Nullable<BigInt>>::new(statement, values);
                    return command.execute(connection).map(|_| None);
                }
                let query = FenceQuery::<Nullable<BigInt>>::new(statement, values);
                let rows = query.load::<Option<i64>>(connection)?;
                Ok(rows.into_iter().next().flatten())
            }

            fn run_transaction(
                &mut self,
                first: Option<&str>,
                statements: &[Statement],
                values: Values<'_>,
                last: Option<&str>,
            ) -> QueryResult<Option<i64>> {
                self.connection.transaction(|connection| {
                    if let Some(script) = first {
                        connection.batch_execute(script)?;
                    }
                    let mut number = None;
                    for statement in statements {
                        number = Self::query_number(connection, statement, values)?;
                    }
                    if let Some(script) = last {
                        connection.batch_execute(script)?;
                    }
                    Ok(number)
                })
            }
        }

        impl<C: LoadConnection<Backend = $backend>> Session for DieselSession<'_, $backend, C> {
            const DATABASE: Database = $database;

            fn in_transaction(&mut self) -> bool {
                depth(&mut *self.connection) > 0
            }

            fn in_savepoint(&mut self) -> bool {
                depth(&mut *self.connection) > 1
            }

            fn run_script(
                &mut self,
                script: &str,
            ) -> impl Future<Output = Result<(), Failure>> + Send {
                ready(self.connection.batch_execute(script).map_err(|it| failure($database, it)))
            }

            fn number(
                &mut self,
                statement: &Statement,
                values: Values<'_>,
            ) -> impl Future<Output = Result<Option<i64>, Failure>> + Send {
                let number = Self::query_number(&mut *self.connection, statement, values);
                ready(number.map_err(|error| failure($database, error)))
            }

            fn texts(
                &mut self,
                statement: &Statement,
                values: Values<'_>,
            ) -> impl Future<Output = Result<Vec<String>, Failure>> + Send {
                let query = FenceQuery::<Text>::new(statement, values);
                let texts = query.load::<String>(&mut *self.connection);
                ready(texts.map_err(|error| failure($database, error)))
            }

            fn transact(
                &mut self,
                first: Option<&str>,
                statements: &[Statement],
                values: Values<'_>,
                last: Option<&str>,
            ) -> impl Future<Output = Result<Option<i64>, Failure>> + Send {
                let number = self.run_transaction(first, statements, values, last);
                ready(number.map_err(|error| failure($database, error)))
            }

            fn pause(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
                std::thread::sleep(time);
                ready(())
            }
        }
    };
}

#[cfg(feature = "diesel-postgres")]
session!(diesel::pg::Pg, Database::Postgres);

#[cfg(feature = "diesel-mysql")]
session!(diesel::mysql::Mysql, Database::MySql);

#[cfg(feature = "diesel-sqlite")]
session!(diesel::sqlite::Sqlite, Database::Sqlite);
