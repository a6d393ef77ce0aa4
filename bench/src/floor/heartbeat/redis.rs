//! One script for a list of keys.

use anyhow::Result;
use async_trait::async_trait;
use redis::Script;
use redis::aio::MultiplexedConnection;

use super::driver::{CONNECTIONS, Extender, Extenders, LEASE, TTL_MICROS};
use crate::floor::record::HOLDER;

const FILL: &str = "local time = redis.call('TIME') \
     local expires_at = string.format('%.0f', time[1] * 1000000 + time[2] + ARGV[3]) \
     for i = 1, #KEYS do \
         redis.call('HSET', KEYS[i], 'token', 1, 'lease', ARGV[1], 'holder', ARGV[2], \
             'expires_at', expires_at) \
     end \
     return #KEYS";
const EXTEND: &str = "local time = redis.call('TIME') \
     local now = time[1] * 1000000 + time[2] \
     local expires_at = string.format('%.0f', now + ARGV[2]) \
     local extended = 0 \
     for i = 1, #KEYS do \
         local last = redis.call('HMGET', KEYS[i], 'lease', 'expires_at') \
         if last[1] == ARGV[1] and tonumber(last[2]) > now then \
             redis.call('HSET', KEYS[i], 'expires_at', expires_at) \
             extended = extended + 1 \
         end \
     end \
     return extended";

/// One script creates at most this many leases, because the server does nothing else in the
/// meantime.
const FILL_BATCH: usize = 1_000;

struct Redis {
    connection: MultiplexedConnection,
    extend: Script,
}

pub(super) async fn open(url: &str, names: &[String]) -> Result<Extenders> {
    let client = redis::Client::open(url)?;
    let mut connections: Extenders = Vec::new();
    while connections.len() < CONNECTIONS {
        let connection = client.get_multiplexed_async_connection().await?;
        connections.push(Box::new(Redis { connection, extend: Script::new(EXTEND) }));
    }
    let mut connection = client.get_multiplexed_async_connection().await?;
    let fill = Script::new(FILL);
    for names in names.chunks(FILL_BATCH) {
        let mut fill = fill.prepare_invoke();
        for name in names {
            fill.key(key_of(name));
        }
        fill.arg(LEASE).arg(HOLDER).arg(TTL_MICROS);
        fill.invoke_async::<u64>(&mut connection).await?;
    }
    Ok(connections)
}

fn key_of(name: &str) -> String {
    format!("leasehold_bench_floor_heartbeat:{name}")
}

#[async_trait]
impl Extender for Redis {
    async fn extend(&mut self, names: &[String]) -> Result<u64> {
        let mut extend = self.extend.prepare_invoke();
        for name in names {
            extend.key(key_of(name));
        }
        extend.arg(LEASE).arg(TTL_MICROS);
        Ok(extend.invoke_async(&mut self.connection).await?)
    }
}
