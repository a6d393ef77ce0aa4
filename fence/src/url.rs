//! This module opens a fence by a URL, for programs whose settings say where the data is.

use std::sync::Arc;

use leasehold_core::{Error, ErrorKind, Namespace, RaiseFence, Result};

use crate::sql::{self, Database};

/// Opens the fence of that URL, for [`Election::fence`](leasehold_core::Election::fence).
///
/// The URL has the form that the driver expects, with the scheme `postgres`, `mysql`, `mariadb`,
/// `sqlite`, `redis`, `rediss`, `valkey`, `mongodb` or `etcd`.
///
/// This makes no connection to the datastore. Raising the fence connects, and creates the tables
/// that are missing.
///
/// On Redis the fence's key has no hash tag, so the URL is that of a single server and not of a
/// cluster. On etcd the URL has no user and no TLS.
///
/// # Errors
/// This fails with [`ErrorKind::Invalid`] if the driver does not accept the URL, and with
/// [`ErrorKind::Unsupported`] if there is no fence for its scheme, or not in this build. No message
/// repeats the URL.
///
/// # Cancel safety
/// Dropping the future has no effect on the datastore.
///
/// # Panics
/// This panics outside of a tokio runtime.
pub async fn open(url: &str, namespace: &Namespace) -> Result<Arc<dyn RaiseFence>> {
    let scheme = scheme(url);
    // Each driver has types of its own.
    match scheme.as_str() {
        #[cfg(feature = "sqlx-postgres")]
        "postgres" | "postgresql" => open_sql::<sqlx::Postgres>(url, namespace),
        #[cfg(feature = "sqlx-mysql")]
        "mysql" | "mariadb" => open_sql::<sqlx::MySql>(url, namespace),
        #[cfg(feature = "sqlx-sqlite")]
        "sqlite" => open_sql::<sqlx::Sqlite>(url, namespace),
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "valkey" | "valkeys" => open_redis(url, namespace),
        #[cfg(feature = "mongodb")]
        "mongodb" | "mongodb+srv" => open_mongodb(url, namespace).await,
        #[cfg(feature = "etcd")]
        "etcd" => open_etcd(url, namespace),
        _ => {
            let _ = namespace;
            Err(unsupported())
        }
    }
}

/// Returns the statements that create the tables of the fence of that URL, for an application's own
/// migrations. They are empty for a datastore that needs none.
///
/// # Errors
/// This fails with [`ErrorKind::Unsupported`] if there is no fence for the URL's scheme. The message
/// does not repeat the URL.
pub fn schema(url: &str, namespace: &Namespace) -> Result<String> {
    let database = match scheme(url).as_str() {
        "postgres" | "postgresql" => Database::Postgres,
        "mysql" | "mariadb" => Database::MySql,
        "sqlite" => Database::Sqlite,
        "redis" | "rediss" | "valkey" | "valkeys" | "mongodb" | "mongodb+srv" | "etcd" => {
            return Ok(String::new());
        }
        _ => return Err(unsupported()),
    };
    Ok(sql::schema(database, namespace))
}

fn scheme(url: &str) -> String {
    url.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase()
}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "there is no fence for this URL in this build").with_fix(
        "write postgres://…, mysql://…, sqlite:…, redis://…, mongodb://… or etcd://…, and build \
         with the feature of that name",
    )
}

#[cfg(any(
    feature = "sqlx-mysql",
    feature = "sqlx-postgres",
    feature = "sqlx-sqlite",
    feature = "redis",
    feature = "mongodb"
))]
fn invalid_url(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid("the driver does not accept the fence's URL")
        .with_fix("write it in the form that the driver expects")
        .with_source(cause)
}

#[cfg(any(feature = "sqlx-mysql", feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
fn open_sql<DB>(url: &str, namespace: &Namespace) -> Result<Arc<dyn RaiseFence>>
where
    DB: sqlx::Database,
    DB::Connection: crate::sqlx::SqlxSession,
{
    use crate::{Term, raise_fn};
    let options = sqlx::pool::PoolOptions::<DB>::new().max_connections(1);
    let (pool, namespace) = (options.connect_lazy(url).map_err(invalid_url)?, namespace.clone());
    Ok(Arc::new(raise_fn(move |term: Term, limit| {
        let (pool, namespace) = (pool.clone(), namespace.clone());
        async move {
            let began = std::time::Instant::now();
            // The database may have been unavailable when this program started.
            let table =
                crate::sqlx::FenceTable::open(&pool, &namespace, crate::Schema::Create).await?;
            table.fence(&term).raise(&pool, limit.saturating_sub(began.elapsed())).await
        }
    })))
}

