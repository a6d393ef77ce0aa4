//! The servers that are put under stress.

use leasehold::{Namespace, OpenOptions};
use leasehold_test_servers::{Image, Server, catalog, until_ready};
use mongodb::bson::doc;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// A server, in a container of its own if no variable names one.
pub(crate) struct Target {
    image: &'static Image,
    pub(crate) url: String,
    pub(crate) namespace: Namespace,
    own: Option<Server>,
}

impl Target {
    pub(crate) async fn start(image: &'static Image) -> Self {
        let own = match image.given_url() {
            Some(_) => None,
            None => Some(Server::start_with(image, arguments(image.name)).await.unwrap()),
        };
        let address = own.as_ref().map(Server::address).unwrap_or_default();
        let url = image.given_url().unwrap_or_else(|| image.url_at(&address));
        let namespace = Namespace::new(format!("queues_{}", std::process::id())).unwrap();
        let options = OpenOptions::default().with_namespace(namespace.clone());
        let ready = until_ready(|| async {
            if let Some(server) = &own {
                catalog::prepare(image, server).await;
            }
            leasehold::url::open(&url, &options).await
        });
        ready.await.unwrap();
        Self { image, url, namespace, own }
    }

    /// Removes the tables or keys of the test from a server that goes on.
    pub(crate) async fn remove(self) {
        if self.own.is_none() {
            self.clean().await.unwrap();
        }
    }

    async fn clean(&self) -> Result<()> {
        let (url, namespace) = (self.url.as_str(), &self.namespace);
        let drop_tables = || {
            let drop = format!("DROP TABLE IF EXISTS {namespace}_locks, {namespace}_instances");
            sqlx::raw_sql(AssertSqlSafe(drop))
        };
        match self.image.name {
            "postgres" => {
                drop_tables().execute(&mut PgConnection::connect(url).await?).await?;
            }
            "mysql" | "mariadb" => {
                drop_tables().execute(&mut MySqlConnection::connect(url).await?).await?;
            }
            "redis" | "valkey" => remove_keys(url, namespace).await?,
            "mongodb" => {
                let client = mongodb::Client::with_uri_str(url).await?;
                let database = client.default_database().ok_or("the URL has no database")?;
                for collection in ["locks", "instances"] {
                    // A collection that does not exist cannot be dropped.
                    let drop = doc! { "drop": format!("{namespace}_{collection}") };
                    _ = database.run_command(drop).await;
                }
            }
            _ => {
                let address = url.trim_start_matches("etcd://");
                let mut client = etcd_client::Client::connect([address], None).await?;
                let all = etcd_client::DeleteOptions::new().with_prefix();
                client.delete(format!("/{namespace}/"), Some(all)).await?;
            }
        }
        Ok(())
    }
}

/// Returns more arguments for a server whose default limit of connections is too low.
fn arguments(name: &str) -> &'static [&'static str] {
    match name {
        "postgres" => &["-c", "max_connections=500"],
        "mysql" | "mariadb" => &["--max-connections=500"],
        _ => &[],
    }
}

async fn remove_keys(url: &str, namespace: &Namespace) -> Result<()> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut keys = redis::cmd("KEYS");
    keys.arg(format!("{namespace}:*"));
    let keys: Vec<Vec<u8>> = keys.query_async(&mut connection).await?;
    if !keys.is_empty() {
        redis::cmd("DEL").arg(keys).query_async::<i64>(&mut connection).await?;
    }
    Ok(())
}
