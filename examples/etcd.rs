//! This example shows locks in the etcd that the application already uses, on the application's own
//! client.
//!
//! The token of a grant is the revision of a key, so a write to the same etcd can be made
//! conditional on it: a holder whose lock was granted again changes nothing.
//!
//! ```text
//! cargo run -p leasehold-examples --example etcd [HOST:PORT]
//! ```

use std::error::Error;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, ConnectOptions, Txn, TxnOp};
use leasehold::etcd::EtcdStore;
use leasehold::{Client, OpenOptions};

const LOCK: &str = "daily-report";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).or_else(|| std::env::var("ETCD_ENDPOINT").ok());
    let address = address.unwrap_or_else(|| "127.0.0.1:2379".to_owned());
    let options = ConnectOptions::new()
        .with_keep_alive(Duration::from_secs(10), Duration::from_secs(5))
        .with_connect_timeout(Duration::from_secs(3))
        .with_require_leader(true);
    let mut etcd = etcd_client::Client::connect([address], Some(options)).await?;

    let store = EtcdStore::from_client(etcd.clone(), &OpenOptions::default()).await?;
    let lock = Client::new(store)?.lock(LOCK)?;
    let guard = lock.acquire(Duration::from_secs(60)).await?;
    println!("held, under token {}", guard.token());

    // etcd itself checks that no later grant was made before it writes.
    let granted = format!("/leasehold/granted/{LOCK}");
    let token = i64::from(guard.token());
    let write = Txn::new()
        .when([Compare::mod_revision(granted, CompareOp::Equal, token)])
        .and_then([TxnOp::put("report", "done", None)]);
    let written = etcd.txn(write).await?.succeeded();
    println!("the report is {}", if written { "written" } else { "another instance has it" });

    guard.release().await?;
    Ok(())
}
