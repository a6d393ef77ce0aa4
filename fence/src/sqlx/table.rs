//! The tables of a namespace, from which the fences of its terms are created.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use leasehold_core::Namespace;
use sqlx::{Database, Pool};

use super::fence::Fence;
use super::pool::acquire;
use super::session::SqlxSession;
use crate::error::Result;
use crate::schema::Schema;
use crate::sql::{Statements, protocol};
use crate::term::Term;

/// A fence table creates the fences of a namespace, whose tables were found or created.
pub struct FenceTable<DB> {
    statements: Arc<Statements>,
    database: PhantomData<fn() -> DB>,
}

#[allow(private_bounds, reason = "the databases are those of this module")]
impl<DB> FenceTable<DB>
where
    DB: Database,
    DB::Connection: SqlxSession,
{
    /// Finds the fence's tables, or creates those that are missing if `schema` allows it.
    ///
    /// # Errors
    /// This fails with a [`Datastore`](crate::Error::Datastore) error if a table is missing and may
    /// not be created, or is not as this crate creates it.
    ///
    /// # Cancel safety
    /// If the future is dropped, some tables may have been created; open them again.
    pub async fn open(pool: &Pool<DB>, namespace: &Namespace, schema: Schema) -> Result<Self> {
        let mut connection = acquire(pool).await?;
        Self::open_on(&mut connection, namespace, schema).await
    }

    /// Finds the fence's tables, or creates those that are missing, on this connection.
    ///
    /// sqlx does not detect a transaction that was begun with a raw `BEGIN`: on MySQL, creating a
    /// table would commit it, and elsewhere rolling it back would remove the table.
    ///
    /// # Errors
    /// This fails as [`open`](Self::open) does, and if the connection is in a transaction.
    ///
    /// # Cancel safety
    /// If the future is dropped, some tables may have been created; open them again.
    pub async fn open_on(
        connection: &mut DB::Connection,
        namespace: &Namespace,
        schema: Schema,
    ) -> Result<Self> {
        let statements = protocol::open(connection, namespace, schema).await?;
        Ok(Self { statements: Arc::new(statements), database: PhantomData })
    }
}

impl<DB> FenceTable<DB> {
    /// Returns the fence of a term, without a call to the database.
    #[must_use]
    pub fn fence(&self, term: &Term) -> Fence<DB> {
        Fence::new(&self.statements, term)
    }
}

impl<DB> Clone for FenceTable<DB> {
    fn clone(&self) -> Self {
        Self { statements: Arc::clone(&self.statements), database: PhantomData }
    }
}

impl<DB> fmt::Debug for FenceTable<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FenceTable").field("database", &self.statements.database).finish()
    }
}
