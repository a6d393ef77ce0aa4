//! The floor of Redis and Valkey: `SET NX PX`, and a script that deletes the key if it has the
//! floor's value.

use anyhow::{Result, ensure};
use async_trait::async_trait;
use redis::Script;
use redis::aio::MultiplexedConnection;

use super::driver::{Floor, changed_one};

const DELETE_OWN: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
     return redis.call('DEL', KEYS[1]) else return 0 end";

pub(super) struct Redis {
    connection: MultiplexedConnection,
    delete_own: Script,
}

pub(super) async fn open(url: &str) -> Result<Redis> {
    let client = redis::Client::open(url)?;
    let connection = client.get_multiplexed_async_connection().await?;
    Ok(Redis { connection, delete_own: Script::new(DELETE_OWN) })
}

#[async_trait]
impl Floor for Redis {
    async fn ping(&self) -> Result<()> {
        let mut connection = self.connection.clone();
        redis::cmd("PING").query_async::<String>(&mut connection).await?;
        Ok(())
    }

    async fn set_and_unset(&self, lock: &str) -> Result<()> {
        let mut connection = self.connection.clone();
        let key = format!("leasehold_bench_floor:{lock}");
        let mut set = redis::cmd("SET");
        set.arg(&key).arg("floor").arg("NX").arg("PX").arg(30_000);
        let done = set.query_async::<Option<String>>(&mut connection).await?;
        ensure!(done.is_some(), "the key of the floor exists");
        let deleted: u64 =
            self.delete_own.key(&key).arg("floor").invoke_async(&mut connection).await?;
        changed_one(deleted)
    }
}
