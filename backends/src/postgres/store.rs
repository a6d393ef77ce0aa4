//! This is the store that applications open.

use sqlx::postgres::PgPool;

use super::calls::Postgres;
use super::session::SessionSettings;
use super::sql::Sql;
use super::{schema, url};
use crate::common::timeout::read_timeout;
use crate::common::with_context;
use crate::shell::Store;
use crate::sql::error::connecting;
use crate::sql::pool::{Connections, Server, application_pool};
use crate::{Namespace, OpenOptions, Result};

/// This store keeps locks in a PostgreSQL database; see the [module](super) for what they
/// guarantee.
///
/// Clones share the same pool of connections and the same listener.
pub type PostgresStore = Store<Postgres>;

impl PostgresStore {
    /// Connects to the database of a URL such as `postgres://user:password@host/database`, with a
    /// pool of its own. The options are sqlx's, which are much like libpq's.
    ///
    /// A missing table is created if [`OpenOptions::schema`] allows.
    ///
    /// # Errors
    /// This returns [`Invalid`](crate::ErrorKind::Invalid) for an invalid URL, another kind of
    /// server, or a missing database or table; [`Denied`](crate::ErrorKind::Denied) for a wrong
    /// password, a missing right or a server that accepts no writes;
    /// [`Corrupt`](crate::ErrorKind::Corrupt) for a table that is not Leasehold's, which is left as
    /// it is; [`Unavailable`](crate::ErrorKind::Unavailable) if the server is not reached.
    ///
    /// # Cancel safety
    /// A dropped call leaves the schema either as it was or complete.
    pub async fn connect(url: &str, options: &OpenOptions) -> Result<Self> {
        let connect = url::from_url(url).map_err(|error| error.during("open"))?;
        let label = url::label(&connect);
        let session = SessionSettings::default();
        // One connection beforehand says what is wrong; a pool would say that it took too long.
        let check = async {
            let opened = sqlx::Postgres::open(&connect, &session).await;
            let mut connection = opened.map_err(connecting::<sqlx::Postgres>)?;
            let sql = schema::open(&mut connection, options, &connect).await?;
            Ok((connection, sql))
        };
        let opened = read_timeout(check).await;
        let (connection, sql) = opened.map_err(with_context("open", &label, None))?;
        let pool = application_pool::<sqlx::Postgres>(&connect, options.max_connections);
        let connections = Connections::own(pool.clone(), session);
        connections.adopt(connection);
        Ok(Self::build(pool, connections, label, sql))
    }

    /// Builds the store on a pool that the application already has.
    ///
    /// The pool's settings are left as they are. The tables are found, or created, by the search
    /// path of the connection that opens the store; from then on the search path of other
    /// connections makes no difference. Heartbeats, which must not wait behind the application's
    /// statements, and [`watch`](crate::LockStore::watch) open one connection each, outside of the pool,
    /// with the options that the pool has at that moment.
    ///
    /// A pool whose statement cache is off is refused behind a pooler such as PgBouncer.
    ///
    /// # Errors
    /// This fails for the same reasons as [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// A dropped call leaves the schema either as it was or complete.
    pub async fn from_pool(pool: PgPool, options: &OpenOptions) -> Result<Self> {
        let label = url::label(&pool.connect_options());
        let check = async {
            let mut connection = pool.acquire().await.map_err(connecting::<sqlx::Postgres>)?;
            let connect = pool.connect_options();
            let prepared = schema::open(&mut connection, options, &connect).await;
            if prepared.is_err() {
                connection.close_on_drop();
            }
            prepared
        };
        let sql = read_timeout(check).await.map_err(with_context("open", &label, None))?;
        let connections = Connections::of_application(pool.clone(), SessionSettings::default());
        Ok(Self::build(pool, connections, label, sql))
    }

    fn build(
        pool: PgPool,
        connections: Connections<sqlx::Postgres>,
        label: String,
        sql: Sql,
    ) -> Self {
        Self::new(Postgres::new(label, pool, connections, sql))
    }

    /// Returns the statements that create the tables of that namespace, for an application's
    /// migrations.
    ///
    /// # Errors
    /// This never fails, because every namespace can be used.
    pub fn schema(namespace: &Namespace) -> Result<String> {
        Ok(schema::text(namespace))
    }

    /// Returns the name of the table of locks, with its schema and quoted where needed, so that it
    /// can be used in SQL without changes. An application may read its columns `name` and `token`,
    /// which stay, to make a write in the same database conditional on a token being the latest of
    /// its lock.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.backend().sql.statements.table
    }

    /// Returns the connection pool, which the application may use for other tables. Closing it
    /// closes the store.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.backend().pool
    }
}
