//! `SET NX PX` acquires, a script deletes the key and publishes, and another connection subscribes.

use anyhow::{Context, Result};
use async_trait::async_trait;
use futures_util::StreamExt;
use redis::Script;
use redis::aio::MultiplexedConnection;

use super::server::{Notified, NotifyingServer};
use crate::floor::driver::changed_one;

const CHANNEL: &str = "leasehold_bench_floor";
const DELETE_OWN: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
     redis.call('PUBLISH', ARGV[2], KEYS[1]) \
     return redis.call('DEL', KEYS[1]) else return 0 end";

pub(super) struct Redis {
    connection: MultiplexedConnection,
    delete_own: Script,
}

pub(super) async fn open(url: &str, notified: Notified) -> Result<Redis> {
    let client = redis::Client::open(url)?;
    let connection = client.get_multiplexed_async_connection().await?;
    let mut messages = client.get_async_pubsub().await?;
    messages.subscribe(CHANNEL).await?;
    tokio::spawn(async move {
        let mut messages = messages.into_on_message();
        while messages.next().await.is_some() {
            notified.notify_waiters();
        }
    });
    Ok(Redis { connection, delete_own: Script::new(DELETE_OWN) })
}

fn key_of(lock: &str) -> String {
    format!("leasehold_bench_floor:{lock}")
}

#[async_trait]
impl NotifyingServer for Redis {
    async fn set(&self, lock: &str) -> Result<bool> {
        let mut set = redis::cmd("SET");
        set.arg(key_of(lock)).arg("floor").arg("NX").arg("PX").arg(30_000);
        let done = set.query_async::<Option<String>>(&mut self.connection.clone()).await;
        Ok(done.context("SET failed")?.is_some())
    }

    async fn unset(&self, lock: &str) -> Result<()> {
        let mut delete = self.delete_own.key(key_of(lock));
        delete.arg("floor").arg(CHANNEL);
        changed_one(delete.invoke_async(&mut self.connection.clone()).await?)
    }
}
