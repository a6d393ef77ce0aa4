//! The store that applications open.

use etcd_client::{Client, GetOptions};

use super::backend::Etcd;
use super::client::EtcdClient;
use super::keys::Keys;
use super::members::Members;
use super::url::EtcdUrl;
use super::{server_version, transaction};
use crate::common::with_context;
use crate::shell::Store;
use crate::{Namespace, OpenOptions, Result};

/// This store keeps locks in etcd; see the [module](super) for what they guarantee.
///
/// Clones share the same connections.
pub type EtcdStore = Store<Etcd>;

impl Store<Etcd> {
    /// Connects to the members that the URL names.
    ///
    /// [`OpenOptions::schema`] has no effect: etcd has no schema.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a URL that is not one of etcd;
    /// [`Denied`](crate::ErrorKind::Denied) for a wrong password or a missing right;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when no member answers.
    ///
    /// # Cancel safety
    /// A dropped call has no effect.
    pub async fn connect(url: &str, options: &OpenOptions) -> Result<Self> {
        let url = EtcdUrl::from_url(url)?;
        let open = async {
            let members = url.members()?;
            Self::build(members, &url.path, url.label(), options).await
        };
        open.await.map_err(with_context("open", &url.label(), None))
    }

    /// Builds the store on a client that the application already has.
    ///
    /// Its settings are not changed. Build it with `with_keep_alive`, so that the store recovers
    /// from cut connections, with `with_require_leader`, so that a watch notices a member without a
    /// leader, and if it has a user, with `with_auto_token_refresh`.
    ///
    /// Heartbeats depend on the runtime in which that client was created, which serves the
    /// client's connections: while all threads of that runtime compute or block, no lease is
    /// renewed. A store from [`connect`](Self::connect) has no such limit.
    ///
    /// # Errors
    /// This fails for the same reasons as [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// A dropped call has no effect.
    pub async fn from_client(client: Client, options: &OpenOptions) -> Result<Self> {
        Self::build(Members::of_application(client), "", "etcd".to_owned(), options)
            .await
            .map_err(with_context("open", "etcd", None))
    }

    async fn build(
        members: Members,
        path: &str,
        label: String,
        options: &OpenOptions,
    ) -> Result<Self> {
        let keys = Keys::new(path, &options.namespace);
        let client = EtcdClient::new(members);
        // This fails if the server is not etcd, or refuses this user.
        let range = GetOptions::new().with_prefix().with_limit(1).with_keys_only();
        let read = transaction::read_range(keys.root().into(), range);
        let (call, members) = (client.call(), client.members());
        let (found, statuses) = tokio::join!(call.read_txn(read), members.locate());
        found?;
        let versions =
            statuses.iter().map(|status| (members.address(status), status.version.as_str()));
        server_version::warn_of_old(&label, versions);
        Ok(Self::new(Etcd::new(label, keys, client)))
    }

    /// Returns an empty text: etcd needs no schema.
    ///
    /// # Errors
    /// This never fails.
    pub fn schema(_: &Namespace) -> Result<String> {
        Ok(String::new())
    }
}
