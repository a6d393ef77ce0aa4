//! The ledger in etcd has a key for each entry.

use std::time::Duration;

use etcd_client::{Client, DeleteOptions, GetOptions, KvClient, Txn, TxnOp};
use leasehold_fence::etcd::EtcdFence;
use leasehold_fence::{Namespace, Result, Term};
use tokio::time::sleep;

use super::{Data, Entry, SLOW, discarded};

pub(crate) struct Etcd {
    client: KvClient,
    namespace: Namespace,
}

impl Etcd {
    fn prefix(&self, term: u64) -> String {
        format!("/{}/ledger/{term}/", self.namespace)
    }
}

impl Data for Etcd {
    async fn open(url: &str, namespace: &Namespace) -> Result<Self, String> {
        let member = url.trim_start_matches("etcd://");
        let client = Client::connect([member], None).await.map_err(|error| error.to_string())?;
        let mut client = client.kv_client();
        // The connection is made by the first call.
        client.get("/", None).await.map_err(|error| error.to_string())?;
        Ok(Self { client, namespace: namespace.clone() })
    }

    async fn raise(&mut self, term: &Term, _: Duration) -> Result<()> {
        EtcdFence::new(&self.namespace, term).raise(&mut self.client).await
    }

    /// A slow entry is slow in this process, because etcd decides a transaction at once.
    async fn write(&mut self, term: &Term, entry: &Entry) -> Result<()> {
        let fence = EtcdFence::new(&self.namespace, term);
        let key = format!("{}{}", self.prefix(term.token().get()), entry.sequence);
        let put = TxnOp::put(key, "", None);
        let txn = Txn::new().when(fence.compares()).and_then([put]);
        sleep(if entry.slow { SLOW } else { entry.pause }).await;
        let done = self.client.txn(txn).await.map_err(|cause| fence.error(cause))?;
        if done.succeeded() {
            return Ok(());
        }
        fence.verify(&mut self.client).await?;
        Err(discarded())
    }

    async fn entries(&mut self, term: u64) -> u64 {
        let options = GetOptions::new().with_prefix().with_count_only();
        let found = self.client.get(self.prefix(term), Some(options)).await.unwrap();
        found.count().try_into().unwrap()
    }

    async fn remove(mut self, _: u64) {
        let prefix = format!("/{}/", self.namespace);
        let options = DeleteOptions::new().with_prefix();
        self.client.delete(prefix, Some(options)).await.unwrap();
    }
}
