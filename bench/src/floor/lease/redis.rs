//! Two scripts on a hash.

use anyhow::{Context, Result};
use async_trait::async_trait;
use redis::Script;
use redis::aio::MultiplexedConnection;

use super::server::{LeasingServer, TTL_MICROS};
use crate::floor::driver::changed_one;
use crate::floor::record::HOLDER;

const GRANT: &str = "local time = redis.call('TIME') \
     local now = time[1] * 1000000 + time[2] \
     local last = redis.call('HMGET', KEYS[1], 'token', 'lease', 'expires_at') \
     if last[2] and tonumber(last[3]) > now then return false end \
     local token = now \
     if last[1] and last[1] + 1 > now then token = last[1] + 1 end \
     redis.call('HSET', KEYS[1], 'token', token, 'lease', ARGV[1], 'holder', ARGV[2], \
         'expires_at', now + ARGV[3]) \
     return token";
const RELEASE: &str = "if redis.call('HGET', KEYS[1], 'lease') ~= ARGV[1] then return 0 end \
     redis.call('HDEL', KEYS[1], 'lease', 'holder', 'expires_at') \
     return 1";

pub(super) struct Redis {
    connection: MultiplexedConnection,
    grant: Script,
    release: Script,
}

pub(super) async fn open(url: &str, locks: &[String]) -> Result<Redis> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    for lock in locks {
        redis::cmd("DEL").arg(key_of(lock)).query_async::<u64>(&mut connection).await?;
    }
    Ok(Redis { connection, grant: Script::new(GRANT), release: Script::new(RELEASE) })
}

fn key_of(lock: &str) -> String {
    format!("leasehold_bench_floor_lease:{lock}")
}

#[async_trait]
impl LeasingServer for Redis {
    async fn grant(&self, lock: &str, lease: &str) -> Result<i64> {
        let mut grant = self.grant.key(key_of(lock));
        grant.arg(lease).arg(HOLDER).arg(TTL_MICROS);
        let token: Option<i64> = grant.invoke_async(&mut self.connection.clone()).await?;
        token.context("the floor's lock is held")
    }

    async fn release(&self, lock: &str, lease: &str) -> Result<()> {
        let mut release = self.release.key(key_of(lock));
        release.arg(lease);
        changed_one(release.invoke_async(&mut self.connection.clone()).await?)
    }
}