#[cfg(feature = "redis")]
fn open_redis(url: &str, namespace: &Namespace) -> Result<Arc<dyn RaiseFence>> {
    use crate::redis::RedisFence;
    use crate::{Term, raise_fn};
    // The driver uses the cryptography provider of the process, and panics where rustls cannot choose
    // one. This fails if the application has installed its own.
    _ = rustls::crypto::ring::default_provider().install_default();
    let client = redis::Client::open(url).map_err(invalid_url)?;
    let namespace = namespace.clone();
    Ok(Arc::new(raise_fn(move |term: Term, _| {
        let (client, fence) = (client.clone(), RedisFence::new(&namespace, &term));
        async move {
            let connection = client.get_multiplexed_async_connection().await;
            let mut connection = connection.map_err(|cause| fence.error(cause))?;
            fence.raise(&mut connection).await
        }
    })))
}

#[cfg(feature = "mongodb")]
async fn open_mongodb(url: &str, namespace: &Namespace) -> Result<Arc<dyn RaiseFence>> {
    use crate::mongodb::MongoFence;
    use crate::{Term, raise_fn};
    let options = mongodb::options::ClientOptions::parse(url).await.map_err(invalid_url)?;
    let client = mongodb::Client::with_options(options).map_err(invalid_url)?;
    let database = client.default_database().ok_or_else(|| {
        Error::invalid("the fence's URL names no database")
            .with_fix("write mongodb://HOST/DATABASE")
    })?;
    let namespace = namespace.clone();
    Ok(Arc::new(raise_fn(move |term: Term, limit| {
        let fence = MongoFence::new(&database, &namespace, &term);
        async move { fence.raise(limit).await }
    })))
}

#[cfg(feature = "etcd")]
fn open_etcd(url: &str, namespace: &Namespace) -> Result<Arc<dyn RaiseFence>> {
    use crate::etcd::EtcdFence;
    use crate::{Term, raise_fn};
    let members = url.split_once(':').map_or("", |(_, rest)| rest);
    let members = members.trim_start_matches("//").trim_end_matches('/');
    if members.is_empty() || members.contains(['@', '?', '#', '/']) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the fence's URL has a part that is not supported",
        )
        .with_fix("write etcd://HOST:PORT,HOST:PORT without a user, a path and options"));
    }
    let members: Vec<String> = members.split(',').map(str::to_owned).collect();
    let namespace = namespace.clone();
    Ok(Arc::new(raise_fn(move |term: Term, _| {
        let (members, fence) = (members.clone(), EtcdFence::new(&namespace, &term));
        async move {
            let client = etcd_client::Client::connect(members, None).await;
            let client = client.map_err(|cause| fence.error(cause))?;
            fence.raise(&mut client.kv_client()).await
        }
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_scheme_is_refused_without_the_password() {
        for url in ["", "x", "memory:", "postgress://u:secret@h/d", "etcd://u:secret@h"] {
            let error = open(url, &Namespace::default()).await.unwrap_err();
            assert!(error.is_unsupported(), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_schema_is_that_of_the_database_of_the_url() {
        let printed = |url| schema(url, &Namespace::default());
        let postgres = printed("postgres://u:secret@h/d").unwrap();
        assert_eq!(postgres, sql::schema(Database::Postgres, &Namespace::default()));
        assert!(printed("SQLite:x.db").unwrap().contains("leasehold_fence"));
        assert_eq!(printed("redis://h").unwrap(), "");
        assert!(printed("memory:").unwrap_err().is_unsupported());
    }

    #[cfg(feature = "mongodb")]
    #[tokio::test]
    async fn a_mongodb_url_names_a_database() {
        let error = open("mongodb://127.0.0.1", &Namespace::default()).await.unwrap_err();
        assert!(error.is_invalid(), "{error}");
        assert!(open("mongodb://127.0.0.1/app", &Namespace::default()).await.is_ok());
    }
}
