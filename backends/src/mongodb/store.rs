//! The store that applications open.

use mongodb::Database;

use super::clients::{Clients, CollectionNames};
use super::commands::Mongo;
use super::{collection, url};
use crate::common::timeout::read_timeout;
use crate::common::with_context;
use crate::shell::Store;
use crate::{Namespace, OpenOptions, Result};

/// This store keeps locks in a MongoDB database; see the [module](super) for what they guarantee.
///
/// Clones share the same client and its connections.
pub type MongoStore = Store<Mongo>;

impl MongoStore {
    /// Connects to the database that the URL names, with a separate client.
    ///
    /// The URL is a MongoDB connection string, with the options that the driver knows. Its path
    /// names the database, in which the user is also looked up unless `authSource` names another
    /// one.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for an invalid URL, or one that names no database;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when no server that accepts writes answers;
    /// [`Denied`](crate::ErrorKind::Denied) for a wrong password or a missing right;
    /// [`Corrupt`](crate::ErrorKind::Corrupt) for a collection that is not Leasehold's, which is left
    /// unchanged.
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn connect(url: &str, options: &OpenOptions) -> Result<Self> {
        let opening = async {
            let url::OpenedUrl { options: client, database, label, sizes } =
                url::open(url, options.max_connections).await?;
            let clients = Clients::new(client, sizes, database, names(options));
            let opened = Self::build(clients, label.clone()).await;
            opened.map_err(|error| error.on_store(&label))
        };
        read_timeout(opening).await.map_err(|error| error.during("open"))
    }

    /// Builds the store on a database of a client that the application already has.
    ///
    /// Read and write concerns and the read preference of that client have no effect. Its server
    /// selection and connection timeouts have one: a call that waits for them longer than 10 s
    /// reports an unknown outcome, although nothing was sent.
    ///
    /// Heartbeats depend on the runtime in which that client was created, since the driver serves
    /// its connections there: while all threads of that runtime compute or block, no lease is
    /// renewed. A store from [`connect`](Self::connect) has no such limit.
    ///
    /// # Errors
    /// This fails for the same reasons as [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn from_database(database: Database, options: &OpenOptions) -> Result<Self> {
        let label = format!("mongodb:{}", database.name());
        let with_context = with_context("open", &label, None);
        let clients = Clients::of_application(database, names(options));
        let opening = Self::build(clients, label.clone());
        read_timeout(opening).await.map_err(with_context)
    }

    /// Creates nothing, whatever the options allow: the first write creates the collection, and
    /// needs only the permission to write to it.
    async fn build(clients: Clients, label: String) -> Result<Self> {
        let at = clients.handles()?;
        let push = collection::check(&at.database, &clients.names().locks).await?;
        Ok(Self::new(Mongo::new(label, clients, push)))
    }

    /// Returns an empty text: MongoDB creates a collection with its first document.
    #[must_use]
    pub fn schema(_namespace: &Namespace) -> String {
        String::new()
    }

    /// Returns the name of the collection of locks. An application may read the fields `_id`, which
    /// is the lock's name, and `token`. Later versions keep these two.
    #[must_use]
    pub fn collection(&self) -> &str {
        self.backend().locks()
    }
}

/// Returns the names of the collections.
fn names(options: &OpenOptions) -> CollectionNames {
    CollectionNames {
        locks: collection::name(&options.namespace),
        instances: collection::of_instances(&options.namespace),
    }
}
