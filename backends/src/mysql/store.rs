//! This is the store that applications open.

use sqlx::mysql::MySqlPool;

use super::calls::MySql;
use super::release_notifications::ReleaseNotifications;
use super::session::{self, SessionSettings};
use super::sql::Sql;
use super::{error_codes, schema, url};
use crate::common::timeout::read_timeout;
use crate::common::with_context;
use crate::shell::{RecentRefusals, Store};
use crate::sql::error::connecting;
use crate::sql::pool::{Connections, application_pool};
use crate::sql::released_names::ReleasedNames;
use crate::{Namespace, OpenOptions, Result};

/// This store keeps locks in a MySQL or MariaDB database; see the [module](super) for what they
/// guarantee.
///
/// Clones share the same pool of connections.
pub type MySqlStore = Store<MySql>;

impl MySqlStore {
    /// Connects to the database of a URL such as `mysql://user:password@host/database`, with a pool
    /// of its own. The options are sqlx's; `mariadb://` is the same.
    ///
    /// A missing table is created if [`OpenOptions::schema`] allows, and the columns of queues are
    /// added to the table of an earlier version.
    ///
    /// # Errors
    /// This returns [`Invalid`](crate::ErrorKind::Invalid) for an invalid URL, another kind of
    /// server, or a missing database or table; [`Denied`](crate::ErrorKind::Denied) for a wrong
    /// password, a missing right or a server that accepts no writes;
    /// [`Corrupt`](crate::ErrorKind::Corrupt) for a table that is not Leasehold's, which is left as
    /// it is; [`Unsupported`](crate::ErrorKind::Unsupported) for a server that is too old or hides
    /// its clock; [`Unavailable`](crate::ErrorKind::Unavailable) if the server is not reached.
    ///
    /// # Cancel safety
    /// A dropped call leaves the schema either as it was or complete.
    pub async fn connect(url: &str, options: &OpenOptions) -> Result<Self> {
        let connect = url::from_url(url).map_err(|error| error.during("open"))?;
        let label = url::label(&connect);
        // One connection beforehand says what is wrong; a pool would say that it took too long.
        let check = async {
            let mut connection =
                session::connect(&connect).await.map_err(connecting::<sqlx::MySql>)?;
            let (database, sql) = schema::open(&mut connection, &connect, options).await?;
            let session = SessionSettings::new(&database);
            let limited = session.limit_waits(&mut connection).await;
            limited.map_err(error_codes::not_written)?;
            Ok((connection, session, database, sql))
        };
        let opened = read_timeout(check).await;
        let (connection, session, database, sql) =
            opened.map_err(with_context("open", &label, None))?;
        let pool = application_pool::<sqlx::MySql>(&connect, options.max_connections);
        let connections = Connections::own(pool.clone(), session);
        connections.adopt(connection);
        Ok(Self::build(pool, connections, label, &database, sql))
    }

    /// Builds the store on a pool that the application already has.
    ///
    /// The pool's settings are left as they are. The tables are in the database that the connection
    /// which opens the store has chosen; from then on it makes no difference which one a connection
    /// has chosen. All of them must be in autocommit mode. Heartbeats, which must not wait behind the
    /// application's statements, open one connection outside of the pool, with the pool's options.
    ///
    /// # Errors
    /// This fails for the same reasons as [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// See [`connect`](Self::connect).
    pub async fn from_pool(pool: MySqlPool, options: &OpenOptions) -> Result<Self> {
        let label = url::label(&pool.connect_options());
        let check = async {
            let mut connection = pool.acquire().await.map_err(error_codes::not_written)?;
            let connect = pool.connect_options();
            let opened = schema::open(&mut connection, &connect, options).await;
            if opened.is_err() {
                connection.close_on_drop();
            }
            opened
        };
        let opened = read_timeout(check).await;
        let (database, sql) = opened.map_err(with_context("open", &label, None))?;
        let connections =
            Connections::of_application(pool.clone(), SessionSettings::new(&database));
        Ok(Self::build(pool, connections, label, &database, sql))
    }

    fn build(
        pool: MySqlPool,
        connections: Connections<sqlx::MySql>,
        label: String,
        database: &str,
        sql: Sql,
    ) -> Self {
        let notifications =
            ReleaseNotifications::new(&pool, database, &sql.name, connections.close_all_signal());
        let (released_names, refusals) = (ReleasedNames::default(), RecentRefusals::default());
        Self::new(MySql { label, pool, connections, sql, notifications, released_names, refusals })
    }

    /// Returns the statements that create the tables of that namespace, for an application's
    /// migrations.
    ///
    /// # Errors
    /// This never fails, because every namespace can be used.
    pub fn schema(namespace: &Namespace) -> Result<String> {
        // Only the names without the database are printed.
        let sql = Sql::new(namespace, "");
        Ok(sql.tables().map(|(_, create, _)| format!("{create};\n")).concat())
    }

    /// Returns the name of the table of locks, with its database and quoted, so that it can be used
    /// in SQL without changes. An application may read its columns `name` and `token`, which stay,
    /// to make a write in the same database conditional on a token being the latest of its lock.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.backend().sql.statements.table
    }

    /// Returns the connection pool, which the application may use for other tables. Closing it
    /// closes the store.
    #[must_use]
    pub fn pool(&self) -> &MySqlPool {
        &self.backend().pool
    }
}
