//! A fence's statements are run as queries of diesel.

use std::marker::PhantomData;

use diesel::RunQueryDsl;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
#[cfg(any(feature = "diesel-postgres", feature = "diesel-sqlite"))]
use diesel::sql_types::Text;

use crate::sql::{Statement, Value, Values};

/// This query runs a statement with its values, and its rows have one column of that type.
///
/// Unlike `sql_query` it is prepared once per connection, so that a check is one round trip.
pub(super) struct FenceQuery<'a, ST> {
    statement: &'a Statement,
    values: Vec<Value<'a>>,
    column: PhantomData<ST>,
}

impl<'a, ST> FenceQuery<'a, ST> {
    pub(super) fn new(statement: &'a Statement, values: Values<'a>) -> Self {
        Self { statement, values: statement.values(values).collect(), column: PhantomData }
    }
}

impl<ST> Query for FenceQuery<'_, ST> {
    type SqlType = ST;
}

impl<ST> QueryId for FenceQuery<'_, ST> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<ST, C> RunQueryDsl<C> for FenceQuery<'_, ST> {}

/// Implements the query for a backend, with the way in which it binds a name.
macro_rules! fragment {
    ($backend:ty, $name_type:ty, |$name:ident| $bind:expr) => {
        impl<ST> QueryFragment<$backend> for FenceQuery<'_, ST> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, $backend>) -> QueryResult<()> {
                let mut values = self.values.iter();
                for (at, piece) in self.statement.pieces().enumerate() {
                    if at > 0 {
                        match values.next() {
                            Some(Value::Name($name)) => {
                                out.push_bind_param::<$name_type, _>($bind)?;
                            }
                            Some(Value::Number(number)) => {
                                out.push_bind_param::<BigInt, _>(number)?;
                            }
                            None => {}
                        }
                    }
                    out.push_sql(piece);
                }
                Ok(())
            }
        }
    };
}

#[cfg(feature = "diesel-postgres")]
fragment!(diesel::pg::Pg, Text, |name| *name);

// A name is bound as bytes, so that no character set matters.
#[cfg(feature = "diesel-mysql")]
fragment!(diesel::mysql::Mysql, diesel::sql_types::Binary, |name| name.as_bytes());

#[cfg(feature = "diesel-sqlite")]
fragment!(diesel::sqlite::Sqlite, Text, |name| *name);
