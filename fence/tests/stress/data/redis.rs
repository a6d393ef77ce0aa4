//! The ledger in Redis or Valkey has a list for each term.

use std::time::Duration;

use leasehold_fence::redis::RedisFence;
use leasehold_fence::{Namespace, Result, Term};
use redis::aio::MultiplexedConnection;
use redis::{Client, cmd};
use tokio::time::sleep;

use super::{Data, Entry, discarded};

const WRITE: &str = "return redis.call('RPUSH', KEYS[1], ARGV[1])";

/// The server runs nothing else during this script.
const WRITE_SLOWLY: &str = "local sum = 0
for number = 1, 300000 do sum = sum + number end
return redis.call('RPUSH', KEYS[1], ARGV[1])";

pub(crate) struct Redis {
    /// Each process has one call in progress at a time, so that it can use `WATCH`.
    connection: MultiplexedConnection,
    namespace: Namespace,
}

impl Redis {
    fn key(&self, term: u64) -> String {
        format!("{}:ledger:{term}", self.namespace)
    }

    /// Writes in a script.
    async fn write_in_script(&mut self, term: &Term, entry: &Entry) -> Result<()> {
        let fence = RedisFence::new(&self.namespace, term);
        let key = self.key(term.token().get());
        let script = RedisFence::script(if entry.slow { WRITE_SLOWLY } else { WRITE });
        let mut call = script.key(key.as_str());
        fence.bind(call.arg(entry.sequence));
        sleep(entry.pause).await;
        let written = call.invoke_async::<i64>(&mut self.connection).await;
        written.map(drop).map_err(|cause| fence.error(cause))
    }

    /// Writes in a `MULTI` after a `WATCH`.
    async fn write_watched(&mut self, term: &Term, entry: &Entry) -> Result<()> {
        let fence = RedisFence::new(&self.namespace, term);
        let key = self.key(term.token().get());
        fence.watch(&mut self.connection).await?;
        sleep(entry.pause).await;
        let mut write = redis::pipe();
        write.atomic().cmd("RPUSH").arg(key.as_str()).arg(entry.sequence);
        let written = write.query_async::<Option<(i64,)>>(&mut self.connection).await;
        match written.map_err(|cause| fence.error(cause))? {
            Some(_) => Ok(()),
            None => Err(discarded()),
        }
    }
}

impl Data for Redis {
    async fn open(url: &str, namespace: &Namespace) -> Result<Self, String> {
        let client = Client::open(url).map_err(|error| error.to_string())?;
        let connection = client.get_multiplexed_async_connection().await;
        let connection = connection.map_err(|error| error.to_string())?;
        Ok(Self { connection, namespace: namespace.clone() })
    }

    async fn raise(&mut self, term: &Term, _: Duration) -> Result<()> {
        RedisFence::new(&self.namespace, term).raise(&mut self.connection).await
    }

    async fn write(&mut self, term: &Term, entry: &Entry) -> Result<()> {
        if entry.slow || entry.sequence % 2 == 0 {
            self.write_in_script(term, entry).await
        } else {
            self.write_watched(term, entry).await
        }
    }

    async fn entries(&mut self, term: u64) -> u64 {
        let count = cmd("LLEN").arg(self.key(term)).query_async(&mut self.connection).await;
        count.unwrap()
    }

    async fn remove(mut self, last: u64) {
        let fence = RedisFence::new(&self.namespace, &crate::term(1));
        let mut remove = cmd("DEL");
        remove.arg(fence.key());
        for term in 1..=last {
            remove.arg(self.key(term));
        }
        remove.query_async::<()>(&mut self.connection).await.unwrap();
    }
}
