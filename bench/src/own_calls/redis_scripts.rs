//! The bare driver runs the scripts of Leasehold's store on Redis and Valkey.

use std::sync::LazyLock;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use redis::Script;
use redis::aio::MultiplexedConnection;

use crate::contender::Contender;

macro_rules! script {
    ($($file:literal),+) => {
        LazyLock::new(|| {
            Script::new(concat!($(include_str!(concat!("../../../backends/src/redis/scripts/", $file))),+))
        })
    };
}

static ACQUIRE: LazyLock<Script> = script!("common.lua", "one.lua", "acquire.lua");
static RELEASE: LazyLock<Script> = script!("common.lua", "one.lua", "write.lua", "release.lua");

const CHANNEL: &str = "leasehold_bench_scripts";
const LEASE: &str = "01930000-0000-7000-8000-000000000000";
const HOLDER: &str =
    r#"{"instance":"01930000-0000-7000-8000-000000000001","host":"bench","pid":1}"#;
const TTL_MICROS: u64 = 15_000_000;

pub(super) struct RedisScripts(MultiplexedConnection);

pub(super) async fn open(url: &str) -> Result<RedisScripts> {
    let client = redis::Client::open(url)?;
    Ok(RedisScripts(client.get_multiplexed_async_connection().await?))
}

#[async_trait]
impl Contender for RedisScripts {
    fn name(&self) -> &str {
        "driver with Leasehold's scripts"
    }

    async fn run(&self, lock: &str) -> Result<()> {
        let mut connection = self.0.clone();
        let key = format!("leasehold_bench_scripts:{lock}");
        let mut acquire = ACQUIRE.key(&key);
        acquire.arg(CHANNEL).arg(lock).arg(LEASE).arg(HOLDER).arg(TTL_MICROS);
        let (granted, ..): (String, u64, u64) = acquire.invoke_async(&mut connection).await?;
        let mut release = RELEASE.key(&key);
        release.arg(CHANNEL).arg(lock).arg(LEASE);
        let (released,): (String,) = release.invoke_async(&mut connection).await?;
        ensure!(granted == "granted" && released == "released", "{granted}, {released}");
        Ok(())
    }
}
